//! The strategy `agree` as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ExtractDocument, NothingDocument, WeightDocument};

/// A committee that was fitted to recorded answers, one after another, until another answer is worth no more than it costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["model", "extract"]))]
pub struct AgreeDocument {
    /// The fitted model, by its name under `agreements` in the configuration.
    pub model: String,
    /// What of the answers is compared.
    pub extract: ExtractDocument,
    /// Quality given up to save one US cent.
    pub cost: WeightDocument,
    /// Quality given up to save one second until the last token.
    pub latency: WeightDocument,
}

impl Default for AgreeDocument {
    fn default() -> Self {
        Self {
            model: String::new(),
            extract: ExtractDocument::Text(NothingDocument {}),
            cost: WeightDocument::Fixed(0.04),
            latency: WeightDocument::Fixed(0.0),
        }
    }
}
