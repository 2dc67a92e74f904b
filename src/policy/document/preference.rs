//! The strategy `preference` as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::WeightDocument;

/// A strong and a weak model: the strong one answers where it is expected to win, or on a share of the requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["strong", "weak"]))]
pub struct PreferenceDocument {
    /// The better and dearer model.
    pub strong: String,
    /// The cheaper model.
    pub weak: String,
    /// Share of the requests that the strong model answers, from 0 to 1: those where it gains most, as recent requests show.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub share: Option<f64>,
    /// Instead of a share: how often the strong model must be expected to win, from 0 to 1; half is a draw.
    pub threshold: Option<WeightDocument>,
    /// The model that is tried first when there are no scores; without it the strong one.
    pub default: Option<String>,
}
