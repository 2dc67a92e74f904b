//! The body of a streamed answer as events, whatever wire the provider speaks.

use std::{collections::VecDeque, time::Duration};

use futures_util::stream;

use super::endpoint::Opened;
use crate::{
    backends::pace::Phase,
    domain::{BackendError, Event, EventStream},
    wire::sse::{SseError, SseEvent, SseParser},
};

/// Most bytes of one event: room for a picture inside a chunk.
const MAX_EVENT_BYTES: usize = 16 << 20;

/// How long to wait, after the last event, for the end of the body. Reading up to it lets the connection be used again; it
/// commonly stands in the same packet.
const END_OF_BODY: Duration = Duration::from_millis(20);

/// What an event means for the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backends) enum Step {
    /// More may come.
    More,
    /// The answer is complete.
    End,
}

/// Knows one wire's events.
pub(in crate::backends) trait Translate: Send + 'static {
    /// Appends what an event of the wire stands for.
    fn translate(&mut self, event: SseEvent, out: &mut VecDeque<Event>) -> Result<Step, BackendError>;

    /// Returns whether an answer that ends here, without an event that says so, is complete all the same.
    fn is_complete(&self) -> bool;
}

/// Returns the events of an answer. Dropping them closes the exchange.
pub(in crate::backends) fn events(opened: Opened, translator: impl Translate) -> EventStream {
    let reader = Reader {
        opened,
        translator,
        parser: SseParser::new(MAX_EVENT_BYTES),
        ready: VecDeque::new(),
        phase: Phase::First,
        has_ended: false,
    };
    Box::pin(stream::unfold(Some(reader), |reader| async {
        let mut reader = reader?;
        match reader.next().await {
            Ok(Some(event)) => Some((Ok(event), Some(reader))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    }))
}

struct Reader<T> {
    opened: Opened,
    translator: T,
    parser: SseParser,
    ready: VecDeque<Event>,
    phase: Phase,
    has_ended: bool,
}

impl<T: Translate> Reader<T> {
    async fn next(&mut self) -> Result<Option<Event>, BackendError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.phase = Phase::Next;
                return Ok(Some(event));
            }
            if self.has_ended {
                self.read_to_end().await;
                return Ok(None);
            }
            self.fill().await?;
        }
    }

    /// Takes events off the bytes at hand, or more bytes off the connection.
    async fn fill(&mut self) -> Result<(), BackendError> {
        if let Some(event) = self.parsed(SseParser::next_event)? {
            return self.translate(event);
        }
        match self.opened.chunk(self.phase).await? {
            Some(chunk) => self.parser.push(chunk),
            None => self.finish()?,
        }
        Ok(())
    }

    /// The body is over; an event may stand in it that no blank line closes.
    fn finish(&mut self) -> Result<(), BackendError> {
        if let Some(event) = self.parsed(SseParser::finish)? {
            self.translate(event)?;
        }
        if !self.has_ended && !self.translator.is_complete() {
            return Err(self.opened.endpoint().cut("the stream ended without its end mark"));
        }
        self.has_ended = true;
        Ok(())
    }

    fn parsed(
        &mut self,
        parse: impl FnOnce(&mut SseParser) -> Result<Option<SseEvent>, SseError>,
    ) -> Result<Option<SseEvent>, BackendError> {
        parse(&mut self.parser).map_err(|error| self.opened.endpoint().malformed(&error.to_string()))
    }

    fn translate(&mut self, event: SseEvent) -> Result<(), BackendError> {
        self.has_ended |= self.translator.translate(event, &mut self.ready)? == Step::End;
        Ok(())
    }

    /// The answer is there already, so nothing that happens now matters.
    async fn read_to_end(&mut self) {
        let end = async { while let Ok(Some(_)) = self.opened.chunk(Phase::Next).await {} };
        tokio::time::timeout(END_OF_BODY, end).await.ok();
    }
}
