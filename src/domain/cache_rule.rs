//! What may be cached, by policy and by request.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A policy's rule for the caches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CacheRule {
    /// Whether answers are looked up and stored at all.
    pub is_enabled: bool,
    /// How long an answer may be served.
    pub ttl: Duration,
    /// Whether requests that are not deterministic (temperature above zero and no seed) are cached too.
    pub allow_nondeterministic: bool,
    /// Whether equal requests in flight share one call.
    pub joins: bool,
    /// Whether prompts of the same meaning share answers, and how surely; `None` when they do not.
    pub semantic: Option<SemanticRule>,
}

impl Default for CacheRule {
    fn default() -> Self {
        Self {
            is_enabled: true,
            ttl: Duration::from_secs(3600),
            allow_nondeterministic: false,
            joins: true,
            semantic: None,
        }
    }
}

/// How answers are shared by prompts of the same meaning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SemanticRule {
    /// Largest share of wrong answers among all that were near enough to be served, in `(0, 1)`.
    pub max_error: f64,
    /// Share of near questions that is asked again however sure the cache is, in `[0, 1]`.
    pub explore: f64,
    /// Prompts less similar than this (cosine) are never near.
    pub min_similarity: f32,
    /// Requests with a higher temperature are left alone.
    pub max_temperature: f64,
    /// Whether the keys of one tenant share answers.
    pub across_keys: bool,
    /// What tells that two answers say the same, beyond being equal.
    pub judge: Judge,
}

/// What tells that two answers say the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Judge {
    /// They are equal but for case, blanks and marks at the end.
    Equality,
    /// Or their embeddings are at least this similar (cosine), and their numbers, names and negations agree.
    Embedding(f32),
}

impl Default for SemanticRule {
    fn default() -> Self {
        Self {
            max_error: 0.01,
            explore: 0.02,
            min_similarity: 0.8,
            max_temperature: 0.0,
            across_keys: false,
            judge: Judge::Equality,
        }
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
