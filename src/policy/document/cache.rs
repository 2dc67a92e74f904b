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
    /// How long after that it may still be served while the question is asked anew; 0s serves nothing that is past its time.
    pub stale: Period,
    /// Whether requests that ask for chance (a temperature above 0 without a seed) are cached too.
    pub nondeterministic: bool,
    /// Whether equal requests that run at the same time share one call.
    pub join: bool,
    /// Whether prompts of the same meaning share answers, with a bounded error; it needs the router model. Left out it is off.
    pub semantic: Option<SemanticRuleDocument>,
}

impl Default for CacheRuleDocument {
    fn default() -> Self {
        Self {
            enabled: true,
            ttl: Period::seconds(3600),
            stale: Period::seconds(0),
            nondeterministic: false,
            join: true,
            semantic: None,
        }
    }
}

/// How answers are shared by prompts of the same meaning.
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
    /// Turns at the end of a conversation, the user's and the assistant's, that are matched by meaning; everything before must be
    /// equal. Each one beyond the last costs another pass of the router model.
    #[schemars(range(min = 1, max = 9))]
    pub turns: usize,
    /// Requests with a higher temperature are left alone.
    #[schemars(range(min = 0.0, max = 2.0))]
    pub max_temperature: f64,
    /// Whether requests that offer tools are matched, if the tools are equal; answers that call one are never shared.
    pub allow_tools: bool,
    /// Whether requests with pictures, sound or files are matched, if those are equal.
    pub allow_files: bool,
    /// Whether the keys of one tenant share answers.
    pub across_keys: bool,
    /// What tells that two answers say the same.
    pub judge: JudgeDocument,
    /// What a near answer that is not served is good for.
    pub near_miss: NearMissDocument,
}

impl Default for SemanticRuleDocument {
    fn default() -> Self {
        let rule = SemanticRule::default();
        Self {
            max_error: rule.max_error,
            explore: rule.explore,
            min_similarity: rule.min_similarity,
            turns: rule.turns,
            max_temperature: rule.max_temperature,
            allow_tools: rule.allow_tools,
            allow_files: rule.allow_files,
            across_keys: rule.across_keys,
            judge: JudgeDocument::Equality,
            near_miss: NearMissDocument::Off,
        }
    }
}

/// What tells that two answers say the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JudgeDocument {
    /// They are equal but for case, blanks and marks at the end.
    Equality,
    /// Or their embeddings are at least this similar, and their numbers, names and negations agree.
    Embedding(#[schemars(range(min = 0.0, max = 1.0))] f32),
    /// Or a configured model says so. It is asked beside the requests, and reads both answers and the question.
    Model(JudgeModelDocument),
}

/// A model that judges answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JudgeModelDocument {
    /// Its name.
    pub name: String,
    /// Most that it may cost in a day (UTC), in US dollars; beyond that answers are compared without it, and only equal ones
    /// count.
    #[schemars(range(min = 0.0))]
    pub max_cost_per_day: f64,
}

/// What a near answer that is not served is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NearMissDocument {
    /// Nothing.
    Off,
    /// The model that answers reads it in a system note, where the question differs in a word that forbids to serve it. What
    /// comes back is told as `hint`, and is not cached.
    Hint,
    /// A local model that speculates takes it for a draft and checks every token; its answer is what it would be without.
    Draft,
}
