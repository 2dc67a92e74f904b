//! Weak or strong: the measures of RouteLLM (2406.18665, section 3).

use super::{curve::Outcomes, predictors::Predictions};

/// How well two models are told apart.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Preference {
    /// Mean share of the performance gap recovered, over all shares of strong calls.
    pub apgr: f64,
    /// Smallest share of strong calls that recovers half of the gap.
    pub cpt_50: f64,
    /// Smallest share of strong calls that recovers 80 % of the gap.
    pub cpt_80: f64,
}

impl Preference {
    /// Measures predictions for a set of two models; the one with the higher mean score is the strong one.
    pub fn of(predictions: &Predictions, outcomes: &Outcomes) -> Option<Self> {
        let pairs: Option<Vec<(f64, f64)>> = outcomes.score.iter().map(|row| pair(row)).collect();
        let pairs = pairs?;
        let is_swapped = pairs.iter().map(|(first, second)| first - second).sum::<f64>() > 0.0;
        let sign = if is_swapped { -1.0 } else { 1.0 };
        let mut gains: Vec<(f64, f64)> = Vec::with_capacity(pairs.len());
        for (predicted, (first, second)) in predictions.quality.iter().zip(pairs) {
            let (weak, strong) = pair(predicted)?;
            gains.push((sign * (strong - weak), sign * (second - first)));
        }
        gains.sort_by(|a, b| b.0.total_cmp(&a.0));
        let total: f64 = gains.iter().map(|(_, gain)| gain).sum();
        let mut recovered = vec![0.0];
        let mut sum = 0.0;
        for (_, gain) in &gains {
            sum += gain / total;
            recovered.push(sum);
        }
        let at = |share: f64| recovered.iter().position(|found| *found >= share).unwrap_or(gains.len());
        let count = gains.len().max(1) as f64;
        let inner: f64 = recovered.windows(2).filter_map(|ends| Some(ends.first()? + ends.last()?)).sum();
        Some(Self { apgr: inner / 2.0 / count, cpt_50: at(0.5) as f64 / count, cpt_80: at(0.8) as f64 / count })
    }
}

fn pair(row: &[f64]) -> Option<(f64, f64)> {
    match row {
        [first, second] => Some((*first, *second)),
        _ => None,
    }
}
