//! What reaches a model: one file per wire.
//!
//! A backend turns a [`ModelCall`] into a [`Reply`]. It makes exactly one attempt; retries, fallbacks and booking belong to
//! `execute`. Dropping the future of [`Backend::chat`], or the stream it returned, cancels the call upstream. Every wait inside
//! has a deadline from the call's [`crate::domain::Timeouts`].
//!
//! To add a provider with its own wire: a file here, fixtures, a variant in `config`, an arm in `app.rs`, and a call of the
//! contract test.

pub mod anthropic;
#[cfg(test)]
pub(crate) mod contract;
pub mod http;
#[cfg(feature = "local")]
pub mod isolated;
#[cfg(feature = "local")]
pub mod mistralrs;
pub mod openai;
mod pace;
pub mod scripted;
#[cfg(test)]
mod upstream;

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    domain::{
        Availability, BackendError, EmbedCall, EngineOrder, EngineRoom, ModelCall, Priority, Reply, Speculation,
        TextCall, WholeReply,
    },
    error::Code,
};

/// Reaches one model.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Asks for a chat answer, whole or streamed as `call.is_streaming` says.
    ///
    /// # Errors
    /// The attempt failed before an answer began; a stream reports later failures as its last item.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the upstream call.
    async fn chat(&self, call: ModelCall) -> Result<Reply, BackendError>;

    /// Asks for embeddings.
    ///
    /// # Errors
    /// The attempt failed, or the backend offers no embeddings ([`Code::Unsupported`]).
    async fn embed(&self, call: EmbedCall) -> Result<WholeReply, BackendError> {
        Err(unsupported(&call.context.model, "embeddings"))
    }

    /// Passes a legacy text completion through.
    ///
    /// # Errors
    /// The attempt failed, or the backend offers none ([`Code::Unsupported`]).
    async fn complete(&self, call: TextCall) -> Result<Reply, BackendError> {
        Err(unsupported(&call.context.model, "text completions"))
    }

    /// Returns whether the model can be asked now.
    fn availability(&self) -> Availability;

    /// Returns how a model that runs on this machine fares; `None` for one that does not.
    fn engine_room(&self) -> Option<EngineRoom> {
        None
    }

    /// Returns how long a call would wait for its turn on this machine before it is worked on.
    fn expected_wait(&self, priority: Priority) -> Duration {
        let _ = priority;
        Duration::ZERO
    }

    /// Has a model that runs on this machine do something.
    ///
    /// # Errors
    /// It does not run on this machine ([`Code::Unsupported`]).
    fn order(&self, order: EngineOrder) -> Result<(), BackendError> {
        let what = format!("an engine here to {}", order.name());
        let message = format!("Only a local model has {what}.");
        Err(BackendError::new(Code::Unsupported, message, format!("it has no {what}")))
    }

    /// Returns what speculative decoding does; `None` where none is configured.
    fn speculation(&self) -> Option<Speculation> {
        None
    }
}

fn unsupported(model: &crate::domain::ModelName, what: &str) -> BackendError {
    let message = format!("Model {model} does not offer {what}; choose another model.");
    BackendError::new(Code::Unsupported, message, format!("{model} offers no {what}"))
}
