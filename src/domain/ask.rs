//! Everything a strategy may look at. The same [`Ask`] always gives the same plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    conformal::Tail,
    ids::{KeyId, ModelName, TenantId},
    language::Language,
    model::{Modality, ModelFacts},
    money::NanoUsd,
    preferences::Preferences,
    scores::{Familiarity, Observed, Probability, ScoresUnavailable, Topic},
    tokens::Tokens,
};

/// What the request needs of a model, whatever it is about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestFacts {
    /// Estimated tokens of the prompt.
    pub input_tokens: Tokens,
    /// The answer's limit that the caller set.
    pub max_output: Option<Tokens>,
    /// Modalities of the prompt besides text.
    pub modalities: Vec<Modality>,
    /// Whether the request offers tools.
    pub needs_tools: bool,
    /// Whether the request wants JSON, of whatever shape.
    #[serde(default)]
    pub needs_json: bool,
    /// Whether the request wants a JSON schema kept.
    pub needs_json_schema: bool,
    /// Number of choices asked for.
    pub choices: u32,
    /// Whether the caller wants a stream.
    pub is_streaming: bool,
}

/// Whether a model can be asked now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Availability {
    /// Yes.
    Ready,
    /// Not yet: it is loading.
    Loading {
        /// What is being done.
        step: LoadStep,
        /// Share done, `[0, 1]`.
        progress: Probability,
    },
    /// No: too many failures lately; asked again after a pause.
    BreakerOpen,
    /// No: it failed to load or has no credentials.
    Failed {
        /// Why, for admins.
        reason: String,
    },
}

impl Availability {
    /// Returns the snake-case name, a closed set for metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Loading { .. } => "loading",
            Self::BreakerOpen => "breaker_open",
            Self::Failed { .. } => "failed",
        }
    }
}

/// What is done to a model before it can answer, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadStep {
    /// Its weights are fetched.
    Fetching,
    /// They are unpacked and checked.
    Unpacking,
    /// They are converted to a format that runs faster here, once.
    Converting,
    /// They are read into memory.
    Reading,
    /// It makes its first token.
    WarmingUp,
}

impl LoadStep {
    /// Returns the step in words, for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Fetching => "fetching its weights",
            Self::Unpacking => "unpacking its weights",
            Self::Converting => "converting its weights",
            Self::Reading => "reading its weights",
            Self::WarmingUp => "warming up",
        }
    }
}

/// What is expected of a model on this prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Predicted quality.
    pub quality: Probability,
    /// Standard deviation of `quality`, in `[0, 0.5]`.
    #[serde(default)]
    pub spread: f64,
    /// Quality expected of the model without its profile, from what its provider tells of it.
    #[serde(default)]
    pub prior: Probability,
    /// Standard deviation of `prior`.
    #[serde(default)]
    pub prior_spread: f64,
    /// Whether `quality` is a prior, because the router has no profile of the model or could not score.
    pub is_prior: bool,
    /// Expected tokens of the answer, median.
    pub output_tokens: f64,
    /// Expected cost, from the median length.
    pub cost: NanoUsd,
    /// Upper estimate of the cost, from the longest answer the request allows.
    pub cost_upper: NanoUsd,
    /// Expected time to the last token.
    pub latency: Duration,
}

/// What graded prompts near this one say of a model, by source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What the model reaches over all of the training data: what a strategy shrinks evidence to.
    #[serde(default)]
    pub overall: Option<Probability>,
    /// The clusters of the training data that the prompt is nearest to, the nearest first; the same ones for every model.
    #[serde(default)]
    pub clusters: Vec<Observed>,
    /// The nearest prompts of the training data.
    pub neighbours: Option<Observed>,
    /// The gateway's own traffic, as far as it was graded.
    pub traffic: Option<Observed>,
}

/// Which inputs a strategy looks at; nothing else is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Scores of the router model.
    pub scores: bool,
    /// [`Evidence::clusters`].
    pub clusters: bool,
    /// [`Evidence::neighbours`].
    pub neighbours: bool,
    /// [`Evidence::traffic`].
    pub traffic: bool,
    /// [`Signals::language`]; also found where a candidate names its languages.
    pub language: bool,
}

impl Needs {
    /// Nothing but the candidates.
    pub const NOTHING: Self =
        Self { scores: false, clusters: false, neighbours: false, traffic: false, language: false };
    /// Scores and no evidence.
    pub const SCORES: Self = Self { scores: true, ..Self::NOTHING };

    /// Returns what either needs.
    pub const fn or(self, other: Self) -> Self {
        Self {
            scores: self.scores || other.scores,
            clusters: self.clusters || other.clusters,
            neighbours: self.neighbours || other.neighbours,
            traffic: self.traffic || other.traffic,
            language: self.language || other.language,
        }
    }
}

/// A number that a strategy found in recent traffic.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibrated {
    /// The number, for instance a threshold.
    pub value: f64,
    /// Probability with which a request exactly at `value` goes to the dearer side, so that a goal is met also where many
    /// requests look the same.
    pub mix: Probability,
}

/// What is known of the prompt and of who sends it, besides what the request needs. It holds no text of the prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signals {
    /// How near the prompt lies to the router model's training data.
    pub familiarity: Familiarity,
    /// What it is about, the largest share first; empty without scores.
    pub topics: Vec<Topic>,
    /// Characters of the last user turn.
    pub characters: u64,
    /// What language the last user turn is in; `None` when nobody needed to know, or it could not be told.
    #[serde(default)]
    pub language: Option<Language>,
    /// What [`Strategy::observe`](crate::routing::Strategy::observe) found in the text.
    pub matched: BTreeSet<String>,
    /// Strong models of which the key has used up its share; see [`Quota`](super::quota::Quota).
    #[serde(default)]
    pub withheld: BTreeSet<ModelName>,
    /// The tenant that asks.
    pub tenant: Option<TenantId>,
    /// The key that it asks with.
    pub key: Option<KeyId>,
    /// When the request arrived.
    pub arrived: Timestamp,
    /// Checksum of the artifact that scored the prompt; `None` without scores.
    #[serde(default)]
    pub artifact: Option<Arc<str>>,
    /// How far bounds lie below predictions, at the probabilities that the strategy wants; empty when the artifact cannot say.
    #[serde(default)]
    pub tails: Vec<Tail>,
    /// Numbers that the strategy found in recent traffic with this artifact, by the names of their calibrators.
    #[serde(default)]
    pub calibrated: BTreeMap<String, Calibrated>,
}

impl Default for Signals {
    fn default() -> Self {
        Self {
            familiarity: Familiarity::UNKNOWN,
            topics: Vec::new(),
            characters: 0,
            language: None,
            matched: BTreeSet::new(),
            withheld: BTreeSet::new(),
            tenant: None,
            key: None,
            arrived: Timestamp::UNIX_EPOCH,
            artifact: None,
            tails: Vec::new(),
            calibrated: BTreeMap::new(),
        }
    }
}

/// A model that could answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// What is known of it.
    pub model: Arc<ModelFacts>,
    /// What is expected of it on this prompt.
    pub estimate: Estimate,
    /// What graded prompts near this one say of it; only what the strategy needs.
    #[serde(default)]
    pub evidence: Evidence,
    /// Whether it can be asked now.
    pub availability: Availability,
}

/// One question to a strategy. Serialisable, so that a record can replay it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// What the request needs.
    pub request: RequestFacts,
    /// What the request wants.
    pub preferences: Preferences,
    /// What else is known of the prompt and of who sends it.
    #[serde(default)]
    pub signals: Signals,
    /// The policy's candidates in the order of the policy.
    pub candidates: Vec<Candidate>,
    /// Why there are no scores; `None` when there are.
    pub unscored: Option<ScoresUnavailable>,
    /// The source of all chance in the decision.
    pub seed: u64,
}
