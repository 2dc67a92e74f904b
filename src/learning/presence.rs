//! Which words a prompt has, and which follow each other: 0 or 1 for each, however often.
//!
//! A column per token and one per bucket of token pairs, weighted by inverse document frequency, the whole of a fixed length.
//! Linear heads on these see what the averaged token vectors of the [encoder](super::encoder) blur: a rare term names a
//! subject, a pair of words tells kinds of questions apart. Counting presence instead of occurrences bounds what any text can
//! gain by repeating itself.
//!
//! Pairs have no vocabulary: a hash gives each one of [`PAIRS`] buckets (the hashing trick, Weinberger and others, ICML 2009),
//! in integers that the graph computes as well.
#![expect(
    clippy::indexing_slicing,
    reason = "numeric kernels: columns are bounded by the numbers of tokens and buckets"
)]

use rayon::prelude::*;

use super::{matrix::Matrix, wide::Rows};

/// Buckets of token pairs; four times as many explain no more of a held-out prompt's difficulty, half as many less.
pub const PAIRS: usize = 16_384;
/// Factors and offset of the hash; with vocabularies below 50,000 it stays below 2^31, for engines that compute in 32 bits.
pub const PAIR_HASH: [u32; 3] = [31_337, 7_919, 13];

/// Length of the part of a row that tells of words, and spread of each dense entry behind it: what a common penalty asks of
/// both. By cross-validation.
const WORDS_LENGTH: f32 = 11.3;
/// See [`WORDS_LENGTH`].
pub const DENSE_SPREAD: f32 = 0.5;

/// The weights of tokens and pairs.
#[derive(Clone, Debug)]
pub struct Presence {
    tokens: usize,
    weights: Vec<f32>,
}

/// Returns the bucket of a token and the one before it; 0 stands before the first.
pub fn pair(before: u32, token: u32) -> u32 {
    let [first, second, offset] = PAIR_HASH;
    (before.wrapping_mul(first).wrapping_add(token.wrapping_mul(second)).wrapping_add(offset)) % PAIRS as u32
}

impl Presence {
    /// Measures in how many prompts each column occurs: `ln((1 + prompts) / (1 + occurrences))`.
    pub fn train(tokens: usize, prompts: &[Vec<u32>]) -> Self {
        let mut occurrences = vec![0.0_f64; tokens + PAIRS];
        for ids in prompts {
            columns(tokens, ids).into_iter().for_each(|column| occurrences[column as usize] += 1.0);
        }
        let all = 1.0 + prompts.len() as f64;
        Self { tokens, weights: occurrences.into_iter().map(|count| (all / (1.0 + count)).ln() as f32).collect() }
    }

    /// Returns the number of columns.
    pub fn columns(&self) -> usize {
        self.weights.len()
    }

    /// Returns a prompt's columns and their values.
    fn row(&self, ids: &[u32]) -> Vec<(u32, f32)> {
        let columns = columns(self.tokens, ids);
        let squares: f32 = columns.iter().map(|column| self.weights[*column as usize].powi(2)).sum();
        let scale = WORDS_LENGTH / (squares + super::graph::TINY).sqrt();
        columns.into_iter().map(|column| (column, scale * self.weights[column as usize])).collect()
    }

    /// Returns what wide heads see of prompts: their words and, behind them, the dense inputs.
    pub fn rows(&self, prompts: &[Vec<u32>], dense: &Matrix) -> Rows {
        let words: Vec<Vec<(u32, f32)>> = prompts.par_iter().map(|ids| self.row(ids)).collect();
        Rows::of(words, self.columns(), dense, DENSE_SPREAD)
    }

    /// Returns the graph's table for wide weights: one row per column and an empty one for padding; the last entry of a row is
    /// the square of the column's weight, so that its sum gives the length.
    pub fn table(&self, weights: &Matrix) -> Matrix {
        let width = weights.columns + 1;
        let mut table = Matrix::zeros(self.columns() + 1, width);
        for (column, weight) in self.weights.iter().enumerate() {
            let row = table.row_mut(column);
            row.iter_mut().zip(weights.row(column)).for_each(|(out, value)| *out = WORDS_LENGTH * weight * value);
            row[width - 1] = weight * weight;
        }
        table
    }
}

/// Returns the columns that a prompt has, in ascending order.
fn columns(tokens: usize, ids: &[u32]) -> Vec<u32> {
    let before = [0].into_iter().chain(ids.iter().copied());
    let pairs = before.zip(ids).map(|(before, token)| tokens as u32 + pair(before, *token));
    let mut columns: Vec<u32> = ids.iter().copied().chain(pairs).collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saying_a_word_again_adds_nothing_but_its_new_pairs() {
        let presence = Presence::train(10, &[vec![1, 2, 3], vec![2, 3, 4], vec![5]]);

        let (once, again) = (presence.row(&[1, 1]), presence.row(&[1, 1, 1, 1]));

        assert_eq!(once, again);
        assert_ne!(presence.row(&[1]), once);
    }

    #[test]
    fn a_row_has_the_same_length_however_long_the_prompt() {
        let presence = Presence::train(10, &[vec![1, 2, 3], vec![2, 3, 4], vec![5]]);

        for ids in [vec![1], vec![2, 3, 4, 9, 8, 7]] {
            let length = presence.row(&ids).iter().map(|(_, value)| value * value).sum::<f32>().sqrt();
            assert!((length - WORDS_LENGTH).abs() < 1e-3, "{length}");
        }
    }
}
