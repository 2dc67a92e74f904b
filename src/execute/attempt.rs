//! A running attempt, which books itself.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    breaker::Pass,
    job::Job,
    model::{Model, Seat},
};
use crate::{
    domain::{
        Attempt, AttemptJournal, AttemptOutcome, BackendError, Event, Hold, ModelName, Tokens, Usage, Waited,
        WholeReply,
    },
    error::{Code, Side},
};

/// One call of one backend from its start to its end. It is booked into the journal exactly once: by [`Self::succeed`], by
/// [`Self::fail`], or as cancelled when it is dropped before.
pub(super) struct RunningAttempt {
    model: Arc<Model>,
    journal: AttemptJournal,
    leg: u32,
    started: Duration,
    begun: Instant,
    input_estimate: Tokens,
    pass: Pass,
    seen: Seen,
    is_booked: bool,
    /// Whether a token was to be seen before the end.
    is_streaming: bool,
    waited: Waited,
    /// Given back when the attempt has been booked.
    _kept: (Seat, Hold),
}

/// What an attempt begins with.
pub(super) struct Start {
    /// Position of its leg in the plan.
    pub(super) leg: u32,
    /// How it came past the breaker.
    pub(super) pass: Pass,
    /// Its place among the requests in flight.
    pub(super) seat: Seat,
    /// The money set aside for it.
    pub(super) hold: Hold,
}

/// What has come of the answer so far.
#[derive(Default)]
struct Seen {
    events: u64,
    content_events: u64,
    first_token: Option<Duration>,
    last_token: Option<Duration>,
    usage: Option<Usage>,
}

impl RunningAttempt {
    pub(super) fn begin(job: &Job, model: &Arc<Model>, Start { leg, pass, seat, hold }: Start) -> Self {
        let begun = Instant::now();
        Self {
            model: Arc::clone(model),
            journal: job.journal.clone(),
            leg,
            started: begun.saturating_duration_since(job.arrived),
            begun,
            input_estimate: job.input_tokens,
            pass,
            seen: Seen::default(),
            is_booked: false,
            is_streaming: job.operation.is_streaming(),
            waited: Waited::default(),
            _kept: (seat, hold),
        }
    }

    pub(super) fn begun(&self) -> Instant {
        self.begun
    }

    /// Returns where waiting for a turn is written down.
    pub(super) fn waited(&self) -> Waited {
        self.waited.clone()
    }

    pub(super) fn model(&self) -> &ModelName {
        &self.model.facts.name
    }

    pub(super) fn has_seen_events(&self) -> bool {
        self.seen.events > 0
    }

    /// Takes note of an event of the stream.
    pub(super) fn saw(&mut self, event: &Event) {
        self.seen.events += 1;
        // A provider that reports usage more than once reports running totals.
        self.seen.usage = event.usage.or(self.seen.usage);
        if !event.has_content {
            return;
        }
        let after = self.begun.elapsed();
        self.seen.content_events += 1;
        self.seen.last_token = Some(after);
        if self.seen.first_token.is_none() {
            self.seen.first_token = Some(after);
            self.prove();
            self.model.latency.saw_wait(after.saturating_sub(self.model.prefill(self.input_estimate)));
            self.model
                .latency
                .saw_first_token(after.saturating_sub(self.model.prefill(self.input_estimate) + self.waited.total()));
        }
    }

    /// Ends a stream that came to its end.
    pub(super) fn succeed(mut self) {
        self.prove();
        let usage = self.usage_of_stream();
        if let (Some(first), Some(last)) = (self.seen.first_token, self.seen.last_token) {
            self.model.latency.saw_rest(last.saturating_sub(first), usage.output);
        }
        self.book(usage, AttemptOutcome::Ok);
    }

    /// Ends an attempt whose answer came whole; `output` is what it is taken to hold if the provider does not say.
    pub(super) fn succeed_whole(mut self, reply: &WholeReply, output: Tokens) {
        self.prove();
        let usage = reply.usage.unwrap_or_else(|| self.estimated(output));
        let took = self.begun.elapsed().saturating_sub(self.model.prefill(self.input_estimate) + self.waited.total());
        self.model.latency.saw_whole(took, usage.output);
        self.book(usage, AttemptOutcome::Ok);
    }

    /// Ends a failed attempt.
    pub(super) fn fail(mut self, error: &BackendError) {
        if is_models_fault(error.code) {
            self.model.breaker.failed(self.pass);
        } else {
            self.model.breaker.abandoned(self.pass);
        }
        self.log(error);
        let is_billed = self.seen.events > 0 || may_have_worked(error.code);
        let usage = if is_billed { self.usage_of_stream() } else { Usage::default() };
        self.book(usage, AttemptOutcome::Failed { code: error.code.name().to_owned() });
    }

    /// A request that is itself at fault is no trouble for those who run the gateway.
    fn log(&self, error: &BackendError) {
        let (model, leg, code) = (&self.model.facts.name, self.leg, error.code.name());
        if error.code.row().side == Side::Client {
            tracing::debug!(%model, leg, error.code = code, error.detail = %error.detail, "attempt rejected");
        } else {
            tracing::warn!(%model, leg, error.code = code, error.detail = %error.detail, "attempt failed");
        }
    }

    fn prove(&mut self) {
        self.model.breaker.succeeded();
        self.pass = Pass::Ordinary;
    }

    fn usage_of_stream(&self) -> Usage {
        self.seen.usage.unwrap_or_else(|| self.estimated(Tokens(self.seen.content_events)))
    }

    fn estimated(&self, output: Tokens) -> Usage {
        Usage { input: self.input_estimate, output, is_estimated: true, ..Usage::default() }
    }

    fn book(&mut self, usage: Usage, end: AttemptOutcome) {
        self.is_booked = true;
        self.journal.book(Attempt {
            leg: self.leg,
            model: self.model.facts.name.clone(),
            started: self.started,
            waited: self.waited.total(),
            first_token: self.seen.first_token,
            took: self.begun.elapsed(),
            usage,
            cost: self.model.facts.prices.cost(&usage),
            end,
        });
    }
}

impl Drop for RunningAttempt {
    fn drop(&mut self) {
        if self.is_booked {
            return;
        }
        self.model.breaker.abandoned(self.pass);
        if self.is_streaming && self.seen.first_token.is_none() {
            let waited = self.begun.elapsed().saturating_sub(self.model.prefill(self.input_estimate));
            self.model.latency.saw_no_token(waited);
        }
        let usage = self.usage_of_stream();
        self.book(usage, AttemptOutcome::Cancelled);
    }
}

/// Whether a failure says that the model, rather than this request or its caller, is in trouble.
fn is_models_fault(code: Code) -> bool {
    matches!(
        code,
        Code::UpstreamUnreachable
            | Code::UpstreamTimeout
            | Code::UpstreamAuth
            | Code::UpstreamModelNotFound
            | Code::UpstreamFailed
            | Code::UpstreamCut
            | Code::UpstreamMalformed
            | Code::Internal
    )
}

/// Whether the provider may have read the prompt, and bill it, although no event came.
fn may_have_worked(code: Code) -> bool {
    matches!(code, Code::UpstreamTimeout | Code::UpstreamCut | Code::UpstreamMalformed | Code::DeadlineExceeded)
}
