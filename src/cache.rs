//! What was answered before.
//!
//! [`Permission`] says whether a request may be answered from the cache and whether its answer may be kept, [`CacheKey`] names
//! the answer, a [`CacheStore`] keeps it. Answers are kept whole, also those that came as streams, and are replayed as the
//! caller asks for them; [`is_storable`] tells whole, good answers from the rest.
//!
//! # Invariants
//! - `tenant_scoped_cache`: the tenant is part of every key.
//! - Two requests share a key only if they ask the same: every field counts, known or not, but for those in
//!   [`key::IGNORED`]; so does the policy with its version, and what the caller prefers.
//!
//! [`semantic`] keeps answers a second time, by the meaning of what was asked, where a policy wants that.
//!
//! To add a store: a file here, a call of the contract test, a variant in `config`, an arm in `app.rs`.

pub mod key;
mod memory;
mod none;
mod rule;
pub mod semantic;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::domain::{ModelName, NanoUsd, Usage, WholeReply};

pub use self::{
    key::{CacheKey, Scope, Target},
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
}

impl CachedAnswer {
    /// Returns the bytes it takes in memory, its key not counted.
    pub fn bytes(&self) -> usize {
        let finish_reason = self.reply.finish_reason.as_ref().map_or(0, String::len);
        size_of::<Self>() + self.reply.body.len() + self.model.as_str().len() + finish_reason
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

    /// Returns the bytes and the entries held.
    async fn size(&self) -> (u64, u64);
}

#[cfg(test)]
mod contract;
