//! OpenAI's events: every one is a chunk already, but for the end mark and for errors.

use std::collections::VecDeque;

use crate::{
    backends::http::{
        endpoint::Endpoint,
        events::{Step, Translate},
        refusal::broke_off,
    },
    domain::{BackendError, Event},
    wire::{chunk::ChunkFacts, sse::SseEvent},
};

/// Follows one stream to its end.
pub(super) struct Chunks {
    endpoint: Endpoint,
    has_finished: bool,
}

impl Chunks {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, has_finished: false }
    }
}

impl Translate for Chunks {
    fn translate(&mut self, event: SseEvent, out: &mut VecDeque<Event>) -> Result<Step, BackendError> {
        if event.is_done() {
            return Ok(Step::End);
        }
        let facts = ChunkFacts::read(&event.data).ok_or_else(|| self.endpoint.malformed("an event is no chunk"))?;
        if facts.is_error {
            return Err(broke_off(self.endpoint.provider(), &event.data));
        }
        self.has_finished |= facts.finish_reason.is_some();
        out.push_back(Event::of(event.data, facts));
        Ok(Step::More)
    }

    fn is_complete(&self) -> bool {
        self.has_finished
    }
}
