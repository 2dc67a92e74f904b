//! What the router model says of a prompt.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

/// A number in `[0, 1]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Probability(f64);

impl Probability {
    /// Returns the number, clamped to `[0, 1]`; NaN becomes 0.
    pub fn clamped(value: f64) -> Self {
        if value.is_nan() { Self(0.0) } else { Self(value.clamp(0.0, 1.0)) }
    }

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
    /// Answer length of this model relative to [`Scores::length`]; 1 when unknown.
    pub verbosity: f64,
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
    /// What a model without a profile is taken to reach: the mean over the known profiles.
    pub prior: Probability,
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
