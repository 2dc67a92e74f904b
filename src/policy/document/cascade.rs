//! The strategy `cascade` as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ExtractDocument, NothingDocument};

/// One model after another, until an answer passes its tests. An answer is held back until then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CascadeDocument {
    /// Models in the order in which they are asked, cheap ones first, when all but the last have the same tests (`defer`).
    pub models: Vec<String>,
    /// What sends a request on to the next of `models`.
    pub defer: Vec<DeferDocument>,
    /// Instead of `models` and `defer`: each model with tests of its own; the last has none.
    pub rungs: Vec<RungDocument>,
    /// Whether the last answer that was in doubt is given when no model after it answers; if not, the request fails.
    pub keep_doubtful: bool,
}

impl Default for CascadeDocument {
    fn default() -> Self {
        Self { models: Vec::new(), defer: Vec::new(), rungs: Vec::new(), keep_doubtful: true }
    }
}

/// A model of a cascade and what sends a request on from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["model"]))]
pub struct RungDocument {
    /// The model or an alias of it.
    pub model: String,
    /// Tests of its answer; each of them can send the request on.
    pub defer: Vec<DeferDocument>,
    /// Tokens after which an answer that no test doubts is accepted and passed on as it comes; without it an answer is accepted at
    /// its end. Only tests of tokens and of length can be made so early.
    #[schemars(range(min = 1))]
    pub accept_after: Option<u32>,
}

/// A test of an answer that can send the request on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DeferDocument {
    /// The router predicts little of the model: it is not even asked.
    Prior(BelowDocument),
    /// The log-probabilities of the answer's tokens are low.
    Logprob(LogprobDocument),
    /// The model wavered between the likeliest and the second token, in the mean over the answer.
    Margin(MarginDocument),
    /// The model did not know what to say, in the mean over the answer; only local models tell.
    Entropy(EntropyDocument),
    /// The answer is shorter or longer than this, in tokens.
    Length(LengthDocument),
    /// The answer ends for one of these reasons.
    Finish(FinishDocument),
    /// The model declines to answer.
    Refusal(RefusalDocument),
    /// The answer does not have this form.
    Format(FormatDocument),
    /// Too few further samples of the same model come to what the answer comes to.
    Agreement(AgreementDocument),
    /// Another model finds the answer more likely wrong than this.
    Judge(JudgingDocument),
    /// The model itself, asked again, finds its answer more likely wrong than this.
    SelfCheck(BelowDocument),
}

/// A probability below which a request is sent on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["below"]))]
pub struct BelowDocument {
    /// The probability, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub below: f64,
}

/// A test of the log-probabilities of tokens. Remote models are asked for them where the caller did not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["below"]))]
pub struct LogprobDocument {
    /// What is made of them.
    pub statistic: StatisticDocument,
    /// Which quantile, for `quantile`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub quantile: Option<f64>,
    /// Natural logarithm below which the request is sent on, at most 0; a mean of -0.7 is one half for each token.
    #[schemars(range(max = 0.0))]
    pub below: f64,
    /// Tokens after which an answer that is still being written is given up when the test fails; without it at its end.
    #[schemars(range(min = 1))]
    pub after: Option<u32>,
}

/// What is made of token log-probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StatisticDocument {
    /// Their mean.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// The lowest.
    Minimum,
    /// A quantile: 0.1 looks at the least certain tenth.
    Quantile,
}

/// A test of how much the model wavered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["below"]))]
pub struct MarginDocument {
    /// Mean difference of natural logarithms below which the request is sent on.
    #[schemars(range(min = 0.0))]
    pub below: f64,
    /// As for `logprob`.
    #[schemars(range(min = 1))]
    pub after: Option<u32>,
}

/// A test of how much was open to the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["above"]))]
pub struct EntropyDocument {
    /// Mean entropy in nats above which the request is sent on; 0.7 is a choice between two tokens.
    #[schemars(range(min = 0.0))]
    pub above: f64,
    /// As for `logprob`.
    #[schemars(range(min = 1))]
    pub after: Option<u32>,
}

/// A test of an answer's length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LengthDocument {
    /// Fewest tokens.
    pub min: Option<u64>,
    /// Most tokens; an answer that grows beyond is given up at once.
    pub max: Option<u64>,
}

/// A test of why an answer ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FinishDocument {
    /// Values of `finish_reason`.
    #[schemars(length(min = 1))]
    pub reasons: Vec<String>,
}

impl Default for FinishDocument {
    fn default() -> Self {
        Self { reasons: ["length", "content_filter"].map(str::to_owned).to_vec() }
    }
}

/// A test for refusals, by how they begin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RefusalDocument {
    /// Phrases of refusals besides the usual ones in English, in any case.
    pub phrases: Vec<String>,
}

/// A test of an answer's form; without a key, the form that the request asks for with `response_format`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FormatDocument {
    /// A JSON schema that the answer must keep to.
    pub schema: Option<serde_json::Value>,
    /// A regular expression that must be found in the answer.
    pub regex: Option<String>,
}

/// A test by further samples of the same model, drawn at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["extract", "below"]))]
pub struct AgreementDocument {
    /// How many are drawn besides the answer.
    #[schemars(range(min = 1, max = 8))]
    pub samples: u32,
    /// Their temperature.
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: f64,
    /// What is compared.
    pub extract: ExtractDocument,
    /// Share of all, the answer included, that must come to the same, from 0 to 1; below it the request is sent on.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub below: f64,
}

impl Default for AgreementDocument {
    fn default() -> Self {
        Self { samples: 2, temperature: 0.7, extract: ExtractDocument::Text(NothingDocument {}), below: 0.0 }
    }
}

/// A test by another model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["model", "below"]))]
pub struct JudgingDocument {
    /// The model that judges; it has to be a candidate.
    pub model: String,
    /// Probability of being right below which the request is sent on, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub below: f64,
}
