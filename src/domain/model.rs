//! What is known of a model before it is asked.

use std::collections::BTreeSet;

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ids::ModelName,
    language::Language,
    money::{NanoUsd, PricePerMillion},
    tokens::{Tokens, Usage},
};

/// What a model can read or write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Modality {
    /// Text.
    Text,
    /// Pictures.
    Image,
    /// Sound.
    Audio,
    /// Documents such as PDF.
    File,
    /// Moving pictures.
    Video,
}

impl Modality {
    /// Returns the snake-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::Audio => "audio",
            Self::File => "file",
            Self::Video => "video",
        }
    }
}

/// What a model is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// Answers chat requests; a candidate for routing.
    #[default]
    Chat,
    /// Turns text into vectors.
    Embedding,
}

/// A property that callers and policies can ask for, for instance `open_weights`, `eu`, `private`, `small`, `recent`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Tag(pub String);

/// List prices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prices {
    /// Per million tokens of prompt.
    pub input: PricePerMillion,
    /// Per million tokens of answer.
    pub output: PricePerMillion,
    /// Per million tokens of prompt that the provider had cached; `None` means the input price.
    pub cached_input: Option<PricePerMillion>,
}

impl Prices {
    /// Returns what a call of this usage costs.
    pub fn cost(&self, usage: &Usage) -> NanoUsd {
        let cached = Tokens(usage.cached_input.0.min(usage.input.0));
        let fresh = Tokens(usage.input.0 - cached.0);
        self.input.of(fresh) + self.cached_input.unwrap_or(self.input).of(cached) + self.output.of(usage.output)
    }
}

/// The facts about a model that a decision rests on; they come from the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// The name under which the model answers.
    pub name: ModelName,
    /// What it is for.
    pub kind: ModelKind,
    /// List prices; zero for local models.
    pub prices: Prices,
    /// Longest prompt plus answer.
    pub context_window: Tokens,
    /// Longest answer, if the model has a limit below its context window.
    pub max_output: Option<Tokens>,
    /// What it reads; always holds [`Modality::Text`].
    pub modalities: BTreeSet<Modality>,
    /// Whether it calls tools.
    pub has_tools: bool,
    /// Whether it answers in JSON when asked to.
    pub has_json_mode: bool,
    /// Whether it keeps to a JSON schema.
    pub has_json_schema: bool,
    /// Languages that it is good at; empty means any.
    pub languages: BTreeSet<Language>,
    /// Properties that callers and policies ask for.
    pub tags: BTreeSet<Tag>,
    /// The name of its profile in the router artifact; `None` means the model's own name.
    pub profile: Option<String>,
    /// Expected milliseconds to the first token of an empty prompt, before anything was measured.
    pub first_token_ms: f64,
    /// Milliseconds that each thousand tokens of prompt add to that.
    pub prompt_ms: f64,
    /// Expected milliseconds for each token after the first, before anything was measured.
    pub per_token_ms: f64,
    /// Parameters in billions, if known.
    pub parameters_b: Option<f64>,
    /// Date of release, if known.
    pub released: Option<Date>,
    /// Whether it runs inside this process.
    pub is_local: bool,
    /// Whether its answers are made up by the `scripted` backend.
    pub is_simulated: bool,
}

impl ModelFacts {
    /// Returns the name of its profile in the router artifact.
    pub fn profile_name(&self) -> &str {
        self.profile.as_deref().unwrap_or(self.name.as_str())
    }

    /// Returns how much reading a prompt adds to the time to the first token, in milliseconds.
    pub fn prefill_ms(&self, prompt: Tokens) -> f64 {
        self.prompt_ms * prompt.0 as f64 / 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_tokens_are_billed_at_their_own_price() {
        let prices = Prices {
            input: PricePerMillion::from_dollars(2.0),
            output: PricePerMillion::from_dollars(8.0),
            cached_input: Some(PricePerMillion::from_dollars(0.5)),
        };
        let usage = Usage { input: Tokens(100), output: Tokens(10), cached_input: Tokens(40), ..Usage::default() };

        let cost = prices.cost(&usage);

        assert_eq!(cost, NanoUsd(60 * 2_000 + 40 * 500 + 10 * 8_000));
    }
}
