//! From a whole chat completion to the chunks of a stream, and back.
//!
//! The law of this file: collecting what [`replay`] gives is the same answer again, with its text, tool calls, finish reasons,
//! log-probabilities and usage. Values are carried as JSON text, so numbers keep their spelling.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::value::RawValue;

use super::raw::{Edit, RawError, RawObject, quoted};

mod accumulate;

pub use accumulate::Accumulator;

/// Why a body cannot be replayed or chunks cannot be collected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// Not a JSON object.
    #[error(transparent)]
    Raw(#[from] RawError),
    /// Not a chat completion; the text says what is missing.
    #[error("not a chat completion: {0}")]
    NotACompletion(&'static str),
}

/// Returns the chunks that a stream of this chat completion would have had, without `[DONE]`.
///
/// # Errors
/// The body is not a chat completion.
pub fn replay(body: &Bytes, wants_usage: bool) -> Result<Vec<Bytes>, ReplayError> {
    let body = object(body.clone())?;
    let choices = list(body.get("choices").ok_or(ReplayError::NotACompletion("it has no choices"))?)?;
    let envelope = Envelope::of(&body, wants_usage);
    let mut chunks = Vec::new();
    for (at, choice) in choices.iter().enumerate() {
        let choice = object(choice.clone())?;
        replay_choice(at, &choice, &envelope, &mut chunks)?;
    }
    let usage = body.get("usage").filter(|usage| *usage != "null");
    chunks.extend(usage.filter(|_| wants_usage).map(|usage| envelope.chunk("[]", usage)));
    Ok(chunks)
}

/// The first chunk of a choice has the role, then one chunk has each field of the message, the last one the finish reason.
fn replay_choice(
    at: usize,
    choice: &RawObject,
    envelope: &Envelope,
    chunks: &mut Vec<Bytes>,
) -> Result<(), ReplayError> {
    let message = choice.get("message").ok_or(ReplayError::NotACompletion("a choice has no message"))?;
    let message = object(copied(message))?;
    let index = choice.get("index").map_or_else(|| at.to_string(), str::to_owned);
    let role = message.get("role").unwrap_or("\"assistant\"");
    let mut push = |delta: &str, logprobs: &str, finish_reason: &str| {
        let choice = format!(
            "[{{\"index\":{index},\"delta\":{delta},\"logprobs\":{logprobs},\"finish_reason\":{finish_reason}}}]"
        );
        chunks.push(envelope.chunk(&choice, "null"));
    };
    let mut logprobs = choice.get("logprobs").unwrap_or("null");
    push(&format!("{{\"role\":{role},\"content\":{}}}", first_content(&message)), "null", "null");
    for (name, value) in message.fields().filter(|(name, value)| *name != "role" && !matches!(*value, "null" | "\"\""))
    {
        let value = if name == "tool_calls" { with_indices(value)? } else { value.to_owned() };
        push(&format!("{{{}:{value}}}", quoted(name)), std::mem::replace(&mut logprobs, "null"), "null");
    }
    push("{}", logprobs, choice.get("finish_reason").unwrap_or("null"));
    Ok(())
}

/// Streams of text begin with empty content, streams of tool calls with null.
fn first_content(message: &RawObject) -> &'static str {
    match message.get("content") {
        None | Some("null") => "null",
        Some(_) => "\"\"",
    }
}

/// Numbers the tool calls, as chunks do and whole answers do not.
fn with_indices(calls: &str) -> Result<String, ReplayError> {
    let mut numbered = Vec::new();
    for (at, call) in list(calls)?.into_iter().enumerate() {
        let call = object(call)?.with(&[Edit::Set("index", &at.to_string())]);
        numbered.push(String::from_utf8_lossy(&call).into_owned());
    }
    Ok(format!("[{}]", numbered.join(",")))
}

/// The fields that all chunks of a stream share.
struct Envelope {
    head: String,
    wants_usage: bool,
}

impl Envelope {
    fn of(body: &RawObject, wants_usage: bool) -> Self {
        let mut head = "{\"object\":\"chat.completion.chunk\"".to_owned();
        let own = ["object", "choices", "usage", "pointsman"];
        for (name, value) in body.fields().filter(|(name, _)| !own.contains(name)) {
            head.push_str(&format!(",{}:{value}", quoted(name)));
        }
        Self { head, wants_usage }
    }

    fn chunk(&self, choices: &str, usage: &str) -> Bytes {
        let mut out = BytesMut::with_capacity(self.head.len() + choices.len() + usage.len() + 24);
        out.extend_from_slice(self.head.as_bytes());
        out.extend_from_slice(b",\"choices\":");
        out.extend_from_slice(choices.as_bytes());
        if self.wants_usage {
            out.extend_from_slice(b",\"usage\":");
            out.extend_from_slice(usage.as_bytes());
        }
        out.put_u8(b'}');
        out.freeze()
    }
}

fn object(bytes: Bytes) -> Result<RawObject, RawError> {
    RawObject::parse(bytes, usize::MAX)
}

fn copied(raw: &str) -> Bytes {
    Bytes::copy_from_slice(raw.as_bytes())
}

fn list(raw: &str) -> Result<Vec<Bytes>, ReplayError> {
    let items: Vec<&RawValue> =
        serde_json::from_str(raw).map_err(|_| ReplayError::NotACompletion("a list was expected"))?;
    Ok(items.iter().map(|item| copied(item.get())).collect())
}

#[cfg(test)]
mod tests;
