//! What plans of several legs share: asking one of them, holding its answer back, and saying what came of it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use super::{
    Course, Executor, Job, Opened, Operation, answer::Shape, deferral::Objection, error::ExecuteError, single,
};
use crate::{
    domain::{BackendError, Cause, DeferralTest, Leg, Reply, Ruling, Verdict},
    error::Code,
    wire::chat::ChatCall,
};

/// A leg and its position in the plan.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) position: u32,
    pub(super) leg: Leg,
}

/// What the tests of an answer read besides its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reads {
    /// Nothing.
    Text,
    /// The log-probabilities of its tokens.
    Logprobs,
    /// Those of the second tokens too.
    Margins,
}

impl Reads {
    /// Returns what a test reads.
    pub(super) fn of(test: &DeferralTest) -> Self {
        match test {
            DeferralTest::Margin { .. } => Self::Margins,
            DeferralTest::Logprob { .. } | DeferralTest::Entropy { .. } => Self::Logprobs,
            _ => Self::Text,
        }
    }
}

/// The legs of a chat plan under way.
pub(super) struct Legs {
    pub(super) executor: Arc<Executor>,
    pub(super) job: Job,
    /// What the caller asked.
    pub(super) chat: Arc<ChatCall>,
    pub(super) is_streaming: bool,
    attempts: AtomicU32,
}

impl Legs {
    /// Returns the legs of a chat job; `None` for any other.
    pub(super) fn of(executor: &Arc<Executor>, job: &Job) -> Option<Self> {
        let Operation::Chat { chat, is_streaming } = &job.operation else { return None };
        Some(Self {
            executor: Arc::clone(executor),
            job: job.clone(),
            chat: Arc::clone(chat),
            is_streaming: *is_streaming,
            attempts: AtomicU32::new(0),
        })
    }

    /// Asks one leg.
    pub(super) async fn ask(&self, place: &Place, job: Job) -> Result<Opened, ExecuteError> {
        let course = Course { first: place.position, legs: vec![place.leg.clone()] };
        let asked = single::run(Arc::clone(&self.executor), course, job).await;
        let attempts = match &asked {
            Ok(opened) => opened.attempts,
            Err(error) => error.attempts(),
        };
        self.attempts.fetch_add(attempts, Ordering::Relaxed);
        asked
    }

    /// Returns the attempts so far.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// Returns how the caller wants an answer that was not changed for a test.
    pub(super) fn plain(&self) -> Shape {
        Shape { is_streaming: self.is_streaming, hides_logprobs: false }
    }

    /// Returns what a leg is asked whose answer is held back: always a stream, with log-probabilities where a test reads them and
    /// the caller did not ask for them. A local model tells them anyway.
    pub(super) fn held(&self, leg: &Leg, reads: Reads) -> (Job, Shape) {
        let mut shape = self.plain();
        let mut chat = Arc::clone(&self.chat);
        let is_local = self.executor.models.get(leg.model.as_str()).is_some_and(|model| model.facts.is_local);
        if reads > Reads::Text && !is_local {
            let top = if reads == Reads::Margins { 2 } else { 0 };
            if let Ok(asking) = chat.with_logprobs(top) {
                chat = Arc::new(asking);
                shape.hides_logprobs = !self.chat.wants_logprobs;
            }
        }
        (Job { operation: Operation::Chat { chat, is_streaming: true }, ..self.job.clone() }, shape)
    }

    /// Returns whether a leg could be asked now: its model is there, is not spared, and can be paid for.
    pub(super) fn is_open(&self, leg: &Leg) -> bool {
        let model = self.executor.models.get(leg.model.as_str());
        model.is_some_and(|model| model.breaker.would_admit()) && self.job.shortfall(&leg.model).is_none()
    }

    /// Returns the error of an answer that broke off.
    pub(super) fn broken(&self, place: &Place, error: BackendError) -> ExecuteError {
        let (model, attempts) = (place.leg.model.clone(), self.attempts());
        ExecuteError::Backend { model, attempts, error: Box::new(error) }
    }

    /// Writes down what was decided about a leg.
    pub(super) fn rule(&self, place: &Place, ruling: Ruling, Objection { cause, value }: Objection) {
        let (leg, model) = (place.position, place.leg.model.clone());
        tracing::debug!(model.name = %model, leg, ruling = ruling.name(), cause = cause.name(), value, "leg decided");
        self.job.journal.rule(Verdict { leg, model, ruling, cause, value });
    }

    /// Writes down that a leg gave no answer.
    pub(super) fn rule_failed(&self, place: &Place) {
        self.rule(place, Ruling::Failed, Objection::of(Cause::Error));
    }

    pub(super) fn opened(&self, place: Place, reply: Reply) -> Opened {
        Opened { model: place.leg.model, leg: place.position, attempts: self.attempts(), reply }
    }
}

/// Returns the job with a temperature of its own, and with another seed where the request has one, so that samples of one model
/// differ, and differ the same way again.
pub(super) fn sampled(job: &Job, temperature: f64, number: usize) -> Job {
    let Operation::Chat { chat, is_streaming } = &job.operation else { return job.clone() };
    let seed = chat.sampling.seed.map(|seed| seed.wrapping_add(number as i64));
    let Ok(chat) = chat.with_sampling(temperature, seed) else { return job.clone() };
    Job { operation: Operation::Chat { chat: Arc::new(chat), is_streaming: *is_streaming }, ..job.clone() }
}

/// Returns whether an error says that nobody else need be asked: the request itself is at fault, or its time is up. What the
/// gateway had added to a request is no fault of its own.
pub(super) fn is_final(error: &ExecuteError, shape: Shape) -> bool {
    match error {
        ExecuteError::Backend { error, .. } if shape.hides_logprobs && error.code == Code::UpstreamRejected => false,
        ExecuteError::Backend { error, .. } => !error.allows_fallback(),
        ExecuteError::DeadlineExceeded { .. } => true,
        ExecuteError::TooDear { .. } | ExecuteError::UnknownModel { .. } => false,
    }
}
