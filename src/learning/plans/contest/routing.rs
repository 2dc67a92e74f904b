//! Plain routing: one model answers, `argmax q_m - rate c_m` over all models by what is expected of them.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: models are numbered by the set")]

use super::Contender;
use crate::learning::plans::{
    answers::{Answered, Row},
    committee::{rates, settings},
    priors::{Expected, Priors},
};

/// Means by category, and weights of a dollar.
pub struct Routing {
    priors: Priors,
    rates: Vec<f64>,
}

impl Routing {
    /// Fits it.
    pub fn fit(_: &Answered, rows: &[&Row]) -> Option<Box<dyn Contender>> {
        Some(Box::new(Self { priors: Priors::of(rows), rates: settings(&rates(rows)) }))
    }
}

impl Contender for Routing {
    fn play(&self, row: &Row) -> Vec<(f32, f32)> {
        let expected = self.priors.expect(row);
        let at = |rate: &f64| {
            let model = pick(&expected, *rate);
            (row.cost[model] as f32, row.score[model] as f32)
        };
        self.rates.iter().map(at).collect()
    }
}

/// Returns the model with the best expected utility; of equals the first.
pub fn pick(expected: &Expected, rate: f64) -> usize {
    let utility = |model: &usize| expected.quality[*model] - rate * expected.cost[*model];
    (0..expected.quality.len()).rev().max_by(|a, b| utility(a).total_cmp(&utility(b))).unwrap_or(0)
}
