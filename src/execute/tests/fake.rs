//! A backend that behaves as it is told and writes down what it served.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;

use crate::{
    backends::Backend,
    domain::{
        Availability, BackendError, CallContext, EmbedCall, Event, ModelCall, Priority, Reply, TokenSignal, Tokens,
        Usage, WholeReply,
    },
    error::Code,
    wire::raw::quoted,
};

/// What one call of the backend does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Behaviour {
    /// Fails at once, with the wish to wait this many seconds.
    Refuse(Code, Option<u64>),
    /// Answers whole.
    Answer,
    /// Answers whole with this text, after so many milliseconds.
    Says(&'static str, u64),
    /// Answers as a stream.
    Stream(Vec<Step>),
    /// Never answers.
    Hang,
}

/// What a stream does next; after the last step it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// An event without content.
    Role,
    /// A token.
    Token,
    /// A chunk with this text, one token of this log-probability.
    Say(&'static str, f64),
    /// A chunk that ends the answer.
    Stop,
    /// An event with a usage.
    Usage(u64, u64),
    /// Nothing for this many milliseconds.
    Wait(u64),
    /// Fails.
    Fail(Code),
    /// Never goes on.
    Hang,
}

/// How a call ended, as the backend saw it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Served {
    /// Not yet.
    Running,
    /// To its end.
    Whole,
    /// With this error.
    Failed(Code),
    /// The caller left.
    Dropped,
}

/// Every call of every backend that shares it, in order of their start.
pub(super) type Ledger = Arc<Mutex<Vec<(String, Served)>>>;

/// The usage that whole answers report.
pub(super) const USAGE: Usage = Usage {
    input: Tokens(100),
    output: Tokens(10),
    cached_input: Tokens(0),
    reasoning: Tokens(0),
    is_estimated: false,
};

/// The body of every embeddings answer.
pub(super) const EMBEDDINGS: &[u8] = br#"{"object":"list","data":[]}"#;

pub(super) struct Fake {
    name: String,
    script: Mutex<VecDeque<Behaviour>>,
    ledger: Ledger,
}

impl Fake {
    /// Returns a backend that plays `script`, one behaviour per call, and answers whole after it.
    pub(super) fn new(name: &str, script: Vec<Behaviour>, ledger: &Ledger) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), script: Mutex::new(script.into()), ledger: Arc::clone(ledger) })
    }

    /// Begins a line; a model that may draft stands behind the name, and that it lets others go first.
    fn entry(&self, context: &CallContext) -> Entry {
        let mut ledger = self.ledger.lock();
        let drafter = context.drafter.as_ref().map(|drafter| format!(" with {drafter}")).unwrap_or_default();
        let behind = if context.priority == Priority::Background { " behind others" } else { "" };
        let name = format!("{}{drafter}{behind}", self.name);
        ledger.push((name, Served::Running));
        Entry { ledger: Arc::clone(&self.ledger), index: ledger.len() - 1 }
    }
}

/// One call's line in the ledger.
struct Entry {
    ledger: Ledger,
    index: usize,
}

impl Entry {
    fn end(&self, served: Served) {
        let line = &mut self.ledger.lock()[self.index].1;
        if *line == Served::Running {
            *line = served;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.end(Served::Dropped);
    }
}

#[async_trait]
impl Backend for Fake {
    async fn chat(&self, call: ModelCall) -> Result<Reply, BackendError> {
        let entry = self.entry(&call.context);
        let behaviour = self.script.lock().pop_front().unwrap_or(Behaviour::Answer);
        match behaviour {
            Behaviour::Refuse(code, retry_after) => {
                entry.end(Served::Failed(code));
                let error = BackendError::new(code, "It failed.", "as told");
                Err(BackendError { retry_after: retry_after.map(Duration::from_secs), ..error })
            }
            Behaviour::Answer => {
                entry.end(Served::Whole);
                Ok(Reply::Whole(WholeReply {
                    body: Bytes::from("{}"),
                    usage: Some(USAGE),
                    finish_reason: None,
                    signals: Vec::new(),
                }))
            }
            Behaviour::Says(text, after_ms) => {
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
                entry.end(Served::Whole);
                Ok(Reply::Whole(WholeReply { usage: Some(USAGE), ..WholeReply::read(completion(text)) }))
            }
            Behaviour::Stream(steps) => Ok(Reply::Stream(play(steps, entry).boxed())),
            Behaviour::Hang => std::future::pending().await,
        }
    }

    async fn embed(&self, call: EmbedCall) -> Result<WholeReply, BackendError> {
        let entry = self.entry(&call.context);
        match self.script.lock().pop_front() {
            Some(Behaviour::Refuse(code, _)) => {
                entry.end(Served::Failed(code));
                Err(BackendError::new(code, "It failed.", "as told"))
            }
            _ => {
                entry.end(Served::Whole);
                Ok(WholeReply {
                    body: Bytes::from_static(EMBEDDINGS),
                    usage: None,
                    finish_reason: None,
                    signals: Vec::new(),
                })
            }
        }
    }

    fn availability(&self) -> Availability {
        Availability::Ready
    }
}

fn play(steps: Vec<Step>, entry: Entry) -> impl stream::Stream<Item = Result<Event, BackendError>> + Send {
    stream::unfold((VecDeque::from(steps), entry), |(mut steps, entry)| async move {
        loop {
            let item = match steps.pop_front() {
                None => {
                    entry.end(Served::Whole);
                    return None;
                }
                Some(Step::Wait(ms)) => {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    continue;
                }
                Some(Step::Hang) => std::future::pending().await,
                Some(Step::Fail(code)) => {
                    entry.end(Served::Failed(code));
                    Err(BackendError::new(code, "It broke off.", "as told"))
                }
                Some(Step::Role) => Ok(event("role", false, None)),
                Some(Step::Token) => Ok(event("token", true, None)),
                Some(Step::Say(text, logprob)) => {
                    let signals = vec![TokenSignal { logprob, entropy: None, margin: None }];
                    Ok(Event { signals, ..Event::read(chunk(&format!(r#"{{"content":{}}}"#, quoted(text)), "null")) })
                }
                Some(Step::Stop) => Ok(Event::read(chunk("{}", r#""stop""#))),
                Some(Step::Usage(input, output)) => {
                    let usage = Usage { input: Tokens(input), output: Tokens(output), ..Usage::default() };
                    Ok(event("usage", false, Some(usage)))
                }
            };
            return Some((item, (steps, entry)));
        }
    })
}

fn chunk(delta: &str, finish_reason: &str) -> Bytes {
    format!(r#"{{"id":"1","choices":[{{"index":0,"delta":{delta},"finish_reason":{finish_reason}}}]}}"#).into()
}

fn completion(text: &str) -> Bytes {
    let text = quoted(text);
    format!(r#"{{"id":"1","choices":[{{"index":0,"message":{{"role":"assistant","content":{text}}},"finish_reason":"stop"}}]}}"#)
        .into()
}

fn event(data: &'static str, has_content: bool, usage: Option<Usage>) -> Event {
    Event { data: Bytes::from_static(data.as_bytes()), has_content, usage, finish_reason: None, signals: Vec::new() }
}
