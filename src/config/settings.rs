//! The compiled configuration: every reference resolved, every number in range.

mod local;
mod together;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use secrecy::SecretString;

pub use self::local::{DeviceChoice, Draft, LocalSettings, SpeculateSettings, WeightSource};
pub use self::together::TogetherSettings;
use crate::domain::{ModelFacts, ModelName, PolicyName, ProviderName, TenantId, Timeouts};

/// Everything the program is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The public listener.
    pub server: ServerSettings,
    /// The listener for metrics, readiness and administration.
    pub admin: AdminSettings,
    /// API keys.
    pub keys: KeySettings,
    /// Every model, in the order of the file; providers without credentials are left out and listed in `asleep`.
    pub models: Vec<ModelSettings>,
    /// Models whose provider has no credentials, with the environment variable that would wake them.
    pub asleep: Vec<(ModelName, String)>,
    /// Other names for models and policies (`auto`, `auto:<policy>`); no target is an alias itself.
    pub aliases: BTreeMap<String, String>,
    /// Files of fitted committees by name.
    pub agreements: BTreeMap<String, PathBuf>,
    /// What any unknown model name means; `None` refuses it.
    pub catch_all: Option<String>,
    /// The policy behind `auto`.
    pub default_policy: PolicyName,
    /// Where policies are kept; `None` means the embedded ones, kept in memory.
    pub policies_dir: Option<PathBuf>,
    /// The router model; `None` routes without scores.
    pub router: Option<RouterSettings>,
    /// Caches.
    pub cache: CacheSettings,
    /// Records, budgets and prices.
    pub accounting: AccountingSettings,
    /// Prompts and grades, kept for training.
    pub recording: RecordingSettings,
    /// Logs, metrics, traces.
    pub telemetry: TelemetrySettings,
    /// Retries and breakers.
    pub resilience: ResilienceSettings,
    /// Where models, runtimes and the ledger are kept.
    pub data_dir: PathBuf,
    /// The file it was read from; `None` means the embedded defaults.
    pub source: Option<PathBuf>,
}

/// The public listener.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Address and port; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Worker threads.
    pub workers: usize,
    /// What a request may be.
    pub limits: RequestLimits,
    /// After the stop signal, how long new requests are still accepted.
    pub drain_grace: Duration,
    /// After the grace time, how long running requests may go on.
    pub drain_timeout: Duration,
    /// Silence on a stream after which an SSE comment is sent.
    pub heartbeat: Duration,
    /// Requests in flight at once.
    pub max_concurrency: usize,
    /// Where outbound calls run.
    pub outbound: Outbound,
}

/// Where outbound calls run. A pooled connection belongs to the runtime that opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// One client per worker thread.
    PerWorker,
    /// One client on one shared runtime.
    Shared,
}

/// What a request may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Bytes of the body.
    pub body_bytes: usize,
    /// Silence while the body arrives.
    pub body_idle: Duration,
    /// Number of messages.
    pub messages: usize,
    /// `n`.
    pub choices: u32,
    /// Nesting of the JSON body.
    pub depth: usize,
    /// Bytes of all headers.
    pub header_bytes: usize,
}

/// The listener for metrics, readiness and administration.
#[derive(Clone, Debug)]
pub struct AdminSettings {
    /// Address and port; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The bearer token of the admin API; needed off loopback.
    pub token: Option<SecretString>,
}

/// API keys.
#[derive(Clone, Debug)]
pub struct KeySettings {
    /// The file of hashed keys.
    pub file: PathBuf,
    /// Whether requests need a key; without keys the server only binds to loopback.
    pub required: bool,
}

/// A model and how it is reached.
#[derive(Clone, Debug)]
pub struct ModelSettings {
    /// What routing knows of it.
    pub facts: Arc<ModelFacts>,
    /// How it is reached.
    pub source: ModelSource,
    /// How long each phase of an attempt may take.
    pub timeouts: Timeouts,
    /// Calls in flight at once; `None` means no limit.
    pub max_concurrency: Option<u32>,
}

/// How a model is reached.
#[derive(Clone, Debug)]
pub enum ModelSource {
    /// An OpenAI-compatible server.
    OpenAi(RemoteSettings),
    /// Anthropic's own wire.
    Anthropic(RemoteSettings),
    /// In this process, by mistral.rs.
    Local(Box<LocalSettings>),
    /// Several local models that decode together.
    Together(TogetherSettings),
    /// The router's own embedding.
    Router,
    /// Made-up answers, for tests and the demo.
    Scripted(ScriptedSettings),
}

/// A remote provider's model.
#[derive(Clone, Debug)]
pub struct RemoteSettings {
    /// The provider's name in the configuration.
    pub provider: ProviderName,
    /// Base URL, for instance `https://api.openai.com/v1`, without a slash at the end.
    pub base_url: String,
    /// The credential; `None` for servers that need none.
    pub api_key: Option<SecretString>,
    /// Further headers to send.
    pub headers: Vec<(String, SecretString)>,
    /// What the provider calls the model.
    pub upstream_model: Arc<str>,
}

/// A made-up model.
#[derive(Clone, Debug)]
pub struct ScriptedSettings {
    /// What it answers; `{prompt}` stands for the last user turn.
    pub answer: String,
    /// Time to the first token.
    pub first_token: Duration,
    /// Time per token after that.
    pub per_token: Duration,
}

/// The router model.
#[derive(Clone, Debug)]
pub struct RouterSettings {
    /// The artifact's folder; `None` means the embedded one.
    pub path: Option<PathBuf>,
    /// Which engine to use.
    pub engine: EngineChoice,
    /// Longest time for scoring one prompt.
    pub deadline: Duration,
    /// ONNX Runtime's shared library; `None` looks in the data directory and in the system's places.
    pub onnxruntime: Option<PathBuf>,
    /// Where profiles that were fitted here are kept, beside those of the artifact.
    pub profiles: PathBuf,
}

/// Which engine runs the router model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineChoice {
    /// ONNX Runtime if its library is found, else RTen.
    Auto,
    /// ONNX Runtime or no start.
    OnnxRuntime,
    /// RTen.
    Rten,
}

/// Caches.
#[derive(Clone, Debug)]
pub struct CacheSettings {
    /// Bytes that the exact cache may hold; 0 turns it off.
    pub exact_bytes: u64,
    /// Bytes that the semantic cache may hold.
    pub semantic_bytes: usize,
    /// Largest single answer.
    pub entry_bytes: usize,
    /// The file that keeps answers over a restart.
    pub persist: Option<PathBuf>,
}

/// Records, budgets and prices.
#[derive(Clone, Debug)]
pub struct AccountingSettings {
    /// The SQLite file; `None` keeps no ledger.
    pub ledger: Option<PathBuf>,
    /// Records waiting to be written.
    pub queue: usize,
    /// How long records are kept.
    pub retention: Duration,
    /// The model that savings are counted against.
    pub baseline: Option<ModelName>,
}

/// Prompts and grades, kept for training.
#[derive(Clone, Debug)]
pub struct RecordingSettings {
    /// Whether callers' words are kept at all.
    pub is_enabled: bool,
    /// How long.
    pub retention: Duration,
    /// Most prompts.
    pub max_rows: u64,
    /// Tenants of whom nothing is kept.
    pub except: BTreeSet<TenantId>,
}

impl RecordingSettings {
    /// Returns whether words of this tenant's callers are kept.
    pub fn keeps(&self, tenant: &TenantId) -> bool {
        self.is_enabled && !self.except.contains(tenant)
    }
}

/// Logs, metrics, traces.
#[derive(Clone, Debug)]
pub struct TelemetrySettings {
    /// A `tracing` filter, for instance `info,pointsman=debug`.
    pub log: String,
    /// How log lines look.
    pub format: LogFormat,
    /// OTLP endpoint; needs the feature `otel`.
    pub otlp: Option<String>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Retries and breakers.
#[derive(Clone, Debug)]
pub struct ResilienceSettings {
    /// Attempts of one leg, the first included.
    pub attempts: u32,
    /// First pause between attempts; doubles each time, with jitter.
    pub backoff: Duration,
    /// Longest pause, also for a provider's `Retry-After`.
    pub backoff_max: Duration,
    /// Retries as a share of requests over the last ten seconds, so that retries never multiply an outage.
    pub retry_budget: f64,
    /// Failures in a row that open a model's breaker.
    pub breaker_failures: u32,
    /// How long an open breaker waits before it lets one request try.
    pub breaker_pause: Duration,
}
