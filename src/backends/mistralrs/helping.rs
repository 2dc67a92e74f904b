//! What helps an answer along besides its own engine: proposals, or models that decode together with it.

use tokio::time::Instant;

use super::{
    drawing::Making,
    engine::{Engine, EngineError, Running},
    queue::{Caller, Pulse, Turn},
    speculating::Proposing,
    together::Joining,
};
use crate::domain::{BackendError, ModelCall};

/// What helps the answers of one call along.
pub(super) enum Help {
    /// Something cheap proposes tokens.
    Proposals(Proposing),
    /// Other models have a say in every token.
    Company(Joining),
}

/// The turns of one choice.
pub(super) struct Seats {
    /// Of the model's own engine.
    pub(super) own: Turn,
    /// Of those who help, in their order; fewer where a draft was too busy.
    pub(super) others: Vec<Turn>,
}

impl Seats {
    /// Returns turns without help.
    pub(super) fn alone(own: Turn) -> Self {
        Self { own, others: Vec::new() }
    }

    /// Returns the model's own turn; the others are given back.
    pub(super) fn own(self) -> Turn {
        self.own
    }

    /// Returns which of the model's engines they are for.
    pub(super) fn seat(&self) -> usize {
        self.own.seat()
    }

    /// Returns where that engine's signs of life are noted.
    pub(super) fn pulse(&self) -> std::sync::Arc<Pulse> {
        self.own.pulse()
    }
}

impl Help {
    /// Takes the turns of one choice; `own` takes the model's.
    ///
    /// # Errors
    /// The model's own turn did not come, or that of a model that must have a say.
    ///
    /// # Cancel safety
    /// Dropping the future leaves all queues.
    pub(super) async fn seats(
        help: Option<&Self>,
        own: impl AsyncFnOnce() -> Result<Turn, BackendError>,
        caller: (&Caller, Instant),
    ) -> Result<Seats, BackendError> {
        match help {
            None => Ok(Seats::alone(own().await?)),
            Some(Self::Proposals(proposing)) => proposing.seats(own, caller).await,
            Some(Self::Company(joining)) => joining.seats(own, caller).await,
        }
    }

    /// Starts a choice.
    ///
    /// # Errors
    /// The messages do not fit, or nobody decodes any more.
    pub(super) async fn start(
        &self,
        engine: &Engine,
        call: &ModelCall,
        making: (Making, (u64, u32)),
        seats: Seats,
    ) -> Result<Running, EngineError> {
        match self {
            Self::Proposals(proposing) => proposing.start(engine, call, making, seats).await,
            Self::Company(joining) => joining.start(engine, call, making.0, seats),
        }
    }
}
