//! What the gateway must know of one streamed chunk, and how its `usage` is shown.
//!
//! Usage is always asked for upstream, and shown to the caller exactly as OpenAI does: without `include_usage` no chunk has
//! it; with it every chunk has `usage: null` but one last chunk, which has the figures and no choices.

use std::fmt;

use bytes::Bytes;
use memchr::memmem;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    logprobs::{self, TokenOdds},
    raw::{Edit, RawError, RawObject},
    usage::UsageFields,
};

/// What one `chat.completion.chunk` (or `text_completion` chunk) says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChunkFacts {
    /// Whether it carries text, reasoning, a refusal, or part of a tool call.
    pub has_content: bool,
    /// The first `finish_reason` that is not null.
    pub finish_reason: Option<String>,
    /// Its `usage`.
    pub usage: Option<UsageFields>,
    /// Whether `choices` is empty or absent.
    pub has_no_choices: bool,
    /// Whether it is an error instead: an object with `error` and without choices.
    pub is_error: bool,
    /// What its `logprobs` say of the tokens of the first choice.
    pub odds: Vec<TokenOdds>,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(default)]
    error: Presence,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default)]
    logprobs: Option<&'a RawValue>,
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    text: Presence,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    content: Presence,
    #[serde(default)]
    reasoning_content: Presence,
    #[serde(default)]
    reasoning: Presence,
    #[serde(default)]
    refusal: Presence,
    #[serde(default)]
    tool_calls: Presence,
    #[serde(default)]
    function_call: Presence,
    #[serde(default)]
    audio: Presence,
}

impl Choice<'_> {
    fn has_content(&self) -> bool {
        self.text.0 || self.delta.as_ref().is_some_and(Delta::has_content)
    }
}

impl Delta {
    fn has_content(&self) -> bool {
        let parts = [
            self.content,
            self.reasoning_content,
            self.reasoning,
            self.refusal,
            self.tool_calls,
            self.function_call,
            self.audio,
        ];
        parts.iter().any(|part| part.0)
    }
}

impl ChunkFacts {
    /// Reads one chunk; `None` when it is not a JSON object of that kind.
    pub fn read(data: &[u8]) -> Option<Self> {
        let chunk: Chunk<'_> = serde_json::from_slice(data).ok()?;
        let choices = chunk.choices.unwrap_or_default();
        Some(Self {
            has_content: choices.iter().any(Choice::has_content),
            has_no_choices: choices.is_empty(),
            is_error: chunk.error.0 && choices.is_empty(),
            odds: first_odds(&choices),
            finish_reason: choices.into_iter().find_map(|choice| choice.finish_reason),
            usage: chunk.usage.and_then(|raw| UsageFields::read(raw.get())),
        })
    }
}

fn first_odds(choices: &[Choice<'_>]) -> Vec<TokenOdds> {
    let first = choices.iter().find(|choice| choice.index.unwrap_or(0) == 0);
    first.and_then(|choice| choice.logprobs).map(|raw| logprobs::read(raw.get())).unwrap_or_default()
}

/// Whether a value is there and not empty: a non-empty string or list, any object, number or true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Presence(bool);

impl<'de> Deserialize<'de> for Presence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PresenceVisitor)
    }
}

struct PresenceVisitor;

impl<'de> Visitor<'de> for PresenceVisitor {
    type Value = Presence;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Presence, E> {
        Ok(Presence(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Presence, E> {
        Ok(Presence(true))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Presence, E> {
        Ok(Presence(true))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Presence, E> {
        Ok(Presence(true))
    }

    fn visit_str<E>(self, text: &str) -> Result<Presence, E> {
        Ok(Presence(!text.is_empty()))
    }

    fn visit_unit<E>(self) -> Result<Presence, E> {
        Ok(Presence(false))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Presence, A::Error> {
        let mut is_present = false;
        while items.next_element::<IgnoredAny>()?.is_some() {
            is_present = true;
        }
        Ok(Presence(is_present))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Presence, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Presence(true))
    }
}

/// Shows usage to the caller as it was asked for, chunk by chunk.
#[derive(Debug)]
pub struct UsageView {
    wants_usage: bool,
    /// The last chunk with figures, which is shown at the end.
    held: Option<Bytes>,
}

impl UsageView {
    /// Returns a view for a caller who asked for usage or did not.
    pub fn new(wants_usage: bool) -> Self {
        Self { wants_usage, held: None }
    }

    /// Returns the chunk as the caller sees it; `None` when nothing is left of it or it has to wait for the end.
    ///
    /// # Errors
    /// The chunk is not a JSON object.
    pub fn show(&mut self, data: &Bytes, facts: &ChunkFacts) -> Result<Option<Bytes>, RawError> {
        if facts.usage.is_some() && self.wants_usage {
            self.held = Some(data.clone());
        }
        if facts.usage.is_some() && facts.has_no_choices {
            return Ok(None);
        }
        if self.wants_usage {
            return with_null_usage(data).map(Some);
        }
        without_usage(data).map(Some)
    }

    /// Returns the last chunk, with the figures and without choices, if the caller asked and the model said.
    ///
    /// # Errors
    /// The chunk is not a JSON object.
    pub fn finish(&mut self) -> Result<Option<Bytes>, RawError> {
        self.held.take().map(|data| as_usage_chunk(&data)).transpose()
    }
}

/// Returns a chunk without its `usage`, every other byte as it was.
fn without_usage(data: &Bytes) -> Result<Bytes, RawError> {
    // Nearly every provider spells the key plainly, and most chunks of most providers have none.
    if memmem::find(data, b"\"usage\"").is_none() {
        return Ok(data.clone());
    }
    Ok(object(data)?.with(&[Edit::Remove("usage")]))
}

/// Returns a chunk with `usage: null`, every other byte as it was.
fn with_null_usage(data: &Bytes) -> Result<Bytes, RawError> {
    let object = object(data)?;
    if object.get("usage") == Some("null") {
        return Ok(data.clone());
    }
    Ok(object.with(&[Edit::Set("usage", "null")]))
}

/// Returns a chunk with its `usage` and no choices.
fn as_usage_chunk(data: &Bytes) -> Result<Bytes, RawError> {
    let object = object(data)?;
    if object.get("choices") == Some("[]") {
        return Ok(data.clone());
    }
    Ok(object.with(&[Edit::Set("choices", "[]")]))
}

fn object(data: &Bytes) -> Result<RawObject, RawError> {
    RawObject::parse(data.clone(), usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(data: &str) -> ChunkFacts {
        ChunkFacts::read(data.as_bytes()).unwrap()
    }

    fn view(wants_usage: bool, chunks: &[&'static str]) -> Vec<String> {
        let mut view = UsageView::new(wants_usage);
        let mut shown = Vec::new();
        for chunk in chunks {
            let data = Bytes::from_static(chunk.as_bytes());
            shown.extend(view.show(&data, &facts(chunk)).unwrap());
        }
        shown.extend(view.finish().unwrap());
        shown.iter().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect()
    }

    #[test]
    fn content_is_text_reasoning_refusals_and_tool_calls() {
        let has_content = |delta: &str| facts(&format!(r#"{{"choices":[{{"delta":{delta}}}]}}"#)).has_content;

        assert!(has_content(r#"{"content":"a"}"#));
        assert!(has_content(r#"{"content":null,"reasoning_content":"\n"}"#));
        assert!(has_content(r#"{"tool_calls":[{"index":0}]}"#));
        assert!(has_content(r#"{"refusal":"no"}"#));
        assert!(!has_content(r#"{"role":"assistant","content":"","refusal":null,"tool_calls":[]}"#));
        assert!(!has_content("null"));
        assert!(facts(r#"{"choices":[{"text":"a"}]}"#).has_content);
    }

    #[test]
    fn ends_and_errors_are_seen() {
        let end = facts(
            r#"{"choices":[{"delta":{},"finish_reason":null},{"delta":{},"finish_reason":"length"}],"usage":null}"#,
        );
        assert_eq!(end.finish_reason.as_deref(), Some("length"));
        assert_eq!((end.usage, end.has_no_choices), (None, false));

        assert!(facts(r#"{"error":{"message":"x"}}"#).is_error);
        assert!(!facts(r#"{"error":null,"choices":[]}"#).is_error);
        assert_eq!(ChunkFacts::read(b"nonsense"), None);
    }

    const FIRST: &str = r#"{"id":"1","choices":[{"index":0,"delta":{"content":"a"}}], "usage": null ,"seed":1e-400}"#;
    const LAST: &str = r#"{"id":"1","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    const BOTH: &str = r#"{"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;

    #[test]
    fn callers_who_did_not_ask_see_no_usage() {
        let first = r#"{"id":"1","choices":[{"index":0,"delta":{"content":"a"}}] ,"seed":1e-400}"#;
        assert_eq!(view(false, &[FIRST, LAST]), [first]);

        let both = r#"{"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
        assert_eq!(view(false, &[FIRST, BOTH]), [first, both]);
    }

    #[test]
    fn callers_who_asked_see_null_and_one_last_chunk() {
        assert_eq!(view(true, &[FIRST, LAST]), [FIRST, LAST]);

        let both = r#"{"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#;
        assert_eq!(view(true, &[FIRST, BOTH]), [FIRST, both, LAST]);
        assert_eq!(view(true, &[r#"{"choices":[]}"#]), [r#"{"choices":[],"usage":null}"#]);
    }

    #[test]
    fn usage_that_comes_twice_is_shown_once() {
        assert_eq!(view(true, &[BOTH, LAST]).len(), 2);
        assert_eq!(view(false, &[BOTH, LAST]).len(), 1);
    }
}
