//! How true predicted qualities are.

use rand::Rng;
use rayon::prelude::*;
use serde::Serialize;

use super::{SEED, outcomes::Outcomes};
use crate::learning::encoder::stage_rng;

/// Bins of equally many prompts, by predicted quality.
pub const BINS: usize = 10;
/// Draws behind the noise floor.
const DRAWS: usize = 200;

/// How true one model's predicted qualities are.
#[derive(Clone, Debug, Serialize)]
pub struct Calibration {
    /// The model.
    pub model: String,
    /// Whether its profile came with the router.
    pub is_known: bool,
    /// Prompts.
    pub prompts: usize,
    /// Mean score.
    pub score: f64,
    /// Mean predicted quality.
    pub predicted: f64,
    /// Expected calibration error: mean distance of predicted quality and score over [`BINS`] bins of equally many prompts.
    pub ece: f64,
    /// What that error would be on average if every prediction were exactly right: the noise of so few prompts.
    pub noise_floor: f64,
    /// Mean squared error.
    pub brier: f64,
    /// Mean squared error of always predicting the model's own mean score.
    pub brier_of_mean: f64,
    /// Mean predicted quality, mean score and number of prompts of each bin: the reliability diagram.
    pub bins: Vec<Bin>,
}

/// A bin of a reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// Mean predicted quality.
    pub predicted: f64,
    /// Mean score.
    pub score: f64,
    /// Prompts.
    pub prompts: usize,
}

/// Measures predicted qualities, `[prompt][model]`, on what is reported.
pub fn calibrations(quality: &[Vec<f64>], outcomes: &Outcomes, is_known: &[bool]) -> Vec<Calibration> {
    let weights = outcomes.reported();
    let models: Vec<(usize, &super::outcomes::Model)> = outcomes.models.iter().enumerate().collect();
    let rows = models.into_par_iter().map(|(model, described)| {
        let rows = quality.iter().zip(&outcomes.rows).zip(&weights).filter(|(_, weight)| **weight > 0.0);
        let pairs = rows.filter_map(|((predicted, row), _)| Some((*predicted.get(model)?, *row.score.get(model)?)));
        let known = is_known.get(model).copied().unwrap_or(false);
        Calibration::of((described.name.clone(), known), pairs.collect())
    });
    rows.collect()
}

impl Calibration {
    fn of((model, is_known): (String, bool), mut pairs: Vec<(f64, f64)>) -> Self {
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let count = pairs.len().max(1) as f64;
        let mean = |of: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / count;
        let score = mean(&|pair| pair.1);
        Self {
            model,
            is_known,
            prompts: pairs.len(),
            score,
            predicted: mean(&|pair| pair.0),
            ece: error(&pairs),
            noise_floor: noise_floor(&pairs),
            brier: mean(&|pair| (pair.0 - pair.1).powi(2)),
            brier_of_mean: mean(&|pair| (score - pair.1).powi(2)),
            bins: bins(&pairs).map(bin).collect(),
        }
    }
}

/// Returns the bins of sorted pairs.
fn bins(pairs: &[(f64, f64)]) -> impl Iterator<Item = &[(f64, f64)]> {
    pairs.chunks(pairs.len().div_ceil(BINS).max(1))
}

fn bin(pairs: &[(f64, f64)]) -> Bin {
    let count = pairs.len() as f64;
    let (predicted, score) =
        pairs.iter().fold((0.0, 0.0), |sums, pair| (sums.0 + pair.0 / count, sums.1 + pair.1 / count));
    Bin { predicted, score, prompts: pairs.len() }
}

/// Returns the expected calibration error (Naeini, Cooper and Hauskrecht, AAAI 2015) of sorted pairs.
fn error(pairs: &[(f64, f64)]) -> f64 {
    let off = |bin: &[(f64, f64)]| bin.iter().map(|(predicted, score)| predicted - score).sum::<f64>().abs();
    bins(pairs).map(off).sum::<f64>() / pairs.len().max(1) as f64
}

/// Draws scores of 0 and 1 by the predictions themselves.
fn noise_floor(pairs: &[(f64, f64)]) -> f64 {
    let mut rng = stage_rng(SEED, 10);
    let mut drawn = pairs.to_vec();
    let mut total = 0.0;
    for _ in 0..DRAWS {
        for (predicted, score) in &mut drawn {
            *score = f64::from(u8::from(rng.random_range(0.0..1.0) < *predicted));
        }
        total += error(&drawn);
    }
    total / DRAWS as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(predicted: f64) -> Vec<(f64, f64)> {
        (0..100).map(|index| (predicted, f64::from(u8::from(index % 10 < 3)))).collect()
    }

    #[test]
    fn a_true_prediction_has_no_calibration_error_and_a_false_one_its_offset() {
        assert!(error(&pairs(0.3)) < 1e-9);
        assert!((error(&pairs(0.5)) - 0.2).abs() < 1e-9);
    }

    #[test]
    fn bins_are_worked_out_by_hand() {
        // Ten bins of two: one is off by 0.5 (0.4 and 0.6 predicted, both right), nine are exact.
        let exact = (0..18).map(|_| (0.9, 0.9));
        let pairs: Vec<(f64, f64)> = [(0.4, 1.0), (0.6, 1.0)].into_iter().chain(exact).collect();

        let found = Calibration::of(("m".to_owned(), true), pairs);

        assert!((found.ece - 0.5 * 2.0 / 20.0).abs() < 1e-9);
        assert_eq!(found.bins.len(), 10);
        assert_eq!(found.bins[0], Bin { predicted: 0.5, score: 1.0, prompts: 2 });
        assert!((found.brier - (0.36 + 0.16) / 20.0).abs() < 1e-9);
    }

    #[test]
    fn the_noise_floor_falls_with_the_root_of_the_prompts() {
        let few = noise_floor(&vec![(0.5, 0.0); 100]);
        let many = noise_floor(&vec![(0.5, 0.0); 1_600]);

        // A bin of n prompts is off by sqrt(2 / pi) * 0.5 / sqrt(n) on average: 0.126 for 10 and 0.0315 for 160.
        assert!((few - 0.126).abs() < 0.01, "{few}");
        assert!((many - 0.0315).abs() < 0.003, "{many}");
    }
}
