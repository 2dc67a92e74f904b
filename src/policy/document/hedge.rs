//! Hedging as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Period;

/// A second model is asked when the first is slow to begin: the first fallback. Whoever gives the first token answers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HedgeDocument {
    /// Slow is a model beyond this quantile of its recent times to the first token.
    #[schemars(range(min = 0.5, max = 0.999))]
    pub quantile: f64,
    /// Slow is a model beyond this time while few of its times are known.
    pub start: Period,
    /// Largest share of requests that are hedged, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub share: f64,
}

impl Default for HedgeDocument {
    fn default() -> Self {
        Self { quantile: 0.95, start: Period::seconds(5), share: 0.05 }
    }
}
