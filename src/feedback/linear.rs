//! A linear model of the grade per model, with what it does not know.
//!
//! The features of a prompt are the predicted quality of the model and the shares of its topics, `x = [q, w_1, ..., w_k]`.
//!
//! ```text
//! A = n0 Sigma + sum x x'      b = n0 Sigma theta_0 + sum x grade      theta = A^-1 b      spread = sigma sqrt(x' A^-1 x)
//! ```
//!
//! (LinUCB: Li et al., arXiv 1003.0146.) It starts from the offline fit: `theta_0 = [1, 0, ..., 0]` says that the grade is the
//! predicted quality, and that is worth `n0` grades on such prompts as the artifact was trained on: `Sigma` is the mean of `x x'`
//! over them, and a little of the identity for what they do not show. So a model that is asked what the router knows well starts
//! sure, and explores where the router has seen little. Without training prompts `Sigma` is the identity. `A^-1` is kept by the
//! formula of Sherman and Morrison. Topics join as they come: of a topic without lessons nothing is known but the prior.

use std::{collections::HashMap, sync::Arc};

use super::Start;
use crate::domain::{ModelName, Observed, Probability, Topic};

/// Standard deviation of a grade around its mean: the most that a number in `[0, 1]` can have.
const SIGMA: f64 = 0.5;
/// Most topics; an artifact has a closed set of fewer.
const MOST_TOPICS: usize = 128;

/// What the identity adds to the moments of training prompts: what they do not show is worth a twentieth of `n0` grades.
const RIDGE: f64 = 0.05;

/// A linear model for each model that was graded, or that training prompts say something of.
#[derive(Clone, Debug)]
pub struct Linear {
    prior_weight: f64,
    topics: Vec<Arc<str>>,
    models: HashMap<ModelName, Fit>,
}

#[derive(Clone, Debug)]
struct Fit {
    inverse: Vec<Vec<f64>>,
    sums: Vec<f64>,
    grades: f64,
}

impl Linear {
    /// Returns a model without grades.
    pub fn new(prior_weight: f64) -> Self {
        Self { prior_weight, topics: Vec::new(), models: HashMap::new() }
    }

    /// Returns a model without grades that starts from what the router predicts on training prompts.
    pub fn starting(prior_weight: f64, start: &Start) -> Self {
        let mut linear = Self::new(prior_weight);
        start.prompts.iter().for_each(|prompt| linear.admit(&prompt.topics));
        if start.prompts.is_empty() {
            return linear;
        }
        let (width, share) = (linear.topics.len() + 1, (prior_weight / start.prompts.len() as f64).sqrt());
        for prompt in start.prompts.iter() {
            for (model, predicted) in &prompt.predicted {
                let (features, _) = linear.features(&prompt.topics, *predicted);
                let scaled: Vec<f64> = features.iter().map(|feature| feature * share).collect();
                let blank = || Fit::sized(width, RIDGE * prior_weight);
                linear.models.entry(model.clone()).or_insert_with(blank).learn(&scaled, predicted * share);
            }
        }
        linear
    }

    fn admit(&mut self, topics: &[Topic]) {
        for topic in topics {
            if !self.topics.contains(&topic.name) && self.topics.len() < MOST_TOPICS {
                self.topics.push(Arc::clone(&topic.name));
            }
        }
    }

    /// Adds a grade in `[0, 1]` of an answer for which `predicted` was the quality.
    pub fn add(&mut self, topics: &[Topic], model: &ModelName, (predicted, score): (f64, f64)) {
        self.admit(topics);
        let (features, _) = self.features(topics, predicted);
        let fit = self.models.entry(model.clone()).or_insert_with(|| Fit::new(self.prior_weight));
        fit.grow(features.len(), self.prior_weight);
        fit.add(&features, score);
    }

    /// Returns the expected grade and how far it may lie off.
    pub fn observed(&self, topics: &[Topic], model: &ModelName, predicted: f64) -> Observed {
        let (features, unknown) = self.features(topics, predicted);
        let (mean, variance, weight) = match self.models.get(model) {
            Some(fit) => fit.predict(&features, self.prior_weight),
            None => (predicted, dot(&features, &features) / self.prior_weight, 0.0),
        };
        let spread = SIGMA * (variance + unknown / self.prior_weight).max(0.0).sqrt();
        Observed { mean: Probability::clamped(mean), weight, spread: spread.min(SIGMA) }
    }

    /// Returns the features, and the sum of squares of those that have no place yet.
    fn features(&self, topics: &[Topic], predicted: f64) -> (Vec<f64>, f64) {
        let share_of =
            |name: &Arc<str>| topics.iter().find(|topic| topic.name == *name).map(|topic| topic.share.value());
        let known = self.topics.iter().map(|name| share_of(name).unwrap_or(0.0));
        let features: Vec<f64> = std::iter::once(predicted).chain(known).collect();
        let strangers = topics.iter().filter(|topic| !self.topics.contains(&topic.name));
        (features, strangers.map(|topic| topic.share.value().powi(2)).sum())
    }
}

impl Fit {
    fn new(prior_weight: f64) -> Self {
        Self::sized(1, prior_weight)
    }

    /// Returns the fit of `theta_0` by the identity times `weight`.
    fn sized(features: usize, weight: f64) -> Self {
        let mut fit = Self { inverse: vec![vec![1.0 / weight]], sums: vec![weight], grades: 0.0 };
        fit.grow(features, weight);
        fit
    }

    /// Makes room for features that came after it.
    fn grow(&mut self, features: usize, prior_weight: f64) {
        while self.sums.len() < features {
            self.inverse.iter_mut().for_each(|row| row.push(0.0));
            let mut row = vec![0.0; self.sums.len()];
            row.push(1.0 / prior_weight);
            self.inverse.push(row);
            self.sums.push(0.0);
        }
    }

    fn add(&mut self, features: &[f64], score: f64) {
        self.learn(features, score);
        self.grades += 1.0;
    }

    fn learn(&mut self, features: &[f64], score: f64) {
        let direction = times(&self.inverse, features);
        let scale = 1.0 / (1.0 + dot(features, &direction));
        for (row, along) in self.inverse.iter_mut().zip(&direction) {
            for (cell, across) in row.iter_mut().zip(&direction) {
                *cell -= along * across * scale;
            }
        }
        for (sum, feature) in self.sums.iter_mut().zip(features) {
            *sum += feature * score;
        }
    }

    /// Returns mean, variance over that of a grade, and the number of grades. Features beyond those it knows have the prior.
    fn predict(&self, features: &[f64], prior_weight: f64) -> (f64, f64, f64) {
        let weights = times(&self.inverse, &self.sums);
        let (known, new) = features.split_at(self.sums.len().min(features.len()));
        let variance = dot(known, &times(&self.inverse, known)) + dot(new, new) / prior_weight;
        (dot(known, &weights), variance, self.grades)
    }
}

fn times(matrix: &[Vec<f64>], vector: &[f64]) -> Vec<f64> {
    matrix.iter().map(|row| dot(row, vector)).collect()
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}
