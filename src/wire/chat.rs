//! Chat completion requests.

use super::raw::RawObject;

/// A chat request: the caller's bytes (without the `pointsman` field), and what the gateway needs to know of them.
#[derive(Clone, Debug)]
pub struct ChatCall {
    /// The body as it came, without the `pointsman` field.
    pub body: RawObject,
    /// `model`.
    pub model: String,
    /// `messages`, at least one.
    pub messages: Vec<Message>,
    /// `stream`.
    pub is_streaming: bool,
    /// `stream_options.include_usage`.
    pub wants_usage: bool,
    /// `n`, 1 when absent.
    pub choices: u32,
    /// `max_completion_tokens`, or `max_tokens`.
    pub max_tokens: Option<u64>,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// `stop`, a string or up to four.
    pub stop: Vec<String>,
    /// `logprobs`.
    pub wants_logprobs: bool,
    /// `top_logprobs`.
    pub top_logprobs: Option<u8>,
    /// Whether `tools` (or the older `functions`) is a non-empty list.
    pub has_tools: bool,
    /// `response_format`.
    pub format: ResponseFormat,
    /// The `pointsman` field.
    pub extension: Extension,
}

/// How tokens are drawn; `None` where the request is silent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// `temperature`, 0 to 2.
    pub temperature: Option<f64>,
    /// `top_p`, 0 to 1.
    pub top_p: Option<f64>,
    /// `seed`.
    pub seed: Option<i64>,
    /// `presence_penalty`, -2 to 2.
    pub presence_penalty: Option<f64>,
    /// `frequency_penalty`, -2 to 2.
    pub frequency_penalty: Option<f64>,
}

/// `response_format`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ResponseFormat {
    /// Text, or absent.
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    /// A JSON schema, as raw JSON text.
    JsonSchema(String),
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// `system`.
    System,
    /// `developer`.
    Developer,
    /// `user`.
    User,
    /// `assistant`.
    Assistant,
    /// `tool` (or the older `function`).
    Tool,
}

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// Its text parts, joined by line breaks; empty when there are none.
    pub text: String,
    /// Parts that are not text, in order of appearance.
    pub parts: Vec<PartKind>,
}

/// A content part that is not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PartKind {
    /// `image_url`.
    Image,
    /// `input_audio`.
    Audio,
    /// `file`.
    File,
    /// `video_url`.
    Video,
}

/// The `pointsman` field: what one request asks of the gateway itself.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    /// How much quality matters against cost and latency, 0 to 1.
    pub quality: Option<f64>,
    /// Most the request may cost, in US dollars.
    pub max_cost: Option<f64>,
    /// Most the whole answer may be expected to take, in milliseconds.
    pub max_latency_ms: Option<f64>,
    /// Properties the model must have.
    #[serde(default)]
    pub tags: Vec<String>,
    /// `no-store`, `no-cache`, or both separated by commas.
    pub cache: Option<String>,
    /// Whether the answer carries the decision.
    #[serde(default)]
    pub explain: bool,
}
