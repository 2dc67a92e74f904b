//! Routing policies: document -> compile -> store.
//!
//! A policy is what admins edit: candidates, a strategy, hard constraints, limits, a cache rule, timeouts. Compiling resolves
//! every name against the configured models; the store keeps every version with author, time and note and swaps the current
//! set in one step, so that a request sees one version from its start to its end.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    domain::{CacheRule, Limits, ModelName, PolicyName, Timeouts},
    routing::Strategy,
};

/// A policy that can be used.
pub struct Policy {
    /// Its name: `auto:<name>` asks for it.
    pub name: PolicyName,
    /// Counts up with every save.
    pub version: u64,
    /// The models it may choose from, in its order; gates and fallbacks are part of the strategy.
    pub candidates: Vec<ModelName>,
    /// How it chooses.
    pub strategy: Arc<dyn Strategy>,
    /// What it allows one request.
    pub limits: Limits,
    /// What may be cached.
    pub cache: CacheRule,
    /// Overrides of the models' timeouts.
    pub timeouts: Option<Timeouts>,
}

/// Every policy at one moment. A request takes one snapshot and keeps it.
#[derive(Default)]
pub struct PolicySet {
    /// By name.
    pub policies: BTreeMap<PolicyName, Arc<Policy>>,
}
