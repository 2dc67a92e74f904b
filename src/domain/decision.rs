//! A plan with its reason: what the caller, the admin and the record get to see.

use serde::{Deserialize, Serialize};

use super::{
    ask::Estimate,
    ids::{ModelName, PolicyName},
    plan::Plan,
};

/// Why a plan was chosen, a closed set for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The caller named the model.
    Named,
    /// The policy has one model.
    Fixed,
    /// Drawn by the policy's weights.
    Weighted,
    /// The best value of the policy's objective.
    BestUtility,
    /// No scores: the policy's default plan.
    ScorerUnavailable,
}

impl Reason {
    /// Returns the snake-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Named => "named",
            Self::Fixed => "fixed",
            Self::Weighted => "weighted",
            Self::BestUtility => "best_utility",
            Self::ScorerUnavailable => "scorer_unavailable",
        }
    }
}

/// The weighted terms of an objective; `utility` is their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// Predicted quality, `[0, 1]`.
    pub quality: f64,
    /// Minus weight times expected cost.
    pub cost: f64,
    /// Minus weight times expected latency.
    pub latency: f64,
    /// Weighted further goals: size, recency, verbosity.
    pub goals: f64,
    /// The objective.
    pub utility: f64,
}

/// Why a candidate could not be chosen, as text for people and a closed code for metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// Snake-case code: `unavailable`, `context_window`, `modality`, `tools`, `json_schema`, `tag`, `price`, `max_cost`,
    /// `max_latency`, `max_output`.
    pub code: &'static str,
    /// A sentence with the figures.
    pub message: String,
}

/// One candidate as the decision saw it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alternative {
    /// The model.
    pub model: ModelName,
    /// What was expected of it.
    pub estimate: Estimate,
    /// Its share of the objective; `None` when the strategy has none or the candidate was rejected.
    pub terms: Option<Terms>,
    /// Whether no other candidate is at least as good in quality, cost and latency and better in one.
    pub is_on_front: bool,
    /// Why it could not be chosen; `None` when it could.
    pub rejected: Option<Rejection>,
}

/// What will be done and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// What will be done.
    pub plan: Plan,
    /// Why.
    pub reason: Reason,
    /// Every candidate, best first, rejected ones last.
    pub alternatives: Vec<Alternative>,
    /// The policy that decided; `None` when the caller named a model.
    pub policy: Option<PolicyName>,
    /// The version of that policy; 0 when the caller named a model.
    pub policy_version: u64,
}

/// No candidate meets the hard constraints.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("no model can take this request: {}", summary(.rejected))]
pub struct NoRoute {
    /// Every candidate with its rejection.
    pub rejected: Vec<(ModelName, Rejection)>,
}

fn summary(rejected: &[(ModelName, Rejection)]) -> String {
    if rejected.is_empty() {
        return "the policy has no candidates".to_owned();
    }
    let parts: Vec<String> = rejected.iter().map(|(model, why)| format!("{model}: {}", why.message)).collect();
    parts.join("; ")
}
