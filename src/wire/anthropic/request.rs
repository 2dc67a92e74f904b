//! A chat request as a Messages request.

mod content;
mod fields;
mod messages;
mod object;
mod tools;

use bytes::Bytes;
use serde::Deserialize;

pub use self::fields::{DROPPED, REFUSED};
use self::{messages::Conversation, object::Object};
use crate::wire::chat::{ChatCall, ResponseFormat};

/// The end of Anthropic's range of temperatures.
const MAX_TEMPERATURE: f64 = 1.0;

/// Why a chat request cannot be put to Anthropic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// Ignoring the field would change the answer.
    #[error("`{0}` is not supported by this model; leave it out or choose another model.")]
    Unsupported(String),
    /// The field has a shape that cannot be read.
    #[error("`{0}` has a shape that this model cannot read ({1}).")]
    Shape(String, String),
}

impl MapError {
    /// Returns the field at fault.
    pub fn param(&self) -> &str {
        match self {
            Self::Unsupported(field) | Self::Shape(field, _) => field,
        }
    }
}

/// What the call says besides the request itself.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// What Anthropic calls the model.
    pub model: &'a str,
    /// Whether to ask for a stream.
    pub is_streaming: bool,
    /// The answer's limit when the request sets none.
    pub max_tokens: u64,
}

/// Returns the body of the Messages request.
///
/// # Errors
/// The request asks for something that Anthropic does not offer, or has a shape that cannot be read.
pub fn to_messages(chat: &ChatCall, target: Target<'_>) -> Result<Bytes, MapError> {
    fields::check(chat)?;
    let conversation = Conversation::build(read(chat.body.get("messages"), "messages")?)?;
    let mut out = Object::default();
    out.set("model", target.model);
    out.set("max_tokens", &chat.max_tokens.unwrap_or(target.max_tokens));
    out.set_some("stream", target.is_streaming.then_some(&true));
    out.raw_some("system", conversation.system());
    out.raw("messages", &conversation.turns());
    out.set_some("temperature", chat.sampling.temperature.map(|value| value.min(MAX_TEMPERATURE)).as_ref());
    out.set_some("top_p", chat.sampling.top_p.as_ref());
    out.set_some("stop_sequences", (!chat.stop.is_empty()).then_some(&chat.stop));
    out.raw_some("tools", tools::tools(&chat.body)?);
    out.raw_some("tool_choice", tools::choice(&chat.body)?);
    out.raw_some("metadata", metadata(chat)?);
    out.raw_some("output_config", output_config(chat)?);
    for (name, value) in fields::foreign(chat) {
        out.raw(name, value);
    }
    Ok(out.finish().into())
}

/// Reads a field's JSON text; a missing one reads as `null`.
fn read<'a, T: Deserialize<'a>>(text: Option<&'a str>, field: &str) -> Result<T, MapError> {
    serde_json::from_str(text.unwrap_or("null")).map_err(|error| MapError::Shape(field.to_owned(), error.to_string()))
}

/// `user`, or its successor `safety_identifier`, or the `user_id` of a `metadata` written for Anthropic.
fn metadata(chat: &ChatCall) -> Result<Option<String>, MapError> {
    #[derive(Deserialize)]
    struct Metadata {
        user_id: Option<String>,
    }

    let metadata: Option<Metadata> = read(chat.body.get("metadata"), "metadata")?;
    let mut user = metadata.and_then(|metadata| metadata.user_id);
    for field in ["user", "safety_identifier"] {
        user = user.or(read(chat.body.get(field), field)?);
    }
    Ok(user.map(|user| Object::default().with("user_id", &user).finish()))
}

/// The schema joins whatever else the caller's own `output_config` says.
fn output_config(chat: &ChatCall) -> Result<Option<String>, MapError> {
    let own = chat.body.get("output_config").filter(|text| *text != "null");
    if !matches!(chat.format, ResponseFormat::JsonSchema(_)) {
        return Ok(own.map(str::to_owned));
    }
    let format = Object::default().with("type", "json_schema").with_raw("schema", schema(chat)?).finish();
    Ok(Some(Object::from_fields(own.unwrap_or("{}"), "output_config")?.with_raw("format", &format).finish()))
}

fn schema(chat: &ChatCall) -> Result<&str, MapError> {
    #[derive(Deserialize)]
    struct Format<'a> {
        #[serde(borrow)]
        json_schema: Wrapped<'a>,
    }
    #[derive(Deserialize)]
    struct Wrapped<'a> {
        #[serde(borrow)]
        schema: &'a serde_json::value::RawValue,
    }

    let format: Format<'_> = read(chat.body.get("response_format"), "response_format")?;
    Ok(format.json_schema.schema.get())
}
