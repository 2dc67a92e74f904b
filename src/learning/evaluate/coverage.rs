//! Whether conformal bounds hold as often as they say.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{forecast::Forecast, outcomes::Outcomes};
use crate::{
    domain::{Conformal, Estimate},
    learning::calibration::{HeldOut, conformal},
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
    /// Share of the pairs whose rate lay above the bound.
    pub observed: f64,
}

/// Measures the bounds of models whose profiles came with the router, on what is reported. Errors are in units of spread and
/// sampling error together, as those that the bounds come from. `None` where there is no bound or no category is large enough.
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
    let errors: Vec<f32> = conformal(&predictions, &categories(outcomes), 1.0).into();
    if errors.is_empty() {
        return None;
    }
    let held = |share: f64| {
        let factor = bounds.factor(share);
        let within = errors.iter().filter(|error| f64::from(**error) <= factor).count();
        let factor = factor.is_finite().then_some(factor);
        Held { share, factor, observed: within as f64 / errors.len() as f64 }
    };
    Some(Coverage { pairs: errors.len(), held: SHARES.map(held).to_vec() })
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
    fn log_odds_carry_the_spread_of_the_probability() {
        let estimate = crate::routing::samples::expected("model", 0.8, 1, 1).estimate;

        let (logit, variance) = log_odds(&Estimate { spread: 0.04, ..estimate });

        assert!((logit - 4.0_f64.ln()).abs() < 1e-9);
        assert!((variance.sqrt() * 0.8 * 0.2 - 0.04).abs() < 1e-9);
    }
}
