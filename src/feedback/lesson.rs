//! What one grade teaches.

use std::sync::Arc;

use crate::domain::{Ask, DecisionId, Graded, KeyId, ModelName, PolicyName, Probability, Topic};

/// The topic of prompts of which no topics are known.
const ANY: &str = "any";

/// One answer and its grade.
#[derive(Clone, Debug)]
pub(super) struct Lesson {
    decision: DecisionId,
    key: KeyId,
    /// Checksum of the artifact that scored the prompt; empty without scores.
    pub(super) artifact: Arc<str>,
    /// What the prompt is about.
    pub(super) topics: Vec<Topic>,
    /// Who answered.
    pub(super) model: ModelName,
    /// What quality was predicted for it, `[0, 1]`.
    pub(super) predicted: f64,
    /// The grade, `[0, 1]`.
    pub(super) score: f64,
}

impl Lesson {
    /// Returns the lesson and whose it is; `None` when no policy chose, or an answer came from the cache.
    pub(super) fn of(graded: &Graded) -> Option<(PolicyName, Self)> {
        let record = &graded.record;
        let (policy, ask, model) = (record.policy.clone()?, record.ask.as_ref()?, record.answered_by.clone()?);
        let candidate = ask.candidates.iter().find(|candidate| candidate.model.name == model)?;
        let lesson = Self {
            decision: record.decision,
            key: graded.key.clone(),
            artifact: artifact(ask),
            topics: topics(ask),
            model,
            predicted: candidate.estimate.quality.value(),
            score: graded.score.value(),
        };
        Some((policy, lesson))
    }

    /// Returns what a grade of a model's answer to an ask teaches; `None` when the model was no candidate.
    pub(super) fn about(ask: &Ask, model: &ModelName, score: f64) -> Option<Self> {
        let candidate = ask.candidates.iter().find(|candidate| candidate.model.name == *model)?;
        Some(Self {
            decision: DecisionId::fresh(),
            key: ask.signals.key.clone().or_else(|| KeyId::parse(ANY).ok())?,
            artifact: artifact(ask),
            topics: topics(ask),
            model: model.clone(),
            predicted: candidate.estimate.quality.value(),
            score,
        })
    }

    /// Returns whether both are grades of one answer by one key: then the newer one counts.
    pub(super) fn is_about_the_same(&self, other: &Self) -> bool {
        self.decision == other.decision && self.key == other.key
    }
}

/// Returns the checksum of the artifact that scored the prompt; empty without scores.
pub(super) fn artifact(ask: &Ask) -> Arc<str> {
    ask.signals.artifact.clone().unwrap_or_default()
}

/// Returns what the prompt is about: a topic of its own where nothing is known.
pub(super) fn topics(ask: &Ask) -> Vec<Topic> {
    if ask.signals.topics.is_empty() {
        return vec![Topic { name: Arc::from(ANY), share: Probability::ONE }];
    }
    ask.signals.topics.clone()
}
