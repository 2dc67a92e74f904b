//! The strategy `nearest` as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::WeightDocument;

/// The model that did best on the training prompts nearest to a prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NearestDocument {
    /// Quality given up to save one US cent.
    pub cost: WeightDocument,
    /// Graded prompts that a model's mean over all training data is worth.
    #[schemars(range(min = 0.0))]
    pub shrinkage: f64,
    /// The model that is tried first when there are no scores; without it the best by price and size.
    pub default: Option<String>,
}

impl Default for NearestDocument {
    fn default() -> Self {
        Self { cost: WeightDocument::Fixed(0.04), shrinkage: 20.0, default: None }
    }
}
