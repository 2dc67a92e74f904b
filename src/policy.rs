//! Routing policies: document -> compile -> store.
//!
//! A policy is what admins edit: candidates, a strategy, hard constraints, limits, a cache rule, timeouts. Compiling resolves
//! every name against the configured models and tells every fault at once; the store keeps every version with author, time and
//! note; [`Policies`] swaps the current set in one step, so that a request sees one version from its start to its end.
//!
//! ```text
//! file or PUT -> document -> compile (all faults) -> store (version, author, time, note) -> swap
//! ```
//!
//! A compiled policy is one strategy: rules around a strategy, under the constraints that hold for each. What the strategy
//! finds in recent traffic stays with the policy ([`Policy::calibration`]) for as long as its text does.
//!
//! # Invariants
//!
//! - What does not compile is never saved by [`Policies::save`] and never swapped in: the policy stays as it was, and the
//!   faults stay in [`Policies::status`] until they are mended.
//! - Version numbers only go up, and no text that ever was current is lost: a file edited by hand becomes a version itself.
//! - A policy that the configuration refers to never disappears while the program runs.
//!
//! To add a field: `document.rs`, `compile.rs`, and whoever reads it. To add a strategy: a variant of the document, an arm in
//! `compile.rs`, an example in `config/policies/`.

mod catalogue;
mod compile;
mod diff;
pub mod document;
mod live;
mod store;
mod watch;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

pub use catalogue::Catalogue;
pub use compile::compile;
pub use diff::unified;
pub use live::{OnFault, Policies, PolicyError, PolicyStatus, Status};
pub use store::{Change, Conflict, Expected, FileStore, Loaded, MemoryStore, PolicyStore, StoreError, Version};
pub use watch::watch;

use crate::{
    cache::Origin,
    config::{Config, Faults, schema_of},
    domain::{CacheRule, Limits, ModelName, PolicyName, Quota, Timeouts},
    routing::{Calibration, Strategy},
};

/// A policy that can be used.
pub struct Policy {
    /// Its name: `auto:<name>` asks for it.
    pub name: PolicyName,
    /// Counts up with every save.
    pub version: u64,
    /// Hash of its text: what was cached under another text is not its answer, even if versions were counted anew.
    pub fingerprint: Origin,
    /// What it is for, for people.
    pub description: String,
    /// The models it may choose from, in its order; gates and fallbacks are part of the strategy.
    pub candidates: Vec<ModelName>,
    /// How it chooses.
    pub strategy: Arc<dyn Strategy>,
    /// What it found in recent traffic; the next policy of the same version takes it over.
    pub calibration: Arc<Calibration>,
    /// What it allows one request.
    pub limits: Limits,
    /// Whether prompts are scored by several looks; see [`scoring::views`](crate::scoring::views).
    pub is_robust: bool,
    /// How often one key may be sent to its strong models.
    pub quota: Option<Quota>,
    /// What may be cached.
    pub cache: CacheRule,
    /// Replaces the models' timeouts.
    pub timeouts: Option<Timeouts>,
    /// What admins should know, for instance candidates that are asleep.
    pub notes: Vec<String>,
}

/// Every policy at one moment. A request takes one snapshot and keeps it.
#[derive(Clone, Default)]
pub struct PolicySet {
    /// By name.
    pub policies: BTreeMap<PolicyName, Arc<Policy>>,
}

/// Returns the JSON Schema of a policy.
pub fn policy_schema() -> serde_json::Value {
    schema_of::<document::PolicyDocument>()
}

/// Compiles every policy of a configuration, also of one with faults, and returns what is wrong and what is worth a note.
///
/// # Errors
/// The policies cannot be read.
pub fn examine(config: &Config, clock: crate::runtime::SharedClock) -> Result<(Faults, Vec<String>), StoreError> {
    let catalogue = Catalogue::of(config);
    let store = live::store_of(config, &catalogue, clock);
    let (mut faults, mut notes) = (Faults::default(), Vec::new());
    for loaded in store.load()? {
        match compile(&loaded.source, (loaded.name, loaded.version), &catalogue) {
            Ok(policy) => notes.extend(policy.notes.iter().map(|note| format!("policy {}: {note}", policy.name))),
            Err(found) => faults.0.extend(found.0),
        }
    }
    Ok((faults, notes))
}
