//! What another policy would have reached on traffic that was decided with chance.
//!
//! A graded decision tells of the chosen model only. Weighted by one over the probability with which that model was chosen, the
//! grades of those decisions on which both policies agree tell of the other policy without bias, as long as every model had a
//! chance (inverse propensity scoring). The doubly robust estimate starts from predicted qualities and corrects them by what the
//! grades say: its spread is smaller where the predictions are good, and it stays unbiased where they are not (Dudik, Langford
//! and Li, arXiv 1103.4601).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::Probability;

/// Least propensity by which is divided: one decision then counts for a thousand at most.
const LEAST_PROPENSITY: f64 = 1e-3;

/// One graded decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logged {
    /// Who was chosen and answered.
    pub model: String,
    /// The probability with which it was chosen.
    pub propensity: Probability,
    /// The grade.
    pub score: Probability,
    /// Predicted quality of every candidate, `[0, 1]`.
    pub predicted: BTreeMap<String, f64>,
}

/// A mean over decisions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimated {
    /// The mean.
    pub mean: f64,
    /// Its standard error.
    pub error: f64,
    /// Decisions on which both policies chose the same.
    pub agreeing: usize,
}

/// Returns the mean grade by inverse propensity scoring of the policy that would have chosen `choices`, one for each decision;
/// `None` with fewer than two decisions.
pub fn inverse_propensity(logged: &[Logged], choices: &[&str]) -> Option<Estimated> {
    let values = logged.iter().zip(choices).map(|(logged, choice)| weight(logged, choice) * logged.score.value());
    estimated(values.collect(), agreeing(logged, choices))
}

/// Returns the doubly robust estimate of the same; a choice without a prediction counts as predicted to be useless.
pub fn doubly_robust(logged: &[Logged], choices: &[&str]) -> Option<Estimated> {
    let value = |(logged, choice): (&Logged, &&str)| {
        let predicted = |model: &str| logged.predicted.get(model).copied().unwrap_or(0.0);
        predicted(choice) + weight(logged, choice) * (logged.score.value() - predicted(&logged.model))
    };
    estimated(logged.iter().zip(choices).map(value).collect(), agreeing(logged, choices))
}

fn weight(logged: &Logged, choice: &str) -> f64 {
    if logged.model == choice { 1.0 / logged.propensity.value().max(LEAST_PROPENSITY) } else { 0.0 }
}

fn agreeing(logged: &[Logged], choices: &[&str]) -> usize {
    logged.iter().zip(choices).filter(|(logged, choice)| logged.model == **choice).count()
}

fn estimated(values: Vec<f64>, agreeing: usize) -> Option<Estimated> {
    if values.len() < 2 {
        return None;
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    Some(Estimated { mean, error: (variance / count).sqrt(), agreeing })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUTH: [(&str, f64); 2] = [("small", 0.4), ("large", 0.8)];

    /// A log of a policy that chooses `large` once in five; predictions are off by `bias`.
    fn log(decisions: usize, bias: f64) -> Vec<Logged> {
        let decided = |index: usize| {
            let ((model, quality), propensity) =
                if index.is_multiple_of(5) { (TRUTH[1], 0.2) } else { (TRUTH[0], 0.8) };
            let luck = (index as f64 * 0.618_033_988_749_895).fract();
            Logged {
                model: model.to_owned(),
                propensity: Probability::clamped(propensity),
                score: Probability::clamped(f64::from(u8::from(luck < quality))),
                predicted: TRUTH.map(|(name, quality)| (name.to_owned(), quality + bias)).into(),
            }
        };
        (0..decisions).map(decided).collect()
    }

    #[test]
    fn both_estimates_find_what_a_policy_that_never_ran_would_reach() {
        let (logged, choices) = (log(5_000, 0.1), vec!["large"; 5_000]);

        let ips = inverse_propensity(&logged, &choices).unwrap();
        let robust = doubly_robust(&logged, &choices).unwrap();

        assert!((ips.mean - 0.8).abs() < 3.0 * ips.error, "{ips:?}");
        assert!((robust.mean - 0.8).abs() < 3.0 * robust.error, "{robust:?}");
        assert!(robust.error < ips.error, "{robust:?} against {ips:?}");
        assert_eq!(ips.agreeing, 1_000);
    }

    #[test]
    fn the_policy_that_ran_gets_its_own_mean() {
        let logged: Vec<Logged> =
            log(100, 0.0).into_iter().map(|one| Logged { propensity: Probability::ONE, ..one }).collect();
        let choices: Vec<&str> = logged.iter().map(|one| one.model.as_str()).collect();
        let mean = logged.iter().map(|one| one.score.value()).sum::<f64>() / 100.0;

        let ips = inverse_propensity(&logged, &choices).unwrap();

        assert!((ips.mean - mean).abs() < 1e-12, "{ips:?}");
    }

    #[test]
    fn one_decision_is_too_few() {
        assert_eq!(inverse_propensity(&log(1, 0.0), &["small"]), None);
    }
}
