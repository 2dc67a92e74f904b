//! A model that can be asked.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{
    breaker::{Breaker, BreakerState},
    hedge_budget::HedgeBudget,
    latency::LiveLatency,
    retry::RetryBudget,
};
use crate::{
    backends::Backend,
    config::settings::ResilienceSettings,
    domain::{
        Availability, BackendError, EngineOrder, EngineRoom, ModelFacts, Priority, Speculation, Timeouts, Tokens,
    },
    error::Code,
    routing::MeasuredLatency,
};

/// What a [`Model`] is made of.
pub struct ModelParts {
    /// What is known of it.
    pub facts: Arc<ModelFacts>,
    /// How it is reached.
    pub backend: Arc<dyn Backend>,
    /// What its provider calls it.
    pub upstream_model: Arc<str>,
    /// How long each phase of an attempt may take.
    pub timeouts: Timeouts,
    /// Attempts in flight at once; `None` means no limit.
    pub max_concurrency: Option<u32>,
}

/// A model with what guards it and what has been measured of it.
pub struct Model {
    /// What is known of it.
    pub facts: Arc<ModelFacts>,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) upstream_model: Arc<str>,
    pub(super) timeouts: Timeouts,
    pub(super) breaker: Breaker,
    pub(super) latency: LiveLatency,
    pub(super) retries: RetryBudget,
    pub(super) hedges: HedgeBudget,
    seats: Option<Arc<Semaphore>>,
}

/// The right to be in flight; dropping it gives it back. `None` where there is no limit.
pub(super) type Seat = Option<OwnedSemaphorePermit>;

impl Model {
    /// Returns a model of these parts.
    pub fn new(parts: ModelParts, resilience: &ResilienceSettings) -> Self {
        Self {
            breaker: Breaker::new(resilience.breaker_failures, resilience.breaker_pause),
            latency: LiveLatency::new(parts.facts.first_token_ms),
            retries: RetryBudget::new(resilience.retry_budget),
            hedges: HedgeBudget::new(),
            seats: parts.max_concurrency.map(|most| Arc::new(Semaphore::new(most as usize))),
            facts: parts.facts,
            backend: parts.backend,
            upstream_model: parts.upstream_model,
            timeouts: parts.timeouts,
        }
    }

    /// Returns whether the model can be asked now. After a breaker's pause it counts as ready, so that one request probes it.
    pub fn availability(&self) -> Availability {
        match self.backend.availability() {
            Availability::Ready if !self.breaker.would_admit() => Availability::BreakerOpen,
            other => other,
        }
    }

    /// Returns how it fares where it runs on this machine; `None` where it does not.
    pub fn engine_room(&self) -> Option<EngineRoom> {
        self.backend.engine_room()
    }

    /// Has it do something where it runs on this machine.
    ///
    /// # Errors
    /// It does not run on this machine.
    pub fn order(&self, order: EngineOrder) -> Result<(), BackendError> {
        self.backend.order(order)
    }

    /// Returns what its speculative decoding does; `None` where none is configured.
    pub fn speculation(&self) -> Option<Speculation> {
        self.backend.speculation()
    }

    /// Returns what its breaker does.
    pub fn breaker(&self) -> BreakerState {
        self.breaker.state()
    }

    /// Returns how fast it has been lately.
    pub fn measured_latency(&self) -> MeasuredLatency {
        let queue = self.backend.expected_wait(Priority::Foreground);
        MeasuredLatency { queue_ms: queue.as_secs_f64() * 1_000.0, ..self.latency.measured() }
    }

    /// Returns how long reading a prompt is taken to last.
    pub(super) fn prefill(&self, prompt: Tokens) -> Duration {
        Duration::try_from_secs_f64(self.facts.prefill_ms(prompt) / 1_000.0).unwrap_or_default()
    }

    /// Takes a seat, waiting for one until `until`; with `None` it does not wait.
    pub(super) async fn seat(&self, until: Option<Instant>) -> Result<Seat, BackendError> {
        let Some(seats) = &self.seats else {
            return Ok(None);
        };
        if let Ok(seat) = Arc::clone(seats).try_acquire_owned() {
            return Ok(Some(seat));
        }
        let Some(until) = until else {
            return Err(self.full());
        };
        match tokio::time::timeout_at(until, Arc::clone(seats).acquire_owned()).await {
            Ok(Ok(seat)) => Ok(Some(seat)),
            // The semaphore is never closed, so what remains is that nobody left in time.
            Ok(Err(_)) | Err(_) => Err(self.full()),
        }
    }

    fn full(&self) -> BackendError {
        let name = &self.facts.name;
        let message = format!("Model {name} is at its limit of requests in flight; try again.");
        BackendError::new(Code::Overloaded, message, format!("{name} is at its concurrency limit"))
    }
}
