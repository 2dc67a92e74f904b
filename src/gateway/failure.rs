//! Why a request gets no answer, before it is known how far it came.

use std::time::Duration;

use super::answer::Refusal;
use crate::{
    admission::AdmitError,
    domain::{BackendError, NoRoute, Outcome},
    error::Code,
    execute::ExecuteError,
};

/// A request that ends without an answer.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) param: Option<String>,
    pub(super) retry_after: Option<Duration>,
    /// Whether a model was asked: then it failed, else it was refused.
    pub(super) was_tried: bool,
}

impl Failure {
    /// Returns a refusal.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), param: None, retry_after: None, was_tried: false }
    }

    /// Names the field at fault.
    pub(super) fn at(mut self, param: &str) -> Self {
        self.param = Some(param.to_owned());
        self
    }

    /// Says that a model was asked.
    pub(super) fn after_trying(mut self) -> Self {
        self.was_tried = true;
        self
    }

    /// Returns how the request is booked.
    pub(super) fn outcome(&self) -> Outcome {
        let code = self.code.name().to_owned();
        if self.was_tried { Outcome::Failed { code } } else { Outcome::Refused { code } }
    }
}

impl From<AdmitError> for Failure {
    fn from(error: AdmitError) -> Self {
        Self { retry_after: error.retry_after(), ..Self::new(error.code(), error.to_string()) }
    }
}

impl From<ExecuteError> for Failure {
    fn from(error: ExecuteError) -> Self {
        Self {
            code: error.code(),
            message: error.message(),
            param: error.param().map(str::to_owned),
            retry_after: error.retry_after(),
            was_tried: error.was_attempted(),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let Refusal { code, message, param, retry_after, passage: _ } = refusal;
        Self { code, message, param, retry_after, was_tried: false }
    }
}

impl From<BackendError> for Failure {
    /// An answer that broke off, for someone who wants it whole.
    fn from(error: BackendError) -> Self {
        let BackendError { code, message, retry_after, param, .. } = error;
        Self { code, message, param, retry_after, was_tried: true }
    }
}

impl From<Failure> for BackendError {
    /// A failure after the head of the response: the last item of the stream.
    fn from(failure: Failure) -> Self {
        // The message may be the provider's own words, which belong to the caller and into no log.
        let detail = format!("the plan gave no answer: {}", failure.code.name());
        Self {
            param: failure.param,
            retry_after: failure.retry_after,
            ..Self::new(failure.code, failure.message, detail)
        }
    }
}

/// When to come again for a model that is loading or failing: loading takes seconds, a breaker pauses as long.
const UNAVAILABLE_PAUSE: Duration = Duration::from_secs(2);

impl From<NoRoute> for Failure {
    fn from(none: NoRoute) -> Self {
        let code = none.code();
        let retry_after = code.is_retryable().then_some(UNAVAILABLE_PAUSE);
        Self { retry_after, ..Self::new(code, sentence(&none.to_string())) }
    }
}

/// Turns a lowercase error text into a sentence.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    let rest = letters.as_str().trim_end_matches('.');
    format!("{first}{rest}.")
}
