//! What a backend answers, in one currency: OpenAI chat completions as JSON text.
//!
//! A provider's own bytes travel on unchanged wherever they can; beside them stands the little that the gateway needs to
//! know. A stream ends with `None` after its last event; the terminating `[DONE]` is not an event and is written by `api/`.

use std::{fmt, pin::Pin};

use bytes::Bytes;
use futures_util::Stream;

use super::{backend_error::BackendError, signals::TokenSignal, tokens::Usage};
use crate::wire::{chunk::ChunkFacts, completion::CompletionFacts};

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct WholeReply {
    /// The JSON body (`chat.completion`, `text_completion`, or an embeddings list).
    pub body: Bytes,
    /// What was used; `None` when the provider did not say.
    pub usage: Option<Usage>,
    /// `finish_reason` of the first choice.
    pub finish_reason: Option<String>,
    /// How sure the model was of each token of the first choice; empty when it did not say.
    pub signals: Vec<TokenSignal>,
}

/// One event of a streamed answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The JSON text of one chunk, without `data:` and line ends.
    pub data: Bytes,
    /// Whether it carries text, reasoning, or part of a tool call: what counts as a first token.
    pub has_content: bool,
    /// The usage it carries, if any.
    pub usage: Option<Usage>,
    /// The `finish_reason` it carries, if any.
    pub finish_reason: Option<String>,
    /// How sure the model was of each token since the event before; empty when it did not say.
    pub signals: Vec<TokenSignal>,
}

impl WholeReply {
    /// Returns a completion with what its body says of itself.
    pub fn read(body: Bytes) -> Self {
        let facts = CompletionFacts::read(&body).unwrap_or_default();
        Self::of(body, facts)
    }

    /// Returns a completion with what was read of it.
    pub fn of(body: Bytes, facts: CompletionFacts) -> Self {
        let signals = facts.odds.into_iter().map(TokenSignal::from).collect();
        Self { body, usage: facts.usage.map(Usage::from), finish_reason: facts.finish_reason, signals }
    }
}

impl Event {
    /// Returns a chunk with what it says of itself.
    pub fn read(data: Bytes) -> Self {
        let facts = ChunkFacts::read(&data).unwrap_or_default();
        Self::of(data, facts)
    }

    /// Returns a chunk with what was read of it.
    pub fn of(data: Bytes, facts: ChunkFacts) -> Self {
        Self {
            data,
            has_content: facts.has_content,
            usage: facts.usage.map(Usage::from),
            finish_reason: facts.finish_reason,
            signals: facts.odds.into_iter().map(TokenSignal::from).collect(),
        }
    }
}

/// The events of a streamed answer. Dropping it cancels the upstream call. After an `Err` nothing follows.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<Event, BackendError>> + Send>>;

/// An answer.
pub enum Reply {
    /// All at once.
    Whole(WholeReply),
    /// Event by event. The backend has seen the head of a good response; no event has been read yet.
    Stream(EventStream),
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(whole) => f.debug_tuple("Whole").field(&whole.body.len()).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}
