//! How it runs: router model, caches, records, logs, retries.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::quantity::{ByteSize, Period};

/// The router model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouterDocument {
    /// Whether prompts are scored; without scores every policy follows its default.
    pub enabled: bool,
    /// The artifact's folder, relative to this file; without it the embedded one.
    pub path: Option<PathBuf>,
    /// Which engine runs it.
    pub engine: EngineDocument,
    /// Longest time for scoring one prompt.
    pub deadline: Period,
    /// ONNX Runtime's shared library; without it the data directory and the system's places are searched.
    pub onnxruntime: Option<PathBuf>,
    /// Folder of the profiles that `pointsman profile` wrote; without it profiles in the data directory.
    pub profiles: Option<PathBuf>,
}

impl Default for RouterDocument {
    fn default() -> Self {
        Self {
            enabled: true,
            path: None,
            engine: EngineDocument::Auto,
            deadline: Period::millis(50),
            onnxruntime: None,
            profiles: None,
        }
    }
}

/// Which engine runs the router model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EngineDocument {
    /// ONNX Runtime if its library is found, else RTen.
    Auto,
    /// ONNX Runtime or no start.
    Onnxruntime,
    /// RTen.
    Rten,
}

/// Caches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CacheDocument {
    /// Memory of the exact cache; 0B turns it off.
    pub exact: ByteSize,
    /// Memory of the semantic cache, which serves policies that ask for it.
    pub semantic: ByteSize,
    /// Largest single answer that is kept.
    pub entry: ByteSize,
    /// A file that keeps the answers over a restart; it is written beside the requests, readable by its owner only, and holds what
    /// was answered. Without it a restart forgets them.
    pub persist: Option<PathBuf>,
}

impl Default for CacheDocument {
    fn default() -> Self {
        Self {
            exact: ByteSize::mebibytes(256),
            semantic: ByteSize::mebibytes(64),
            entry: ByteSize::mebibytes(1),
            persist: None,
        }
    }
}

/// Records, budgets and savings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccountingDocument {
    /// Whether records are written to disk.
    pub enabled: bool,
    /// The SQLite file; without it ledger.sqlite in the data directory.
    pub ledger: Option<PathBuf>,
    /// Records waiting to be written.
    #[schemars(range(min = 1))]
    pub queue: usize,
    /// How long records are kept.
    pub retention: Period,
    /// The model that savings are counted against.
    pub baseline: Option<String>,
}

impl Default for AccountingDocument {
    fn default() -> Self {
        Self { enabled: true, ledger: None, queue: 8192, retention: Period::seconds(90 * 86_400), baseline: None }
    }
}

/// Prompts and grades, kept for training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RecordingDocument {
    /// Whether prompts are kept beside their records, and corrected answers and comments beside their grades.
    pub enabled: bool,
    /// How long they are kept; a prompt is of no use longer than its record is kept.
    pub retention: Period,
    /// Most prompts that are kept; beyond that the oldest go.
    pub max_rows: u64,
    /// Tenants of whom nothing is kept.
    pub except: Vec<String>,
}

impl Default for RecordingDocument {
    fn default() -> Self {
        Self { enabled: false, retention: Period::seconds(30 * 86_400), max_rows: 100_000, except: Vec::new() }
    }
}

/// Our own story and others' troubles: what mistral.rs and actix tell of themselves at every start is left out.
const DEFAULT_LOG: &str = "info,mistralrs_core=error,mistralrs_quant=error,actix_server=warn";

/// Logs and traces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryDocument {
    /// What is logged, for instance "info,pointsman=debug".
    pub log: String,
    /// How log lines look.
    pub format: LogFormatDocument,
    /// Endpoint for traces over OTLP; needs a program built with the feature "otel".
    pub otlp: Option<String>,
}

impl Default for TelemetryDocument {
    fn default() -> Self {
        Self { log: DEFAULT_LOG.to_owned(), format: LogFormatDocument::Text, otlp: None }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormatDocument {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Retries and breakers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResilienceDocument {
    /// Attempts of one leg, the first included.
    #[schemars(range(min = 1, max = 10))]
    pub attempts: u32,
    /// First pause between attempts; doubles each time, with jitter.
    pub backoff: Period,
    /// Longest pause, also for a provider's Retry-After.
    pub backoff_max: Period,
    /// Retries as a share of requests over ten seconds.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub retry_budget: f64,
    /// Failures in a row that open a model's breaker.
    #[schemars(range(min = 1))]
    pub breaker_failures: u32,
    /// How long an open breaker waits before it lets one request try.
    pub breaker_pause: Period,
}

impl Default for ResilienceDocument {
    fn default() -> Self {
        Self {
            attempts: 3,
            backoff: Period::millis(200),
            backoff_max: Period::seconds(5),
            retry_budget: 0.2,
            breaker_failures: 5,
            breaker_pause: Period::seconds(10),
        }
    }
}
