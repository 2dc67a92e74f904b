//! Logistic regression of a few features, by Newton's method.

use crate::{learning::matrix::Normal, scoring::profiles::sigmoid};

/// Precision of the prior of every weight but the first at 0: what one prompt says.
const PRECISION: f64 = 1.0;
/// The first weight is that of the constant; it is hardly held.
const CONSTANT_PRECISION: f64 = 1e-3;
const STEPS: usize = 8;

/// Fits weights to rows, whose first feature is 1, and targets in `[0, 1]`.
pub(super) fn fit(rows: &[Vec<f32>], targets: &[f64]) -> Vec<f64> {
    let size = rows.first().map_or(0, Vec::len);
    let mut weights = vec![0.0; size];
    for _ in 0..STEPS {
        let mut system = Normal::new(size);
        for (row, target) in rows.iter().zip(targets) {
            let p = predict(&weights, row);
            system.add(row, p * (1.0 - p), target - p);
        }
        for (index, weight) in weights.iter().enumerate() {
            let precision = if index == 0 { CONSTANT_PRECISION } else { PRECISION };
            system.add_diagonal(index, precision, -precision * weight);
        }
        weights.iter_mut().zip(system.solve()).for_each(|(weight, step)| *weight += step);
    }
    weights
}

/// Returns the probability of a row.
pub(super) fn predict(weights: &[f64], row: &[f32]) -> f64 {
    sigmoid(weights.iter().zip(row).map(|(weight, feature)| weight * f64::from(*feature)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_two_groups_are_found() {
        // Of the first group three of four, of the second one of four; the prior pulls the difference in a little.
        let rows: Vec<Vec<f32>> = (0..800).map(|index| vec![1.0, if index < 400 { 1.0 } else { 0.0 }]).collect();
        let targets: Vec<f64> =
            (0..800).map(|index| if (index % 4 == 0) == (index >= 400) { 1.0 } else { 0.0 }).collect();

        let weights = fit(&rows, &targets);

        assert!((predict(&weights, &[1.0, 1.0]) - 0.75).abs() < 0.01, "{weights:?}");
        assert!((predict(&weights, &[1.0, 0.0]) - 0.25).abs() < 0.01, "{weights:?}");
    }

    #[test]
    fn what_always_holds_stays_finite() {
        let rows = vec![vec![1.0, 1.0]; 50];

        let weights = fit(&rows, &[1.0; 50]);

        assert!(weights.iter().all(|weight| weight.is_finite()) && predict(&weights, &rows[0]) > 0.9, "{weights:?}");
    }
}
