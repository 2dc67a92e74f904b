//! What the request needs, read off its typed view.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    domain::{Modality, PromptView, RequestFacts, Tokens},
    wire::{
        chat::{ChatCall, PartKind, ResponseFormat, Role},
        embeddings::EmbeddingsCall,
        text::TextCompletionCall,
    },
};

/// Tokens that one picture counts as in estimates: OpenAI's published figure for a 1024 x 1024 picture at high detail.
const IMAGE_TOKENS: u64 = 765;
/// Tokens that each message adds besides its text: role and separators in the chat formats of the large providers.
const MESSAGE_TOKENS: u64 = 4;

/// Returns what a chat request needs of a model.
pub(super) fn of_chat(call: &ChatCall) -> RequestFacts {
    let modalities: BTreeSet<Modality> = call.messages.iter().flat_map(|m| &m.parts).map(modality).collect();
    RequestFacts {
        input_tokens: input_tokens(call),
        max_output: call.max_tokens.map(Tokens),
        modalities: modalities.into_iter().collect(),
        needs_tools: call.has_tools,
        needs_json: call.format == ResponseFormat::JsonObject,
        needs_json_schema: matches!(call.format, ResponseFormat::JsonSchema(_)),
        choices: call.choices,
        is_streaming: call.is_streaming,
    }
}

/// Returns what an embeddings request needs.
pub(super) fn of_embeddings(call: &EmbeddingsCall) -> RequestFacts {
    let bytes = match &call.input {
        Some(texts) => texts.iter().map(String::len).sum(),
        None => call.body.bytes().len(),
    };
    RequestFacts { input_tokens: Tokens::estimate(bytes), choices: 1, ..RequestFacts::default() }
}

/// Returns what a text completion request needs.
pub(super) fn of_text(call: &TextCompletionCall) -> RequestFacts {
    RequestFacts {
        input_tokens: Tokens::estimate(call.prompt_bytes),
        max_output: call.max_tokens.map(Tokens),
        choices: 1,
        is_streaming: call.is_streaming,
        ..RequestFacts::default()
    }
}

/// Returns what the router model sees: the last user turn, or the last message when no user speaks.
pub(super) fn prompt_view(call: &ChatCall, input_tokens: Tokens) -> PromptView {
    let last_user = call.messages.iter().rev().find(|m| m.role == Role::User);
    let text = last_user.or(call.messages.last()).map_or("", |m| m.text.as_str());
    PromptView { text: Arc::from(text), input_tokens, turns: call.messages.len() }
}

fn input_tokens(call: &ChatCall) -> Tokens {
    let text: Tokens = call.messages.iter().map(|m| Tokens::estimate(m.text.len()) + Tokens(MESSAGE_TOKENS)).sum();
    let pictures = call.messages.iter().flat_map(|m| &m.parts).filter(|part| **part == PartKind::Image).count();
    let tools = call.body.get("tools").map_or(0, str::len);
    text + Tokens(pictures as u64 * IMAGE_TOKENS) + Tokens::estimate(tools)
}

fn modality(part: &PartKind) -> Modality {
    match part {
        PartKind::Image => Modality::Image,
        PartKind::Audio => Modality::Audio,
        PartKind::File => Modality::File,
        PartKind::Video => Modality::Video,
    }
}
