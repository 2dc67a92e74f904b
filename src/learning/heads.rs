//! Linear heads on dense inputs: ridge regression, and the scaling that lets one penalty fit all inputs.
#![expect(
    clippy::indexing_slicing,
    reason = "numeric kernels: rows and labels come in pairs, classes are below their number"
)]

use super::matrix::{Matrix, Normal, add_scaled, dot};

/// A linear map with a bias per output: `weights` is `[outputs, inputs]`.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Linear {
    /// One row per output.
    pub weights: Matrix,
    /// One per output.
    pub bias: Vec<f32>,
}

impl Linear {
    /// Returns the outputs for one row.
    pub fn apply(&self, row: &[f32]) -> Vec<f32> {
        self.weights.iter().zip(&self.bias).map(|(weights, bias)| dot(weights, row) + bias).collect()
    }

    /// Returns the outputs' softmax.
    pub fn softmax(&self, row: &[f32]) -> Vec<f32> {
        softmax(self.apply(row))
    }
}

/// Returns `exp(z) / sum exp(z)`.
pub fn softmax(mut z: Vec<f32>) -> Vec<f32> {
    let largest = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    z.iter_mut().for_each(|value| *value = (*value - largest).exp());
    let total: f32 = z.iter().sum();
    z.iter_mut().for_each(|value| *value /= total);
    z
}

/// Mean and spread of every input, so that one penalty fits all of them.
#[derive(Clone, Debug)]
pub struct Scaling {
    mean: Vec<f32>,
    spread: Vec<f32>,
}

impl Scaling {
    /// Measures the columns of a matrix.
    pub fn of(rows: &Matrix) -> Self {
        let count = rows.rows.max(1) as f32;
        let mut mean = vec![0.0; rows.columns];
        rows.iter().for_each(|row| add_scaled(&mut mean, 1.0 / count, row));
        let mut variance = vec![0.0_f32; rows.columns];
        for row in rows.iter() {
            for ((sum, value), mean) in variance.iter_mut().zip(row).zip(&mean) {
                *sum += (value - mean) * (value - mean) / count;
            }
        }
        Self { mean, spread: variance.iter().map(|value| value.sqrt().max(1e-4)).collect() }
    }

    /// Returns the rows with mean 0 and spread 1.
    pub fn apply(&self, rows: &Matrix) -> Matrix {
        let mut out = rows.clone();
        for row in out.data.chunks_exact_mut(rows.columns) {
            for ((value, mean), spread) in row.iter_mut().zip(&self.mean).zip(&self.spread) {
                *value = (*value - mean) / spread;
            }
        }
        out
    }

    /// Returns the map that does on plain rows what `linear` does on scaled ones.
    pub fn fold_into(&self, linear: &Linear) -> Linear {
        let mut out = linear.clone();
        for (index, row) in out.weights.data.chunks_exact_mut(self.mean.len()).enumerate() {
            for ((weight, mean), spread) in row.iter_mut().zip(&self.mean).zip(&self.spread) {
                *weight /= spread;
                out.bias[index] -= *weight * mean;
            }
        }
        out
    }
}

/// Fits `weights . row + bias` to the targets with weights; the penalty leaves the bias alone.
pub fn ridge(rows: &Matrix, select: &[usize], targets: &[f64], weights: &[f64], penalty: f64) -> Linear {
    let size = rows.columns + 1;
    let mut system = Normal::new(size);
    let mut extended = vec![1.0_f32; size];
    for &index in select {
        extended[..rows.columns].copy_from_slice(rows.row(index));
        system.add(&extended, weights[index], weights[index] * targets[index]);
    }
    (0..rows.columns).for_each(|index| system.add_diagonal(index, penalty, 0.0));
    let solution = system.solve();
    let (slopes, bias) = solution.split_at(rows.columns);
    let weights = Matrix { rows: 1, columns: rows.columns, data: slopes.iter().map(|value| *value as f32).collect() };
    Linear { weights, bias: bias.iter().map(|value| *value as f32).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Matrix {
        Matrix { rows: 200, columns: 1, data: (0..200).map(|index| index as f32 / 100.0).collect() }
    }

    #[test]
    fn ridge_finds_a_line() {
        let targets: Vec<f64> = line().data.iter().map(|x| 3.0 * f64::from(*x) - 1.0).collect();
        let select: Vec<usize> = (0..200).collect();

        let fit = ridge(&line(), &select, &targets, &[1.0; 200], 1e-6);

        assert!((fit.apply(&[1.0])[0] - 2.0).abs() < 1e-4);
    }

    #[test]
    fn scaling_folded_into_a_map_changes_nothing() {
        let scaling = Scaling::of(&line());
        let linear = Linear { weights: Matrix { rows: 1, columns: 1, data: vec![2.0] }, bias: vec![0.5] };

        let folded = scaling.fold_into(&linear);

        let scaled = linear.apply(scaling.apply(&line()).row(7))[0];
        assert!((folded.apply(line().row(7))[0] - scaled).abs() < 1e-5);
    }
}
