//! A plan with its reason: what the caller, the admin and the record get to see.

use serde::{Deserialize, Serialize};

use super::{
    ask::Estimate,
    ids::{ModelName, PolicyName},
    plan::Plan,
    scores::Probability,
};
use crate::error::Code;

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
    /// A rule of the policy names the model.
    Rule,
    /// The cheapest or first model that can answer.
    Capability,
    /// The best value of the policy's objective.
    BestUtility,
    /// The prompt lies outside of what the router knows: the strategy chose by priors as much as by predictions.
    OutsidePrior,
    /// The prompt lies outside of what the router knows: the policy's safe model.
    OutsideSafe,
    /// The cheapest model whose predicted quality is good enough.
    GoodEnough,
    /// No model's predicted quality is good enough: the best one.
    NoneGoodEnough,
    /// The strong model is expected to win often enough.
    StrongWins,
    /// The strong model is not expected to win often enough.
    WeakSuffices,
    /// The strategy needs evidence that the router artifact lacks: it chose by the predictions instead.
    EvidenceMissing,
    /// Tasks that build on each other, as the policy says.
    Topology,
    /// Several models at once, by the policy's members.
    Ensemble,
    /// Models in turn, until an answer passes the policy's tests.
    Cascade,
    /// Drawn to learn what callers think of its answers.
    Explored,
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
            Self::Rule => "rule",
            Self::Capability => "capability",
            Self::BestUtility => "best_utility",
            Self::OutsidePrior => "outside_prior",
            Self::OutsideSafe => "outside_safe",
            Self::GoodEnough => "good_enough",
            Self::NoneGoodEnough => "none_good_enough",
            Self::StrongWins => "strong_wins",
            Self::WeakSuffices => "weak_suffices",
            Self::EvidenceMissing => "evidence_missing",
            Self::Topology => "topology",
            Self::Ensemble => "ensemble",
            Self::Cascade => "cascade",
            Self::Explored => "explored",
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

/// Which hard constraint a candidate fails, a closed set for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectionCode {
    /// Prompt and answer do not fit its context window.
    ContextWindow,
    /// The answer asked for is longer than it can give.
    MaxOutput,
    /// It cannot read what the prompt holds.
    Modality,
    /// It calls no tools.
    Tools,
    /// It does not answer in JSON on demand.
    Json,
    /// It keeps to no JSON schema.
    JsonSchema,
    /// The prompt is in a language that it is not good at.
    Language,
    /// It lacks a property that policy or request ask for.
    Tag,
    /// Its list price is above the policy's cap.
    Price,
    /// A rule that holds leaves it out.
    Rule,
    /// The answer may cost more than policy or request allow.
    MaxCost,
    /// The answer is expected to take longer than the request allows.
    MaxLatency,
    /// The key has used up its share of the policy's strong models.
    Quota,
    /// It would fit, but is still loading.
    ModelLoading,
    /// It would fit, but failed too often lately.
    BreakerOpen,
    /// It would fit, but failed to load or has no credentials.
    ModelFailed,
}

impl RejectionCode {
    /// Returns the snake-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ContextWindow => "context_window",
            Self::MaxOutput => "max_output",
            Self::Modality => "modality",
            Self::Tools => "tools",
            Self::Json => "json",
            Self::JsonSchema => "json_schema",
            Self::Language => "language",
            Self::Tag => "tag",
            Self::Price => "price",
            Self::Rule => "rule",
            Self::MaxCost => "max_cost",
            Self::MaxLatency => "max_latency",
            Self::Quota => "quota",
            Self::ModelLoading => "model_loading",
            Self::BreakerOpen => "breaker_open",
            Self::ModelFailed => "model_failed",
        }
    }
}

/// Why a candidate could not be chosen: a sentence for people and a closed code for metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// The constraint.
    pub code: RejectionCode,
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
    /// Names of the policy's rules that held, the outermost first.
    pub rules: Vec<String>,
    /// Every candidate, best first, rejected ones last.
    pub alternatives: Vec<Alternative>,
    /// Probability with which the first leg was drawn; 1 where no chance was involved.
    pub propensity: Probability,
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

impl NoRoute {
    /// Returns what to tell the caller: come again if a fitting model is loading, shorten the prompt if nothing else is
    /// wrong with any candidate, else change what the request asks for.
    pub fn code(&self) -> Code {
        let has = |code| self.rejected.iter().any(|(_, why)| why.code == code);
        if has(RejectionCode::ModelLoading) {
            return Code::ModelLoading;
        }
        if has(RejectionCode::ModelFailed) {
            return Code::UpstreamFailed;
        }
        let is_too_long = self.rejected.iter().all(|(_, why)| why.code == RejectionCode::ContextWindow);
        if is_too_long && !self.rejected.is_empty() { Code::ContextLengthExceeded } else { Code::NoRoute }
    }
}

fn summary(rejected: &[(ModelName, Rejection)]) -> String {
    if rejected.is_empty() {
        return "the policy has no candidates".to_owned();
    }
    let parts: Vec<String> = rejected.iter().map(|(model, why)| format!("{model}: {}", why.message)).collect();
    parts.join("; ")
}
