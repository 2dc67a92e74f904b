//! Answers as OpenAI writes them: `chat.completion` and its chunks.

use bytes::Bytes;
use serde::Serialize;

use super::{
    drawing::{Entry, Finish, Spelled},
    tools::Call,
};
use crate::{
    domain::{Event, Usage, WholeReply},
    wire::answer::{Answer, CHUNK, COMPLETION, Called, ChunkChoice, Counts, Delta, Message, WholeChoice},
};

/// What every chunk of an answer repeats.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// `chatcmpl-...`.
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) created: i64,
    /// The configured name of the model.
    pub(super) model: String,
    /// Whether chunks carry `usage: null` before the one that carries the usage.
    pub(super) wants_usage: bool,
}

/// One choice as it came together.
#[derive(Clone, Debug, Default)]
pub(super) struct Choice {
    pub(super) text: String,
    pub(super) entries: Option<Vec<Entry>>,
    pub(super) finish: Option<Finish>,
    pub(super) calls: Vec<Call>,
}

impl Finish {
    fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
        }
    }
}

#[derive(Serialize)]
struct Logprobs {
    content: Vec<LogprobBody>,
    refusal: Option<()>,
}

#[derive(Serialize)]
struct LogprobBody {
    #[serde(flatten)]
    token: TokenBody,
    top_logprobs: Vec<TokenBody>,
}

#[derive(Serialize)]
struct TokenBody {
    token: String,
    logprob: f64,
    bytes: Vec<u8>,
}

impl Head {
    /// Returns the chunk that opens a choice.
    pub(super) fn role(&self, index: u32) -> Event {
        self.chunk(index, Delta::opening(), None, None)
    }

    /// Returns a chunk with text.
    pub(super) fn content(&self, index: u32, text: &str, entry: Option<&Entry>) -> Event {
        let logprobs = entry.map(|entry| logprobs(std::slice::from_ref(entry)));
        let event = self.chunk(index, Delta::text(text), logprobs, None);
        Event { has_content: !text.is_empty(), ..event }
    }

    /// Returns a chunk with a function call, the one at `place` of its choice.
    pub(super) fn call(&self, index: u32, place: usize, call: &Call) -> Event {
        let event = self.chunk(index, Delta::call(place, called(call)), None, None);
        Event { has_content: true, ..event }
    }

    /// Returns the chunk that closes a choice.
    pub(super) fn finish(&self, index: u32, finish: Finish) -> Event {
        self.chunk(index, Delta::default(), None, Some(finish.name()))
    }

    /// Returns the chunk that closes the answer.
    pub(super) fn usage(&self, usage: Usage) -> Event {
        let body = self.body::<()>(CHUNK, Vec::new(), Some(Some(usage.into())));
        Event { data: body, has_content: false, usage: Some(usage), finish_reason: None, signals: Vec::new() }
    }

    /// Returns a whole answer.
    pub(super) fn whole(&self, choices: &[Choice], usage: Usage) -> WholeReply {
        let bodies = (0..).zip(choices).map(|(index, choice)| WholeChoice {
            index,
            message: Message::of_assistant(&choice.text).with_calls(choice.calls.iter().map(called).collect()),
            logprobs: choice.entries.as_deref().map(logprobs),
            finish_reason: choice.finish.map(Finish::name),
        });
        let body = self.body(COMPLETION, bodies.collect(), Some(Some(usage.into())));
        let finish = choices.first().and_then(|choice| choice.finish);
        WholeReply {
            body,
            usage: Some(usage),
            finish_reason: finish.map(|finish| finish.name().to_owned()),
            signals: Vec::new(),
        }
    }

    fn chunk(
        &self,
        index: u32,
        delta: Delta<'_>,
        logprobs: Option<Logprobs>,
        finish_reason: Option<&'static str>,
    ) -> Event {
        let choice = ChunkChoice { index, delta, logprobs, finish_reason };
        let data = self.body(CHUNK, vec![choice], self.wants_usage.then_some(None));
        Event {
            data,
            has_content: false,
            usage: None,
            finish_reason: finish_reason.map(str::to_owned),
            signals: Vec::new(),
        }
    }

    fn body<C: Serialize>(&self, object: &'static str, choices: Vec<C>, usage: Option<Option<Counts>>) -> Bytes {
        Answer { id: &self.id, object, created: self.created, model: &self.model, choices, usage }.to_bytes()
    }
}

fn called(call: &Call) -> Called<'_> {
    Called::of(&call.id, &call.name, &call.arguments)
}

fn logprobs(entries: &[Entry]) -> Logprobs {
    let content = entries.iter().map(|entry| LogprobBody {
        token: token_body(&entry.token),
        top_logprobs: entry.top.iter().map(token_body).collect(),
    });
    Logprobs { content: content.collect(), refusal: None }
}

/// OpenAI's floor for tokens that are all but impossible; JSON has no negative infinity.
const LOWEST_LOGPROB: f64 = -9999.0;

fn token_body(token: &Spelled) -> TokenBody {
    TokenBody {
        token: String::from_utf8_lossy(&token.bytes).into_owned(),
        logprob: token.logprob.max(LOWEST_LOGPROB),
        bytes: token.bytes.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Tokens;

    fn head(wants_usage: bool) -> Head {
        Head { id: "chatcmpl-1".to_owned(), created: 7, model: "small".to_owned(), wants_usage }
    }

    fn text(event: &Event) -> &str {
        std::str::from_utf8(&event.data).unwrap()
    }

    #[test]
    fn chunks_look_like_openai_s() {
        let entry = Entry {
            token: Spelled { bytes: b"Hi".to_vec(), logprob: -0.5 },
            top: vec![Spelled { bytes: b"Yo".to_vec(), logprob: f64::NEG_INFINITY }],
        };

        insta::assert_snapshot!(text(&head(false).role(0)), @r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"small","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}"#);
        insta::assert_snapshot!(text(&head(true).content(1, "Hi", Some(&entry))), @r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"small","choices":[{"index":1,"delta":{"content":"Hi"},"logprobs":{"content":[{"token":"Hi","logprob":-0.5,"bytes":[72,105],"top_logprobs":[{"token":"Yo","logprob":-9999.0,"bytes":[89,111]}]}],"refusal":null},"finish_reason":null}],"usage":null}"#);
        insta::assert_snapshot!(text(&head(false).finish(0, Finish::Length)), @r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"small","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}]}"#);
    }

    #[test]
    fn calls_look_like_openai_s() {
        let call = Call { id: "call_1".to_owned(), name: "f".to_owned(), arguments: "{\"a\": 1}".to_owned() };
        let choice = Choice { calls: vec![call.clone()], finish: Some(Finish::ToolCalls), ..Choice::default() };

        let whole = head(false).whole(&[choice], Usage::default());

        insta::assert_snapshot!(text(&head(false).call(0, 1, &call)), @r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"small","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}}]},"logprobs":null,"finish_reason":null}]}"#);
        insta::assert_snapshot!(String::from_utf8_lossy(&whole.body), @r#"{"id":"chatcmpl-1","object":"chat.completion","created":7,"model":"small","choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}}]},"logprobs":null,"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}"#);
    }

    #[test]
    fn the_last_chunk_has_usage_and_no_choices() {
        let usage = Usage { input: Tokens(3), output: Tokens(4), ..Usage::default() };

        let event = head(true).usage(usage);

        assert_eq!(event.usage, Some(usage));
        insta::assert_snapshot!(text(&event), @r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"small","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#);
    }
}
