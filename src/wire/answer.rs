//! Chat answers as OpenAI writes them, for backends that make their own.

use bytes::Bytes;
use serde::Serialize;

/// `object` of a whole answer.
pub const COMPLETION: &str = "chat.completion";
/// `object` of one chunk of a streamed answer.
pub const CHUNK: &str = "chat.completion.chunk";

/// A whole answer or one chunk, with choices `C`.
#[derive(Debug, Serialize)]
pub struct Answer<'a, C> {
    /// `chatcmpl-...`.
    pub id: &'a str,
    /// [`COMPLETION`] or [`CHUNK`].
    pub object: &'static str,
    /// Seconds since 1970.
    pub created: i64,
    /// The model that answers.
    pub model: &'a str,
    /// One for each choice asked for; none in the chunk that carries the usage.
    pub choices: Vec<C>,
    /// `None` leaves it out, `Some(None)` writes `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Option<Counts>>,
}

/// Tokens used.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Counts {
    /// Of the prompt.
    pub prompt_tokens: u64,
    /// Of the answer.
    pub completion_tokens: u64,
    /// Both.
    pub total_tokens: u64,
}

/// One choice of a whole answer, with log-probabilities `L`.
#[derive(Debug, Serialize)]
pub struct WholeChoice<'a, L> {
    /// Its position, from 0.
    pub index: u32,
    /// What is said.
    pub message: Message<'a>,
    /// `None` writes `null`.
    pub logprobs: Option<L>,
    /// Why it ends.
    pub finish_reason: Option<&'static str>,
}

/// What a whole choice says.
#[derive(Debug, Serialize)]
pub struct Message<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Called<'a>>,
}

/// A function call of an answer.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Called<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    id: &'a str,
    r#type: &'static str,
    function: CalledFunction<'a>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct CalledFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl<'a> Called<'a> {
    /// Returns the call of a function with JSON text.
    pub fn of(id: &'a str, name: &'a str, arguments: &'a str) -> Self {
        Self { index: None, id, r#type: "function", function: CalledFunction { name, arguments } }
    }
}

impl<'a> Message<'a> {
    /// Returns the assistant's message.
    pub fn of_assistant(content: &'a str) -> Self {
        Self { role: "assistant", content: Some(content), refusal: None, tool_calls: Vec::new() }
    }

    /// Returns the message with function calls; its content is `null` where it says nothing else.
    pub fn with_calls(self, tool_calls: Vec<Called<'a>>) -> Self {
        let content = self.content.filter(|content| !content.is_empty() || tool_calls.is_empty());
        Self { content, tool_calls, ..self }
    }
}

/// One choice of a chunk, with log-probabilities `L`.
#[derive(Debug, Serialize)]
pub struct ChunkChoice<'a, L> {
    /// Its position, from 0.
    pub index: u32,
    /// What is added.
    pub delta: Delta<'a>,
    /// `None` writes `null`.
    pub logprobs: Option<L>,
    /// Why it ends; `None` while it goes on.
    pub finish_reason: Option<&'static str>,
}

/// What a chunk adds to a choice; the default adds nothing.
#[derive(Debug, Default, Serialize)]
pub struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[Called<'a>; 1]>,
}

impl<'a> Delta<'a> {
    /// Returns what opens a choice.
    pub fn opening() -> Self {
        Self { role: Some("assistant"), content: Some(""), tool_calls: None }
    }

    /// Returns more text.
    pub fn text(content: &'a str) -> Self {
        Self { role: None, content: Some(content), tool_calls: None }
    }

    /// Returns a whole function call, the one at `index` of its choice.
    pub fn call(index: usize, call: Called<'a>) -> Self {
        Self { role: None, content: None, tool_calls: Some([Called { index: Some(index), ..call }]) }
    }
}

impl<C: Serialize> Answer<'_, C> {
    /// Returns the JSON text.
    pub fn to_bytes(&self) -> Bytes {
        // Plain structs of text and finite numbers always become JSON.
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}
