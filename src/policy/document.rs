//! A policy as it is written; its name is the name of its file.

pub mod agree;
pub mod bandit;
mod cache;
pub mod capability;
pub mod cascade;
pub mod cascade_routing;
mod cluster;
mod difficulty;
pub mod ensemble;
mod hedge;
mod nearest;
mod preference;
pub mod rules;
mod speculative;
pub mod topology;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    agree::*, bandit::*, capability::*, cascade::*, cascade_routing::*, ensemble::*, rules::*, topology::*,
};
pub use self::{
    cache::{CacheRuleDocument, JudgeDocument, JudgeModelDocument, NearMissDocument, SemanticRuleDocument},
    cluster::ClusterDocument,
    difficulty::DifficultyDocument,
    hedge::HedgeDocument,
    nearest::NearestDocument,
    preference::PreferenceDocument,
    speculative::SpeculativeDocument,
};
use crate::{
    config::{Period, document::TimeoutsDocument},
    domain::{Modality, Tag},
    routing::DEFAULT_MAX_FALLBACKS,
};

/// A routing policy of Pointsman.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["strategy"]))]
pub struct PolicyDocument {
    /// Version of this file's format; 1 is the only one.
    #[schemars(range(min = 1, max = 1))]
    pub schema_version: u32,
    /// What it is for, for people.
    pub description: String,
    /// Models it may choose from, in order of preference where all else is equal.
    pub candidates: CandidatesDocument,
    /// Rules that are looked at first, in this order; the first that holds decides how the choice goes on.
    pub rules: Vec<RuleDocument>,
    /// How it chooses where no rule holds.
    pub strategy: Option<StrategyDocument>,
    /// When a second model is asked because the first is slow to begin; never without it.
    pub hedge: Option<HedgeDocument>,
    /// What is done with prompts that lie far from everything the router model was trained on.
    pub outside: OutsideDocument,
    /// What every model must meet.
    pub constraints: ConstraintsDocument,
    /// What one request may use up.
    pub limits: LimitsDocument,
    /// Whether parts of a prompt are scored beside the whole and the median counts: text put in front or behind then moves the
    /// choice less. Scoring takes about three times as long.
    pub robust: bool,
    /// How often one key may be sent to strong models.
    pub quota: Option<QuotaDocument>,
    /// What may be answered from the cache.
    pub cache: CacheRuleDocument,
    /// How many further models may be tried when the first fails.
    #[schemars(range(min = 0, max = 20))]
    pub fallbacks: usize,
    /// Replaces the timeouts of the models; what is left out is the default in parentheses.
    pub timeouts: Option<TimeoutsDocument>,
}

impl Default for PolicyDocument {
    fn default() -> Self {
        Self {
            schema_version: 1,
            description: String::new(),
            candidates: CandidatesDocument::default(),
            rules: Vec::new(),
            strategy: None,
            hedge: None,
            outside: OutsideDocument::default(),
            constraints: ConstraintsDocument::default(),
            limits: LimitsDocument::default(),
            robust: false,
            quota: None,
            cache: CacheRuleDocument::default(),
            fallbacks: DEFAULT_MAX_FALLBACKS,
            timeouts: None,
        }
    }
}

/// "all", or a list of models, aliases, and `tag:<tag>` for every model with that tag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CandidatesDocument {
    /// Every chat model that is awake.
    All(All),
    /// These.
    These(#[schemars(length(min = 1))] Vec<String>),
}

/// The word "all".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum All {
    /// Every chat model that is awake.
    All,
}

impl Default for CandidatesDocument {
    fn default() -> Self {
        Self::All(All::All)
    }
}

/// How a policy chooses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum StrategyDocument {
    /// Always the same model.
    Fixed(FixedDocument),
    /// A local model whose answers another one drafts.
    Speculative(SpeculativeDocument),
    /// A draw by fixed shares.
    Weighted(WeightedDocument),
    /// The cheapest model that can answer, or the first; without scores.
    Capability(CapabilityDocument),
    /// The best quality for the money, by the scores of the router model.
    QualityCost(QualityCostDocument),
    /// The cheapest model that is expected to be good enough.
    Difficulty(DifficultyDocument),
    /// A strong and a weak model, by which is expected to win.
    Preference(PreferenceDocument),
    /// The best model on the clusters of training prompts that a prompt is nearest to.
    Cluster(ClusterDocument),
    /// The best model on the training prompts nearest to a prompt.
    Nearest(NearestDocument),
    /// The best by predictions and by what callers thought of earlier answers.
    Bandit(BanditDocument),
    /// One model after another, until an answer passes its tests.
    Cascade(CascadeDocument),
    /// One answer at a time, and another only where it is worth its cost.
    CascadeRouting(CascadeRoutingDocument),
    /// Several models, or samples of one, at once; one of their answers is given.
    Ensemble(EnsembleDocument),
    /// Tasks of which the later ones get the answers of the earlier ones.
    Topology(TopologyDocument),
    /// A fitted committee, one after another, until another answer is worth no more than it costs.
    Agree(AgreeDocument),
}

/// Always the same model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["model"]))]
pub struct FixedDocument {
    /// The model or an alias of it.
    pub model: String,
}

/// A draw by fixed shares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["weights"]))]
pub struct WeightedDocument {
    /// Share of each model, relative to their sum.
    pub weights: BTreeMap<String, Share>,
}

/// A share, at least 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Share(#[schemars(range(min = 0.0))] pub f64);

/// The best quality for the money: predicted quality minus each weight times what it weighs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QualityCostDocument {
    /// Quality given up to save one US cent (0.04, unless there is a budget).
    pub cost: Option<WeightDocument>,
    /// Instead of a weight: what a request may cost in the mean, in US dollars. The weight follows from recent requests; until
    /// there are some, each request keeps to it by itself.
    #[schemars(range(min = 0.0))]
    pub budget: Option<f64>,
    /// Judges models by the quality that holds with this probability, above a half and below 1, instead of the expected one.
    #[schemars(range(min = 0.5, max = 0.999))]
    pub confidence: Option<f64>,
    /// How the bound of that confidence is found: as if errors were normal, or from the errors that the router made where they
    /// could be checked (conformal).
    pub interval: IntervalDocument,
    /// Models that reach this quality come before all others; the cheapest good enough wins where cost weighs most.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub at_least: Option<f64>,
    /// Quality given up to save one second until the last token.
    pub latency: WeightDocument,
    /// Quality given up for a model of no size instead of the largest candidate.
    #[schemars(range(min = 0.0))]
    pub size: f64,
    /// Quality given up per year by which a model is older than the newest candidate.
    #[schemars(range(min = 0.0))]
    pub recency: f64,
    /// Quality given up per thousand expected tokens of answer.
    #[schemars(range(min = 0.0))]
    pub verbosity: f64,
    /// The model that is tried first when there are no scores; without it the best by price and speed.
    pub default: Option<String>,
}

impl Default for QualityCostDocument {
    fn default() -> Self {
        Self {
            cost: None,
            budget: None,
            confidence: None,
            interval: IntervalDocument::Normal,
            at_least: None,
            latency: WeightDocument::Fixed(0.002),
            size: 0.0,
            recency: 0.0,
            verbosity: 0.0,
            default: None,
        }
    }
}

/// How a bound is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntervalDocument {
    /// As if errors were normal with the stated spread.
    #[default]
    Normal,
    /// From the errors that the router made where they could be checked; as if normal where it does not say.
    Conformal,
}

/// A weight: a number that callers cannot move, or one with bounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum WeightDocument {
    /// A number that callers cannot move.
    Fixed(#[schemars(range(min = 0.0))] f64),
    /// A number that callers move between bounds.
    Bounded(BoundedDocument),
}

/// A weight and how far callers may move it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["weight", "min", "max"]))]
pub struct BoundedDocument {
    /// The policy's own weight.
    #[schemars(range(min = 0.0))]
    pub weight: f64,
    /// The weight for callers who want the best quality.
    #[schemars(range(min = 0.0))]
    pub min: f64,
    /// The weight for callers who want to save the most.
    #[schemars(range(min = 0.0))]
    pub max: f64,
}

/// What every model must meet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConstraintsDocument {
    /// Properties the model must have.
    pub tags: BTreeSet<Tag>,
    /// What it must be able to read.
    pub modalities: BTreeSet<Modality>,
    /// Whether it must call tools.
    pub tools: bool,
    /// Whether it must keep to a JSON schema.
    pub json_schema: bool,
    /// Smallest context window, in tokens.
    pub min_context_window: Option<u64>,
    /// Highest price of the prompt, in US dollars per million tokens.
    #[schemars(range(min = 0.0))]
    pub max_input_price: Option<f64>,
    /// Highest price of the answer, in US dollars per million tokens.
    #[schemars(range(min = 0.0))]
    pub max_output_price: Option<f64>,
}

/// What one request may use up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsDocument {
    /// Most it may cost, in US dollars, if the answer became as long as the request allows.
    #[schemars(range(min = 0.0))]
    pub max_cost: Option<f64>,
    /// Requests of this policy in flight at once.
    #[schemars(range(min = 1))]
    pub max_concurrency: Option<u32>,
    /// Time from arrival to the last byte.
    pub total_timeout: Option<Period>,
}

/// How often one key may be sent to strong models; beyond that other candidates answer it, if there are any.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["models", "share"]))]
pub struct QuotaDocument {
    /// The strong models: names, aliases, or `tag:<tag>`.
    #[schemars(length(min = 1))]
    pub models: Vec<String>,
    /// Largest share of a key's requests that they may answer, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub share: f64,
    /// The time over which the share is taken.
    pub window: Period,
    /// Requests that they may answer in each window whatever the share.
    pub grace: u32,
}

impl Default for QuotaDocument {
    fn default() -> Self {
        Self { models: Vec::new(), share: 1.0, window: Period::seconds(3600), grace: 10 }
    }
}
