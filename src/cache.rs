//! What was answered before.
//!
//! [`Permission`] says whether a request may be answered from the cache and whether its answer may be kept, [`CacheKey`] names
//! the answer, a [`CacheStore`] keeps it. Answers are kept whole, also those that came as streams, and are replayed as the
//! caller asks for them; [`is_storable`] tells whole, good answers from the rest.
//!
//! # Invariants
//! - `tenant_scoped_cache`: the tenant is part of every key.
//! - Two requests share a key only if they ask the same: every field counts, known or not, but for those in
//!   [`key::IGNORED`]; so do the policy with its version and text, which deployment stands behind a model's name ([`Origin`]),
//!   and what the caller prefers.
//!
//! [`semantic`] keeps answers a second time, by the meaning of what was asked, where a policy wants that. [`snapshot`] writes both
//! to a file and reads it after a restart, where the configuration wants that.
//!
//! To add a store: a file here, a call of the contract test, a variant in `config`, an arm in `app.rs`.

mod filter;
pub mod key;
mod memory;
mod none;
mod rule;
pub mod semantic;
pub mod snapshot;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::domain::{ModelName, NanoUsd, PolicyName, Tag, TenantId, Usage, WholeReply};

pub use self::{
    filter::Filter,
    key::{CacheKey, Matched, Origin, Scope, Target},
    memory::MemoryCache,
    none::NoCache,
    rule::{Permission, is_storable},
};

/// A stored answer; always whole, replayed as a stream where a stream is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct CachedAnswer {
    /// The answer.
    pub reply: WholeReply,
    /// The model that gave it.
    pub model: ModelName,
    /// What it used.
    pub usage: Usage,
    /// What it cost then; what a hit saves now.
    pub cost: NanoUsd,
    /// Where it comes from.
    pub provenance: Provenance,
}

/// Where a stored answer comes from, so that it can be found again without what was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Provenance {
    /// The request that it answered.
    pub key: CacheKey,
    /// Who asked.
    pub tenant: TenantId,
    /// The policy that chose the model; `None` where the caller named it.
    pub policy: Option<PolicyName>,
    /// What the caller marked it with.
    pub tags: Vec<Tag>,
    /// When it was stored.
    pub stored: Timestamp,
}

/// An answer as a store holds it.
#[derive(Clone, Debug)]
pub struct Held {
    /// The answer.
    pub answer: Arc<CachedAnswer>,
    /// How long it may still be served.
    pub left: Duration,
}

impl CachedAnswer {
    /// Returns the bytes that it takes in memory, by what was measured: what is allocated takes an eighth more than it holds.
    pub fn bytes(&self) -> usize {
        let finish_reason = self.reply.finish_reason.as_ref().map_or(0, String::len);
        let Provenance { tenant, policy, tags, key: _, stored: _ } = &self.provenance;
        let policy = policy.as_ref().map_or(0, |policy| policy.as_str().len());
        // A tag's text and its place in the list.
        let tags: usize = tags.iter().map(|tag| tag.0.len() + 2 * size_of::<Tag>()).sum();
        let names = self.model.as_str().len() + tenant.as_str().len() + policy + tags + finish_reason;
        let signals = size_of_val(self.reply.signals.as_slice());
        let held = size_of::<Self>() + self.reply.body.len() + signals + names;
        held + held / 8
    }
}

/// Keeps answers. A store may forget at any time; it never returns an answer under another key, or after its time.
#[async_trait]
pub trait CacheStore: Send + Sync {
    /// Returns the answer, if there is one that has not expired.
    async fn get(&self, key: &CacheKey) -> Option<Arc<CachedAnswer>>;

    /// Stores an answer for `ttl`.
    async fn put(&self, key: CacheKey, answer: Arc<CachedAnswer>, ttl: Duration);

    /// Removes an answer.
    async fn remove(&self, key: &CacheKey);

    /// Returns every answer that `is_wanted` and has not expired, in no order. Linear in what is held.
    fn list(&self, is_wanted: &dyn Fn(&CachedAnswer) -> bool) -> Vec<Held>;

    /// Returns a number that changes whenever what is held does.
    fn changes(&self) -> u64;

    /// Returns the bytes and the entries held.
    async fn size(&self) -> (u64, u64);
}

#[cfg(test)]
mod contract;
