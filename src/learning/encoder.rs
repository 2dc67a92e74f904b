//! The static encoder: a vector for each token, from latent semantic analysis of the prompts, and what single tokens say of a
//! prompt's form.
//!
//! Inverse document frequencies and a truncated SVD (randomised: Halko, Martinsson and Tropp, 0909.4061, algorithms 4.3 and
//! 4.4) give token vectors; smooth inverse frequency (Arora, Liang and Ma, ICLR 2017) gives their weights in the sum over a
//! prompt's distinct tokens.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: token ids are below the vocabulary's size")]

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::matrix::{Matrix, add_scaled, dot, eigen};

/// Entries of the embedding.
pub const EMBEDDING: usize = 128;
/// Further directions of the random projection, for accuracy.
const OVERSAMPLING: usize = 24;
/// Power iterations; the spectrum of text falls slowly.
const POWER_ITERATIONS: usize = 3;
/// Directions keep `singular value ^ this` of their length: full length would let the few most frequent topics rule.
const SPECTRUM: f32 = 0.5;
/// `a` of smooth inverse frequency; the paper's value.
const SIF: f64 = 1e-3;

/// What single tokens say of a prompt's form, as the share of its tokens.
pub const FORMS: [&str; 8] =
    ["digits", "punctuation", "operators", "brackets", "pieces", "single_letters", "other_scripts", "unknown"];

/// A static encoder.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Encoder {
    /// Weighted token vectors, `[vocabulary, EMBEDDING]`.
    pub table: Matrix,
    /// Token forms, `[vocabulary, FORMS]`, 0 or 1.
    pub forms: Matrix,
}

/// What the heads see of a prompt: embedding, shares of [`FORMS`], logarithm of the length.
pub const INPUTS: usize = EMBEDDING + FORMS.len() + 1;

impl Encoder {
    /// Learns token vectors from the ids of prompts.
    pub fn train(tokens: &[String], prompts: &[Vec<u32>], rng: &mut ChaCha8Rng) -> Self {
        let counts = Counts::of(tokens.len(), prompts);
        let rows: Vec<Vec<(u32, f32)>> = prompts.par_iter().map(|ids| counts.idf_row(ids)).collect();
        let vectors = truncated_svd(&rows, tokens.len(), rng);
        let mut table = Matrix::zeros(tokens.len(), EMBEDDING);
        for id in 0..tokens.len() {
            let weight = counts.weight(id);
            add_scaled(table.row_mut(id), weight, vectors.row(id));
        }
        let mut forms = Matrix::zeros(tokens.len(), FORMS.len());
        for (id, token) in tokens.iter().enumerate() {
            forms.row_mut(id).copy_from_slice(&forms_of(token, id == 0));
        }
        let mut encoder = Self { table, forms };
        encoder.point_unknown_at_the_middle(&counts);
        encoder
    }

    /// An unknown token, which also stands for an empty prompt, points where an average prompt points, faintly.
    fn point_unknown_at_the_middle(&mut self, counts: &Counts) {
        let mut middle = vec![0.0; EMBEDDING];
        for id in 1..self.table.rows {
            add_scaled(&mut middle, counts.share(id) as f32, self.table.row(id));
        }
        let norm = dot(&middle, &middle).sqrt().max(1e-12);
        let faint = 1e-3 / norm;
        middle.iter_mut().for_each(|value| *value *= faint);
        self.table.row_mut(0).copy_from_slice(&middle);
    }

    /// Returns what the heads see of a prompt; the same arithmetic as the graph's.
    pub fn encode(&self, ids: &[u32]) -> Vec<f32> {
        let mut out = vec![0.0; INPUTS];
        let (embedding, rest) = out.split_at_mut(EMBEDDING);
        let count = ids.len() as f32;
        distinct(ids).iter().for_each(|id| add_scaled(embedding, 1.0, self.table.row(*id as usize)));
        ids.iter().for_each(|id| add_scaled(rest, 1.0 / count, self.forms.row(*id as usize)));
        let norm = dot(embedding, embedding).sqrt().max(1e-12);
        embedding.iter_mut().for_each(|value| *value /= norm);
        if let Some(last) = rest.last_mut() {
            *last = count.ln();
        }
        out
    }

    /// Encodes many prompts.
    pub fn encode_all(&self, prompts: &[Vec<u32>]) -> Matrix {
        let data: Vec<f32> = prompts.par_iter().flat_map_iter(|ids| self.encode(ids)).collect();
        Matrix { rows: prompts.len(), columns: INPUTS, data }
    }
}

fn forms_of(token: &str, is_unknown: bool) -> [f32; 8] {
    let word = token.strip_prefix("##").unwrap_or(token);
    let first = word.chars().next().unwrap_or(' ');
    let is_single = word.chars().count() == 1;
    let facts = [
        first.is_ascii_digit(),
        is_single && ".,;:!?'\"-".contains(first),
        is_single && "+-*/=<>^%$\\_|&~".contains(first),
        is_single && "()[]{}".contains(first),
        token.starts_with("##"),
        is_single && first.is_ascii_alphabetic(),
        !word.is_ascii(),
        false,
    ];
    if is_unknown {
        return [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    }
    facts.map(|fact| if fact { 1.0 } else { 0.0 })
}

/// Token and document counts.
struct Counts {
    tokens: Vec<f64>,
    documents: Vec<f64>,
    total: f64,
    prompts: f64,
}

impl Counts {
    fn of(vocabulary: usize, prompts: &[Vec<u32>]) -> Self {
        let mut counts = Self {
            tokens: vec![0.0; vocabulary],
            documents: vec![0.0; vocabulary],
            total: 0.0,
            prompts: prompts.len() as f64,
        };
        for ids in prompts {
            distinct(ids).iter().for_each(|id| counts.documents[*id as usize] += 1.0);
            ids.iter().for_each(|id| counts.tokens[*id as usize] += 1.0);
            counts.total += ids.len() as f64;
        }
        counts
    }

    fn share(&self, id: usize) -> f64 {
        self.tokens[id] / self.total.max(1.0)
    }

    fn weight(&self, id: usize) -> f32 {
        (SIF / (SIF + self.share(id))) as f32
    }

    fn idf(&self, id: usize) -> f64 {
        ((1.0 + self.prompts) / (1.0 + self.documents[id])).ln()
    }

    /// Returns the unit-length row of a prompt's distinct tokens with their inverse document frequencies.
    fn idf_row(&self, ids: &[u32]) -> Vec<(u32, f32)> {
        let row: Vec<(u32, f64)> = distinct(ids).into_iter().map(|id| (id, self.idf(id as usize))).collect();
        let norm = row.iter().map(|(_, value)| value * value).sum::<f64>().sqrt().max(1e-12);
        row.into_iter().map(|(id, value)| (id, (value / norm) as f32)).collect()
    }
}

/// A token counts once, however often a prompt says it.
fn distinct(ids: &[u32]) -> Vec<u32> {
    let mut distinct = ids.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    distinct
}

/// Returns the right singular vectors, scaled by their singular values to the power [`SPECTRUM`], as rows of tokens.
fn truncated_svd(rows: &[Vec<(u32, f32)>], vocabulary: usize, rng: &mut ChaCha8Rng) -> Matrix {
    let width = EMBEDDING + OVERSAMPLING;
    let mut start = Matrix::zeros(vocabulary, width);
    start.data.iter_mut().for_each(|value| *value = rng.random_range(-1.0..1.0));
    let columns = transpose(rows, vocabulary);
    let mut basis = sparse_times(rows, &start).orthonormalised();
    for _ in 0..POWER_ITERATIONS {
        basis = sparse_times(rows, &sparse_times(&columns, &basis).orthonormalised()).orthonormalised();
    }
    // B = Qᵀ X; its right singular vectors are those of X. `projected` is Bᵀ.
    let projected = sparse_times(&columns, &basis);
    let (values, vectors) = eigen(&projected.transposed().times(&projected));
    let mut directions = Matrix::zeros(width, EMBEDDING);
    let longest = values[0].max(1e-12).sqrt() as f32;
    for (index, value) in values.iter().take(EMBEDDING).enumerate() {
        let singular = value.max(1e-12).sqrt() as f32;
        // Bᵀ u / s is the unit direction of the tokens, along which prompts have length s; the power shortens that.
        let scale = (singular / longest).powf(SPECTRUM - 1.0) / singular;
        for (row, weight) in vectors.row(index).iter().enumerate() {
            directions.row_mut(row)[index] = weight * scale;
        }
    }
    projected.times(&directions)
}

fn transpose(rows: &[Vec<(u32, f32)>], columns: usize) -> Vec<Vec<(u32, f32)>> {
    let mut out = vec![Vec::new(); columns];
    for (index, row) in rows.iter().enumerate() {
        for (column, value) in row {
            out[*column as usize].push((index as u32, *value));
        }
    }
    out
}

fn sparse_times(rows: &[Vec<(u32, f32)>], dense: &Matrix) -> Matrix {
    let mut product = Matrix::zeros(rows.len(), dense.columns);
    product.data.par_chunks_mut(dense.columns).zip(rows).for_each(|(out, row)| {
        for (column, value) in row {
            add_scaled(out, *value, dense.row(*column as usize));
        }
    });
    product
}

/// Returns a generator for one stage, so that stages do not shift each other's numbers.
pub fn stage_rng(seed: u64, stage: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stage);
    rng
}
