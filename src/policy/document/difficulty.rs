//! The strategy `difficulty` as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::WeightDocument;

/// The cheapest model that is expected to be good enough; where none is, the best.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DifficultyDocument {
    /// Predicted quality that is good enough, from 0 to 1.
    pub threshold: WeightDocument,
    /// How many standard deviations the prediction must lie above the threshold.
    #[schemars(range(min = 0.0))]
    pub caution: f64,
    /// The model that is tried first when there are no scores; without it the best by price and size.
    pub default: Option<String>,
}

impl Default for DifficultyDocument {
    /// Two answers in three are to be good.
    fn default() -> Self {
        Self { threshold: WeightDocument::Fixed(0.67), caution: 0.0, default: None }
    }
}
