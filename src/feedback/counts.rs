//! A Beta distribution per topic and model, older grades counting less.
//!
//! For a prompt with topic shares `w_t` and predicted quality `q` of a model
//!
//! ```text
//! a = n0 q       + sum_t w_t good_t        b = n0 (1 - q) + sum_t w_t (all_t - good_t)
//! ```
//!
//! where a lesson adds its own shares to `all_t`, and shares times grade to `good_t`, after every count was multiplied by the
//! discount (discounted Thompson sampling: Raj and Kalyani, arXiv 1707.09727; the prior from the router's prediction and the
//! soft topics are ours).

use std::{collections::HashMap, sync::Arc};

use crate::domain::{ModelName, Observed, Probability, Topic};

/// Least parameter of a Beta distribution, so that a prediction of 0 or 1 does not make it certain.
const LEAST: f64 = 0.05;

/// Counts of grades, by model and topic.
#[derive(Clone, Debug)]
pub struct Counts {
    prior_weight: f64,
    discount: f64,
    steps: i32,
    counts: HashMap<ModelName, HashMap<Arc<str>, Count>>,
}

/// Weighted grades as of a step.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    all: f64,
    good: f64,
    step: i32,
}

impl Count {
    fn at(self, step: i32, discount: f64) -> Self {
        let factor = discount.powi(step.saturating_sub(self.step));
        Self { all: self.all * factor, good: self.good * factor, step }
    }
}

impl Counts {
    /// Returns counts without grades.
    pub fn new(prior_weight: f64, discount: f64) -> Self {
        Self { prior_weight, discount, steps: 0, counts: HashMap::new() }
    }

    /// Adds a grade in `[0, 1]`.
    pub fn add(&mut self, topics: &[Topic], model: &ModelName, score: f64) {
        self.steps = self.steps.saturating_add(1);
        let by_topic = self.counts.entry(model.clone()).or_default();
        for topic in topics {
            let share = topic.share.value();
            let count = by_topic.entry(Arc::clone(&topic.name)).or_default();
            *count = count.at(self.steps, self.discount);
            count.all += share;
            count.good += share * score;
        }
    }

    /// Returns mean and standard deviation of the Beta distribution for a prompt.
    pub fn observed(&self, topics: &[Topic], model: &ModelName, predicted: f64) -> Observed {
        let (mut all, mut good) = (0.0, 0.0);
        for topic in topics {
            let count = self.counts.get(model).and_then(|by_topic| by_topic.get(&topic.name)).copied();
            let count = count.unwrap_or_default().at(self.steps, self.discount);
            all += topic.share.value() * count.all;
            good += topic.share.value() * count.good;
        }
        let a = (self.prior_weight * predicted + good).max(LEAST);
        let b = (self.prior_weight * (1.0 - predicted) + all - good).max(LEAST);
        let (sum, mean) = (a + b, a / (a + b));
        let spread = (mean * (1.0 - mean) / (sum + 1.0)).sqrt();
        Observed { mean: Probability::clamped(mean), weight: all, spread }
    }
}
