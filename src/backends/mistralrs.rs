//! Language models inside this process, run by mistral.rs. The only place that names it.
//!
//! ```text
//! keeping     loads on a plain thread, unloads what is idle, watches for stalls and deaths; `status` tells how far it is
//! memory      whether there is room, before anything is read
//! queue       a turn: one sequence at a time for each engine, a bounded line before it, fair between keys
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
//!   Five deaths in ten minutes take the model out until an administrator lets it try again.
//! - A spinning engine cannot be killed: silence at work marks the model as failed until it is heard again.
//! - It has no seed, no natural log-probabilities, no stop strings over several tokens: the hook has.
//! - A path that does not exist is looked up on a hub: paths are checked first.
//!
//! Dropping an answer costs one more token. JSON schemas, also those of tools that must be called, are kept token by token.

mod answer;
mod convert;
mod drawing;
mod engine;
mod health;
mod helping;
mod hook;
mod keeping;
mod load;
mod loaded;
mod memory;
mod neighbours;
mod queue;
mod reply;
mod sampler;
mod speculating;
mod speculation;
mod status;
mod survey;
mod text;
mod together;
mod tools;
mod vocabulary;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) mod tiny;

use std::sync::{Arc, OnceLock, atomic::AtomicBool};

use async_trait::async_trait;
use parking_lot::RwLock;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

pub(super) use health::Health;
pub use load::WeightPlace;
pub(super) use memory::resident_bytes;
pub use neighbours::Neighbours;
pub use status::{LocalStatus, Phase};
pub use survey::{Surveyed, survey};
pub use together::Together;

use self::{
    answer::{Answer, Shared},
    helping::Help,
    loaded::Loaded,
    queue::{Caller, Queue, Refused, Turn},
    reply::Head,
    status::Report,
    tools::Tooling,
};
use super::Backend;
use crate::{
    config::LocalSettings,
    domain::{Availability, BackendError, EngineOrder, EngineRoom, ModelCall, ModelName, Priority, Reply, Speculation},
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
    /// `None` while it is not in memory. Who runs an answer holds it too.
    loaded: RwLock<Option<Arc<Loaded>>>,
    is_loading: AtomicBool,
    neighbours: OnceLock<Neighbours>,
}

impl Local {
    /// Returns the model; it loads in the background, now or at its first request as `settings.preload` says.
    pub fn start(name: ModelName, settings: LocalSettings, place: WeightPlace, clock: SharedClock) -> Arc<Self> {
        let queue = Arc::new(Queue::new(settings.replicas, settings.queue, settings.queue_timeout));
        let inner = Arc::new(Inner {
            name,
            place,
            clock,
            report: Report::default(),
            shared: Shared { queue, health: Arc::new(Health::default()) },
            loaded: RwLock::default(),
            is_loading: AtomicBool::new(false),
            neighbours: OnceLock::new(),
            settings,
        });
        keeping::watch(&inner);
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
        let status = self.inner.report.status(self.inner.room());
        LocalStatus { speculation: self.inner.speculation(), ..status }
    }

    /// Returns whether every engine has work and none makes a token.
    pub(super) fn is_stalled(&self) -> bool {
        self.inner.is_stalled()
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
        let loaded = self.inner.awake(&call).await?;
        let help = self.inner.proposing(&loaded, &call).map(Help::Proposals);
        let arrived = Instant::now();
        let own = async || self.inner.turn(&call).await;
        let seats = Help::seats(help.as_ref(), own, (&Caller::of(&call.context), call.context.deadline)).await?;
        call.context.waited.add(arrived.elapsed());
        let head = self.inner.head(&call);
        let is_streaming = call.is_streaming;
        let answer = Box::pin(Answer::begin(loaded, call, self.inner.shared.clone(), (seats, help), head)).await?;
        if is_streaming {
            return Ok(Reply::Stream(answer.into_stream()));
        }
        Box::pin(answer.into_whole()).await.map(Reply::Whole)
    }

    fn availability(&self) -> Availability {
        self.inner.availability()
    }

    fn engine_room(&self) -> Option<EngineRoom> {
        Some(self.inner.room())
    }

    fn expected_wait(&self, priority: Priority) -> std::time::Duration {
        self.inner.shared.queue.expected_wait(priority)
    }

    fn order(&self, order: EngineOrder) -> Result<(), BackendError> {
        match order {
            EngineOrder::Load => self.inner.load_again(),
            EngineOrder::Unload => self.inner.unload("an administrator said so"),
        }
        Ok(())
    }

    fn speculation(&self) -> Option<Speculation> {
        self.inner.speculation()
    }
}

impl Inner {
    fn availability(&self) -> Availability {
        let failed = |reason: &str| Availability::Failed { reason: reason.to_owned() };
        if self.shared.health.is_out() {
            return failed("its engine died five times in ten minutes; load it again to let it try");
        }
        if self.is_stalled() {
            return failed("its engine makes no tokens");
        }
        self.report.availability()
    }

    fn is_stalled(&self) -> bool {
        self.shared.queue.pulses().iter().all(|pulse| pulse.is_stalled())
    }

    fn room(&self) -> EngineRoom {
        let [stalls, deaths, restarts] = self.shared.health.counted();
        let queue = &self.shared.queue;
        EngineRoom {
            waiting: queue.waiting(),
            running: queue.running(),
            expected_wait: queue.expected_wait(Priority::Foreground),
            loaded_in: self.report.loaded_in(),
            resident_bytes: self.loaded().map(|loaded| loaded.resident_bytes()),
            stalls,
            deaths,
            restarts,
            is_out: self.shared.health.is_out(),
            process: None,
            decoded: 0,
            interventions: 0,
        }
    }

    fn loaded(&self) -> Option<Arc<Loaded>> {
        self.loaded.read().clone()
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

    /// Returns the model in memory; one that sleeps is woken and waited for.
    async fn awake(self: &Arc<Self>, call: &ModelCall) -> Result<Arc<Loaded>, BackendError> {
        if self.shared.health.is_out() {
            return Err(self.not_loaded(self.availability()));
        }
        if let Some(loaded) = self.loaded() {
            return Ok(loaded);
        }
        if self.report.phase() == Phase::Asleep {
            self.start_loading();
            let limit = call.context.deadline.min(Instant::now() + call.context.timeouts.first_token);
            // Whether it settled in time shows in what is asked next.
            drop(timeout_at(limit, self.report.settled()).await);
        }
        self.loaded().ok_or_else(|| self.not_loaded(self.report.availability()))
    }

    fn not_loaded(&self, availability: Availability) -> BackendError {
        match availability {
            Availability::Failed { reason } => {
                let message = format!("Model {} cannot answer now.", self.name);
                BackendError::new(Code::UpstreamFailed, message, format!("{} is not loaded: {reason}", self.name))
            }
            Availability::Ready | Availability::Loading { .. } | Availability::BreakerOpen => {
                let message = format!("Model {} is still loading; try again soon.", self.name);
                let error = BackendError::new(Code::ModelLoading, message, format!("{} is loading", self.name));
                BackendError { retry_after: Some(std::time::Duration::from_secs(2)), ..error }
            }
        }
    }

    async fn turn(&self, call: &ModelCall) -> Result<Turn, BackendError> {
        let caller = Caller::of(&call.context);
        let refused = match self.shared.queue.enter(&caller, call.context.deadline).await {
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
