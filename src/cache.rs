//! What was answered before.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::domain::{ModelName, NanoUsd, Usage, WholeReply};

/// Names one answer: version, tenant, policy or model, and everything of the request that changes the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey(pub [u8; 32]);

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

/// Keeps answers.
#[async_trait]
pub trait CacheStore: Send + Sync {
    /// Returns the answer, if there is one that has not expired.
    async fn get(&self, key: &CacheKey) -> Option<Arc<CachedAnswer>>;

    /// Stores an answer for `ttl`.
    async fn put(&self, key: CacheKey, answer: Arc<CachedAnswer>, ttl: Duration);

    /// Removes an answer.
    async fn remove(&self, key: &CacheKey);

    /// Returns the bytes and the entries held.
    fn size(&self) -> (u64, u64);
}
