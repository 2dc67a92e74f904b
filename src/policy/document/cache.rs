//! What of a policy is about caches.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{config::Period, domain::SemanticRule};

/// What may be answered from the cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CacheRuleDocument {
    /// Whether answers are looked up and kept.
    pub enabled: bool,
    /// How long an answer may be served.
    pub ttl: Period,
    /// Whether requests that ask for chance (a temperature above 0 without a seed) are cached too.
    pub nondeterministic: bool,
    /// Whether equal requests that run at the same time share one call.
    pub join: bool,
    /// Whether prompts of the same meaning share answers, with a bounded error; it needs the router model. Left out it is off.
    pub semantic: Option<SemanticRuleDocument>,
}

impl Default for CacheRuleDocument {
    fn default() -> Self {
        Self { enabled: true, ttl: Period::seconds(3600), nondeterministic: false, join: true, semantic: None }
    }
}

/// How answers are shared by prompts of the same meaning. Requests with tools, pictures or other files are left alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SemanticRuleDocument {
    /// Largest share of wrong answers among requests that something near was found for.
    #[schemars(range(min = 0.0001, max = 0.5))]
    pub max_error: f64,
    /// Share of near questions that is asked again however sure the cache is, so that changes are noticed.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub explore: f64,
    /// Prompts less similar than this (cosine of the router's embeddings) are never near.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_similarity: f32,
    /// Requests with a higher temperature are left alone.
    #[schemars(range(min = 0.0, max = 2.0))]
    pub max_temperature: f64,
    /// Whether the keys of one tenant share answers.
    pub across_keys: bool,
    /// What tells that two answers say the same.
    pub judge: JudgeDocument,
}

impl Default for SemanticRuleDocument {
    fn default() -> Self {
        let rule = SemanticRule::default();
        Self {
            max_error: rule.max_error,
            explore: rule.explore,
            min_similarity: rule.min_similarity,
            max_temperature: rule.max_temperature,
            across_keys: rule.across_keys,
            judge: JudgeDocument::Equality,
        }
    }
}

/// What tells that two answers say the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JudgeDocument {
    /// They are equal but for case, blanks and marks at the end.
    Equality,
    /// Or their embeddings are at least this similar, and their numbers, names and negations agree.
    Embedding(#[schemars(range(min = 0.0, max = 1.0))] f32),
}
