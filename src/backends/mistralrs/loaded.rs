//! What of a model is in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;

use super::{engine::Engine, speculation::Speculator};
use crate::domain::ModelName;

/// A model's engines and what belongs to them. Its memory is given back when the last who holds it lets go.
pub(super) struct Loaded {
    first: Arc<Engine>,
    more: Vec<Arc<Engine>>,
    resident_bytes: u64,
    /// The speculation that is configured.
    pub(super) speculator: OnceLock<Arc<Speculator>>,
    /// Why there is none.
    pub(super) no_speculation: OnceLock<String>,
    /// Speculation with drafts that policies name.
    pub(super) pairs: Mutex<BTreeMap<ModelName, Arc<Speculator>>>,
}

impl Loaded {
    /// Returns a model of these engines, at least one, which hold so much memory together.
    pub(super) fn new(first: Engine, more: Vec<Engine>, resident_bytes: u64) -> Self {
        Self {
            first: Arc::new(first),
            more: more.into_iter().map(Arc::new).collect(),
            resident_bytes,
            speculator: OnceLock::new(),
            no_speculation: OnceLock::new(),
            pairs: Mutex::default(),
        }
    }

    /// Returns the first engine.
    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.first
    }

    /// Returns the engine that the turns of a seat are for.
    pub(super) fn engine_at(&self, seat: usize) -> &Arc<Engine> {
        seat.checked_sub(1).and_then(|place| self.more.get(place)).unwrap_or(&self.first)
    }

    /// Returns every engine.
    pub(super) fn engines(&self) -> impl Iterator<Item = &Arc<Engine>> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// Returns whether there is one engine only, which speculation asks for.
    pub(super) fn is_single(&self) -> bool {
        self.more.is_empty()
    }

    /// Returns the memory that loading took.
    pub(super) fn resident_bytes(&self) -> u64 {
        self.resident_bytes
    }
}
