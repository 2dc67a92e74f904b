//! A whole message as a chat completion.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Anthropic's token counts; in a stream they come in two parts.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Counts {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct OutputDetails {
    thinking_tokens: Option<u64>,
}

impl Counts {
    /// Takes over what `later` says; its counts are totals, not differences.
    pub(super) fn update(&mut self, later: Self) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
        self.cache_creation_input_tokens = later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = later.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.output_tokens_details = later.output_tokens_details.or(self.output_tokens_details);
    }
}

/// OpenAI's `usage`, with Anthropic's own words for the cache beside it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct PromptDetails {
    cached_tokens: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
}

impl From<Counts> for Usage {
    /// Anthropic counts cached tokens beside the input, OpenAI counts them in.
    fn from(counts: Counts) -> Self {
        let read = counts.cache_read_input_tokens.unwrap_or(0);
        let created = counts.cache_creation_input_tokens.unwrap_or(0);
        let input = counts.input_tokens.unwrap_or(0).saturating_add(read).saturating_add(created);
        let output = counts.output_tokens.unwrap_or(0);
        let thinking = counts.output_tokens_details.and_then(|details| details.thinking_tokens);
        Self {
            prompt_tokens: input,
            completion_tokens: output,
            total_tokens: input.saturating_add(output),
            prompt_tokens_details: PromptDetails { cached_tokens: read },
            completion_tokens_details: CompletionDetails { reasoning_tokens: thinking.unwrap_or(0) },
            cache_creation_input_tokens: created,
            cache_read_input_tokens: read,
        }
    }
}

/// Returns OpenAI's `finish_reason` for a `stop_reason`; one that is new counts as an ordinary end.
pub(super) fn finish_reason(stop_reason: &str) -> &'static str {
    match stop_reason {
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        _ => "stop",
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    content: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    stop_reason: Option<Cow<'a, str>>,
    #[serde(default)]
    usage: Counts,
}

/// A content block; the fields that its kind does not have are absent.
#[derive(Deserialize)]
pub(super) struct Block<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) thinking: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) input: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    usage: Usage,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: Answer<'a>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Default, Serialize)]
struct Answer<'a> {
    role: &'static str,
    content: Option<String>,
    refusal: Option<()>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reasoning_content: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    thinking_blocks: Vec<&'a RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall>,
}

#[derive(Serialize)]
struct ToolCall {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function,
}

#[derive(Serialize)]
struct Function {
    name: String,
    arguments: String,
}

/// Returns the chat completion that a message stands for; `created` is in Unix seconds.
///
/// # Errors
/// The body is no message.
pub fn to_completion(body: &[u8], created: i64) -> Result<Bytes, serde_json::Error> {
    let message: Message<'_> = serde_json::from_slice(body)?;
    let completion = Completion {
        id: &message.id,
        object: "chat.completion",
        created,
        model: &message.model,
        choices: [Choice {
            index: 0,
            message: answer(&message.content)?,
            logprobs: None,
            finish_reason: finish_reason(message.stop_reason.as_deref().unwrap_or_default()),
        }],
        usage: message.usage.into(),
    };
    serde_json::to_vec(&completion).map(Bytes::from)
}

/// Blocks of kinds that have no counterpart (the work of Anthropic's own tools) are left out.
fn answer<'a>(content: &[&'a RawValue]) -> Result<Answer<'a>, serde_json::Error> {
    let mut answer = Answer { role: "assistant", ..Answer::default() };
    for raw in content {
        let block: Block<'_> = serde_json::from_str(raw.get())?;
        match block.kind.as_ref() {
            "text" => answer.content.get_or_insert_default().push_str(&block.text.unwrap_or_default()),
            "thinking" => {
                answer.reasoning_content.push_str(&block.thinking.unwrap_or_default());
                answer.thinking_blocks.push(raw);
            }
            "redacted_thinking" => answer.thinking_blocks.push(raw),
            "tool_use" => answer.tool_calls.push(tool_call(block)),
            _ => {}
        }
    }
    if answer.tool_calls.is_empty() {
        answer.content.get_or_insert_default();
    }
    Ok(answer)
}

fn tool_call(block: Block<'_>) -> ToolCall {
    let arguments = block.input.map_or("{}", RawValue::get).to_owned();
    let function = Function { name: block.name.unwrap_or_default().into_owned(), arguments };
    ToolCall { id: block.id.unwrap_or_default().into_owned(), kind: "function", function }
}
