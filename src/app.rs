//! The composition root: the one room that names concrete types, and the order in which they start and stop.
//!
//! ```text
//! start   keys -> ledger -> router model -> models (load in the background) -> policies -> gateway -> cached answers -> listeners
//! stop    signal -> draining (readiness 503, new requests still served) -> no new connections -> ending (streams that still
//!         run get an error event) -> listeners closed -> cached answers written -> ledger flushed
//! ```
//!
//! A second part of the program uses the same root without listeners: `pointsman route` composes a gateway whose models count
//! as ready and are never called.

mod error;
mod gauges;
mod keeping;
mod lifecycle;
mod local;
mod models;
mod offline;
mod parts;
mod router_model;

use std::sync::Arc;

pub use self::{
    error::AppError,
    lifecycle::{Started, block_on, serve},
};
use crate::{
    accounting::Ledger,
    admission::KeyStore,
    backends::http::Http,
    cache::CacheStore,
    config::Config,
    domain::Availability,
    execute::{Executor, Models},
    gateway::{Gateway, Meanings, Parts},
    policy::Policies,
    runtime::{SharedClock, Stop, SystemClock, Tasks},
    scoring::Live,
    telemetry::Telemetry,
};

/// Everything that runs, put together.
pub struct App {
    config: Config,
    gateway: Arc<Gateway>,
    keys: Arc<KeyStore>,
    policies: Arc<Policies>,
    telemetry: Arc<Telemetry>,
    ledger: Option<Arc<Ledger>>,
    models: Arc<Models>,
    scorer: Option<Arc<Live>>,
    cache: Arc<dyn CacheStore>,
    meanings: Arc<Meanings>,
    clock: SharedClock,
    stop: Stop,
    tasks: Tasks,
    // Dropped last: connections live on it.
    _outbound: parts::OutboundRuntime,
}

/// Whether models are really reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Models load and are called, requests are booked.
    Live,
    /// Decisions are explained; nothing is called and nothing is booked.
    Explaining,
}

impl App {
    /// Puts everything together; local models begin to load.
    ///
    /// # Errors
    /// Something that the configuration asks for cannot be had.
    pub fn compose(config: Config, mode: Mode) -> Result<Self, AppError> {
        let clock: SharedClock = Arc::new(SystemClock::default());
        let (stop, tasks) = (Stop::default(), Tasks::default());
        let telemetry = Arc::new(Telemetry::new(&config)?);
        let keys = Arc::new(KeyStore::open(config.keys.file.clone(), config.keys.required, Arc::clone(&clock))?);
        let ledger = parts::ledger(&config, mode, &clock, &telemetry)?;
        let scorer = parts::scorer(&config, &telemetry)?;
        let outbound = parts::outbound(&config)?;
        let http = match outbound.handle() {
            Some(handle) => Http::shared(handle.clone(), tasks.clone()),
            None => Http::per_worker(),
        };
        let is_live = mode == Mode::Live;
        let ground = models::Ground { config: &config, http: &http, clock: &clock, scorer: scorer.as_ref(), is_live };
        let models = Arc::new(ground.models()?);
        let policies = Arc::new(parts::policies(&config, &clock, &telemetry)?);
        let cache = parts::cache(&config, &clock);
        let meanings = Arc::new(Meanings::new(config.cache.semantic_bytes, Arc::clone(&clock)));
        let gateway = Gateway::new(Parts {
            policies: Arc::clone(&policies),
            models: Arc::clone(&models),
            executor: Arc::new(Executor::new(Arc::clone(&models), config.resilience.clone())),
            scorer: scorer.clone(),
            cache: Arc::clone(&cache),
            meanings: Arc::clone(&meanings),
            admission: Arc::new(parts::admission(&config, &clock, &stop, ledger.as_deref())?),
            books: Arc::new(parts::books(&config, (&clock, &stop), &telemetry, ledger.as_ref())),
            tasks: tasks.clone(),
            experience: Arc::new(parts::experience(ledger.as_deref())?),
            ledger: ledger.clone(),
            telemetry: Arc::clone(&telemetry),
            checks: vec![parts::ledger_check(ledger.clone())],
            stop: stop.clone(),
            settings: parts::gateway_settings(&config),
        });
        Ok(Self {
            config,
            gateway,
            keys,
            policies,
            telemetry,
            ledger,
            models,
            scorer,
            cache,
            meanings,
            clock,
            stop,
            tasks,
            _outbound: outbound,
        })
    }

    /// Returns the gateway.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// Returns every model with whether it can be asked now.
    pub fn models(&self) -> impl Iterator<Item = (&str, Availability)> {
        self.models.iter().map(|model| (model.facts.name.as_str(), model.availability()))
    }

    /// Returns the models without credentials, with the environment variable that would wake each.
    pub fn asleep(&self) -> impl Iterator<Item = (&str, &str)> {
        self.config.asleep.iter().map(|(name, variable)| (name.as_str(), variable.as_str()))
    }

    /// Returns the router model and the engine that runs it, in words.
    pub fn router(&self) -> String {
        let checks = self.gateway.health().checks;
        checks.into_iter().find(|check| check.name == "router").map(|check| check.detail).unwrap_or_default()
    }

    /// Returns the policy behind `auto`, in words.
    pub fn policy(&self) -> String {
        let policies = self.policies.current();
        let name = &self.config.default_policy;
        let version = policies.policies.get(name).map_or(0, |policy| policy.version);
        let place = self.config.policies_dir.as_ref().map_or("embedded".to_owned(), |dir| dir.display().to_string());
        format!("{name}, version {version} ({place}; {} policies)", policies.policies.len())
    }

    /// Returns the names of the policies in use.
    pub fn policy_names(&self) -> Vec<String> {
        self.policies.current().policies.keys().map(ToString::to_string).collect()
    }

    /// Returns where the configuration was read from, in words.
    pub fn source(&self) -> String {
        self.config.source.as_ref().map_or("embedded defaults".to_owned(), |path| path.display().to_string())
    }

    /// Returns whether requests need no key.
    pub fn is_open(&self) -> bool {
        !self.config.keys.required
    }
}

/// Prepares the process before anything else runs: one TLS provider for every client, because two are linked.
pub fn prepare_process() {
    // An error means that it is installed already.
    rustls::crypto::ring::default_provider().install_default().ok();
}
