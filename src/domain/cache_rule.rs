//! What may be cached, by policy and by request.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ids::ModelName, money::NanoUsd};

/// A policy's rule for the caches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CacheRule {
    /// Whether answers are looked up and stored at all.
    pub is_enabled: bool,
    /// How long an answer may be served.
    pub ttl: Duration,
    /// How long after that it may still be served, once more each time, while it is asked for anew.
    pub stale: Duration,
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
            stale: Duration::ZERO,
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
    /// Turns at the end of a conversation that are matched by meaning, at least 1; everything before must be equal.
    pub turns: usize,
    /// Requests with a higher temperature are left alone.
    pub max_temperature: f64,
    /// Whether requests that offer tools are matched; the tools must be equal.
    pub allow_tools: bool,
    /// Whether requests with pictures, sound or files are matched; those must be equal.
    pub allow_files: bool,
    /// Whether the keys of one tenant share answers.
    pub across_keys: bool,
    /// What tells that two answers say the same, beyond being equal.
    pub judge: Judge,
    /// What a near answer that is not served is good for.
    pub near_miss: NearMiss,
}

/// What tells that two answers say the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Judge {
    /// They are equal but for case, blanks and marks at the end.
    Equality,
    /// Or their embeddings are at least this similar (cosine), and their numbers, names and negations agree.
    Embedding(f32),
    /// Or this model says so.
    Model {
        /// The model.
        model: ModelName,
        /// Most that it may cost in a day (UTC).
        max_cost_per_day: NanoUsd,
    },
}

/// What a near answer that is not served is good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NearMiss {
    /// Nothing.
    #[default]
    Off,
    /// The model reads it as a hint.
    Hint,
    /// A local model takes it for a draft of its answer, and checks every token of it.
    Draft,
}

impl Default for SemanticRule {
    fn default() -> Self {
        Self {
            max_error: 0.01,
            explore: 0.02,
            min_similarity: 0.8,
            turns: 1,
            max_temperature: 0.0,
            allow_tools: false,
            allow_files: false,
            across_keys: false,
            judge: Judge::Equality,
            near_miss: NearMiss::Off,
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
