//! What tells a cascade to go on: the tests that an answer has to pass.

use serde::{Deserialize, Serialize};

use super::{answer_pattern::AnswerPattern, extractor::Extractor, plan::Leg, scores::Probability};

/// A test of an answer. All of them are pure functions of the answer, but for [`DeferralTest::Judge`] and
/// [`DeferralTest::Agreement`], which ask a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "test")]
pub enum DeferralTest {
    /// Goes on when the token log-probabilities are low.
    Logprob {
        /// What is made of them.
        statistic: Statistic,
        /// Natural logarithm, at most 0.
        below: f64,
        /// Tokens after which the test looks at an answer that is still being written; `None` waits for its end.
        after: Option<u32>,
    },
    /// Goes on when the model wavered: the mean log-probability of the likeliest token minus that of the second is low.
    Margin {
        /// Difference of natural logarithms, at least 0.
        below: f64,
        /// As for [`DeferralTest::Logprob`].
        after: Option<u32>,
    },
    /// Goes on when the model did not know what to say: the mean entropy of its distributions is high. Local models tell it, remote
    /// ones do not.
    Entropy {
        /// Nats, at least 0.
        above: f64,
        /// As for [`DeferralTest::Logprob`].
        after: Option<u32>,
    },
    /// Goes on when the answer is shorter or longer, in estimated tokens.
    Length {
        /// Least.
        min: Option<u64>,
        /// Most; an answer that is still being written is abandoned when it grows beyond.
        max: Option<u64>,
    },
    /// Goes on when the answer ends for one of these reasons.
    Finish {
        /// Values of `finish_reason`.
        reasons: Vec<String>,
    },
    /// Goes on when the model declines.
    Refusal {
        /// Further phrases, in any case, that a refusal begins with, besides the usual ones in English.
        phrases: Vec<String>,
    },
    /// Goes on when the answer does not have this form.
    Format {
        /// The form.
        form: AnswerForm,
    },
    /// Goes on when too few further samples of the same model come to what the answer comes to.
    Agreement {
        /// The model.
        leg: Leg,
        /// How many are drawn besides the answer.
        samples: u32,
        /// At which temperature.
        temperature: f64,
        /// What is compared.
        extract: Extractor,
        /// Least share of all, the answer included, that must agree with it.
        below: Probability,
    },
    /// Goes on when a model finds the answer more likely wrong than this; the answer's own model verifies itself.
    Judge {
        /// The model that judges.
        leg: Leg,
        /// Least probability of being right.
        below: Probability,
    },
}

/// What is made of the log-probabilities of an answer's tokens (Gupta et al., "Language Model Cascades: Token-level uncertainty
/// and beyond", arXiv 2404.10136, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// Their mean.
    Mean,
    /// Their sum: long answers are less certain.
    Sum,
    /// The lowest.
    Minimum,
    /// The quantile of this share, in `(0, 1)`.
    Quantile(f64),
}

/// The form that an answer should have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerForm {
    /// The one that the request asks for with `response_format`; text has none.
    Requested,
    /// JSON that keeps to this schema.
    Schema(serde_json::Value),
    /// Text in which this is found.
    Matches(AnswerPattern),
}

impl DeferralTest {
    /// Returns the calls that the test may make.
    pub fn legs(&self) -> impl Iterator<Item = &Leg> {
        let (leg, times) = match self {
            Self::Judge { leg, .. } => (Some(leg), 1),
            Self::Agreement { leg, samples, .. } => (Some(leg), *samples as usize),
            _ => (None, 0),
        };
        leg.into_iter().flat_map(move |leg| std::iter::repeat_n(leg, times))
    }

    /// Returns the snake-case name, as policies write it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Logprob { .. } => "logprob",
            Self::Margin { .. } => "margin",
            Self::Entropy { .. } => "entropy",
            Self::Length { .. } => "length",
            Self::Finish { .. } => "finish",
            Self::Refusal { .. } => "refusal",
            Self::Format { .. } => "format",
            Self::Agreement { .. } => "agreement",
            Self::Judge { .. } => "judge",
        }
    }
}
