//! How the program comes to its end: running, then draining, then ending.

use tokio::sync::watch;

/// Where the program is between start and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    Running,
    /// Not ready for new traffic, still serving what comes and what runs.
    Draining,
    /// Whatever still runs must end now.
    Ending,
}

/// A token that every long-lived part holds; the phase only ever moves forward.
#[derive(Clone, Debug)]
pub struct Stop {
    phase: watch::Sender<Phase>,
}

impl Default for Stop {
    fn default() -> Self {
        Self { phase: watch::Sender::new(Phase::Running) }
    }
}

impl Stop {
    /// Returns the current phase.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Moves on to `phase`; moving backwards does nothing.
    pub fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let moves = phase > *current;
            if moves {
                *current = phase;
            }
            moves
        });
    }

    /// Completes once `phase` (or a later one) is reached.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn reached(&self, phase: Phase) {
        let mut receiver = self.phase.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let waited = receiver.wait_for(|current| *current >= phase).await;
        drop(waited);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiters_wake_when_the_phase_is_passed() {
        let stop = Stop::default();

        stop.advance(Phase::Ending);
        stop.advance(Phase::Draining);

        stop.reached(Phase::Draining).await;
        assert_eq!(stop.phase(), Phase::Ending);
    }
}
