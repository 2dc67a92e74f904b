//! The strategy `cascade_routing` as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DeferDocument, WeightDocument};

/// One answer at a time; after each the step that is worth most: stop, or ask another model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["evidence"]))]
pub struct CascadeRoutingDocument {
    /// Quality given up to save one US cent.
    pub cost: WeightDocument,
    /// Most models that are asked.
    #[schemars(range(min = 1, max = 8))]
    pub most_legs: usize,
    /// How far what is seen of one answer moves what is believed of the other models: 0 not at all, 1 as far as itself.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub correlation: f64,
    /// What stands for the quality of an answer; each is looked at.
    #[schemars(length(min = 1))]
    pub evidence: Vec<EvidenceDocument>,
    /// Tests as of `cascade`; an answer that fails one is worth nothing. Those that ask a model are `evidence`.
    pub reject: Vec<DeferDocument>,
}

impl Default for CascadeRoutingDocument {
    fn default() -> Self {
        Self {
            cost: WeightDocument::Fixed(0.04),
            most_legs: 3,
            correlation: 0.5,
            evidence: Vec::new(),
            reject: Vec::new(),
        }
    }
}

/// What stands for the quality of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum EvidenceDocument {
    /// The mean log-probability of its tokens.
    Logprob(LogprobEvidenceDocument),
    /// The grade of a model.
    Judge(JudgeEvidenceDocument),
}

/// The mean log-probability of tokens as quality: 0 at `low`, 1 at `high`, linear between.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogprobEvidenceDocument {
    /// Stands for a wrong answer, below `high`.
    #[schemars(range(max = 0.0))]
    pub low: f64,
    /// Stands for a right one, at most 0.
    #[schemars(range(max = 0.0))]
    pub high: f64,
    /// Standard deviation of the error of that, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub noise: f64,
}

impl Default for LogprobEvidenceDocument {
    fn default() -> Self {
        Self { low: -1.0, high: -0.05, noise: 0.3 }
    }
}

/// The grade of a model as quality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["model"]))]
pub struct JudgeEvidenceDocument {
    /// The model that judges; it has to be a candidate.
    pub model: String,
    /// Standard deviation of the error of its grades, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub noise: f64,
}

impl Default for JudgeEvidenceDocument {
    fn default() -> Self {
        Self { model: String::new(), noise: 0.3 }
    }
}
