//! Anthropic's events as events of ours.

use std::collections::VecDeque;

use crate::{
    backends::http::{
        endpoint::Endpoint,
        events::{Step, Translate},
        refusal::broke_off,
    },
    domain::{BackendError, Event},
    wire::{
        anthropic::stream::{Step as WireStep, Translator},
        chunk::ChunkFacts,
        sse::SseEvent,
    },
};

/// Follows one stream to its end.
pub(super) struct Messages {
    endpoint: Endpoint,
    translator: Translator,
}

impl Messages {
    pub(super) fn new(endpoint: Endpoint, created: i64) -> Self {
        Self { endpoint, translator: Translator::new(created) }
    }
}

impl Translate for Messages {
    fn translate(&mut self, event: SseEvent, out: &mut VecDeque<Event>) -> Result<Step, BackendError> {
        let mut chunks = Vec::new();
        let step = self.translator.push(&event.data, &mut chunks);
        for data in chunks {
            let facts = ChunkFacts::read(&data).unwrap_or_default();
            out.push_back(Event::of(data, facts));
        }
        match step {
            Ok(WireStep::More) => Ok(Step::More),
            Ok(WireStep::End) => Ok(Step::End),
            Ok(WireStep::Error) => Err(broke_off(self.endpoint.provider(), &event.data)),
            Err(_) => Err(self.endpoint.malformed("an event is no event of the messages api")),
        }
    }

    /// Anthropic always says `message_stop`.
    fn is_complete(&self) -> bool {
        false
    }
}
