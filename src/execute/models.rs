//! Every model, by name.

use std::{collections::HashMap, sync::Arc};

use super::Model;
use crate::domain::ModelName;

/// The models of the configuration, in its order.
#[derive(Default)]
pub struct Models {
    ordered: Vec<Arc<Model>>,
    by_name: HashMap<ModelName, Arc<Model>>,
}

impl Models {
    /// Returns the models in this order; of two with one name the later is found.
    pub fn new(ordered: Vec<Arc<Model>>) -> Self {
        let by_name = ordered.iter().map(|model| (model.facts.name.clone(), Arc::clone(model))).collect();
        Self { ordered, by_name }
    }

    /// Returns the model of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Model>> {
        self.by_name.get(name)
    }

    /// Returns every model in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.ordered.iter()
    }
}
