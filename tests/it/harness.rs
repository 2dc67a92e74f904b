//! What the tests stand on: the real program, a scripted upstream behind it, and a client that can hang up.

pub(crate) mod client;
pub(crate) mod ledger;
pub(crate) mod server;
pub(crate) mod setup;
pub(crate) mod sse;
pub(crate) mod upstream;

use std::time::Duration;

pub(crate) use client::{Request, Response};
pub(crate) use server::Server;
pub(crate) use setup::Setup;
pub(crate) use sse::Frame;
pub(crate) use upstream::{Ended, Step, Upstream};

/// How long a test waits for something that must happen; only a failing test ever waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for `future`, at most [`PATIENCE`] long.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what} did not happen within {PATIENCE:?}"),
    }
}

/// Returns the smallest chat request for `model`.
pub(crate) fn chat(model: &str) -> serde_json::Value {
    serde_json::json!({"model": model, "messages": [{"role": "user", "content": "Say hello."}], "temperature": 0})
}

/// Returns the smallest streamed chat request for `model`.
pub(crate) fn streamed(model: &str) -> serde_json::Value {
    let mut body = chat(model);
    body["stream"] = true.into();
    body
}
