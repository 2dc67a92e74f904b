//! What was tried for a request, written down while it happens.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{ids::ModelName, money::NanoUsd, tokens::Usage};

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum AttemptOutcome {
    /// The answer came whole.
    Ok,
    /// It failed.
    Failed {
        /// Name of the [`crate::error::Code`].
        code: String,
    },
    /// It was given up before its end: the client left, or another leg won.
    Cancelled,
}

/// One try of a leg.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Position of the leg in the plan, from 0.
    pub leg: u32,
    /// The model that was asked.
    pub model: ModelName,
    /// From the arrival of the request to the start of the attempt.
    pub started: Duration,
    /// Of that time, what it waited for its turn inside this process.
    #[serde(default)]
    pub waited: Duration,
    /// From the start of the attempt to the first token.
    pub first_token: Option<Duration>,
    /// From the start of the attempt to its end.
    pub took: Duration,
    /// What was used; estimated when the provider did not say.
    pub usage: Usage,
    /// What it cost.
    pub cost: NanoUsd,
    /// How it ended.
    #[serde(flatten)]
    pub end: AttemptOutcome,
}

/// The attempts of one request; clones share the list.
#[derive(Clone, Debug, Default)]
pub struct AttemptJournal {
    attempts: Arc<Mutex<Vec<Attempt>>>,
}

impl AttemptJournal {
    /// Appends an attempt that has ended.
    pub fn book(&self, attempt: Attempt) {
        self.attempts.lock().push(attempt);
    }

    /// Returns the attempts so far.
    pub fn snapshot(&self) -> Vec<Attempt> {
        self.attempts.lock().clone()
    }
}
