//! Local models that decode together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Several local models of one vocabulary that make one answer, in exactly one of three ways.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TogetherDocument {
    /// What a large model prefers more than a small one does.
    pub contrastive: Option<ContrastiveDocument>,
    /// A large model, steered by what tuning changed in a small one.
    pub proxy: Option<ProxyDocument>,
    /// A small model that lets a large one give the tokens of which it is unsure.
    pub gated: Option<GatedDocument>,
}

/// What a large model prefers more than a small one does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContrastiveDocument {
    /// The local model that leads.
    pub large: String,
    /// The local model that is subtracted.
    pub small: String,
    /// Weight of the contrast; 0 is the large model alone.
    #[schemars(range(min = 0.0, max = 10.0))]
    #[serde(default = "half")]
    pub alpha: f64,
    /// Tokens that the large model holds less likely than so much of its likeliest one are left out.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[serde(default = "tenth")]
    pub plausibility: f64,
}

/// A large model, steered by what tuning changed in a small one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyDocument {
    /// The local model that leads.
    pub base: String,
    /// The small local model after tuning.
    pub expert: String,
    /// The small local model before tuning.
    pub anti_expert: String,
    /// Weight of the steering; 0 is the base alone.
    #[schemars(range(min = -10.0, max = 10.0))]
    #[serde(default = "one")]
    pub alpha: f64,
}

/// A small model that lets a large one give the tokens of which it is unsure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GatedDocument {
    /// The local model that leads.
    pub small: String,
    /// The local model that is asked.
    pub large: String,
    /// Entropy in nats from which the small model is unsure; 0 always asks.
    #[schemars(range(min = 0.0))]
    #[serde(default = "one")]
    pub entropy: f64,
    /// Largest share of an answer's tokens for which the large model is asked.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[serde(default = "fifth")]
    pub budget: f64,
}

/// Between the 0 of no contrast and the 1 of O'Brien and Lewis 2023, who find 0.5 best.
const fn half() -> f64 {
    0.5
}

/// As in Li et al. 2023.
const fn tenth() -> f64 {
    0.1
}

const fn one() -> f64 {
    1.0
}

/// FS-GEN reports that help on under a fifth of the tokens is enough.
const fn fifth() -> f64 {
    0.2
}
