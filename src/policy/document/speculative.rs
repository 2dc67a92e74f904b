//! A model whose answers another one drafts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A local model whose answers a smaller local model drafts: the answers are the model's own, and come faster where that pays. A
/// pair is measured once, at its first request; until then, and where it does not pay, the model decodes alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["model", "draft"]))]
pub struct SpeculativeDocument {
    /// The local model that answers, or an alias of it.
    pub model: String,
    /// The local model that drafts, with the same vocabulary.
    pub draft: String,
}
