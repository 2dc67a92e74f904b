//! From the cache's part of a policy to its rule.

use crate::{
    config::{Report, path::Path},
    domain::{CacheRule, Judge, SemanticRule},
    policy::document::{CacheRuleDocument, JudgeDocument, SemanticRuleDocument},
};

pub(super) fn cache(document: &CacheRuleDocument, report: &mut Report<'_>) -> CacheRule {
    CacheRule {
        is_enabled: document.enabled,
        ttl: document.ttl.0,
        allow_nondeterministic: document.nondeterministic,
        joins: document.join,
        semantic: document.semantic.as_ref().map(|semantic| rule(semantic, report)),
    }
}

fn rule(document: &SemanticRuleDocument, report: &mut Report<'_>) -> SemanticRule {
    let at = |key: &str| Path::root().key("cache").key("semantic").key(key);
    if !(document.max_error > 0.0 && document.max_error < 1.0) {
        report.add(&at("max_error"), "a bound on the error lies above 0 and below 1");
    }
    let judge = match document.judge {
        JudgeDocument::Equality => Judge::Equality,
        JudgeDocument::Embedding(least) => Judge::Embedding(least),
    };
    SemanticRule {
        max_error: document.max_error,
        explore: document.explore,
        min_similarity: document.min_similarity,
        max_temperature: document.max_temperature,
        across_keys: document.across_keys,
        judge,
    }
}
