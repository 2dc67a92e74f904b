//! Chat completion requests.
//!
//! The fields that the gateway looks at are checked as OpenAI documents them; all others travel on unread. `null` counts as
//! absent.

use std::fmt;

use bytes::Bytes;
use serde::Deserialize;

use super::{
    parse::{Fields, Limits, ParseError, parse_body, parse_stream},
    raw::RawObject,
};

mod asking;
mod extension;
mod messages;
mod sampling;
pub mod tools;

pub use extension::Extension;
pub(super) use extension::take as take_extension;

/// A chat request: the caller's bytes (without the `pointsman` field), and what the gateway needs to know of them. Its `Debug`
/// tells nothing of what was said.
#[derive(Clone)]
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

impl fmt::Debug for ChatCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages = self.messages.len();
        f.debug_struct("ChatCall").field("body", &self.body).field("messages", &messages).finish_non_exhaustive()
    }
}

/// How tokens are drawn; `None` where the request is silent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// `temperature`, 0 to 2.
    pub temperature: Option<f64>,
    /// `top_p`, 0 to 1.
    pub top_p: Option<f64>,
    /// `top_k`, at least 1; `None` also for 0 and -1, by which others say "all". Not OpenAI's; named as in vLLM.
    pub top_k: Option<u64>,
    /// `min_p`, 0 to 1. Not OpenAI's; named as in vLLM.
    pub min_p: Option<f64>,
    /// `seed`.
    pub seed: Option<i64>,
    /// `presence_penalty`, -2 to 2.
    pub presence_penalty: Option<f64>,
    /// `frequency_penalty`, -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// `repetition_penalty`, above 0, to 2. Not OpenAI's; named as in vLLM.
    pub repetition_penalty: Option<f64>,
    /// `logit_bias` by token, -100 to 100.
    pub logit_bias: Vec<(u32, f32)>,
}

/// `response_format`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ResponseFormat {
    /// Text, or absent.
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    /// A JSON schema (`json_schema.schema`), as raw JSON text; `{}` when the request names none.
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

impl Role {
    /// Returns the name that OpenAI gives it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
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

const MOST_STOPS: usize = 4;
const MOST_TOP_LOGPROBS: u64 = 20;

impl ChatCall {
    /// Parses a request body and takes the `pointsman` field out of it.
    ///
    /// # Errors
    /// The body is not a JSON object within `limits`, or a field that the gateway looks at is missing, of the wrong type or out
    /// of range.
    pub fn parse(bytes: Bytes, limits: &Limits) -> Result<Self, ParseError> {
        let (body, extension) = extension::take(parse_body(bytes, limits)?)?;
        let fields = Fields(&body);
        let (is_streaming, wants_usage) = parse_stream(&fields)?;
        let (wants_logprobs, top_logprobs) = parse_logprobs(&fields)?;
        Ok(Self {
            model: fields.model()?,
            messages: messages::parse(&fields, limits)?,
            is_streaming,
            wants_usage,
            choices: parse_choices(&fields, limits)?,
            max_tokens: parse_max_tokens(&fields)?,
            sampling: sampling::parse(&fields)?,
            stop: parse_stop(&fields)?,
            wants_logprobs,
            top_logprobs,
            has_tools: parse_has_tools(&fields)?,
            format: parse_format(&fields)?,
            extension,
            body,
        })
    }
}

fn parse_choices(fields: &Fields<'_>, limits: &Limits) -> Result<u32, ParseError> {
    let choices = fields.integer("n", 1..=u64::from(limits.choices))?.unwrap_or(1);
    // Within the range of a `u32` after the check above.
    Ok(u32::try_from(choices).unwrap_or(limits.choices))
}

fn parse_max_tokens(fields: &Fields<'_>) -> Result<Option<u64>, ParseError> {
    let older = fields.integer("max_tokens", 1..=u64::MAX)?;
    Ok(fields.integer("max_completion_tokens", 1..=u64::MAX)?.or(older))
}

fn parse_stop(fields: &Fields<'_>) -> Result<Vec<String>, ParseError> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stop {
        One(String),
        Many(Vec<String>),
    }

    let stops = match fields.read("stop", "a string or a list of up to four strings")? {
        None => Vec::new(),
        Some(Stop::One(stop)) => vec![stop],
        Some(Stop::Many(stops)) => stops,
    };
    if stops.len() > MOST_STOPS {
        let message = format!("`stop` has {} strings; at most {MOST_STOPS} are allowed.", stops.len());
        return Err(ParseError::at("stop", message));
    }
    Ok(stops)
}

fn parse_logprobs(fields: &Fields<'_>) -> Result<(bool, Option<u8>), ParseError> {
    let wants_logprobs = fields.flag("logprobs")?;
    let top = fields.integer("top_logprobs", 0..=MOST_TOP_LOGPROBS)?.and_then(|top| u8::try_from(top).ok());
    if top.is_some() && !wants_logprobs {
        let message = "`top_logprobs` is only allowed when `logprobs` is true; set it or remove `top_logprobs`.";
        return Err(ParseError::at("top_logprobs", message));
    }
    Ok((wants_logprobs, top))
}

fn parse_has_tools(fields: &Fields<'_>) -> Result<bool, ParseError> {
    let tools: Vec<serde::de::IgnoredAny> = fields.read("tools", "a list")?.unwrap_or_default();
    let functions: Vec<serde::de::IgnoredAny> = fields.read("functions", "a list")?.unwrap_or_default();
    Ok(!tools.is_empty() || !functions.is_empty())
}

fn parse_format(fields: &Fields<'_>) -> Result<ResponseFormat, ParseError> {
    #[derive(Deserialize)]
    struct Format<'a> {
        r#type: String,
        #[serde(borrow)]
        json_schema: Option<&'a serde_json::value::RawValue>,
    }

    let expected = "an object with a `type`";
    let Some(format) = fields.read::<Format<'_>>("response_format", expected)? else { return Ok(ResponseFormat::Text) };
    match format.r#type.as_str() {
        "text" => Ok(ResponseFormat::Text),
        "json_object" => Ok(ResponseFormat::JsonObject),
        "json_schema" => parse_schema(format.json_schema.map(|raw| raw.get())),
        other => {
            let message = format!(
                "`response_format.type` is {other:?}; it must be \"text\", \"json_object\" or \"json_schema\"."
            );
            Err(ParseError::at("response_format.type", message))
        }
    }
}

fn parse_schema(raw: Option<&str>) -> Result<ResponseFormat, ParseError> {
    #[derive(Deserialize)]
    struct Schema<'a> {
        #[serde(borrow)]
        schema: Option<&'a serde_json::value::RawValue>,
    }

    let (param, expected) = ("response_format.json_schema", "an object with a `name` and a `schema`");
    let raw = raw.ok_or_else(|| ParseError::missing(param, expected))?;
    let document: Schema<'_> = serde_json::from_str(raw).map_err(|_| ParseError::expected(param, expected, raw))?;
    let schema = document.schema.map_or("{}", |schema| schema.get());
    if !schema.starts_with('{') {
        return Err(ParseError::expected("response_format.json_schema.schema", "an object", schema));
    }
    Ok(ResponseFormat::JsonSchema(schema.to_owned()))
}

#[cfg(test)]
mod tests;
