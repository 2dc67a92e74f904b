//! What waits to be written.

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::FeedbackError;
use crate::domain::{DecisionId, Feedback, Filed, RequestRecord};

/// One thing to write.
pub(super) enum Entry {
    /// A finished request.
    Record(Box<RequestRecord>),
    /// The prompt of a decision, for training.
    Prompt(Box<Prompt>),
    /// A grade, and who waits for what came of it.
    Feedback(Box<Feedback>, Answer),
}

/// Where the outcome of a grade goes.
pub(super) type Answer = oneshot::Sender<Result<Filed, FeedbackError>>;

/// The text that the router saw. It has no `Debug`: it must never come into a log.
pub(super) struct Prompt {
    pub(super) decision: DecisionId,
    pub(super) at: Timestamp,
    pub(super) text: String,
}

/// Entries by kind. Records go first, so that a grade finds the request that it is about.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) records: Vec<RequestRecord>,
    pub(super) prompts: Vec<Prompt>,
    pub(super) feedback: Vec<(Box<Feedback>, Answer)>,
}

impl Batch {
    pub(super) fn of(entries: impl Iterator<Item = Entry>) -> Self {
        let mut batch = Self::default();
        for entry in entries {
            match entry {
                Entry::Record(record) => batch.records.push(*record),
                Entry::Prompt(prompt) => batch.prompts.push(*prompt),
                Entry::Feedback(feedback, answer) => batch.feedback.push((feedback, answer)),
            }
        }
        batch
    }

    pub(super) fn len(&self) -> usize {
        self.records.len() + self.prompts.len() + self.feedback.len()
    }
}
