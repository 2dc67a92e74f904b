//! A streamed answer on its way to the caller, with the run behind it.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Stream, future::BoxFuture};

use super::{answer::Bill, explain::with_verdicts, failure::Failure, flight::Reader, run::Run};
use crate::{
    domain::{BackendError, Event, EventStream, Outcome, Reply, WholeReply},
    error::Code,
    execute::{ExecuteError, Opened},
    runtime::{Phase, Stop},
    wire::{
        chunk::{ChunkFacts, UsageView},
        completion::with_extension,
        raw::RawError,
        replay::{ReplayError, replay},
    },
};

/// A plan whose first event has not come when the head of the response had to be sent.
pub(super) type Opening = BoxFuture<'static, Result<Opened, ExecuteError>>;

/// Where the events come from.
pub(super) enum Source {
    /// The plan still runs towards its first event; after that comes [`Source::Open`].
    Opening(Opening),
    /// A model answers.
    Open(EventStream),
    /// A call that others may read too.
    Shared(Reader),
}

/// How the caller sees the events.
pub(super) struct View {
    pub(super) usage: UsageView,
    /// What the first event carries in its `pointsman` field.
    pub(super) explanation: Option<Box<serde_json::value::RawValue>>,
}

/// The events as the caller sees them. The source stands above the run: an attempt is booked before its request.
pub(super) struct Passing {
    source: Source,
    run: Option<Run>,
    view: View,
    ready: VecDeque<Event>,
    bill: Bill,
    stop: Stop,
    /// Stays set when polling panics, so that a stream which broke is not taken for a caller who left.
    is_polling: bool,
}

impl Passing {
    /// Returns the stream.
    pub(super) fn new(source: Source, run: Run, view: View, (bill, stop): (Bill, Stop)) -> Self {
        Self { source, run: Some(run), view, ready: VecDeque::new(), bill, stop, is_polling: false }
    }

    fn take(&mut self, event: Event) -> Result<(), RawError> {
        if let (true, Some(run)) = (event.has_content, &mut self.run) {
            run.first_token();
        }
        let facts = if event.usage.is_some() {
            ChunkFacts::read(&event.data).unwrap_or_default()
        } else {
            ChunkFacts::default()
        };
        if let Some(data) = self.view.usage.show(&event.data, &facts)? {
            self.give(Event { data, ..event })?;
        }
        Ok(())
    }

    fn give(&mut self, event: Event) -> Result<(), RawError> {
        let data = match self.view.explanation.take() {
            Some(explanation) => {
                let verdicts = self.run.as_ref().map(|run| run.journal().verdicts()).unwrap_or_default();
                with_extension(&event.data, with_verdicts(explanation, &verdicts).get())?
            }
            None => event.data,
        };
        self.ready.push_back(Event { data, ..event });
        Ok(())
    }

    /// Ends a good stream: the last usage chunk, the books.
    fn finish(&mut self) -> Result<(), RawError> {
        if let Some(data) = self.view.usage.finish()? {
            self.give(last(data))?;
        }
        self.close(Outcome::Success);
        Ok(())
    }

    fn fail(&mut self, code: Code) {
        let is_ending = self.stop.phase() == Phase::Ending;
        let outcome = if is_ending { Outcome::Shutdown } else { Outcome::Failed { code: code.name().to_owned() } };
        self.close(outcome);
    }

    /// The source goes first: an attempt that this cancels is booked before its request.
    fn close(&mut self, outcome: Outcome) {
        let Some(mut run) = self.run.take() else { return };
        if let (Source::Shared(reader), Outcome::Success) = (&self.source, &outcome) {
            run.note_share(reader);
        }
        self.source = Source::Open(Box::pin(futures_util::stream::empty()));
        self.bill.set(run.cost());
        run.end(outcome);
    }

    fn poll_source(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Event, BackendError>>> {
        loop {
            match &mut self.source {
                Source::Open(events) => return events.as_mut().poll_next(context),
                Source::Shared(reader) => {
                    let event = ready!(reader.poll_event(context));
                    if let Some(run) = &mut self.run {
                        run.note_reader(reader);
                    }
                    return Poll::Ready(event);
                }
                Source::Opening(opening) => match ready!(opening.as_mut().poll(context)) {
                    Ok(opened) => {
                        if let Err(failure) = self.open(opened) {
                            return Poll::Ready(Some(Err(failure.into())));
                        }
                    }
                    Err(error) => return Poll::Ready(Some(Err(Failure::from(error).into()))),
                },
            }
        }
    }

    fn poll_shown(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Event, BackendError>>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            if self.run.is_none() {
                return Poll::Ready(None);
            }
            let step = match ready!(self.poll_source(context)) {
                Some(Ok(event)) => self.take(event),
                None => self.finish(),
                Some(Err(error)) => {
                    self.fail(error.code);
                    return Poll::Ready(Some(Err(error)));
                }
            };
            if let Err(error) = step {
                self.fail(Code::UpstreamMalformed);
                return Poll::Ready(Some(Err(malformed(&error))));
            }
        }
    }

    fn open(&mut self, opened: Opened) -> Result<(), Failure> {
        if let Some(run) = &mut self.run {
            run.note_model(&opened.model);
        }
        self.source = Source::Open(events(opened.reply)?);
        Ok(())
    }
}

impl Stream for Passing {
    type Item = Result<Event, BackendError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.is_polling = true;
        let polled = self.poll_shown(context);
        self.is_polling = false;
        polled
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        if self.is_polling {
            self.fail(Code::Internal);
        }
    }
}

/// Returns the events of a reply; a whole one is told as a stream would have been.
pub(super) fn events(reply: Reply) -> Result<EventStream, Failure> {
    match reply {
        Reply::Stream(events) => Ok(events),
        Reply::Whole(whole) => replayed(&whole),
    }
}

/// Tells a whole answer as a stream.
pub(super) fn replayed(whole: &WholeReply) -> Result<EventStream, Failure> {
    let chunks = replay(&whole.body, true).map_err(|error| untold(&error))?;
    let events = chunks.into_iter().map(|chunk| Ok(Event::read(chunk)));
    Ok(Box::pin(futures_util::stream::iter(events.collect::<Vec<_>>())))
}

/// Returns the failure of a whole answer that cannot be told as a stream.
pub(super) fn untold(error: &ReplayError) -> Failure {
    tracing::error!(error = %error, "a whole answer could not be told as a stream");
    Failure::new(Code::UpstreamMalformed, "The model sent something that is not a completion.").after_trying()
}

fn last(data: Bytes) -> Event {
    Event { data, has_content: false, usage: None, finish_reason: None, signals: Vec::new() }
}

fn malformed(error: &RawError) -> BackendError {
    let message = "The model sent something that is not a completion chunk.";
    BackendError::new(Code::UpstreamMalformed, message, format!("a chunk could not be read: {error}"))
}

#[cfg(test)]
mod tests;
