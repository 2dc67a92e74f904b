//! How long an attempt may take, phase by phase.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

use crate::{
    domain::{BackendError, ModelName, Timeouts},
    error::Code,
};

/// What is being waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The first token of a stream.
    FirstToken,
    /// The next event of a stream.
    NextEvent,
    /// A whole answer.
    WholeAnswer,
}

/// The limits of one attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    begun: Instant,
    timeouts: Timeouts,
    request: Instant,
}

impl Deadlines {
    pub(super) fn new(begun: Instant, timeouts: Timeouts, request: Instant) -> Self {
        Self { begun, timeouts, request }
    }

    /// Waits for `future` as long as the phase, the attempt and the request allow.
    pub(super) async fn within<T>(
        &self,
        phase: Phase,
        model: &ModelName,
        future: impl Future<Output = T>,
    ) -> Result<T, BackendError> {
        let phase_ends = self.end_of(phase);
        let waited = tokio::time::timeout_at(phase_ends.min(self.request), future).await;
        waited.map_err(|_| if self.request <= phase_ends { too_late(model) } else { self.too_slow(phase, model) })
    }

    fn end_of(&self, phase: Phase) -> Instant {
        let total = self.after(self.begun, self.timeouts.total);
        match phase {
            Phase::FirstToken => total.min(self.after(self.begun, self.timeouts.first_token)),
            Phase::NextEvent => total.min(self.after(Instant::now(), self.timeouts.idle)),
            Phase::WholeAnswer => total,
        }
    }

    /// A limit that is too long for the clock leaves the request's own.
    fn after(&self, start: Instant, limit: Duration) -> Instant {
        start.checked_add(limit).unwrap_or(self.request)
    }

    fn too_slow(&self, phase: Phase, model: &ModelName) -> BackendError {
        let (what, limit): (&str, Duration) = match phase {
            _ if self.begun.elapsed() >= self.timeouts.total => ("the end of its answer", self.timeouts.total),
            Phase::FirstToken => ("its first token", self.timeouts.first_token),
            Phase::NextEvent => ("the next token", self.timeouts.idle),
            Phase::WholeAnswer => ("its answer", self.timeouts.total),
        };
        let message = format!("Model {model} did not send {what} within {limit:?}.");
        BackendError::new(Code::UpstreamTimeout, message, format!("no sign of {what} within {limit:?}"))
    }
}

fn too_late(model: &ModelName) -> BackendError {
    let message = format!("The request's time was up while model {model} was answering.");
    BackendError::new(Code::DeadlineExceeded, message, "the request's deadline passed during the attempt")
}
