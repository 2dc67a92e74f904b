//! Language models inside this process, run by mistral.rs. The only place that names it.
//!
//! ```text
//! load        a plain thread fetches, converts, reads and warms up; `status` tells how far it is
//! queue       a turn: one sequence at a time, a bounded line before it, refused when full or late
//! engine      a sequence starts in the engine's own thread
//! hook        called there for every token: has `drawing` draw it, gives the turn back at the end
//! answer      reads what the hook says, on whatever runtime the caller is; parts become chunks or a whole reply
//! ```
//!
//! # What mistral.rs 0.8.1 does wrong, and what stands against it
//!
//! - On a CPU a decode batch of more than one mixes its sequences up: a `queue::Turn` is held by the sequence itself and given
//!   back only when its end token is forced.
//! - Without paged attention its prefix cache answers with another prompt's cache: it is off.
//! - A slow reader of its stream stops the engine, a dropped reader of a whole reply kills it: every answer is streamed, into a
//!   channel with room for all of it.
//! - A dead engine closes its channels without a word: asking again starts it anew, and a request that got nothing is sent again.
//! - A spinning engine cannot be killed: silence marks the model as failed until it is heard again.
//! - It has no seed, no natural log-probabilities, no stop strings over several tokens: the hook has.
//! - A path that does not exist is looked up on a hub: paths are checked first.
//!
//! Dropping an answer costs one more token. JSON schemas, also those of tools that must be called, are kept token by token.

mod answer;
mod convert;
mod drawing;
mod engine;
mod hook;
mod load;
mod neighbours;
mod queue;
mod reply;
mod sampler;
mod speculating;
mod speculation;
mod status;
mod survey;
mod text;
mod tools;
mod vocabulary;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tiny;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Once, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

pub use load::WeightPlace;
pub use neighbours::Neighbours;
pub use status::{LocalStatus, Phase};
pub use survey::{Surveyed, survey};

use self::{
    answer::{Answer, Shared},
    engine::Engine,
    queue::{Queue, Refused, Turn},
    reply::Head,
    speculating::Help,
    speculation::Speculator,
    status::{Health, Report},
    tools::Tooling,
};
use super::Backend;
use crate::{
    config::LocalSettings,
    domain::{Availability, BackendError, ModelCall, ModelName, Reply, Speculation},
    error::Code,
    runtime::SharedClock,
};

/// A model inside this process.
pub struct Local {
    inner: Arc<Inner>,
}

struct Inner {
    name: ModelName,
    settings: LocalSettings,
    place: WeightPlace,
    clock: SharedClock,
    report: Report,
    shared: Shared,
    engine: OnceLock<Arc<Engine>>,
    speculator: OnceLock<Arc<Speculator>>,
    no_speculation: OnceLock<String>,
    /// Speculation with drafts that policies name.
    pairs: Mutex<BTreeMap<ModelName, Arc<Speculator>>>,
    neighbours: OnceLock<Neighbours>,
    is_started: AtomicBool,
}

impl Local {
    /// Returns the model; it loads in the background, now or at its first request as `settings.preload` says.
    pub fn start(name: ModelName, settings: LocalSettings, place: WeightPlace, clock: SharedClock) -> Arc<Self> {
        let queue = Arc::new(Queue::new(settings.queue, settings.queue_timeout));
        let inner = Arc::new(Inner {
            name,
            place,
            clock,
            report: Report::default(),
            shared: Shared { queue, health: Arc::new(Health::default()) },
            engine: OnceLock::new(),
            speculator: OnceLock::new(),
            no_speculation: OnceLock::new(),
            pairs: Mutex::default(),
            neighbours: OnceLock::new(),
            is_started: AtomicBool::new(false),
            settings,
        });
        if inner.settings.preload {
            inner.start_loading();
        }
        Arc::new(Self { inner })
    }

    /// Makes the model known to others, and them to it.
    pub fn join(self: &Arc<Self>, neighbours: &Neighbours) {
        neighbours.enter(self.inner.name.clone(), self);
        drop(self.inner.neighbours.set(neighbours.clone()));
    }

    /// Returns how far the model is and how it fares.
    pub fn status(&self) -> LocalStatus {
        let status = self.inner.report.status(self.inner.shared.queue.waiting(), &self.inner.shared.health);
        LocalStatus { speculation: self.inner.speculation(), ..status }
    }

    /// Waits until the model answers or has failed to load.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn settled(&self) {
        self.inner.report.settled().await;
    }
}

#[async_trait]
impl Backend for Local {
    async fn chat(&self, call: ModelCall) -> Result<Reply, BackendError> {
        self.inner.check(&call)?;
        let engine = self.inner.engine(&call).await?;
        let help = self.inner.help(&call);
        let own = async || self.inner.turn(&call).await;
        let seats = Help::seats(help.as_ref(), own, call.context.deadline).await?;
        let head = self.inner.head(&call);
        let is_streaming = call.is_streaming;
        let answer = Box::pin(Answer::begin(engine, call, self.inner.shared.clone(), (seats, help), head)).await?;
        if is_streaming {
            return Ok(Reply::Stream(answer.into_stream()));
        }
        Box::pin(answer.into_whole()).await.map(Reply::Whole)
    }

    fn availability(&self) -> Availability {
        // An engine that died in silence gave the turn back, and is started again by the next request.
        if self.inner.shared.health.is_silent() && !self.inner.shared.queue.is_idle() {
            return Availability::Failed { reason: "its engine makes no tokens".to_owned() };
        }
        self.inner.report.availability()
    }

    fn waiting(&self) -> Option<usize> {
        Some(self.inner.shared.queue.waiting())
    }

    fn speculation(&self) -> Option<Speculation> {
        self.inner.speculation()
    }
}

impl Inner {
    fn start_loading(self: &Arc<Self>) {
        if self.is_started.swap(true, Ordering::AcqRel) {
            return;
        }
        self.report.enter(Phase::Loading);
        let inner = Arc::clone(self);
        let spawned = thread::Builder::new().name("model-loader".to_owned()).spawn(move || inner.load());
        if let Err(error) = spawned {
            self.report.fail(format!("no thread to load it: {error}"));
        }
    }

    fn load(&self) {
        leave_a_core_free();
        let begun = self.clock.elapsed();
        let loaded = load::load(&self.settings, &self.place, &self.report);
        match loaded {
            Ok(engine) => {
                let took = self.clock.elapsed().saturating_sub(begun);
                self.start_speculating(&engine);
                drop(self.engine.set(Arc::new(engine)));
                self.report.ready(took);
                tracing::info!(model = %self.name, load.seconds = took.as_secs_f64(), "the local model is ready");
            }
            Err(error) => {
                tracing::error!(model = %self.name, %error, "the local model did not load");
                self.report.fail(error.to_string());
            }
        }
    }

    fn check(&self, call: &ModelCall) -> Result<(), BackendError> {
        let refused = |param: &str, what: &str| {
            let message =
                format!("Model {} does not take {what}; leave `{param}` out or choose another model.", self.name);
            let error = BackendError::new(Code::Unsupported, message, format!("{} takes no {what}", self.name));
            Err(BackendError { param: Some(param.to_owned()), ..error })
        };
        Tooling::read(&call.chat).map_err(answer::refused)?;
        if call.chat.messages.iter().any(|message| !message.parts.is_empty()) {
            return refused("messages", "anything but text");
        }
        if Instant::now() >= call.context.deadline {
            return Err(self.too_late());
        }
        Ok(())
    }

    /// Returns the engine; a model that sleeps is woken and waited for.
    async fn engine(self: &Arc<Self>, call: &ModelCall) -> Result<Arc<Engine>, BackendError> {
        if self.report.phase() == Phase::Asleep {
            self.start_loading();
            let limit = call.context.deadline.min(Instant::now() + call.context.timeouts.first_token);
            // Whether it settled in time shows in what is asked next.
            drop(timeout_at(limit, self.report.settled()).await);
        }
        if let Some(engine) = self.engine.get() {
            return Ok(Arc::clone(engine));
        }
        Err(match self.report.availability() {
            Availability::Failed { reason } => {
                let message = format!("Model {} could not be loaded.", self.name);
                BackendError::new(Code::UpstreamFailed, message, format!("{} is not loaded: {reason}", self.name))
            }
            Availability::Ready | Availability::Loading { .. } | Availability::BreakerOpen => {
                let message = format!("Model {} is still loading; try again soon.", self.name);
                let error = BackendError::new(Code::ModelLoading, message, format!("{} is loading", self.name));
                BackendError { retry_after: Some(std::time::Duration::from_secs(2)), ..error }
            }
        })
    }

    async fn turn(&self, call: &ModelCall) -> Result<Turn, BackendError> {
        let refused = match self.shared.queue.enter(call.context.deadline).await {
            Ok(turn) => return Ok(turn),
            Err(refused) => refused,
        };
        let detail = match refused {
            Refused::Full => "the queue is full",
            Refused::Late => "no turn came in time",
        };
        if Instant::now() >= call.context.deadline {
            return Err(self.too_late());
        }
        let message = format!("Model {} is busy; try again soon.", self.name);
        let error = BackendError::new(Code::Overloaded, message, format!("{}: {detail}", self.name));
        Err(BackendError { retry_after: Some(self.shared.queue.retry_after()), ..error })
    }

    fn too_late(&self) -> BackendError {
        let message = format!("Model {} had no time left before the request's deadline.", self.name);
        BackendError::new(Code::DeadlineExceeded, message, format!("{} ran into the deadline", self.name))
    }

    fn head(&self, call: &ModelCall) -> Head {
        Head {
            id: format!("chatcmpl-{}", Uuid::now_v7().simple()),
            created: self.clock.now().as_second(),
            model: self.name.to_string(),
            wants_usage: call.chat.wants_usage,
        }
    }
}

/// Matrix products run on rayon's pool; with every core in it, requests would wait for the network threads.
fn leave_a_core_free() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(cores.saturating_sub(1).max(1));
        if let Err(error) = pool.build_global() {
            tracing::debug!(%error, "the thread pool for matrix products was already set up");
        }
    });
}
