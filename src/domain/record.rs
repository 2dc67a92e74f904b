//! The one row that a request leaves.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    ask::Ask,
    attempt::Attempt,
    decision::Reason,
    ids::{DecisionId, KeyId, ModelName, PolicyName, RequestId, TenantId},
    money::NanoUsd,
    plan::Plan,
    scores::{Probability, ScoresUnavailable},
    tokens::Usage,
    verdict::{Ruling, Verdict},
};

/// Which endpoint was called, a closed set for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
    /// `/v1/embeddings`.
    Embeddings,
}

impl Endpoint {
    /// Returns the operation name of the OpenTelemetry GenAI conventions.
    pub const fn operation(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "text_completion",
            Self::Embeddings => "embeddings",
        }
    }
}

/// What the cache did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheOutcome {
    /// Not asked: off, or not allowed by policy or request.
    #[default]
    Bypass,
    /// Asked, not found.
    Miss,
    /// Answered.
    Hit,
    /// Answered by a call that ran for an equal request.
    Joined,
    /// Answered with what a request of the same meaning got.
    Semantic,
    /// Answered with an answer past its time, which is being asked for anew.
    Stale,
    /// Not found; the model read the answer to a similar question.
    Hint,
    /// Not found; the model checked the answer to a similar question as a draft.
    Draft,
}

impl CacheOutcome {
    /// Returns the snake-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Miss => "miss",
            Self::Hit => "hit",
            Self::Joined => "joined",
            Self::Semantic => "semantic",
            Self::Stale => "stale",
            Self::Hint => "hint",
            Self::Draft => "draft",
        }
    }
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// Answered to the end.
    Success,
    /// Turned away before any model was asked.
    Refused {
        /// Name of the [`crate::error::Code`].
        code: String,
    },
    /// A model was asked and no answer came, or it broke off.
    Failed {
        /// Name of the [`crate::error::Code`].
        code: String,
    },
    /// The client left before the end.
    ClientGone,
    /// The gateway went down before the end.
    Shutdown,
}

impl Outcome {
    /// Returns the snake-case name, a closed set for metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refused { .. } => "refused",
            Self::Failed { .. } => "failed",
            Self::ClientGone => "client_gone",
            Self::Shutdown => "shutdown",
        }
    }

    /// Returns the error code's name, if there is one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code } | Self::Failed { code } => Some(code),
            Self::Success | Self::ClientGone | Self::Shutdown => None,
        }
    }
}

/// How long each stage took; `None` when it did not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageTimes {
    /// Authentication.
    pub auth: Option<Duration>,
    /// Parsing the body.
    pub parse: Option<Duration>,
    /// Cache lookup.
    pub cache: Option<Duration>,
    /// The router model.
    pub score: Option<Duration>,
    /// The strategy.
    pub decide: Option<Duration>,
    /// From arrival to the first token.
    pub first_token: Option<Duration>,
    /// From arrival to the end.
    pub total: Duration,
}

/// The one row that a request leaves. It holds no prompt, no answer and no key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// The request.
    pub request: RequestId,
    /// Its decision.
    pub decision: DecisionId,
    /// When it arrived.
    pub at: Timestamp,
    /// Who asked.
    pub tenant: TenantId,
    /// With which key.
    pub key: KeyId,
    /// Which endpoint.
    pub endpoint: Endpoint,
    /// The `model` field of the request.
    pub requested_model: String,
    /// Whether the caller asked for a stream.
    pub is_streaming: bool,
    /// The policy that decided.
    pub policy: Option<PolicyName>,
    /// Its version.
    pub policy_version: u64,
    /// Why the plan was chosen.
    pub reason: Option<Reason>,
    /// The plan; `None` when none was made (refused, or answered from the cache).
    pub plan: Option<Plan>,
    /// Probability with which the plan's first model was drawn; 1 without chance, and where nothing was decided.
    #[serde(default = "certain")]
    pub propensity: Probability,
    /// What the strategy saw; with the policy's version enough to replay the decision.
    pub ask: Option<Ask>,
    /// Why there were no scores.
    pub unscored: Option<ScoresUnavailable>,
    /// What the cache did.
    pub cache: CacheOutcome,
    /// Every try of every leg.
    pub attempts: Vec<Attempt>,
    /// What the plan decided about its legs, in order.
    #[serde(default)]
    pub verdicts: Vec<Verdict>,
    /// The model whose answer the caller got.
    pub answered_by: Option<ModelName>,
    /// Summed over the attempts.
    pub usage: Usage,
    /// Summed over the attempts.
    pub cost: NanoUsd,
    /// What the answer would have cost at the baseline model: the usage of the attempt that answered, at the baseline's
    /// prices. `None` without a baseline, and when no attempt answered.
    pub baseline_cost: Option<NanoUsd>,
    /// What a cached answer saved.
    pub saved: NanoUsd,
    /// Stage times.
    pub times: StageTimes,
    /// How it ended.
    #[serde(flatten)]
    pub end: Outcome,
}

impl RequestRecord {
    /// Returns the attempt whose answer the caller got: of the model that answered, on the leg that the plan accepted, where it says
    /// so; the last of several.
    pub fn answering_attempt(&self) -> Option<&Attempt> {
        let answered_by = self.answered_by.as_ref()?;
        let is_given = |verdict: &&Verdict| matches!(verdict.ruling, Ruling::Accepted | Ruling::Kept);
        let leg = self.verdicts.iter().rfind(is_given).map(|verdict| verdict.leg);
        let is_it = |attempt: &&Attempt| attempt.model == *answered_by && leg.is_none_or(|leg| attempt.leg == leg);
        self.attempts.iter().rfind(is_it)
    }
}

fn certain() -> Probability {
    Probability::ONE
}
