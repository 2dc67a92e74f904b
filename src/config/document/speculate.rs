//! Speculative decoding of a local model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Speculative decoding: something cheap proposes tokens, and the model checks several in one pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SpeculateDocument {
    /// What proposes: a local model with the same vocabulary, or "lookup" in what is already written.
    #[schemars(length(min = 1))]
    pub draft: String,
    /// Most tokens proposed at a time.
    #[schemars(range(min = 1, max = 16))]
    pub gamma: usize,
    /// Whether fewer are proposed where few are accepted; requests with a seed never adapt, so that it gives the same text.
    pub adapt: bool,
    /// When to speculate at all: where a measurement at load shows that it pays, always, or never.
    pub when: SpeculateWhen,
}

impl Default for SpeculateDocument {
    fn default() -> Self {
        Self { draft: LOOKUP.to_owned(), gamma: 4, adapt: true, when: SpeculateWhen::Pays }
    }
}

/// The draft that is no model.
pub const LOOKUP: &str = "lookup";

/// When a local model speculates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SpeculateWhen {
    /// If a measurement at load shows that it is faster on this machine.
    #[default]
    Pays,
    /// Always, without measuring.
    Always,
    /// Never.
    Never,
}
