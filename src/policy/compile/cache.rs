//! From the cache's part of a policy to its rule.

use super::Compiler;
use crate::{
    config::path::Path,
    domain::{CacheRule, Judge, NanoUsd, NearMiss, SemanticRule},
    policy::document::{JudgeDocument, NearMissDocument, SemanticRuleDocument},
};

impl Compiler<'_, '_> {
    pub(super) fn cache(&mut self) -> CacheRule {
        let document = &self.document.cache;
        CacheRule {
            is_enabled: document.enabled,
            ttl: document.ttl.0,
            stale: document.stale.0,
            allow_nondeterministic: document.nondeterministic,
            joins: document.join,
            semantic: document.semantic.as_ref().map(|semantic| self.semantic(semantic)),
        }
    }

    fn semantic(&mut self, document: &SemanticRuleDocument) -> SemanticRule {
        let at = |key: &str| Path::root().key("cache").key("semantic").key(key);
        if !(document.max_error > 0.0 && document.max_error < 1.0) {
            self.report.add(&at("max_error"), "a bound on the error lies above 0 and below 1");
        }
        SemanticRule {
            max_error: document.max_error,
            explore: document.explore,
            min_similarity: document.min_similarity,
            turns: document.turns,
            max_temperature: document.max_temperature,
            allow_tools: document.allow_tools,
            allow_files: document.allow_files,
            across_keys: document.across_keys,
            judge: self.judge(&document.judge, &at("judge")),
            near_miss: match document.near_miss {
                NearMissDocument::Off => NearMiss::Off,
                NearMissDocument::Hint => NearMiss::Hint,
                NearMissDocument::Draft => NearMiss::Draft,
            },
        }
    }

    /// A judge that is asleep judges nothing: only equal answers count until it wakes.
    fn judge(&mut self, document: &JudgeDocument, at: &Path) -> Judge {
        match document {
            JudgeDocument::Equality => Judge::Equality,
            JudgeDocument::Embedding(least) => Judge::Embedding(*least),
            JudgeDocument::Model(judge) => match self.model(&judge.name, &at.key("model").key("name")) {
                Some((model, true)) => {
                    Judge::Model { model, max_cost_per_day: NanoUsd::from_dollars(judge.max_cost_per_day) }
                }
                Some((_, false)) | None => Judge::Equality,
            },
        }
    }
}
