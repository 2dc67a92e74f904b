//! What may be cached, by policy and by request.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A policy's rule for the exact cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheRule {
    /// Whether answers are looked up and stored at all.
    pub is_enabled: bool,
    /// How long an answer may be served.
    pub ttl: Duration,
    /// Whether requests that are not deterministic (temperature above zero and no seed) are cached too.
    pub allow_nondeterministic: bool,
}

impl Default for CacheRule {
    fn default() -> Self {
        Self { is_enabled: true, ttl: Duration::from_secs(3600), allow_nondeterministic: false }
    }
}

/// What a request says about caching; callers may narrow, never widen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheControl {
    /// Do not store the answer.
    pub no_store: bool,
    /// Do not answer from the cache.
    pub no_cache: bool,
}
