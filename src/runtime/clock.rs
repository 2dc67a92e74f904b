//! Time as a dependency.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;

/// A source of wall-clock and monotonic time.
pub trait Clock: Send + Sync {
    /// Returns the wall-clock time, for records and budgets.
    fn now(&self) -> Timestamp;

    /// Returns a monotonic reading, for durations; only differences mean anything.
    fn elapsed(&self) -> Duration;
}

/// A clock that can be handed around.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's own clock.
#[derive(Debug)]
pub struct SystemClock {
    start: tokio::time::Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: tokio::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that stands still until it is told to move.
#[derive(Debug)]
pub struct TestClock {
    start_ms: i64,
    now_ms: AtomicI64,
}

impl TestClock {
    /// Returns a clock at the given time.
    pub fn at(now: Timestamp) -> Self {
        Self { start_ms: now.as_millisecond(), now_ms: AtomicI64::new(now.as_millisecond()) }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.now_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.now_ms.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX)
    }

    fn elapsed(&self) -> Duration {
        let passed = self.now_ms.load(Ordering::SeqCst).saturating_sub(self.start_ms);
        Duration::from_millis(u64::try_from(passed).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_clock_moves_only_when_told() {
        let clock = TestClock::at(Timestamp::UNIX_EPOCH);
        let before = clock.now();

        clock.advance(Duration::from_secs(90));

        assert_eq!(clock.now().duration_since(before).as_secs(), 90);
        assert_eq!(clock.elapsed(), Duration::from_secs(90));
    }
}
