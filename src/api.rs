//! Everything actix: routes, reading requests, writing responses.
//!
//! A handler reads the request (`intake`: who asks, with what body), parses the body with a function of `wire`, hands it to
//! the gateway and turns what comes back into a response (`answer`, `stream`). It decides nothing. Around every handler
//! stands `shape`: it notes the arrival, gives every response its `x-request-id`, and turns every error and panic into an
//! OpenAI-shaped body; `error` is the only place where a [`Code`] becomes an HTTP status.
//!
//! There are two listeners (`routes`): the public one for callers, and one for operators and admins, on loopback by default.
//!
//! # Invariants
//! - Every error response has all four keys of an OpenAI error and an `x-request-id`.
//! - After the first byte of a stream an error is one event with `error`, and no `[DONE]` follows.
//! - A response that is dropped drops its events, and with them the call upstream.
//!
//! # To add an endpoint
//! 1. `wire/x.rs`: parse the request, render the answer, with tests.
//! 2. `api/x.rs`: one handler like the one in `api/chat.rs`.
//! 3. One line in `api/routes.rs`.
//! 4. `tests/it/x.rs`: what a caller sees.

mod admin;
mod answer;
mod body;
mod chat;
mod completions;
mod embeddings;
mod error;
mod feedback;
mod headers;
mod health;
mod intake;
mod metrics;
mod models;
mod preferences;
mod routes;
mod server;
mod shape;
mod stream;

use std::sync::Arc;

use self::error::ApiError;
pub use self::server::{Servers, bind};
use crate::{
    admission::KeyStore,
    config::{AdminSettings, ServerSettings},
    error::Code,
    gateway::Gateway,
    policy::Policies,
    runtime::{Phase, Stop},
    scoring::Live,
    telemetry::Telemetry,
    wire::parse::Limits,
};

/// What the handlers need; `app.rs` puts it together.
pub struct Services {
    /// Answers requests.
    pub gateway: Arc<Gateway>,
    /// Says who asks.
    pub keys: Arc<KeyStore>,
    /// Routing policies.
    pub policies: Arc<Policies>,
    /// The router model, if there is one.
    pub router: Option<Arc<Live>>,
    /// Shows metrics.
    pub telemetry: Arc<Telemetry>,
    /// Says when the program ends.
    pub stop: Stop,
    /// The public listener.
    pub server: ServerSettings,
    /// The listener for operators and admins.
    pub admin: AdminSettings,
}

impl Services {
    fn wire_limits(&self) -> Limits {
        let limits = &self.server.limits;
        Limits { messages: limits.messages, choices: limits.choices, depth: limits.depth }
    }

    /// Waits for an answer, but not beyond the end of the program: actix would cut the connection without a word.
    async fn before_end<T>(&self, answer: impl Future<Output = T>) -> Result<T, ApiError> {
        tokio::select! {
            biased;
            answer = Box::pin(answer) => Ok(answer),
            () = self.stop.reached(Phase::Ending) => {
                Err(ApiError::new(Code::ShuttingDown, "The gateway is going down; send the request again."))
            }
        }
    }
}
