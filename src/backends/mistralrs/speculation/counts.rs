//! What speculation did.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts over all answers of a model.
#[derive(Debug, Default)]
pub(in super::super) struct Counts {
    proposed: AtomicU64,
    accepted: AtomicU64,
    passes: AtomicU64,
    tokens: AtomicU64,
    plain: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Counted {
    /// Tokens that were proposed.
    pub(in super::super) proposed: u64,
    /// Of them, tokens that were accepted.
    pub(in super::super) accepted: u64,
    /// Passes of the target that checked proposals.
    pub(in super::super) passes: u64,
    /// Tokens that came of those passes.
    pub(in super::super) tokens: u64,
    /// Tokens that were decoded one by one.
    pub(in super::super) plain: u64,
}

impl Counts {
    pub(super) fn note_pass(&self, proposed: usize, accepted: usize, tokens: usize) {
        self.proposed.fetch_add(proposed as u64, Ordering::Relaxed);
        self.accepted.fetch_add(accepted as u64, Ordering::Relaxed);
        self.passes.fetch_add(1, Ordering::Relaxed);
        self.tokens.fetch_add(tokens as u64, Ordering::Relaxed);
    }

    pub(super) fn note_plain(&self, tokens: usize) {
        self.plain.fetch_add(tokens as u64, Ordering::Relaxed);
    }

    pub(in super::super) fn counted(&self) -> Counted {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counted {
            proposed: read(&self.proposed),
            accepted: read(&self.accepted),
            passes: read(&self.passes),
            tokens: read(&self.tokens),
            plain: read(&self.plain),
        }
    }
}
