//! Providers and models.

use std::collections::BTreeMap;

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LocalDocument, TogetherDocument};
use crate::{
    config::quantity::Period,
    domain::{Language, Modality, ModelKind},
};

/// A remote provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["base_url"]))]
pub struct ProviderDocument {
    /// The language it speaks.
    #[serde(default)]
    pub wire: WireDocument,
    /// Base URL, for instance `https://api.openai.com/v1`.
    #[schemars(regex(pattern = "^https?://[^/ ]+"), title = "a URL", extend("examples" = ["https://api.openai.com/v1"]))]
    #[serde(default)]
    pub base_url: String,
    /// Credential, as ${NAME} or file:/path; without the variable the provider's models are asleep.
    #[serde(default)]
    pub api_key: Option<String>,
    /// Further headers to send; values may hold ${NAME}.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Timeouts of all its models.
    #[serde(default)]
    pub timeouts: TimeoutsDocument,
}

/// The language a provider speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WireDocument {
    /// OpenAI's, as most providers do.
    #[default]
    Openai,
    /// Anthropic's.
    Anthropic,
}

/// How long each phase of an attempt may take; what is left out comes from the provider, then from the defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutsDocument {
    /// Until the connection stands (5s).
    pub connect: Option<Period>,
    /// Until the first token, or the head of a whole answer (60s).
    pub first_token: Option<Period>,
    /// Between two chunks (60s).
    pub idle: Option<Period>,
    /// The whole attempt (10m).
    pub total: Option<Period>,
}

/// A model. It is reached in exactly one way: provider, local, together, simulated or router.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["name"]))]
pub struct ModelDocument {
    /// The name under which it answers.
    #[schemars(length(min = 1))]
    #[serde(default)]
    pub name: String,
    /// The provider that serves it.
    #[serde(default)]
    pub provider: Option<String>,
    /// What the provider calls it; without it the name.
    #[serde(default)]
    pub upstream: Option<String>,
    /// Runs inside this process.
    #[serde(default)]
    pub local: Option<LocalDocument>,
    /// Is several local models that decode together.
    #[serde(default)]
    pub together: Option<TogetherDocument>,
    /// Gives made-up answers, for trying things out.
    #[serde(default)]
    pub simulated: Option<SimulatedDocument>,
    /// Is the router model's own embedding.
    #[serde(default)]
    pub router: bool,
    /// What it is for.
    #[serde(default)]
    pub kind: ModelKind,
    /// List prices in US dollars per million tokens; without them it is free.
    #[serde(default)]
    pub prices: PricesDocument,
    /// Longest prompt plus answer, in tokens.
    #[schemars(range(min = 1))]
    #[serde(default = "default_context_window")]
    pub context_window: u64,
    /// Longest answer, in tokens.
    #[schemars(range(min = 1))]
    #[serde(default)]
    pub max_output: Option<u64>,
    /// What it reads; text is always among it.
    #[serde(default = "default_modalities")]
    pub modalities: Vec<Modality>,
    /// Whether it calls tools.
    #[serde(default)]
    pub tools: bool,
    /// Whether it answers in JSON when asked to.
    #[serde(default = "default_json_mode")]
    pub json_mode: bool,
    /// Whether it keeps to a JSON schema.
    #[serde(default)]
    pub json_schema: bool,
    /// Languages that it is good at, by their two-letter codes; prompts in others go elsewhere. Empty means any.
    #[serde(default)]
    pub languages: Vec<Language>,
    /// Properties that callers and policies can ask for.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The name of its profile in the router model; without it the name.
    #[serde(default)]
    pub profile: Option<String>,
    /// Expected speed before anything was measured.
    #[serde(default)]
    pub latency: LatencyDocument,
    /// Timeouts; what is left out comes from the provider.
    #[serde(default)]
    pub timeouts: TimeoutsDocument,
    /// Calls in flight at once; without it no limit.
    #[schemars(range(min = 1))]
    #[serde(default)]
    pub max_concurrency: Option<u32>,
    /// Parameters in billions.
    #[schemars(range(min = 0.0))]
    #[serde(default)]
    pub parameters_b: Option<f64>,
    /// Date of release, as 2026-07-09.
    #[schemars(with = "Option<ReleaseDate>")]
    #[serde(default)]
    pub released: Option<Date>,
}

/// The smallest window among models that are still served widely; a model that says nothing is not sent more.
const fn default_context_window() -> u64 {
    8192
}

/// Nearly every provider has it.
const fn default_json_mode() -> bool {
    true
}

fn default_modalities() -> Vec<Modality> {
    vec![Modality::Text]
}

/// A calendar date, for the schema only.
#[derive(JsonSchema)]
#[schemars(title = "a date", extend("pattern" = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$", "examples" = ["2026-07-09"]))]
#[expect(dead_code, reason = "stands in for the date type, which has no schema of its own")]
struct ReleaseDate(String);

/// List prices in US dollars per million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PricesDocument {
    /// Tokens of the prompt.
    #[schemars(range(min = 0.0, max = 100_000.0))]
    pub input: f64,
    /// Tokens of the answer.
    #[schemars(range(min = 0.0, max = 100_000.0))]
    pub output: f64,
    /// Tokens of the prompt that the provider had cached; without it the input price.
    #[schemars(range(min = 0.0, max = 100_000.0))]
    pub cached_input: Option<f64>,
}

/// Expected speed before anything was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LatencyDocument {
    /// Milliseconds to the first token of an empty prompt.
    #[schemars(range(min = 0.0))]
    pub first_token_ms: f64,
    /// Milliseconds that each thousand tokens of prompt add to that.
    #[schemars(range(min = 0.0))]
    pub prompt_ms: f64,
    /// Milliseconds for each token after it.
    #[schemars(range(min = 0.0))]
    pub per_token_ms: f64,
}

impl Default for LatencyDocument {
    /// A hosted model of middling size: half a second, 20,000 tokens of prompt a second, then 66 tokens of answer a second.
    fn default() -> Self {
        Self { first_token_ms: 500.0, prompt_ms: 50.0, per_token_ms: 15.0 }
    }
}

/// A made-up model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SimulatedDocument {
    /// What it answers; {prompt} stands for the last user turn.
    pub answer: String,
    /// Time to the first token.
    pub first_token: Period,
    /// Time for each token after that.
    pub per_token: Period,
}

impl Default for SimulatedDocument {
    fn default() -> Self {
        Self {
            answer: "This answer is simulated.".to_owned(),
            first_token: Period::millis(200),
            per_token: Period::millis(10),
        }
    }
}
