//! An answer that is held back: all of it is there, and nobody has been given any of it.

use futures_util::stream;

use crate::{
    domain::{BackendError, Event, Reply, TokenSignal, Tokens, WholeReply},
    error::Code,
    wire::{first_message::FirstMessage, logprobs, replay::Accumulator},
};

/// A whole answer, with the events that it came in.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// Empty when it came whole.
    events: Vec<Event>,
    whole: WholeReply,
    message: FirstMessage,
}

impl Answer {
    /// Returns an answer that came whole.
    ///
    /// # Errors
    /// It is no completion.
    pub(super) fn of_whole(whole: WholeReply) -> Result<Self, BackendError> {
        let message = FirstMessage::read(&whole.body).map_err(|error| unreadable(&error))?;
        Ok(Self { events: Vec::new(), whole, message })
    }

    /// Returns the answer that came in these events.
    ///
    /// # Errors
    /// They make no completion.
    pub(super) fn of_events(events: Vec<Event>) -> Result<Self, BackendError> {
        let mut gathered = Accumulator::default();
        for event in &events {
            gathered.push(&event.data).map_err(|error| unreadable(&error))?;
        }
        let signals: Vec<TokenSignal> = events.iter().flat_map(|event| event.signals.iter().copied()).collect();
        let whole = WholeReply { signals, ..WholeReply::read(gathered.finish()) };
        Ok(Self { events, ..Self::of_whole(whole)? })
    }

    /// Returns the text of the first choice; `None` when it has none.
    pub(super) fn text(&self) -> Option<&str> {
        self.message.content.as_deref()
    }

    pub(super) fn calls_tools(&self) -> bool {
        self.message.calls_tools
    }

    pub(super) fn is_refusal(&self) -> bool {
        self.message.refusal.as_ref().is_some_and(|refusal| !refusal.is_empty())
    }

    pub(super) fn finish_reason(&self) -> Option<&str> {
        self.whole.finish_reason.as_deref()
    }

    pub(super) fn signals(&self) -> &[TokenSignal] {
        &self.whole.signals
    }

    /// Returns the tokens of what was said, without reasoning; estimated where the provider told none.
    pub(super) fn tokens(&self) -> u64 {
        match self.whole.usage {
            Some(usage) => usage.output.0.saturating_sub(usage.reasoning.0),
            None => Tokens::estimate(self.text().unwrap_or_default().len()).0,
        }
    }

    /// Returns the answer as a caller gets it.
    pub(super) fn into_reply(self, shape: Shape) -> Reply {
        if shape.is_streaming && !self.events.is_empty() {
            let events = self.events.into_iter().map(move |event| Ok(shape.shown(event)));
            return Reply::Stream(Box::pin(stream::iter(events)));
        }
        let Shape { hides_logprobs, .. } = shape;
        let body = if hides_logprobs { logprobs::without(&self.whole.body).ok() } else { None };
        Reply::Whole(WholeReply { body: body.unwrap_or(self.whole.body), ..self.whole })
    }
}

/// How a caller wants an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Event by event.
    pub(super) is_streaming: bool,
    /// Without the log-probabilities that only a test had asked for.
    pub(super) hides_logprobs: bool,
}

impl Shape {
    /// Returns an event as the caller sees it.
    pub(super) fn shown(self, event: Event) -> Event {
        if !self.hides_logprobs {
            return event;
        }
        match logprobs::without(&event.data) {
            Ok(data) => Event { data, ..event },
            Err(_) => event,
        }
    }
}

fn unreadable(error: &dyn std::error::Error) -> BackendError {
    let message = "The model sent something that is not a completion.";
    BackendError::new(Code::UpstreamMalformed, message, format!("an answer could not be read: {error}"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::StreamExt;

    use super::*;

    fn events() -> Vec<Event> {
        let chunks = [
            r#"{"id":"1","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"logprobs":{"content":[{"token":"Hi","logprob":-0.25}]}}]}"#,
            r#"{"id":"1","choices":[{"index":0,"delta":{"content":" you"},"logprobs":{"content":[{"token":" you","logprob":-0.5}]},"finish_reason":"stop"}]}"#,
        ];
        chunks.into_iter().map(|chunk| Event::read(Bytes::from(chunk))).collect()
    }

    #[test]
    fn events_are_read_as_one_answer() {
        let answer = Answer::of_events(events()).unwrap();

        assert_eq!((answer.text(), answer.finish_reason()), (Some("Hi you"), Some("stop")));
        assert_eq!(answer.signals().iter().map(|signal| signal.logprob).collect::<Vec<_>>(), [-0.25, -0.5]);
        assert_eq!((answer.tokens(), answer.calls_tools(), answer.is_refusal()), (2, false, false));
    }

    #[tokio::test]
    async fn what_only_a_test_asked_for_is_not_shown() {
        for is_streaming in [true, false] {
            let shape = Shape { is_streaming, hides_logprobs: true };

            let shown = match Answer::of_events(events()).unwrap().into_reply(shape) {
                Reply::Whole(whole) => vec![whole.body],
                Reply::Stream(events) => events.map(|event| event.unwrap().data).collect().await,
            };

            let text: Vec<_> = shown.iter().map(|data| String::from_utf8_lossy(data)).collect();
            assert!(text.iter().all(|text| text.contains(r#""logprobs":null"#)), "{text:?}");
        }
    }
}
