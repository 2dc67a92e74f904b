//! The strategy `bandit` as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::WeightDocument;

/// The best by predictions and by what callers thought of earlier answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BanditDocument {
    /// How grades are summed up, and how a choice follows from that.
    pub algorithm: AlgorithmDocument,
    /// How many grades the router's own prediction is worth.
    #[schemars(range(min = 0.1))]
    pub prior: f64,
    /// Factor by which each further grade lessens the weight of those before, for thompson.
    #[schemars(range(min = 0.5, max = 1.0))]
    pub discount: f64,
    /// Standard deviations that are added to what is expected, for linucb.
    #[schemars(range(min = 0.0))]
    pub width: f64,
    /// Share of requests that go to any fitting model, so that all of them are heard of.
    #[schemars(range(min = 0.0, max = 0.1))]
    pub exploration: f64,
    /// Quality given up to save one US cent.
    pub cost: WeightDocument,
    /// Quality given up to save one second until the last token.
    pub latency: WeightDocument,
}

impl Default for BanditDocument {
    fn default() -> Self {
        Self {
            algorithm: AlgorithmDocument::Thompson,
            prior: 20.0,
            discount: 0.999,
            width: 1.0,
            exploration: 0.02,
            cost: WeightDocument::Fixed(0.04),
            latency: WeightDocument::Fixed(0.002),
        }
    }
}

/// How grades are summed up, and how a choice follows from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlgorithmDocument {
    /// A linear model over predicted quality and topics; the best upper bound is chosen.
    Linucb,
    /// A distribution per topic and model, older grades counting less; the best draw is chosen.
    Thompson,
}
