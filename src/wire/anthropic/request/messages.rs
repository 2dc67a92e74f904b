//! Messages as turns.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    MapError, content,
    object::{Object, list},
};

/// One message of the chat request.
#[derive(Deserialize)]
pub(super) struct Incoming<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    refusal: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<ToolCall<'a>>>,
    #[serde(borrow, default)]
    tool_call_id: Option<Cow<'a, str>>,
    /// Thinking of an earlier turn, as [`crate::wire::anthropic::response`] handed it out; Anthropic wants it back.
    #[serde(borrow, default)]
    thinking_blocks: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct ToolCall<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    function: Function<'a>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    arguments: Cow<'a, str>,
}

/// The system prompt and the turns, as blocks of JSON text.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    system: Vec<String>,
    turns: Vec<Turn>,
}

#[derive(Debug)]
struct Turn {
    role: &'static str,
    blocks: Vec<String>,
}

impl Conversation {
    pub(super) fn build(messages: Vec<Incoming<'_>>) -> Result<Self, MapError> {
        let mut conversation = Self::default();
        for message in messages {
            conversation.add(&message)?;
        }
        Ok(conversation)
    }

    /// Returns the `system` field; `None` when there is nothing in it.
    pub(super) fn system(&self) -> Option<String> {
        (!self.system.is_empty()).then(|| list(&self.system))
    }

    /// Returns the `messages` field.
    pub(super) fn turns(&self) -> String {
        let turn =
            |turn: &Turn| Object::default().with("role", turn.role).with_raw("content", &list(&turn.blocks)).finish();
        list(&self.turns.iter().map(turn).collect::<Vec<_>>())
    }

    fn add(&mut self, message: &Incoming<'_>) -> Result<(), MapError> {
        match message.role.as_ref() {
            "system" | "developer" => self.system.extend(content::blocks(message.content)?),
            "user" => self.extend("user", content::blocks(message.content)?),
            "assistant" => self.extend("assistant", spoken(message)?),
            "tool" => self.extend("user", vec![result(message)?]),
            role => return Err(MapError::Unsupported(format!("messages.role={role}"))),
        }
        Ok(())
    }

    fn extend(&mut self, role: &'static str, blocks: Vec<String>) {
        match self.turns.last_mut() {
            _ if blocks.is_empty() => {}
            Some(turn) if turn.role == role => turn.blocks.extend(blocks),
            _ => self.turns.push(Turn { role, blocks }),
        }
    }
}

/// Thinking first, tool calls last: the order in which Anthropic speaks.
fn spoken(message: &Incoming<'_>) -> Result<Vec<String>, MapError> {
    let thinking = message.thinking_blocks.iter().flatten();
    let mut blocks: Vec<String> = thinking.map(|block| block.get().to_owned()).collect();
    blocks.extend(content::blocks(message.content)?);
    blocks.extend(content::text_block(message.refusal.as_deref().unwrap_or_default()));
    for call in message.tool_calls.iter().flatten() {
        blocks.push(tool_use(call)?);
    }
    Ok(blocks)
}

fn tool_use(call: &ToolCall<'_>) -> Result<String, MapError> {
    let arguments = call.function.arguments.trim();
    let input = if arguments.is_empty() { "{}" } else { arguments };
    if !input.starts_with('{') || serde_json::from_str::<&RawValue>(input).is_err() {
        let cause = "the arguments are not a JSON object".to_owned();
        return Err(MapError::Shape("messages.tool_calls.function.arguments".to_owned(), cause));
    }
    let block = Object::default().with("type", "tool_use").with("id", &call.id).with("name", &call.function.name);
    Ok(block.with_raw("input", input).finish())
}

fn result(message: &Incoming<'_>) -> Result<String, MapError> {
    let Some(id) = &message.tool_call_id else {
        return Err(MapError::Shape("messages.tool_call_id".to_owned(), "missing in a tool message".to_owned()));
    };
    let mut block = Object::default().with("type", "tool_result").with("tool_use_id", id);
    block.raw_some("content", content::result(message.content)?);
    Ok(block.finish())
}
