//! A script as chat completion or as chunks.

use bytes::Bytes;
use serde::Serialize;

use super::text::Script;
use crate::{
    domain::{Event, Usage, WholeReply},
    wire::answer::{Answer, CHUNK, COMPLETION, ChunkChoice, Counts, Delta, Message, WholeChoice},
};

/// Writes the answers to one request.
#[derive(Clone, Debug)]
pub(super) struct Renderer {
    id: String,
    model: String,
    created: i64,
}

impl Renderer {
    pub(super) fn new(id: String, model: String, created: i64) -> Self {
        Self { id, model, created }
    }

    pub(super) fn whole(&self, script: &Script) -> WholeReply {
        let text = script.tokens.concat();
        let choice = |index| WholeChoice {
            index,
            message: Message::of_assistant(&text),
            logprobs: None::<()>,
            finish_reason: Some(script.finish_reason),
        };
        let choices = (0..script.choices).map(choice).collect();
        WholeReply {
            body: self.answer(COMPLETION, choices, Some(script.usage)),
            usage: Some(script.usage),
            finish_reason: Some(script.finish_reason.to_owned()),
            signals: Vec::new(),
        }
    }

    /// The choices advance together, as they do at a provider.
    pub(super) fn stream(&self, script: &Script) -> Vec<Event> {
        let mut events = vec![self.chunk(script, None, &|| Delta::opening())];
        events.extend(
            script
                .tokens
                .iter()
                .map(|token| Event { has_content: true, ..self.chunk(script, None, &|| Delta::text(token)) }),
        );
        events.push(self.chunk(script, Some(script.finish_reason), &Delta::default));
        let data = self.answer::<()>(CHUNK, Vec::new(), Some(script.usage));
        events.push(Event {
            data,
            has_content: false,
            usage: Some(script.usage),
            finish_reason: None,
            signals: Vec::new(),
        });
        events
    }

    fn chunk<'a>(&self, script: &Script, finish_reason: Option<&'static str>, delta: &dyn Fn() -> Delta<'a>) -> Event {
        let choice = |index| ChunkChoice { index, delta: delta(), logprobs: None::<()>, finish_reason };
        let data = self.answer(CHUNK, (0..script.choices).map(choice).collect(), None);
        Event {
            data,
            has_content: false,
            usage: None,
            finish_reason: finish_reason.map(str::to_owned),
            signals: Vec::new(),
        }
    }

    fn answer<C: Serialize>(&self, object: &'static str, choices: Vec<C>, usage: Option<Usage>) -> Bytes {
        let usage = usage.map(|usage| Some(Counts::from(usage)));
        Answer { id: &self.id, object, created: self.created, model: &self.model, choices, usage }.to_bytes()
    }
}
