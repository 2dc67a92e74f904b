//! The parts that need more than one line to build.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use tokio::runtime::{Handle, Runtime};

use super::{AppError, Mode, models};
use crate::{
    accounting::{Bookkeeping, Ledger, LedgerOptions, OpenRecords, RecordSink},
    admission::Admission,
    cache::{CacheStore, MemoryCache, NoCache},
    config::{Config, Outbound},
    domain::{ModelFacts, ModelName},
    feedback::Experience,
    gateway::{Check, CheckUp, Names, Origins, Settings},
    policy::Policies,
    runtime::{SharedClock, Stop},
    scoring::{Live, LoadError, Scorer},
    telemetry::Telemetry,
};

/// Time for a whole request when neither policy nor model says less: ten minutes, the OpenAI SDKs' own default.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(600);

/// Grades that are read at the start: as many as four policies remember.
const GRADES: u32 = 16_384;

pub(super) fn ledger(
    config: &Config,
    mode: Mode,
    clock: &SharedClock,
    telemetry: &Arc<Telemetry>,
) -> Result<Option<Arc<Ledger>>, AppError> {
    let (Some(path), Mode::Live) = (&config.accounting.ledger, mode) else { return Ok(None) };
    let telemetry = Arc::clone(telemetry);
    let options = LedgerOptions {
        path: path.clone(),
        queue: config.accounting.queue,
        retention: config.accounting.retention,
        text_retention: config.recording.retention,
        most_prompts: config.recording.max_rows,
        clock: Arc::clone(clock),
        on_lost: Box::new(move |records| (0..records).for_each(|_| telemetry.ledger_dropped())),
    };
    Ok(Some(Arc::new(Ledger::open(options)?)))
}

/// Returns what the grades that the ledger still holds have taught.
pub(super) fn experience(ledger: Option<&Ledger>) -> Result<Experience, AppError> {
    let experience = Experience::default();
    if let Some(ledger) = ledger {
        ledger.reader()?.grades(GRADES)?.iter().for_each(|graded| experience.learn(graded));
    }
    Ok(experience)
}

/// Returns the ledger's line in `/readyz`. Requests are answered without it too, so it is not required.
pub(super) fn ledger_check(ledger: Option<Arc<Ledger>>) -> CheckUp {
    Box::new(move || {
        let Some(ledger) = &ledger else {
            return Check::fine("ledger", "off: requests are not recorded".to_owned());
        };
        let (waiting, lost) = (ledger.waiting(), ledger.lost());
        let detail = format!("{waiting} records wait to be written, {lost} lost since the start");
        if ledger.is_failing() {
            return Check { ok: false, ..Check::fine("ledger", format!("it cannot be written; {detail}")) };
        }
        Check::fine("ledger", detail)
    })
}

/// Loads the router model; it says in the log and in the metrics what runs, now and after every change.
pub(super) fn scorer(config: &Config, telemetry: &Arc<Telemetry>) -> Result<Option<Arc<Live>>, AppError> {
    let Some(settings) = &config.router else {
        tracing::info!("no router model: policies use their default plans");
        telemetry.set_router(None);
        return Ok(None);
    };
    let telemetry = Arc::clone(telemetry);
    let tell = Box::new(move |scorer: &dyn Scorer, fault: Option<&LoadError>| tell_router(scorer, fault, &telemetry));
    Ok(Some(Live::load(settings, &config.data_dir, config.server.workers, tell)?))
}

fn tell_router(scorer: &dyn Scorer, fault: Option<&LoadError>, telemetry: &Telemetry) {
    let (engine, artifact, checksum) = (scorer.engine().name(), scorer.artifact(), scorer.checksum());
    telemetry.set_router(Some((engine, artifact, checksum)));
    if let Some(error) = fault {
        telemetry.reload_failed();
        tracing::error!(
            error = error as &dyn std::error::Error,
            router.artifact = artifact,
            "router {artifact} stays in use: {error}"
        );
        return;
    }
    tracing::info!(
        router.engine = engine,
        router.artifact = artifact,
        router.checksum = checksum,
        "router {artifact} runs on {engine}"
    );
}

/// The runtime on which outbound calls live, where they do not live on the workers. Dropping it waits for nothing: a runtime
/// that waits must not be dropped on another one's thread.
pub(super) struct OutboundRuntime(Option<Runtime>);

impl OutboundRuntime {
    /// Returns where to spawn; `None` means on the workers.
    pub(super) fn handle(&self) -> Option<&Handle> {
        self.0.as_ref().map(Runtime::handle)
    }
}

impl Drop for OutboundRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Starts the runtime for outbound calls, where the configuration asks for one.
pub(super) fn outbound(config: &Config) -> Result<OutboundRuntime, AppError> {
    if config.server.outbound == Outbound::PerWorker {
        return Ok(OutboundRuntime(None));
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(config.server.workers).thread_name("outbound").enable_all().build();
    runtime.map(|runtime| OutboundRuntime(Some(runtime))).map_err(AppError::Server)
}

pub(super) fn cache(config: &Config, clock: &SharedClock) -> Arc<dyn CacheStore> {
    if config.cache.exact_bytes == 0 {
        return Arc::new(NoCache);
    }
    Arc::new(MemoryCache::new(config.cache.exact_bytes, config.cache.entry_bytes, Arc::clone(clock)))
}

pub(super) fn policies(config: &Config, clock: &SharedClock, telemetry: &Arc<Telemetry>) -> Result<Policies, AppError> {
    let told = Arc::clone(telemetry);
    let policies = Policies::of(config, Arc::clone(clock), Box::new(move |_faults| told.reload_failed()))?;
    telemetry.set_policies(policies.current().policies.keys().cloned());
    Ok(policies)
}

/// Returns an admission that knows what every key has spent this month.
pub(super) fn admission(
    config: &Config,
    clock: &SharedClock,
    stop: &Stop,
    ledger: Option<&Ledger>,
) -> Result<Admission, AppError> {
    let most = NonZeroUsize::new(config.server.max_concurrency).unwrap_or(NonZeroUsize::MIN);
    let admission = Admission::new(Arc::clone(clock), stop.clone(), most);
    if let Some(ledger) = ledger {
        admission.load(ledger.reader()?.spending_since(first_of_month(clock.now()))?);
    }
    Ok(admission)
}

fn first_of_month(now: Timestamp) -> jiff::civil::Date {
    now.to_zoned(TimeZone::UTC).date().first_of_month()
}

pub(super) fn books(
    config: &Config,
    (clock, stop): (&SharedClock, &Stop),
    telemetry: &Arc<Telemetry>,
    ledger: Option<&Arc<Ledger>>,
) -> Bookkeeping {
    let mut sinks: Vec<Arc<dyn RecordSink>> = vec![Arc::clone(telemetry) as Arc<dyn RecordSink>];
    if let Some(ledger) = ledger {
        sinks.push(Arc::clone(ledger) as Arc<dyn RecordSink>);
    }
    let baseline = config.accounting.baseline.as_ref().and_then(|name| facts(config, name));
    Bookkeeping { clock: Arc::clone(clock), stop: stop.clone(), baseline, sinks, open: OpenRecords::default() }
}

fn facts(config: &Config, name: &ModelName) -> Option<Arc<ModelFacts>> {
    config.models.iter().find(|model| model.facts.name == *name).map(|model| Arc::clone(&model.facts))
}

pub(super) fn gateway_settings(config: &Config) -> Settings {
    Settings {
        names: Names {
            aliases: config.aliases.clone(),
            catch_all: config.catch_all.clone(),
            default_policy: config.default_policy.clone(),
            asleep: config.asleep.iter().cloned().collect(),
        },
        owners: config.models.iter().map(|model| (model.facts.name.clone(), models::owner(model))).collect(),
        score_deadline: config.router.as_ref().map_or(Duration::ZERO, |router| router.deadline),
        request_timeout: REQUEST_TIMEOUT,
        head_wait: config.server.heartbeat,
        recording: config.recording.clone(),
        origins: Origins::new(config.models.iter().map(|model| (model.facts.name.clone(), model.origin()))),
        cache_entry_bytes: config.cache.entry_bytes,
    }
}
