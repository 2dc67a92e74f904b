//! Whether conformal bounds hold as often as they say.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{forecast::Forecast, outcomes::Outcomes};
use crate::{
    domain::{Conformal, Estimate},
    learning::calibration::{GroupError, HeldOut, group_errors},
    routing::{Confidence, Interval},
};

/// Probabilities with which bounds are measured.
const SHARES: [f64; 4] = [0.8, 0.9, 0.95, 0.99];

/// How often the true rate of a model on the prompts of a category lay above its conformal bound.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Coverage {
    /// Pairs of a model and a category of at least [`SMALLEST_GROUP`](crate::learning::calibration::SMALLEST_GROUP) prompts.
    pub pairs: usize,
    /// The probability that was asked for, how many spreads below the prediction the bound lies, and how often it held.
    pub held: Vec<Held>,
}

/// One probability.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Held {
    /// What was asked for.
    pub share: f64,
    /// Spreads between prediction and bound; `None` where the router has too few errors to say.
    pub factor: Option<f64>,
    /// Share of the pairs whose observed rate is in keeping with a true rate above the bound.
    pub observed: f64,
}

/// Measures the bounds of models whose profiles came with the router, on what is reported. The true rate is not known: the
/// observed one scatters around it, so it may lie below a bound that holds by the same quantile of its own standard error, and
/// both margins add up as independent ones do. `None` where there is no bound or no category is large enough.
pub fn coverage(
    forecast: &Forecast,
    outcomes: &Outcomes,
    is_known: &[bool],
    bounds: Option<&Conformal>,
) -> Option<Coverage> {
    let bounds = bounds?;
    let predictions: Vec<Vec<HeldOut>> = (0..outcomes.models.len())
        .filter(|model| is_known.get(*model).copied().unwrap_or(false))
        .map(|model| held_out(forecast, outcomes, model))
        .collect();
    let errors: Vec<GroupError> = group_errors(&predictions, &categories(outcomes)).collect();
    (!errors.is_empty())
        .then(|| Coverage { pairs: errors.len(), held: SHARES.map(|share| Held::of(share, bounds, &errors)).to_vec() })
}

impl Held {
    fn of(share: f64, bounds: &Conformal, errors: &[GroupError]) -> Self {
        let factor = bounds.factor(share);
        let normal = Confidence::new(share, Interval::Normal).map_or(0.0, |confidence| confidence.factor(&[]));
        let is_within = |group: &&GroupError| group.error <= (factor * group.spread).hypot(normal * group.sampling);
        let within = errors.iter().filter(is_within).count();
        let factor = factor.is_finite().then_some(factor);
        Self { share, factor, observed: within as f64 / errors.len().max(1) as f64 }
    }
}

fn held_out(forecast: &Forecast, outcomes: &Outcomes, model: usize) -> Vec<HeldOut> {
    let rows = forecast.asks.iter().zip(&outcomes.rows).zip(outcomes.reported()).enumerate();
    let reported = rows.filter(|(_, (_, weight))| *weight > 0.0);
    reported
        .filter_map(|(prompt, ((ask, row), _))| {
            let estimate = &ask.candidates.get(model)?.estimate;
            let (logit, variance) = log_odds(estimate);
            Some(HeldOut { prompt, logit, variance, score: *row.score.get(model)? })
        })
        .collect()
}

/// Returns a prediction and its variance as log-odds.
fn log_odds(estimate: &Estimate) -> (f64, f64) {
    let p = estimate.quality.value().clamp(1e-6, 1.0 - 1e-6);
    ((p / (1.0 - p)).ln(), (estimate.spread / (p * (1.0 - p))).powi(2))
}

/// Returns the number of each prompt's category.
fn categories(outcomes: &Outcomes) -> Vec<usize> {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let number = |row| {
        let next = numbers.len();
        *numbers.entry(row).or_insert(next)
    };
    outcomes.rows.iter().map(|row| row.category.as_str()).map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_where_errors_are_as_wide_as_they_say_and_not_where_they_are_wider() {
        // Quantiles of the standard normal distribution in steps of a hundredth, as errors of spread 0.05 without noise.
        let quantile = |step: u32| {
            let share = f64::from(step) / 100.0;
            let upper = Confidence::new(share.max(1.0 - share), Interval::Normal).map_or(0.0, |one| one.factor(&[]));
            if share < 0.5 { -upper } else { upper }
        };
        let scores: Vec<f32> = (1..100).map(|step| quantile(step) as f32).collect();
        let bounds = Conformal::from(scores);
        let errors = |width: f64| -> Vec<GroupError> {
            let group = |step| GroupError { error: 0.05 * width * quantile(step), spread: 0.05, sampling: 0.0 };
            (1..100).map(group).collect()
        };

        assert!((Held::of(0.9, &bounds, &errors(1.0)).observed - 0.9).abs() < 0.02);
        assert!(Held::of(0.9, &bounds, &errors(3.0)).observed < 0.7);
    }

    #[test]
    fn log_odds_carry_the_spread_of_the_probability() {
        let estimate = crate::routing::samples::expected("model", 0.8, 1, 1).estimate;

        let (logit, variance) = log_odds(&Estimate { spread: 0.04, ..estimate });

        assert!((logit - 4.0_f64.ln()).abs() < 1e-9);
        assert!((variance.sqrt() * 0.8 * 0.2 - 0.04).abs() < 1e-9);
    }
}
