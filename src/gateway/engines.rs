//! The models of this machine, for administrators: how each fares, and orders to it.

use serde::Serialize;

use super::Gateway;
use crate::{
    domain::{Availability, BackendError, EngineOrder, EngineRoom, ModelName, Speculation},
    execute::Model,
};

/// What an administrator sees of a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelState {
    /// Its name.
    pub name: ModelName,
    /// Whether it can be asked.
    pub availability: Availability,
    /// How it fares where it runs on this machine; `None` where it does not.
    pub engine: Option<EngineRoom>,
    /// What its speculative decoding does; `None` where none is configured.
    pub speculation: Option<Speculation>,
}

impl Gateway {
    /// Returns every model, in the order of the configuration.
    pub fn model_states(&self) -> Vec<ModelState> {
        self.parts.models.iter().map(|model| state(model)).collect()
    }

    /// Has a model of this machine do something and returns how it is then; `None` when there is no model of this name.
    ///
    /// # Errors
    /// The model does not run on this machine.
    pub fn order(&self, name: &str, order: EngineOrder) -> Option<Result<ModelState, BackendError>> {
        let model = self.parts.models.get(name)?;
        Some(model.order(order).map(|()| state(model)))
    }
}

fn state(model: &Model) -> ModelState {
    ModelState {
        name: model.facts.name.clone(),
        availability: model.availability(),
        engine: model.engine_room(),
        speculation: model.speculation(),
    }
}
