//! A script as chat completion or as chunks.

use bytes::Bytes;
use serde::Serialize;

use super::text::Script;
use crate::domain::{Event, Usage, WholeReply};

/// Writes the answers to one request.
#[derive(Clone, Debug)]
pub(super) struct Renderer {
    id: String,
    model: String,
    created: i64,
}

#[derive(Serialize)]
struct Answer<'a, C> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: Vec<C>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Counts>,
}

#[derive(Serialize)]
struct Counts {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}

#[derive(Serialize)]
struct WholeChoice<'a> {
    index: u32,
    message: Message<'a>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
    refusal: Option<()>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    delta: Delta<'a>,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
}

impl Renderer {
    pub(super) fn new(id: String, model: String, created: i64) -> Self {
        Self { id, model, created }
    }

    pub(super) fn whole(&self, script: &Script) -> WholeReply {
        let text = script.tokens.concat();
        let choice = |index| WholeChoice {
            index,
            message: Message { role: "assistant", content: &text, refusal: None },
            logprobs: None,
            finish_reason: script.finish_reason,
        };
        let choices = (0..script.choices).map(choice).collect();
        WholeReply {
            body: self.answer("chat.completion", choices, Some(script.usage)),
            usage: Some(script.usage),
            finish_reason: Some(script.finish_reason.to_owned()),
        }
    }

    /// The choices advance together, as they do at a provider.
    pub(super) fn stream(&self, script: &Script) -> Vec<Event> {
        let mut events = vec![self.chunk(script, None, &|| Delta { role: Some("assistant"), content: Some("") })];
        events.extend(script.tokens.iter().map(|token| Event {
            has_content: true,
            ..self.chunk(script, None, &|| Delta { role: None, content: Some(token) })
        }));
        events.push(self.chunk(script, Some(script.finish_reason), &Delta::default));
        let data = self.answer::<()>("chat.completion.chunk", Vec::new(), Some(script.usage));
        events.push(Event { data, has_content: false, usage: Some(script.usage), finish_reason: None });
        events
    }

    fn chunk<'a>(&self, script: &Script, finish_reason: Option<&'static str>, delta: &dyn Fn() -> Delta<'a>) -> Event {
        let choice = |index| ChunkChoice { index, delta: delta(), logprobs: None, finish_reason };
        let data = self.answer("chat.completion.chunk", (0..script.choices).map(choice).collect(), None);
        Event { data, has_content: false, usage: None, finish_reason: finish_reason.map(str::to_owned) }
    }

    fn answer<C: Serialize>(&self, object: &'static str, choices: Vec<C>, usage: Option<Usage>) -> Bytes {
        let usage = usage.map(|usage| Counts {
            prompt_tokens: usage.input.0,
            completion_tokens: usage.output.0,
            total_tokens: usage.total().0,
        });
        let answer = Answer { id: &self.id, object, created: self.created, model: &self.model, choices, usage };
        // Strings and numbers always have a JSON text.
        serde_json::to_vec(&answer).unwrap_or_default().into()
    }
}
