//! The strategy `capability` as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The cheapest model that can answer, or the first; without scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CapabilityDocument {
    /// Who comes first among the models that can answer.
    pub prefer: PreferDocument,
}

/// Who comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PreferDocument {
    /// The lowest expected cost.
    #[default]
    Cheapest,
    /// The order of the candidates.
    First,
}
