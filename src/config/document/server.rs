//! Who may come in, and where.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::quantity::{ByteSize, Period};

/// The public listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerDocument {
    /// Address and port; port 0 picks a free one.
    pub listen: String,
    /// Worker threads; without it one per processor.
    #[schemars(range(min = 1, max = 1024))]
    pub workers: Option<usize>,
    /// Requests in flight at once.
    #[schemars(range(min = 1))]
    pub max_concurrency: usize,
    /// What a request may be.
    pub limits: RequestLimitsDocument,
    /// After the stop signal, how long new requests are still accepted.
    pub drain_grace: Period,
    /// After the grace time, how long running requests may go on.
    pub drain_timeout: Period,
    /// Silence on a stream after which a comment is sent.
    pub heartbeat: Period,
    /// Where outbound calls run.
    pub outbound: OutboundDocument,
}

impl Default for ServerDocument {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            workers: None,
            max_concurrency: 1024,
            limits: RequestLimitsDocument::default(),
            drain_grace: Period::seconds(2),
            drain_timeout: Period::seconds(30),
            heartbeat: Period::seconds(15),
            outbound: OutboundDocument::PerWorker,
        }
    }
}

/// Where outbound calls run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutboundDocument {
    /// One client per worker thread.
    PerWorker,
    /// One client for all.
    Shared,
}

/// What a request may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RequestLimitsDocument {
    /// Size of the body.
    pub body: ByteSize,
    /// Silence while the body arrives.
    pub body_idle: Period,
    /// Number of messages.
    #[schemars(range(min = 1))]
    pub messages: usize,
    /// Choices asked for ("n").
    #[schemars(range(min = 1))]
    pub choices: u32,
    /// Nesting of the JSON body.
    #[schemars(range(min = 4, max = 127))]
    pub depth: usize,
    /// Size of all headers.
    pub headers: ByteSize,
}

impl Default for RequestLimitsDocument {
    fn default() -> Self {
        Self {
            body: ByteSize::mebibytes(16),
            body_idle: Period::seconds(15),
            messages: 2048,
            choices: 16,
            depth: 64,
            headers: ByteSize(32 << 10),
        }
    }
}

/// The listener for metrics, readiness and administration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminDocument {
    /// Address and port; port 0 picks a free one.
    pub listen: String,
    /// Bearer token of the admin API, as ${NAME} or file:/path; needed off loopback.
    pub token: Option<String>,
}

impl Default for AdminDocument {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8081".to_owned(), token: None }
    }
}

/// API keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KeysDocument {
    /// Whether requests need a key.
    pub required: KeysRequired,
    /// The file of hashed keys; without it keys.json in the data directory.
    pub file: Option<PathBuf>,
}

/// Whether requests need a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeysRequired {
    /// Only when the server can be reached from other machines.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never; only on loopback.
    Never,
}
