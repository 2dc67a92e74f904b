//! How graded traffic becomes evidence.

use serde::{Deserialize, Serialize};

/// What a strategy wants to be told of graded traffic ([`Evidence::traffic`](super::ask::Evidence::traffic)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learner {
    /// How grades are summed up.
    pub algorithm: BanditAlgorithm,
    /// How many grades the router's own prediction is worth.
    pub prior_weight: f64,
    /// By which factor each further grade lessens what came before, in `(0, 1]`; for [`BanditAlgorithm::Thompson`] only.
    pub discount: f64,
}

/// How grades are summed up, and how a choice follows from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BanditAlgorithm {
    /// A linear model over predicted quality and topics; the best upper bound is chosen (Li et al., arXiv 1003.0146).
    Linucb,
    /// A Beta distribution per topic and model, older grades counting less; the best draw is chosen (Raj and Kalyani, arXiv
    /// 1707.09727).
    Thompson,
}
