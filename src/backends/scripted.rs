//! Made-up answers, for the demo and for tests; every answer says that it is simulated.
//!
//! The answer is the configured text with `{prompt}` replaced by the last user turn, behind `[simulated by <model>]`. A word is a
//! token. It keeps to `max_tokens`, `stop` and `n`, takes the configured time, and counts its usage.

mod render;
mod text;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::stream;
use tokio::time::sleep;

use self::{render::Renderer, text::Script};
use super::{
    Backend,
    pace::{Pace, Phase},
};
use crate::{
    config::ScriptedSettings,
    domain::{Availability, BackendError, Event, ModelCall, Reply},
    runtime::SharedClock,
};

/// A made-up model.
#[derive(Clone)]
pub struct Scripted {
    settings: Arc<ScriptedSettings>,
    clock: SharedClock,
}

impl Scripted {
    /// Returns the backend; the clock dates its answers.
    pub fn new(settings: ScriptedSettings, clock: SharedClock) -> Self {
        Self { settings: Arc::new(settings), clock }
    }
}

#[async_trait]
impl Backend for Scripted {
    async fn chat(&self, call: ModelCall) -> Result<Reply, BackendError> {
        let context = &call.context;
        let pace = Pace::start(format!("Model {}", context.model), context);
        let script = Script::write(&self.settings.answer, &context.model, &call.chat);
        let created = self.clock.now().as_second();
        let renderer = Renderer::new(format!("chatcmpl-{}", context.request), context.model.to_string(), created);
        if call.is_streaming {
            let telling =
                Telling { settings: self.settings.clone(), pace, events: renderer.stream(&script).into(), told: 0 };
            return Ok(Reply::Stream(Box::pin(stream::try_unfold(telling, Telling::next))));
        }
        let rest = u32::try_from(script.tokens.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let takes = self.settings.first_token.saturating_add(self.settings.per_token.saturating_mul(rest));
        pace.wait(Phase::First, sleep(takes)).await?;
        Ok(Reply::Whole(renderer.whole(&script)))
    }

    fn availability(&self) -> Availability {
        Availability::Ready
    }
}

/// A stream that is being told, event by event.
struct Telling {
    settings: Arc<ScriptedSettings>,
    pace: Pace,
    events: VecDeque<Event>,
    told: usize,
}

impl Telling {
    async fn next(mut self) -> Result<Option<(Event, Self)>, BackendError> {
        let Some(event) = self.events.pop_front() else { return Ok(None) };
        let phase = if self.told == 0 { Phase::First } else { Phase::Next };
        self.pace.wait(phase, sleep(self.pause(&event))).await?;
        self.told += 1;
        Ok(Some((event, self)))
    }

    /// The role comes with the first token, the end with the last.
    fn pause(&self, event: &Event) -> Duration {
        match self.told {
            0 => self.settings.first_token,
            1 => Duration::ZERO,
            _ if event.has_content => self.settings.per_token,
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use jiff::Timestamp;
    use serde_json::Value;
    use tokio::time::Instant;

    use super::{
        super::contract::{Subject, chat_call, context, keeps_the_contract},
        *,
    };
    use crate::runtime::TestClock;

    fn scripted(first_token: Duration, per_token: Duration) -> Scripted {
        let settings = ScriptedSettings { answer: "Hello {prompt}!".to_owned(), first_token, per_token };
        Scripted::new(settings, Arc::new(TestClock::at(Timestamp::UNIX_EPOCH)))
    }

    fn call(body: &str, is_streaming: bool) -> ModelCall {
        ModelCall { chat: Arc::new(chat_call(body)), is_streaming, context: context() }
    }

    const QUESTION: &str = r#"{"model":"m","n":2,"messages":[{"role":"user","content":"you there"}]}"#;

    #[tokio::test(start_paused = true)]
    async fn scripted_backends_keep_the_contract() {
        let answering = Arc::new(scripted(Duration::from_millis(5), Duration::from_millis(1)));
        let slow = Arc::new(scripted(Duration::from_secs(5), Duration::ZERO));

        keeps_the_contract(Subject { answering, slow: Some(slow) }).await;
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_take_the_configured_time() {
        let start = Instant::now();

        let reply = scripted(Duration::from_secs(2), Duration::from_secs(1)).chat(call(QUESTION, true)).await.unwrap();
        let Reply::Stream(events) = reply else { panic!("a stream was asked for") };
        let times: Vec<u64> = events.map(|event| event.map(|_| start.elapsed().as_secs()).unwrap()).collect().await;

        // The role, then [simulated / by / toy] / Hello / you / there!, then the end and the usage.
        assert_eq!(times, [2, 2, 3, 4, 5, 6, 7, 7, 7]);
    }

    #[tokio::test(start_paused = true)]
    async fn every_choice_says_the_same() {
        let reply = scripted(Duration::ZERO, Duration::ZERO).chat(call(QUESTION, false)).await.unwrap();
        let Reply::Whole(whole) = reply else { panic!("a whole answer was asked for") };

        let body: Value = serde_json::from_slice(&whole.body).unwrap();
        assert_eq!(body["choices"][0]["message"], body["choices"][1]["message"]);
        assert_eq!(body["choices"][1]["message"]["content"], "[simulated by toy] Hello you there!");
        assert_eq!(body["usage"]["completion_tokens"], 12);
    }
}
