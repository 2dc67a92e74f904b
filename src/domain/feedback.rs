//! What callers say of answers, and what the gateway keeps of it.

use std::fmt;

use jiff::Timestamp;

use super::{
    ids::{DecisionId, KeyId, TenantId},
    record::RequestRecord,
    scores::Probability,
};

/// A caller's grade of one answer. Its `Debug` tells nothing of the texts.
#[derive(Clone, PartialEq)]
pub struct Feedback {
    /// The decision that led to the answer.
    pub decision: DecisionId,
    /// Who grades; only decisions of the same tenant can be graded.
    pub tenant: TenantId,
    /// With which key; each key has one grade per decision.
    pub key: KeyId,
    /// The grade: 0 for useless, 1 for as good as can be.
    pub score: Probability,
    /// What the answer should have been.
    pub correction: Option<String>,
    /// Why.
    pub comment: Option<String>,
    /// The caller's `Idempotency-Key`, under which the same grade counts once even if another came between.
    pub once: Option<String>,
}

impl Feedback {
    /// Drops the texts, which are the caller's own words.
    pub fn without_texts(self) -> Self {
        Self { correction: None, comment: None, ..self }
    }
}

impl fmt::Debug for Feedback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feedback").field("decision", &self.decision).field("score", &self.score).finish_non_exhaustive()
    }
}

/// A grade that was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Filed {
    /// When it was kept first; a repeat does not change it.
    pub at: Timestamp,
    /// Whether corrected answer and comment were kept too; false as well when there were none.
    pub has_texts: bool,
    /// What it taught; `None` for a repeat.
    pub news: Option<Graded>,
}

/// A request and its grade.
#[derive(Clone, Debug, PartialEq)]
pub struct Graded {
    /// The request.
    pub record: Box<RequestRecord>,
    /// The key that graded.
    pub key: KeyId,
    /// The grade.
    pub score: Probability,
}
