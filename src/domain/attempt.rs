//! What was tried for a request, written down while it happens.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{ids::ModelName, money::NanoUsd, tokens::Usage, verdict::Verdict};

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

/// The attempts of one request and what its plan said of them; clones share both.
#[derive(Clone, Debug, Default)]
pub struct AttemptJournal {
    pages: Arc<Mutex<Pages>>,
}

#[derive(Debug, Default)]
struct Pages {
    attempts: Vec<Attempt>,
    verdicts: Vec<Verdict>,
    /// What running attempts may still cost.
    held: NanoUsd,
}

/// Money set aside for a running attempt, given back when this is dropped.
#[derive(Debug)]
pub struct Hold {
    pages: Arc<Mutex<Pages>>,
    amount: NanoUsd,
}

impl AttemptJournal {
    /// Appends an attempt that has ended.
    pub fn book(&self, attempt: Attempt) {
        self.pages.lock().attempts.push(attempt);
    }

    /// Returns the attempts so far.
    pub fn snapshot(&self) -> Vec<Attempt> {
        self.pages.lock().attempts.clone()
    }

    /// Appends what a plan decided about a leg.
    pub fn rule(&self, verdict: Verdict) {
        self.pages.lock().verdicts.push(verdict);
    }

    /// Returns the verdicts so far.
    pub fn verdicts(&self) -> Vec<Verdict> {
        self.pages.lock().verdicts.clone()
    }

    /// Returns what the attempts so far cost, and what those that run may cost yet.
    pub fn committed(&self) -> NanoUsd {
        let pages = self.pages.lock();
        pages.held + pages.attempts.iter().map(|attempt| attempt.cost).sum()
    }

    /// Sets money aside for an attempt that begins; it counts as committed until the hold is dropped.
    pub fn hold(&self, amount: NanoUsd) -> Hold {
        let mut pages = self.pages.lock();
        pages.held += amount;
        Hold { pages: Arc::clone(&self.pages), amount }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut pages = self.pages.lock();
        pages.held = pages.held - self.amount;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_counts_until_it_is_given_back() {
        let journal = AttemptJournal::default();
        let (one, other) = (journal.hold(NanoUsd(5)), journal.clone().hold(NanoUsd(7)));
        let both = journal.committed();
        drop(one);

        assert_eq!((both, journal.committed()), (NanoUsd(12), NanoUsd(7)));
        drop(other);
        assert_eq!(journal.committed(), NanoUsd::ZERO);
    }
}
