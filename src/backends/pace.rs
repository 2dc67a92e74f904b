//! How long each phase of one attempt may take.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::{
    domain::{BackendError, CallContext},
    error::Code,
};

/// Which wait it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// For the head of a whole answer, or for the first event of a stream.
    First,
    /// For whatever comes next.
    Next,
}

/// The clock of one attempt: it starts when it is made.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    who: String,
    first_by: Instant,
    idle: Duration,
    end: Instant,
    deadline: Instant,
}

impl Pace {
    /// Starts the clock; `who` is named in errors.
    pub(super) fn start(who: String, context: &CallContext) -> Self {
        let now = Instant::now();
        let timeouts = &context.timeouts;
        Self {
            who,
            first_by: now + timeouts.first_token,
            idle: timeouts.idle,
            end: now + timeouts.total,
            deadline: context.deadline,
        }
    }

    /// Waits for `future` as long as the phase allows; nothing is started when the time is up already.
    ///
    /// # Errors
    /// [`Code::DeadlineExceeded`] when the request's own time is up, [`Code::UpstreamTimeout`] when the attempt's is.
    pub(super) async fn wait<T>(&self, phase: Phase, future: impl Future<Output = T>) -> Result<T, BackendError> {
        let limit = self.limit(phase);
        if limit <= Instant::now() {
            return Err(self.overdue(phase, limit));
        }
        timeout_at(limit, future).await.map_err(|_| self.overdue(phase, limit))
    }

    fn limit(&self, phase: Phase) -> Instant {
        let phase_end = match phase {
            Phase::First => self.first_by,
            Phase::Next => Instant::now() + self.idle,
        };
        phase_end.min(self.end).min(self.deadline)
    }

    fn overdue(&self, phase: Phase, limit: Instant) -> BackendError {
        if limit == self.deadline {
            let message = "The time for this request is up; ask for less or allow more time.";
            return BackendError::new(Code::DeadlineExceeded, message, "the request's deadline passed");
        }
        let what = match phase {
            _ if limit == self.end => "its whole time",
            Phase::First => "the time to the first token",
            Phase::Next => "the time between two chunks",
        };
        let message = format!("{} did not answer in time.", self.who);
        BackendError::new(Code::UpstreamTimeout, message, format!("{what} is up"))
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::{super::contract::context, *};

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    async fn code_and_wait(pace: &Pace, phase: Phase) -> (Code, Duration) {
        let start = Instant::now();
        let error = pace.wait(phase, pending::<()>()).await.unwrap_err();
        (error.code, start.elapsed())
    }

    fn pace(deadline: Duration) -> Pace {
        let mut context = context();
        context.timeouts.first_token = seconds(3);
        context.timeouts.idle = seconds(2);
        context.timeouts.total = seconds(10);
        context.deadline = Instant::now() + deadline;
        Pace::start("x".into(), &context)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_wait_has_its_own_time() {
        let waited = code_and_wait(&pace(seconds(60)), Phase::First).await;

        assert_eq!(waited, (Code::UpstreamTimeout, seconds(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_after_the_idle_time() {
        let waited = code_and_wait(&pace(seconds(60)), Phase::Next).await;

        assert_eq!(waited, (Code::UpstreamTimeout, seconds(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_trickle_ends_after_the_total_time() {
        let pace = pace(seconds(60));
        tokio::time::advance(seconds(9)).await;

        let waited = code_and_wait(&pace, Phase::Next).await;

        assert_eq!(waited, (Code::UpstreamTimeout, seconds(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn no_wait_outlives_the_deadline_of_the_request() {
        let waited = code_and_wait(&pace(seconds(1)), Phase::First).await;

        assert_eq!(waited, (Code::DeadlineExceeded, seconds(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_starts_after_the_deadline() {
        let pace = pace(seconds(1));
        tokio::time::advance(seconds(1)).await;

        let ready = pace.wait(Phase::Next, async { panic!("must not run") }).await;

        let outcome: Result<(), _> = ready;
        assert_eq!(outcome.unwrap_err().code, Code::DeadlineExceeded);
    }
}
