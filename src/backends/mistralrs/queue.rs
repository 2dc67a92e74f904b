//! The way to the engines of a model: as many sequences as there are engines, and a bounded, fair line before them.

mod line;
mod pulse;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

pub(super) use self::line::Caller;
use self::line::{Called, Line, Waiter};
pub(super) use self::pulse::Pulse;
use crate::domain::Priority;

/// Why nobody may go in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Too many are waiting.
    Full,
    /// The wait was too long.
    Late,
}

/// The right to run one sequence on one engine; the next goes in when it is dropped. It measures itself: what a slow reader does
/// with the tokens afterwards is not the engine's time.
pub(super) struct Turn {
    /// `None` once it was passed on.
    queue: Option<Arc<Queue>>,
    seat: usize,
    begun: Instant,
}

/// The queue of one model.
pub(super) struct Queue {
    state: Mutex<State>,
    pulses: Vec<Arc<Pulse>>,
    limit: usize,
    longest_wait: Duration,
    typical_ms: AtomicU64,
}

struct State {
    line: Line,
    /// Engines that nobody uses.
    free: Vec<usize>,
    numbers: u64,
    last_busy: Instant,
}

/// Where a newcomer stands.
enum Standing {
    Turn(Turn),
    Place(Place),
}

/// A place in the line; given up when dropped.
struct Place {
    queue: Arc<Queue>,
    caller: Caller,
    number: u64,
    called: oneshot::Receiver<Called>,
}

impl Queue {
    /// Returns an empty queue for `limit` waiting requests before `seats` engines, at least one.
    pub(super) fn new(seats: usize, limit: usize, longest_wait: Duration) -> Self {
        let seats = seats.max(1);
        let free = (0..seats).rev().collect();
        let state = State { line: Line::default(), free, numbers: 0, last_busy: Instant::now() };
        let pulses = (0..seats).map(|_| Arc::default()).collect();
        Self { state: Mutex::new(state), pulses, limit, longest_wait, typical_ms: AtomicU64::new(0) }
    }

    /// Waits for a turn, at most as long as the queue allows and not beyond `deadline`.
    ///
    /// # Errors
    /// The line is full, or the wait was too long.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the queue.
    pub(super) async fn enter(self: &Arc<Self>, caller: &Caller, deadline: Instant) -> Result<Turn, Refused> {
        let standing = self.stand(caller, true)?;
        standing.wait(deadline.min(Instant::now() + self.longest_wait)).await
    }

    /// Waits for a further turn of a request that had one already, and so is not refused for want of room.
    ///
    /// # Errors
    /// The wait was too long.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the queue.
    pub(super) async fn enter_again(self: &Arc<Self>, caller: &Caller, deadline: Instant) -> Result<Turn, Refused> {
        self.stand(caller, false)?.wait(deadline).await
    }

    fn stand(self: &Arc<Self>, caller: &Caller, is_limited: bool) -> Result<Standing, Refused> {
        let mut state = self.state.lock();
        if let Some(seat) = state.free.pop() {
            drop(state);
            return Ok(Standing::Turn(self.turn(seat)));
        }
        if is_limited && state.line.length() >= self.limit {
            let sent_away = state.line.give_way(caller).ok_or(Refused::Full)?;
            // Who is sent away may have left by itself.
            drop(sent_away.called.send(Err(Refused::Full)));
        }
        state.numbers += 1;
        let (number, (sender, called)) = (state.numbers, oneshot::channel());
        state.line.push(caller, Waiter { number, called: sender });
        Ok(Standing::Place(Place { queue: Arc::clone(self), caller: caller.clone(), number, called }))
    }

    fn turn(self: &Arc<Self>, seat: usize) -> Turn {
        if let Some(pulse) = self.pulses.get(seat) {
            pulse.begin();
        }
        Turn { queue: Some(Arc::clone(self)), seat, begun: Instant::now() }
    }

    /// Gives an engine to who is next, or back.
    fn release(self: &Arc<Self>, seat: usize) {
        loop {
            let next = {
                let mut state = self.state.lock();
                state.last_busy = Instant::now();
                let next = state.line.next();
                if next.is_none() {
                    state.free.push(seat);
                }
                next
            };
            let Some(waiter) = next else { return self.rest(seat) };
            match waiter.called.send(Ok(self.turn(seat))) {
                // Who was called has left meanwhile.
                Err(Ok(mut turn)) => drop(turn.queue.take()),
                Ok(()) | Err(Err(_)) => return,
            }
        }
    }

    fn rest(&self, seat: usize) {
        // Unless somebody came between.
        if self.state.lock().free.contains(&seat)
            && let Some(pulse) = self.pulses.get(seat)
        {
            pulse.rest();
        }
    }

    /// Takes note of how long a turn took.
    fn took(&self, duration: Duration) {
        let new = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let old = self.typical_ms.load(Ordering::Relaxed);
        // An exponential mean over about four turns; the very first turn is the mean.
        let mean = if old == 0 { new } else { (old / 4 * 3).saturating_add(new / 4) };
        self.typical_ms.store(mean.max(1), Ordering::Relaxed);
    }

    /// Returns when those who wait now will be through, between one second and a minute.
    pub(super) fn retry_after(&self) -> Duration {
        let turns = self.waiting().div_ceil(self.pulses.len()) as u64 + 1;
        let expected = Duration::from_millis(self.typical_ms.load(Ordering::Relaxed).saturating_mul(turns));
        expected.clamp(Duration::from_secs(1), Duration::from_secs(60))
    }

    /// Returns how long a newcomer would wait: nothing while an engine is free, else a typical turn for each round of those
    /// before it and half a one for those that run now, which are half through on average.
    pub(super) fn expected_wait(&self, priority: Priority) -> Duration {
        let state = self.state.lock();
        if !state.free.is_empty() {
            return Duration::ZERO;
        }
        let rounds = state.line.ahead(priority) as f64 / self.pulses.len() as f64 + 0.5;
        let seconds = self.typical_ms.load(Ordering::Relaxed) as f64 / 1_000.0 * rounds;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// Lets idleness begin now.
    pub(super) fn touch(&self) {
        self.state.lock().last_busy = Instant::now();
    }

    /// Returns for how long nobody has had a turn; `None` while somebody has.
    pub(super) fn idle_for(&self) -> Option<Duration> {
        let state = self.state.lock();
        (state.free.len() == self.pulses.len()).then(|| state.last_busy.elapsed())
    }

    /// Returns how many are waiting.
    pub(super) fn waiting(&self) -> usize {
        self.state.lock().line.length()
    }

    /// Returns how many have a turn.
    pub(super) fn running(&self) -> usize {
        self.pulses.len() - self.state.lock().free.len()
    }

    /// Returns the pulse of every engine.
    pub(super) fn pulses(&self) -> &[Arc<Pulse>] {
        &self.pulses
    }
}

impl Standing {
    async fn wait(self, end: Instant) -> Result<Turn, Refused> {
        match self {
            Self::Turn(turn) => Ok(turn),
            Self::Place(mut place) => match timeout_at(end, &mut place.called).await {
                Ok(Ok(called)) => called,
                Ok(Err(_)) | Err(_) => Err(Refused::Late),
            },
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.state.lock().line.leave(&self.caller, self.number);
    }
}

impl Turn {
    /// Returns which engine it is for.
    pub(super) fn seat(&self) -> usize {
        self.seat
    }

    /// Returns where signs of life are noted.
    pub(super) fn pulse(&self) -> Arc<Pulse> {
        self.queue.as_ref().and_then(|queue| queue.pulses.get(self.seat)).map(Arc::clone).unwrap_or_default()
    }

    /// Returns the only turn of an engine that nobody else knows yet.
    pub(super) fn alone() -> Self {
        Arc::new(Queue::new(1, 0, Duration::ZERO)).turn(0)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(queue) = self.queue.take() else { return };
        queue.took(self.begun.elapsed());
        if let Some(pulse) = queue.pulses.get(self.seat) {
            pulse.rest();
        }
        queue.release(self.seat);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, poll};

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn queue(seats: usize, limit: usize) -> Arc<Queue> {
        Arc::new(Queue::new(seats, limit, Duration::from_secs(60)))
    }

    fn one() -> Caller {
        of("one", Priority::Foreground)
    }

    fn of(key: &str, priority: Priority) -> Caller {
        Caller::named(key, priority)
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_goes_in_when_a_turn_is_given_back() {
        let queue = queue(1, 4);
        let caller = one();
        let turn = queue.enter(&caller, soon()).await.unwrap();
        let mut next = Box::pin(queue.enter(&caller, soon()));

        assert!(poll!(&mut next).is_pending());
        drop(turn);

        assert!(next.await.is_ok());
        assert_eq!((queue.running(), queue.waiting()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_refuses_at_once_and_says_when_to_come_again() {
        let queue = queue(1, 1);
        let caller = one();
        queue.took(Duration::from_secs(4));
        let turn = queue.enter(&caller, soon()).await.unwrap();
        let mut waiting = Box::pin(queue.enter(&caller, soon()));
        assert!(poll!(&mut waiting).is_pending());

        let refused = queue.enter(&caller, soon()).now_or_never().unwrap();

        assert_eq!(refused.err(), Some(Refused::Full));
        assert_eq!(queue.retry_after(), Duration::from_secs(8));
        drop(turn);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_sends_background_work_away_for_a_caller() {
        let queue = queue(1, 1);
        let (caller, probe) = (one(), of("one", Priority::Background));
        let turn = queue.enter(&caller, soon()).await.unwrap();
        let mut waiting = Box::pin(queue.enter(&probe, soon()));
        assert!(poll!(&mut waiting).is_pending());
        let mut next = Box::pin(queue.enter(&caller, soon()));
        assert!(poll!(&mut next).is_pending());

        assert_eq!(waiting.await.err(), Some(Refused::Full));
        drop(turn);
        assert!(next.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_the_queue_allows() {
        let queue = Arc::new(Queue::new(1, 1, Duration::from_secs(3)));
        let caller = one();
        let turn = queue.enter(&caller, soon()).await.unwrap();

        let refused = queue.enter(&caller, soon()).await;

        assert_eq!(refused.err(), Some(Refused::Late));
        assert_eq!(queue.waiting(), 0);
        drop(turn);
    }

    #[tokio::test(start_paused = true)]
    async fn a_further_turn_is_not_refused_for_want_of_room() {
        let queue = Arc::new(Queue::new(1, 0, Duration::ZERO));
        let caller = one();
        let turn = queue.enter(&caller, soon()).await.unwrap();
        let mut again = Box::pin(queue.enter_again(&caller, soon()));
        assert!(poll!(&mut again).is_pending());

        drop(turn);

        assert!(again.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_just_when_called_hands_the_turn_on() {
        let queue = queue(1, 4);
        let caller = one();
        let turn = queue.enter(&caller, soon()).await.unwrap();
        let mut waiting = Box::pin(queue.enter(&caller, soon()));
        let mut behind = Box::pin(queue.enter(&caller, soon()));
        assert!(poll!(&mut waiting).is_pending());
        assert!(poll!(&mut behind).is_pending());

        drop(turn);
        drop(waiting);

        assert!(behind.await.is_ok());
        assert_eq!((queue.running(), queue.waiting()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_as_many_turns_as_engines_each_on_its_own() {
        let queue = queue(2, 4);
        let caller = one();

        let turns = [queue.enter(&caller, soon()).await.unwrap(), queue.enter(&caller, soon()).await.unwrap()];

        assert_eq!(turns.each_ref().map(Turn::seat), [0, 1]);
        assert!(queue.enter(&caller, soon()).now_or_never().is_none());
        assert_eq!(queue.idle_for(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_expected_wait_grows_with_the_line_before_one() {
        let queue = queue(1, 9);
        let (caller, probe) = (one(), of("one", Priority::Background));
        queue.took(Duration::from_secs(2));
        assert_eq!(queue.expected_wait(Priority::Foreground), Duration::ZERO);
        let turn = queue.enter(&caller, soon()).await.unwrap();
        let mut waiting = Box::pin(queue.enter(&probe, soon()));
        assert!(poll!(&mut waiting).is_pending());

        assert_eq!(queue.expected_wait(Priority::Foreground), Duration::from_secs(1));
        assert_eq!(queue.expected_wait(Priority::Background), Duration::from_secs(3));
        drop(turn);
    }
}
