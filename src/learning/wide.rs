//! Wide linear heads: on tens of thousands of columns of which a prompt has a few hundred.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: columns and labels are below their numbers")]

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{
    heads::{Linear, softmax},
    matrix::{Matrix, add_scaled},
};

/// Sparse rows: columns in ascending order and their values.
#[derive(Clone, Debug)]
pub struct Rows {
    columns: usize,
    rows: Vec<Vec<(u32, f32)>>,
}

impl Rows {
    /// Puts dense entries, multiplied by `spread`, behind `words` columns.
    pub fn of(mut rows: Vec<Vec<(u32, f32)>>, words: usize, dense: &Matrix, spread: f32) -> Self {
        for (row, entries) in rows.iter_mut().zip(dense.iter()) {
            row.extend((words as u32..).zip(entries.iter().map(|value| spread * value)));
        }
        Self { columns: words + dense.columns, rows }
    }

    /// Returns a row.
    pub fn row(&self, index: usize) -> &[(u32, f32)] {
        &self.rows[index]
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// A linear map from sparse rows.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Wide {
    /// `[columns, outputs]`.
    pub weights: Matrix,
    /// One per output.
    pub bias: Vec<f32>,
}

impl Wide {
    /// Returns a map to one output that is always 0.
    pub fn silent(rows: &Rows) -> Self {
        Self { weights: Matrix::zeros(rows.columns, 1), bias: vec![0.0] }
    }

    /// Returns the outputs for one row.
    pub fn apply(&self, row: &[(u32, f32)]) -> Vec<f32> {
        let mut out = self.bias.clone();
        row.iter().for_each(|(column, value)| add_scaled(&mut out, *value, self.weights.row(*column as usize)));
        out
    }

    /// Returns the outputs of both.
    pub fn beside(&self, other: &Self) -> Self {
        let mut weights = Matrix::zeros(self.weights.rows, self.weights.columns + other.weights.columns);
        for index in 0..weights.rows {
            let (left, right) = weights.row_mut(index).split_at_mut(self.weights.columns);
            left.copy_from_slice(self.weights.row(index));
            right.copy_from_slice(other.weights.row(index));
        }
        Self { weights, bias: self.bias.iter().chain(&other.bias).copied().collect() }
    }

    /// Takes the map apart: weights of the first `words` columns, and a linear map of the dense entries behind them, which
    /// were multiplied by `spread`.
    pub fn split(&self, words: usize, spread: f32) -> (Matrix, Linear) {
        let outputs = self.weights.columns;
        let (first, rest) = self.weights.data.split_at(words * outputs);
        let behind = Matrix {
            rows: self.weights.rows - words,
            columns: outputs,
            data: rest.iter().map(|weight| spread * weight).collect(),
        };
        let words = Matrix { rows: words, columns: outputs, data: first.to_vec() };
        (words, Linear { weights: behind.transposed(), bias: self.bias.clone() })
    }
}

/// Settings of [`softmax_regression`].
#[derive(Clone, Copy, Debug)]
pub struct SoftmaxSettings {
    /// Passes over the rows.
    pub epochs: usize,
    /// First step length; falls to nothing by a cosine.
    pub rate: f32,
    /// L2 penalty on the weights, per row.
    pub penalty: f32,
}

/// Fits soft classes by stochastic gradients with Adam's step lengths (Kingma and Ba, 1412.6980).
pub fn softmax_regression(
    rows: &Rows,
    select: &[usize],
    labels: &[usize],
    settings: SoftmaxSettings,
    rng: &mut ChaCha8Rng,
) -> Wide {
    const BATCH: usize = 256;
    let classes = labels.iter().max().map_or(0, |largest| largest + 1);
    // The bias is the row behind the columns'.
    let mut adam = Adam::new((rows.columns + 1) * classes);
    let mut order = select.to_vec();
    let steps = (order.len().div_ceil(BATCH) * settings.epochs).max(1) as f32;
    for _ in 0..settings.epochs {
        order.shuffle(rng);
        for batch in order.chunks(BATCH) {
            let share = 1.0 / batch.len() as f32;
            let mut gradient: Vec<f32> = adam.weights.iter().map(|weight| settings.penalty * weight).collect();
            for &index in batch {
                let row = rows.row(index).iter().map(|(column, value)| (*column as usize, *value));
                let row = row.chain([(rows.columns, 1.0)]);
                let mut errors = vec![0.0; classes];
                for (column, value) in row.clone() {
                    add_scaled(&mut errors, value, &adam.weights[column * classes..(column + 1) * classes]);
                }
                errors = softmax(errors);
                errors[labels[index]] -= 1.0;
                for (column, value) in row {
                    add_scaled(&mut gradient[column * classes..(column + 1) * classes], share * value, &errors);
                }
            }
            let progress = adam.step as f32 / steps;
            adam.apply(&gradient, settings.rate * 0.5 * (1.0 + (std::f32::consts::PI * progress).cos()));
        }
    }
    let bias = adam.weights.split_off(rows.columns * classes);
    Wide { weights: Matrix { rows: rows.columns, columns: classes, data: adam.weights }, bias }
}

struct Adam {
    weights: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    step: usize,
}

impl Adam {
    fn new(size: usize) -> Self {
        Self { weights: vec![0.0; size], first: vec![0.0; size], second: vec![0.0; size], step: 0 }
    }

    fn apply(&mut self, gradient: &[f32], rate: f32) {
        self.step += 1;
        let step = i32::try_from(self.step).unwrap_or(i32::MAX);
        let (unbias_first, unbias_second) = (1.0 - 0.9_f32.powi(step), 1.0 - 0.999_f32.powi(step));
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((weight, (first, second)), slope) in self.weights.iter_mut().zip(moments).zip(gradient) {
            *first = 0.9 * *first + 0.1 * slope;
            *second = 0.999 * *second + 0.001 * slope * slope;
            *weight -= rate * (*first / unbias_first) / ((*second / unbias_second).sqrt() + 1e-8);
        }
    }
}

/// What a ridge regression is fitted to: a target and its weight by row; rows without weight are left out.
pub type Targets = (Vec<f64>, Vec<f64>);

/// Fits one output to weighted targets by conjugate gradients on the normal equations; the penalty leaves the bias alone.
pub fn ridge(rows: &Rows, select: &[usize], (targets, weights): &Targets, penalty: f64) -> Wide {
    const STEPS: usize = 40;
    let total: f64 = select.iter().map(|index| weights[*index]).sum();
    let mean = select.iter().map(|index| weights[*index] * targets[*index]).sum::<f64>() / total.max(1e-12);
    let left_out = |index: usize| weights[index] * (targets[index] - mean);
    let mut residual = back(rows, select, left_out);
    let mut direction = residual.clone();
    let mut solution = vec![0.0; rows.columns];
    let mut square = squared(&residual);
    for _ in 0..STEPS {
        let along: Vec<f64> =
            (0..rows.len()).map(|index| weights[index] * forth(rows.row(index), &direction)).collect();
        let mut image = back(rows, select, |index| along[index]);
        image.iter_mut().zip(&direction).for_each(|(sum, value)| *sum += penalty * value);
        let curvature: f64 = image.iter().zip(&direction).map(|(a, b)| a * b).sum();
        if square <= 1e-18 || curvature <= 0.0 {
            break;
        }
        let step = square / curvature;
        solution.iter_mut().zip(&direction).for_each(|(sum, value)| *sum += step * value);
        residual.iter_mut().zip(&image).for_each(|(sum, value)| *sum -= step * value);
        let next = squared(&residual);
        direction.iter_mut().zip(&residual).for_each(|(value, left)| *value = left + next / square * *value);
        square = next;
    }
    let data = solution.iter().map(|value| *value as f32).collect();
    Wide { weights: Matrix { rows: rows.columns, columns: 1, data }, bias: vec![mean as f32] }
}

fn squared(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum()
}

fn forth(row: &[(u32, f32)], direction: &[f64]) -> f64 {
    row.iter().map(|(column, value)| f64::from(*value) * direction[*column as usize]).sum()
}

/// Returns `rowsᵀ values`.
fn back(rows: &Rows, select: &[usize], values: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut sums = vec![0.0; rows.columns];
    for &index in select {
        let scale = values(index);
        for (column, value) in rows.row(index) {
            sums[*column as usize] += scale * f64::from(*value);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learning::encoder::stage_rng;

    /// Two columns of words, of which each row has one, and a dense entry.
    fn scene() -> (Rows, Vec<usize>) {
        let words = (0..200).map(|index| vec![(index % 2, 1.0)]).collect();
        let dense = Matrix { rows: 200, columns: 1, data: (0..200).map(|index| index as f32 / 100.0).collect() };
        (Rows::of(words, 2, &dense, 0.5), (0..200).collect())
    }

    #[test]
    fn ridge_finds_what_a_word_and_a_dense_entry_add() {
        let (rows, select) = scene();
        let target = |index: usize| if index.is_multiple_of(2) { 1.0 } else { -1.0 } + 3.0 * index as f64 / 100.0;
        let targets: Targets = ((0..200).map(target).collect(), vec![1.0; 200]);

        let fit = ridge(&rows, &select, &targets, 1e-6);

        let (words, dense) = fit.split(2, 0.5);
        assert!((words.row(0)[0] - words.row(1)[0] - 2.0).abs() < 1e-3);
        assert!((dense.weights.row(0)[0] - 3.0).abs() < 1e-3);
        assert!((f64::from(fit.apply(rows.row(7))[0]) - target(7)).abs() < 1e-3);
    }

    #[test]
    fn softmax_regression_separates_what_words_tell_apart() {
        let (rows, select) = scene();
        let labels: Vec<usize> = (0..200).map(|index| index % 2).collect();
        let settings = SoftmaxSettings { epochs: 200, rate: 0.05, penalty: 0.0 };

        let fit = softmax_regression(&rows, &select, &labels, settings, &mut stage_rng(7, 0));

        assert!(softmax(fit.apply(rows.row(4)))[0] > 0.9 && softmax(fit.apply(rows.row(5)))[1] > 0.9);
    }
}
