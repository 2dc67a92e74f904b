//! How good an answer is, judged by itself alone: what FrugalGPT (arXiv 2305.05176, section 3) and cascade routing (2410.10347)
//! call a scorer. Here a logistic regression on what is recorded of an answer: its length, whether it has an answer at all, and
//! what was expected of its model.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: models are numbered by the set")]

use crate::{
    learning::plans::{
        answers::Row,
        logistic::{fit, predict},
        priors::{Expected, Priors},
    },
    routing::agreement::clamped_logit,
};

/// Logarithms of lengths lie around this, and so far around it.
const USUAL_LENGTH: (f64, f64) = (5.0, 1.5);

/// A scorer per model.
#[derive(Clone, Debug)]
pub struct Scorers(Vec<Vec<f64>>);

impl Scorers {
    /// Fits them to rows that the priors counted.
    pub fn fit(rows: &[&Row], priors: &Priors) -> Self {
        let expected: Vec<Expected> = rows.iter().map(|row| priors.expect_without(row)).collect();
        let models = rows.first().map_or(0, |row| row.score.len());
        let of = |model: usize| {
            let features: Vec<Vec<f32>> =
                rows.iter().zip(&expected).map(|(row, expected)| features(row, expected, model)).collect();
            let scores: Vec<f64> = rows.iter().map(|row| row.score[model]).collect();
            fit(&features, &scores)
        };
        Self((0..models).map(of).collect())
    }

    /// Returns how likely the answer of a model is right, having seen it.
    pub fn score(&self, row: &Row, expected: &Expected, model: usize) -> f64 {
        predict(&self.0[model], &features(row, expected, model))
    }
}

fn features(row: &Row, expected: &Expected, model: usize) -> Vec<f32> {
    let length = (row.tokens[model].ln_1p() - USUAL_LENGTH.0) / USUAL_LENGTH.1;
    let silent = if row.answer[model].is_none() { 1.0 } else { 0.0 };
    let logit = clamped_logit(expected.quality[model]);
    vec![1.0, logit as f32, length as f32, (length * length) as f32, silent]
}
