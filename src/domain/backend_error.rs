//! How a backend fails.

use std::time::Duration;

use crate::error::Code;

/// A failed attempt: what class it is of, what the caller may hear, what the log should say.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{code:?}: {detail}")]
pub struct BackendError {
    /// The class.
    pub code: Code,
    /// For the caller: a sentence without secrets, addresses or prompts. For errors that are the caller's fault this is the
    /// provider's own message.
    pub message: String,
    /// For the log: lowercase, with the cause; never prompts or keys.
    pub detail: String,
    /// HTTP status of the provider's answer, if there was one.
    pub upstream_status: Option<u16>,
    /// How long the provider asked to wait.
    pub retry_after: Option<Duration>,
    /// The provider's own `param` of an OpenAI-shaped error.
    pub param: Option<String>,
}

impl BackendError {
    /// Returns an error without an HTTP answer behind it.
    pub fn new(code: Code, message: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            detail: detail.into(),
            upstream_status: None,
            retry_after: None,
            param: None,
        }
    }

    /// Returns whether the same backend may be asked again.
    pub fn is_retryable(&self) -> bool {
        self.code.is_retryable()
    }

    /// Returns whether another model may be asked instead: always, unless the request itself is at fault.
    pub fn allows_fallback(&self) -> bool {
        !matches!(
            self.code,
            Code::UpstreamRejected | Code::InvalidRequest | Code::DeadlineExceeded | Code::ShuttingDown
        )
    }
}
