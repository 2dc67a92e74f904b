//! Calibration: what is predicted with 70 % comes true in 70 % of cases, and errors are as wide as their spread says.
//!
//! Platt's scaling (1999): the log-odds `z` of predictions that were made without the prompt are mapped by `a z + b`, held to
//! `a = 1, b = 0`, and the map is multiplied into the profile.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: outcomes index the latents they were made for")]

use super::{
    abilities::{Ability, Outcome, fit_one},
    matrix::{Matrix, Normal},
};
use crate::{domain::Conformal, scoring::profiles::sigmoid};

/// A linear map of log-odds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Platt {
    /// Above 1 where predictions were too timid.
    pub slope: f64,
    /// Above 0 where they were too low.
    pub offset: f64,
}

/// Precision of slope and offset to 1 and 0: what some twenty graded prompts say of a slope.
const PRECISION: f64 = 10.0;
const STEPS: usize = 8;
/// A slope outside of this says that something else is wrong.
const SLOPES: (f64, f64) = (0.5, 2.0);

impl Platt {
    /// Changes nothing.
    pub const NONE: Self = Self { slope: 1.0, offset: 0.0 };

    /// Fits the map to pairs of log-odds and score.
    pub fn fit(pairs: &[(f64, f64)]) -> Self {
        let mut weights = [1.0, 0.0];
        for _ in 0..STEPS {
            let mut system = Normal::new(2);
            for (z, score) in pairs {
                let p = sigmoid(weights[0] * z + weights[1]);
                system.add(&[*z as f32, 1.0], p * (1.0 - p), score - p);
            }
            system.add_diagonal(0, PRECISION, -PRECISION * (weights[0] - 1.0));
            system.add_diagonal(1, PRECISION, -PRECISION * weights[1]);
            weights.iter_mut().zip(system.solve()).for_each(|(weight, step)| *weight += step);
        }
        Self { slope: weights[0].clamp(SLOPES.0, SLOPES.1), offset: weights[1] }
    }

    /// Maps a prediction.
    pub fn apply_to(self, one: HeldOut) -> HeldOut {
        let variance = self.slope * self.slope * one.variance;
        HeldOut { logit: self.slope * one.logit + self.offset, variance, ..one }
    }

    /// Multiplies the map into an ability.
    pub fn apply(self, ability: &Ability) -> Ability {
        let squared = self.slope * self.slope;
        Ability {
            vector: ability.vector.iter().map(|weight| weight * self.slope).collect(),
            bias: ability.bias * self.slope + self.offset,
            variance: ability.variance.iter().map(|variance| variance * squared).collect(),
            bias_variance: ability.bias_variance * squared,
        }
    }
}

/// A prediction that was made without the outcome.
#[derive(Clone, Copy, Debug)]
pub struct HeldOut {
    /// Row of the latents.
    pub prompt: usize,
    /// Log-odds.
    pub logit: f64,
    /// Variance of the log-odds.
    pub variance: f64,
    /// What came out.
    pub score: f64,
}

/// Returns which of so many parts an index belongs to. Neighbouring prompts of a source are often alike; a multiplicative hash
/// scatters them.
pub fn part_of(index: usize, parts: usize) -> usize {
    (index.wrapping_mul(0x9E37_79B9) >> 7) % parts.max(1)
}

/// Predicts each outcome from an ability fitted without it, in `folds` parts.
pub fn held_out(
    latents: &Matrix,
    outcomes: &[Outcome],
    (prior, precision): (&Ability, &[f64]),
    folds: usize,
) -> Vec<HeldOut> {
    let mut found = Vec::with_capacity(outcomes.len());
    for fold in 0..folds {
        let is_out = |outcome: &&Outcome| part_of(outcome.prompt, folds) == fold;
        let rest: Vec<Outcome> = outcomes.iter().filter(|outcome| !is_out(outcome)).copied().collect();
        let ability = fit_one(latents, &rest, prior, precision);
        found.extend(outcomes.iter().filter(is_out).map(|outcome| {
            let latent = latents.row(outcome.prompt);
            let (logit, variance) = (ability.logit(latent), ability.variance_of(latent));
            HeldOut { prompt: outcome.prompt, logit, variance, score: outcome.score }
        }));
    }
    found
}

/// Returns the mean negative log-likelihood of the scores.
pub fn log_loss(predictions: &[HeldOut]) -> f64 {
    let loss = |one: &HeldOut| {
        let p = sigmoid(one.logit).clamp(1e-9, 1.0 - 1e-9);
        -one.score * p.ln() - (1.0 - one.score) * (1.0 - p).ln()
    };
    predictions.iter().map(loss).sum::<f64>() / predictions.len().max(1) as f64
}

/// Returns by how much the variances fall short of the errors of whole groups: the mean over groups of prompts of
/// `((observed - predicted rate)^2 - sampling variance) / variance of the prediction`, at least 1. `groups` names the group of
/// each prompt; groups of fewer than [`SMALLEST_GROUP`] prompts say nothing.
pub fn inflation(predictions: &[Vec<HeldOut>], groups: &[usize]) -> f64 {
    let (mut error, mut expected) = (0.0, 0.0);
    let count = groups.iter().max().map_or(0, |last| last + 1);
    for model in predictions {
        for sums in GroupSums::of(model, groups, count).iter().filter(|sums| sums.count >= SMALLEST_GROUP) {
            let squared = ((sums.score - sums.predicted) / sums.count).powi(2);
            let sampling = sums.noise / (sums.count * sums.count);
            // The errors of a group's prompts are one error, so their spreads are averaged, not their variances.
            error += squared - sampling;
            expected += (sums.spread / sums.count).powi(2);
        }
    }
    if expected > 0.0 { (error / expected).clamp(1.0, LARGEST_INFLATION) } else { 1.0 }
}

/// Returns the errors of whole groups: for each model and group of prompts the predicted rate less the observed one, in units of
/// spread (widened by `inflation`) and sampling error together. Groups of fewer than [`SMALLEST_GROUP`] prompts say nothing.
pub fn conformal(predictions: &[Vec<HeldOut>], groups: &[usize], inflation: f64) -> Conformal {
    let scaled = |group: GroupError| {
        let unit = (inflation * group.spread * group.spread + group.sampling * group.sampling).sqrt();
        // Three digits are more than a quantile of so few knows.
        (group.error / unit * 1e3).round() as f32 / 1e3
    };
    Conformal::from(group_errors(predictions, groups).map(scaled).collect::<Vec<f32>>())
}

/// How far a model's predicted rate on a group of prompts lay off.
#[derive(Clone, Copy, Debug)]
pub struct GroupError {
    /// The predicted rate less the observed one.
    pub error: f64,
    /// The prediction's standard deviation.
    pub spread: f64,
    /// The standard error of the observed rate.
    pub sampling: f64,
}

/// Returns the errors of every model on every group of at least [`SMALLEST_GROUP`] prompts.
pub fn group_errors(predictions: &[Vec<HeldOut>], groups: &[usize]) -> impl Iterator<Item = GroupError> {
    let count = groups.iter().max().map_or(0, |last| last + 1);
    let sums = predictions.iter().flat_map(move |model| GroupSums::of(model, groups, count));
    sums.filter(|sums| sums.count >= SMALLEST_GROUP).map(|sums| GroupError {
        error: (sums.predicted - sums.score) / sums.count,
        spread: sums.spread / sums.count,
        sampling: sums.noise.sqrt() / sums.count,
    })
}

/// Prompts of a group whose rate is compared.
pub const SMALLEST_GROUP: f64 = 40.0;
const LARGEST_INFLATION: f64 = 25.0;

#[derive(Clone, Copy, Default)]
struct GroupSums {
    count: f64,
    score: f64,
    predicted: f64,
    noise: f64,
    spread: f64,
}

impl GroupSums {
    fn of(model: &[HeldOut], groups: &[usize], count: usize) -> Vec<Self> {
        let mut all = vec![Self::default(); count];
        for one in model {
            let p = sigmoid(one.logit);
            let sums = &mut all[groups[one.prompt]];
            sums.count += 1.0;
            sums.score += one.score;
            sums.predicted += p;
            sums.noise += p * (1.0 - p);
            sums.spread += p * (1.0 - p) * one.variance.sqrt();
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timid_predictions_are_stretched() {
        // Predicted 0.62 and 0.38, true 0.88 and 0.12.
        let pair = |index: usize| {
            let is_up = index.is_multiple_of(2);
            let is_rare = (index / 2).is_multiple_of(8);
            (if is_up { 0.5 } else { -0.5 }, f64::from(u8::from(is_up != is_rare)))
        };
        let pairs: Vec<(f64, f64)> = (0..4_000).map(pair).collect();

        let platt = Platt::fit(&pairs);

        assert!(platt.slope > 1.8 && platt.offset.abs() < 0.05, "{platt:?}");
    }

    #[test]
    fn conformal_errors_are_those_of_groups_in_units_of_their_own_spread() {
        let predictions = |rate: f64| -> Vec<HeldOut> {
            (0..100).map(|prompt| HeldOut { prompt, logit: 0.0, variance: 0.04, score: rate }).collect()
        };
        let groups: Vec<usize> = (0..100).map(|prompt| usize::from(prompt >= 90)).collect();

        let errors = conformal(&[predictions(0.4), predictions(0.7)], &groups, 2.0);

        // 90 prompts: spread 0.05 twice over, sampling error 0.25 / 90; the group of ten is left out.
        let unit = (2.0 * 0.05_f64.powi(2) + 0.25 / 90.0).sqrt();
        let errors: Vec<f32> = errors.into();
        assert_eq!(errors.len(), 2);
        assert!((f64::from(errors[0]) + 0.2 / unit).abs() < 2e-3 && (f64::from(errors[1]) - 0.1 / unit).abs() < 2e-3);
    }

    #[test]
    fn few_outcomes_change_little() {
        let platt = Platt::fit(&[(1.0, 0.0), (-1.0, 1.0)]);

        assert!((platt.slope - 1.0).abs() < 0.15, "{platt:?}");
    }

    #[test]
    fn predictions_that_miss_whole_groups_are_less_certain_than_they_say() {
        let predictions = |miss: f64| -> Vec<HeldOut> {
            (0..400)
                .map(|prompt| {
                    let rate = if prompt < 200 { 0.5 + miss } else { 0.5 - miss };
                    HeldOut { prompt, logit: 0.0, variance: 0.04, score: rate }
                })
                .collect()
        };
        let groups: Vec<usize> = (0..400).map(|prompt| prompt / 200).collect();

        assert_eq!(inflation(&[predictions(0.0)], &groups), 1.0);
        assert!(inflation(&[predictions(0.2)], &groups) > 10.0);
    }
}
