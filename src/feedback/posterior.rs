//! What follows from lessons, by either algorithm.

use super::{Start, counts::Counts, lesson::Lesson, linear::Linear};
use crate::domain::{BanditAlgorithm, Learner, ModelName, Observed, Topic};

pub(super) enum Posterior {
    Counts(Counts),
    Linear(Linear),
}

impl Posterior {
    /// Returns what is believed before any lesson.
    pub(super) fn of(learner: Learner, start: &Start) -> Self {
        match learner.algorithm {
            BanditAlgorithm::Thompson => Self::Counts(Counts::new(learner.prior_weight, learner.discount)),
            BanditAlgorithm::Linucb => Self::Linear(Linear::starting(learner.prior_weight, start)),
        }
    }

    pub(super) fn add(&mut self, lesson: &Lesson) {
        let Lesson { topics, model, predicted, score, .. } = lesson;
        match self {
            Self::Counts(counts) => counts.add(topics, model, *score),
            Self::Linear(linear) => linear.add(topics, model, (*predicted, *score)),
        }
    }

    pub(super) fn observed(&self, topics: &[Topic], model: &ModelName, predicted: f64) -> Observed {
        match self {
            Self::Counts(counts) => counts.observed(topics, model, predicted),
            Self::Linear(linear) => linear.observed(topics, model, predicted),
        }
    }
}
