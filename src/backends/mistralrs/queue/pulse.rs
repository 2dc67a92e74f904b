//! Whether an engine that has work shows signs of life.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

/// The signs of life of one engine. Tokens are the signs; an engine without work owes none.
#[derive(Debug, Default)]
pub(in super::super) struct Pulse {
    /// Since when it owes one; `None` while it has no work.
    since: Mutex<Option<Instant>>,
    is_stalled: AtomicBool,
}

impl Pulse {
    /// Notes that work begins.
    pub(super) fn begin(&self) {
        *self.since.lock() = Some(Instant::now());
    }

    /// Notes a sign of life.
    pub(in super::super) fn heard(&self) {
        if let Some(since) = &mut *self.since.lock() {
            *since = Instant::now();
        }
        self.is_stalled.store(false, Ordering::Relaxed);
    }

    /// Notes that the work is over.
    pub(super) fn rest(&self) {
        *self.since.lock() = None;
        self.is_stalled.store(false, Ordering::Relaxed);
    }

    /// Notes whether it has been silent for longer than `limit` at work; `true` the first time that it is found so.
    pub(in super::super) fn check(&self, limit: Duration) -> bool {
        let is_silent = self.since.lock().is_some_and(|since| since.elapsed() >= limit);
        is_silent && !self.is_stalled.swap(true, Ordering::Relaxed)
    }

    /// Returns whether it was found silent at work and not heard since.
    pub(in super::super) fn is_stalled(&self) -> bool {
        self.is_stalled.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_at_work_is_a_stall_until_the_next_sign() {
        let pulse = Pulse::default();
        assert!(!pulse.check(Duration::ZERO), "it has no work");

        pulse.begin();

        assert!(!pulse.check(Duration::from_secs(60)));
        assert!(pulse.check(Duration::ZERO));
        assert!(!pulse.check(Duration::ZERO), "it is counted once");
        pulse.heard();
        assert!(!pulse.is_stalled());
    }

    #[test]
    fn the_end_of_the_work_ends_a_stall() {
        let pulse = Pulse::default();
        pulse.begin();
        assert!(pulse.check(Duration::ZERO));

        pulse.rest();

        assert!(!pulse.is_stalled() && !pulse.check(Duration::ZERO));
    }
}
