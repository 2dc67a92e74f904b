//! The strategy `cluster` as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::WeightDocument;

/// The model that did best on the clusters of training prompts that a prompt is nearest to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterDocument {
    /// How many clusters are heard.
    #[schemars(range(min = 1, max = 3))]
    pub clusters: usize,
    /// Weight of performance against economy, from 0 to 1; without it performance alone.
    pub alpha: Option<WeightDocument>,
    /// Graded prompts that a model's mean over all training data is worth.
    #[schemars(range(min = 0.0))]
    pub shrinkage: f64,
    /// The model that is tried first when there are no scores; without it the best by price and size.
    pub default: Option<String>,
}

impl Default for ClusterDocument {
    fn default() -> Self {
        Self { clusters: 3, alpha: None, shrinkage: 20.0, default: None }
    }
}
