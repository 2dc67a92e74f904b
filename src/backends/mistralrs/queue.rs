//! The way to an engine: one sequence at a time, a bounded queue before it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// Why nobody may go in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Too many are waiting.
    Full,
    /// The wait was too long.
    Late,
}

/// The right to run one sequence; the next goes in when it is dropped.
pub(super) type Turn = OwnedSemaphorePermit;

/// One engine's queue, first come, first served.
pub(super) struct Queue {
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    limit: usize,
    longest_wait: Duration,
    typical_ms: AtomicU64,
}

impl Queue {
    /// Returns an empty queue for `limit` waiting requests.
    pub(super) fn new(limit: usize, longest_wait: Duration) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(1)),
            waiting: AtomicUsize::new(0),
            limit,
            longest_wait,
            typical_ms: AtomicU64::new(0),
        }
    }

    /// Waits for a turn, at most as long as the queue allows and not beyond `deadline`.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the queue.
    pub(super) async fn enter(&self, deadline: Instant) -> Result<Turn, Refused> {
        if let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() {
            return Ok(turn);
        }
        let _place = self.line_up()?;
        self.wait(deadline.min(Instant::now() + self.longest_wait)).await
    }

    /// Waits for a further turn of a request that had one already, and so is not refused for want of room.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the queue.
    pub(super) async fn enter_again(&self, deadline: Instant) -> Result<Turn, Refused> {
        self.wait(deadline).await
    }

    async fn wait(&self, end: Instant) -> Result<Turn, Refused> {
        match timeout_at(end, Arc::clone(&self.turns).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Refused::Late),
        }
    }

    /// Takes note of how long a turn took.
    pub(super) fn took(&self, duration: Duration) {
        let new = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let old = self.typical_ms.load(Ordering::Relaxed);
        // An exponential mean over about four turns; the very first turn is the mean.
        let mean = if old == 0 { new } else { (old / 4 * 3).saturating_add(new / 4) };
        self.typical_ms.store(mean.max(1), Ordering::Relaxed);
    }

    /// Returns when those who wait now will be through, between one second and a minute.
    pub(super) fn retry_after(&self) -> Duration {
        let waiting = self.waiting.load(Ordering::Relaxed) as u64 + 1;
        let expected = Duration::from_millis(self.typical_ms.load(Ordering::Relaxed).saturating_mul(waiting));
        expected.clamp(Duration::from_secs(1), Duration::from_secs(60))
    }

    /// Returns whether nobody has a turn.
    pub(super) fn is_idle(&self) -> bool {
        self.turns.available_permits() > 0
    }

    /// Returns how many are waiting.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn line_up(&self) -> Result<Place<'_>, Refused> {
        let place = Place(&self.waiting);
        let before = self.waiting.fetch_add(1, Ordering::AcqRel);
        if before >= self.limit { Err(Refused::Full) } else { Ok(place) }
    }
}

/// A place in the line; given up when dropped.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, poll};

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_goes_in_when_a_turn_is_given_back() {
        let queue = Queue::new(4, Duration::from_secs(60));
        let turn = queue.enter(soon()).await.unwrap();
        let mut next = Box::pin(queue.enter(soon()));

        assert!(poll!(&mut next).is_pending());
        drop(turn);

        assert!(next.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_refuses_at_once_and_says_when_to_come_again() {
        let queue = Queue::new(1, Duration::from_secs(60));
        let turn = queue.enter(soon()).await.unwrap();
        let mut waiting = Box::pin(queue.enter(soon()));
        assert!(poll!(&mut waiting).is_pending());
        queue.took(Duration::from_secs(4));

        let refused = queue.enter(soon()).now_or_never().unwrap();

        assert_eq!(refused.err(), Some(Refused::Full));
        assert_eq!(queue.retry_after(), Duration::from_secs(8));
        drop(turn);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_the_queue_allows() {
        let queue = Queue::new(1, Duration::from_secs(3));
        let turn = queue.enter(soon()).await.unwrap();

        let refused = queue.enter(soon()).await;

        assert_eq!(refused.err(), Some(Refused::Late));
        assert_eq!(queue.waiting(), 0);
        drop(turn);
    }

    #[tokio::test(start_paused = true)]
    async fn a_further_turn_is_not_refused_for_want_of_room() {
        let queue = Queue::new(0, Duration::ZERO);
        let turn = queue.enter(soon()).await.unwrap();
        let mut again = Box::pin(queue.enter_again(soon()));
        assert!(poll!(&mut again).is_pending());

        drop(turn);

        assert!(again.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn leaving_the_queue_makes_room() {
        let queue = Queue::new(1, Duration::from_secs(60));
        let turn = queue.enter(soon()).await.unwrap();
        let mut waiting = Box::pin(queue.enter(soon()));
        assert!(poll!(&mut waiting).is_pending());

        drop(waiting);

        assert_eq!(queue.waiting(), 0);
        drop(turn);
    }
}
