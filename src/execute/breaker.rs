//! Sparing a model that keeps failing.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// What a breaker does, a closed set for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Lets everything through.
    Closed,
    /// Lets nothing through.
    Open,
    /// The pause is over: one attempt tries.
    HalfOpen,
}

impl BreakerState {
    /// Returns the snake-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Opens after a number of failures in a row; after a pause one attempt probes; a success closes it.
#[derive(Debug)]
pub(super) struct Breaker {
    failures_to_open: u32,
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    Probing,
}

/// How an attempt came past the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// Like any other.
    Ordinary,
    /// As the one that finds out whether the model is back.
    Probe,
}

impl Breaker {
    pub(super) fn new(failures_to_open: u32, pause: Duration) -> Self {
        Self { failures_to_open: failures_to_open.max(1), pause, state: Mutex::new(State::Closed { failures: 0 }) }
    }

    pub(super) fn state(&self) -> BreakerState {
        match *self.state.lock() {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { until } if Instant::now() < until => BreakerState::Open,
            State::Open { .. } | State::Probing => BreakerState::HalfOpen,
        }
    }

    /// Returns whether an attempt would be let through now.
    pub(super) fn would_admit(&self) -> bool {
        match *self.state.lock() {
            State::Closed { .. } => true,
            State::Open { until } => Instant::now() >= until,
            State::Probing => false,
        }
    }

    /// Lets an attempt through or not. Whoever passes must report how it went.
    pub(super) fn admit(&self) -> Option<Pass> {
        let mut state = self.state.lock();
        match *state {
            State::Closed { .. } => Some(Pass::Ordinary),
            State::Open { until } if Instant::now() >= until => {
                *state = State::Probing;
                Some(Pass::Probe)
            }
            State::Open { .. } | State::Probing => None,
        }
    }

    pub(super) fn succeeded(&self) {
        *self.state.lock() = State::Closed { failures: 0 };
    }

    pub(super) fn failed(&self, pass: Pass) {
        let mut state = self.state.lock();
        match *state {
            State::Closed { failures } if failures + 1 < self.failures_to_open => {
                *state = State::Closed { failures: failures + 1 };
            }
            State::Closed { .. } => *state = self.opened(),
            State::Probing if pass == Pass::Probe => *state = self.opened(),
            State::Open { .. } | State::Probing => {}
        }
    }

    /// Takes note that an attempt ended without saying anything about the model; the next one may probe at once.
    pub(super) fn abandoned(&self, pass: Pass) {
        let mut state = self.state.lock();
        if pass == Pass::Probe && matches!(*state, State::Probing) {
            *state = State::Open { until: Instant::now() };
        }
    }

    fn opened(&self) -> State {
        State::Open { until: Instant::now() + self.pause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(30);

    fn opened() -> Breaker {
        let breaker = Breaker::new(2, PAUSE);
        breaker.failed(Pass::Ordinary);
        breaker.failed(Pass::Ordinary);
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn only_failures_in_a_row_open_it() {
        let breaker = Breaker::new(2, PAUSE);

        breaker.failed(Pass::Ordinary);
        breaker.succeeded();
        breaker.failed(Pass::Ordinary);

        assert_eq!(breaker.state(), BreakerState::Closed);
        breaker.failed(Pass::Ordinary);
        assert_eq!(breaker.state(), BreakerState::Open);
        assert_eq!(breaker.admit(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_pause_exactly_one_attempt_probes() {
        let breaker = opened();

        tokio::time::advance(PAUSE).await;

        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert_eq!(breaker.admit(), Some(Pass::Probe));
        assert_eq!(breaker.admit(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_probe_closes_or_opens_it_again() {
        let (recovered, still_down) = (opened(), opened());
        tokio::time::advance(PAUSE).await;
        let (one, other) = (recovered.admit(), still_down.admit());

        recovered.succeeded();
        still_down.failed(Pass::Probe);

        assert_eq!((one, other), (Some(Pass::Probe), Some(Pass::Probe)));
        assert_eq!(recovered.state(), BreakerState::Closed);
        assert_eq!(still_down.state(), BreakerState::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn an_abandoned_probe_leaves_room_for_the_next() {
        let breaker = opened();
        tokio::time::advance(PAUSE).await;
        let pass = breaker.admit().unwrap();

        breaker.abandoned(pass);

        assert_eq!(breaker.admit(), Some(Pass::Probe));
    }
}
