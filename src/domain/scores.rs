//! What the router model says of a prompt.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{conformal::Conformal, model::ModelFacts};

/// A number in `[0, 1]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Probability(f64);

impl Probability {
    /// Returns the number, clamped to `[0, 1]`; NaN becomes 0.
    pub fn clamped(value: f64) -> Self {
        if value.is_nan() { Self(0.0) } else { Self(value.clamp(0.0, 1.0)) }
    }

    /// Certainty.
    pub const ONE: Self = Self(1.0);

    /// Returns the number.
    pub fn value(self) -> f64 {
        self.0
    }
}

/// How long the answer is likely to be, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Length {
    /// Median.
    pub median: f64,
    /// 90 % quantile.
    pub upper: f64,
}

/// Predicted quality of one profile on one prompt.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Probability that the answer is good.
    pub mean: Probability,
    /// Standard deviation of `mean`: how far the model's true rate on such prompts may lie from it, in `[0, 0.5]`.
    pub spread: f64,
    /// Answer length of this model relative to [`Scores::length`]; 1 when unknown.
    pub verbosity: f64,
}

/// What hints at the quality of a model that nobody has graded. What is not known counts as average.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ModelTraits {
    /// US dollars per million tokens of answer; `None` also for models that cost nothing here, such as local ones.
    pub output_dollars: Option<f64>,
    /// Parameters in billions.
    pub parameters_b: Option<f64>,
    /// Tokens of the context window.
    pub context_window: Option<f64>,
}

impl ModelTraits {
    /// Returns what the configuration says of a model.
    pub fn of(model: &ModelFacts) -> Self {
        Self {
            output_dollars: Some(model.prices.output.dollars()).filter(|dollars| *dollars > 0.0),
            parameters_b: model.parameters_b,
            context_window: Some(model.context_window.0 as f64),
        }
    }

    /// Returns `ln(1 + US dollars per million tokens of answer)`.
    pub fn price(&self) -> Option<f64> {
        self.output_dollars.map(|dollars| dollars.max(0.0).ln_1p())
    }

    /// Returns `ln(billions of parameters)`.
    pub fn size(&self) -> Option<f64> {
        self.parameters_b.filter(|size| *size > 0.0).map(f64::ln)
    }

    /// Returns `ln(context window in thousand tokens)`.
    pub fn context(&self) -> Option<f64> {
        self.context_window.map(|tokens| (tokens / 1_000.0).max(1.0).ln())
    }
}

/// What a model without a profile is taken to reach, from what its provider tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prior {
    /// Log-odds of a good answer of the average known model on this prompt.
    pub logit: f64,
    /// Added per unit of `ln(1 + output price in US dollars per million tokens)` above the known models' mean.
    pub price: f64,
    /// That mean.
    pub price_center: f64,
    /// Added per unit of `ln(parameters in billions)` above the known models' mean.
    pub size: f64,
    /// That mean.
    pub size_center: f64,
    /// Added per unit of `ln(context window in thousand tokens)` above the known models' mean.
    pub context: f64,
    /// That mean.
    pub context_center: f64,
    /// Standard deviation of the resulting probability, from leaving out one known model at a time.
    pub spread: f64,
}

impl Prior {
    /// Returns the expected quality of a model.
    pub fn quality(&self, model: &ModelFacts) -> Probability {
        self.quality_of(&ModelTraits::of(model))
    }

    /// Returns the expected quality of a model of which this is known.
    pub fn quality_of(&self, model: &ModelTraits) -> Probability {
        let above = |weight: f64, value: Option<f64>, center: f64| value.map_or(0.0, |value| weight * (value - center));
        let logit = self.logit
            + above(self.price, model.price(), self.price_center)
            + above(self.size, model.size(), self.size_center)
            + above(self.context, model.context(), self.context_center);
        Probability::clamped(1.0 / (1.0 + (-logit).exp()))
    }

    /// Returns the prior that says the same of every model.
    pub fn flat(mean: Probability, spread: f64) -> Self {
        let mean = mean.value().clamp(1e-6, 1.0 - 1e-6);
        let logit = (mean / (1.0 - mean)).ln();
        Self {
            logit,
            price: 0.0,
            price_center: 0.0,
            size: 0.0,
            size_center: 0.0,
            context: 0.0,
            context_center: 0.0,
            spread,
        }
    }
}

/// How near a prompt lies to what the router model was trained on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Familiarity {
    /// Share of held-back training prompts that lie at least as far out as this one: 1 in the middle, 0 beyond all.
    pub typicality: Probability,
    /// Whether predictions should not be trusted here; the policy says what follows.
    pub is_outside: bool,
}

impl Familiarity {
    /// What is assumed where an artifact cannot tell.
    pub const UNKNOWN: Self = Self { typicality: Probability::ONE, is_outside: false };
}

/// Every subject that an artifact can tell, in the order of the alphabet; policies may name these.
pub const TOPICS: [&str; 15] = [
    "biology",
    "chemistry",
    "code",
    "computer_science",
    "economics",
    "engineering",
    "humanities",
    "law",
    "math",
    "medicine",
    "other",
    "physics",
    "psychology",
    "reasoning",
    "writing",
];

/// A subject and how much of the prompt is about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Topic {
    /// The subject: one of [`TOPICS`].
    pub name: Arc<str>,
    /// Its share; the shares of all topics add up to 1.
    pub share: Probability,
}

/// What graded prompts near this one say of a model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Mean grade.
    pub mean: Probability,
    /// Effective number of graded prompts behind it; 0 when there are none, and then `mean` says nothing.
    pub weight: f64,
    /// Standard deviation of `mean`.
    pub spread: f64,
}

impl Observed {
    /// Returns the mean as if `strength` further prompts had been graded with `towards`: the posterior mean of a rate whose
    /// prior is worth that many prompts.
    pub fn shrunk(&self, towards: Probability, strength: f64) -> Probability {
        let total = self.weight + strength;
        if total <= 0.0 {
            return towards;
        }
        Probability::clamped((self.weight * self.mean.value() + strength * towards.value()) / total)
    }
}

/// Everything one forward pass says of a prompt.
#[derive(Clone, Debug)]
pub struct Scores {
    /// L2-normalised embedding, shape `[d]`.
    pub embedding: Arc<[f32]>,
    /// What the prompt asks of a model, shape `[k]`.
    pub latent: Arc<[f32]>,
    /// Expected length of the answer.
    pub length: Length,
    /// Predicted quality by profile name.
    pub quality: HashMap<Arc<str>, Quality>,
    /// What a model without a profile is taken to reach.
    pub prior: Prior,
    /// How near the prompt lies to the training data.
    pub familiarity: Familiarity,
    /// What the prompt is about, the largest share first.
    pub topics: Vec<Topic>,
    /// How far the artifact's predictions were off where they could be checked; `None` when it does not say.
    pub conformal: Option<Arc<Conformal>>,
    /// Checksum of the artifact; what was calibrated with another one does not hold here.
    pub artifact: Arc<str>,
    /// How long scoring took.
    pub took: Duration,
}

/// Why there are no scores; routing goes on without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoresUnavailable {
    /// No router model is configured.
    Off,
    /// Scoring did not end before its deadline.
    Late,
    /// Too many prompts were waiting.
    Full,
    /// The router model failed; the log has the cause.
    Failed,
}

impl ScoresUnavailable {
    /// Returns the snake-case name, a closed set for metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Late => "late",
            Self::Full => "full",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for ScoresUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
