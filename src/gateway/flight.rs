//! One call upstream, read by everyone who asks the same while it runs.
//!
//! The first to ask leads: it finds out who answers and launches the call. Everyone, the leader too, reads the [`Log`] from its
//! beginning, and whoever polls drives the call on, so a slow reader holds nobody up: it reads on from what is stored. The call is cancelled when its last reader
//! has left, not when its leader has: the leader's record then waits in the flight, so that what the call still costs is booked
//! with it, once.
//!
//! A leader that leaves before it has launched anything abandons the flight; whoever waited asks again, and one of them leads.

mod log;
mod reader;
mod stored;
mod table;
mod wakers;

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

use self::{log::Log, table::Place, wakers::Wakers};
pub(super) use self::{
    log::Part,
    reader::Reader,
    table::{Flights, Lead, Seat},
};
use super::{failure::Failure, keep::Keep, run::Orphan, stream::Opening};
use crate::{
    domain::{BackendError, Event, EventStream, ModelName, NanoUsd, Reply, WholeReply},
    error::Code,
    execute::Opened,
};

/// A call and what it has said so far.
pub(super) struct Flight {
    state: Mutex<State>,
    wakers: Arc<Wakers>,
    waker: Waker,
    /// Where others find it; `None` for a flight that nobody may join.
    _place: Option<Place>,
}

/// The stage stands above the orphan: an attempt is booked before its request.
struct State {
    stage: Stage,
    orphan: Option<Orphan>,
    log: Log,
    end: Option<End>,
    model: Option<ModelName>,
    cost: NanoUsd,
    keep: Option<Keep>,
    is_streaming: bool,
}

enum Stage {
    /// Its leader still finds out who answers.
    Unbegun,
    /// The plan runs towards its first event, or its whole answer.
    Opening(Opening),
    /// A model answers.
    Open(EventStream),
    /// Nothing runs any more. With no end beside it, polling broke.
    Over,
}

/// How a flight ended.
#[derive(Clone)]
enum End {
    /// The answer is whole.
    Good,
    /// No answer began.
    Refused(Failure),
    /// It broke off.
    Broken(BackendError),
    /// Its leader left before it began, or every reader has left.
    Abandoned,
}

impl Flight {
    fn new(limit_bytes: usize, place: Option<Place>) -> Arc<Self> {
        let wakers = Arc::new(Wakers::default());
        let state = State {
            stage: Stage::Unbegun,
            orphan: None,
            log: Log::new(limit_bytes),
            end: None,
            model: None,
            cost: NanoUsd::ZERO,
            keep: None,
            is_streaming: false,
        };
        let waker = Waker::from(Arc::clone(&wakers));
        Arc::new(Self { state: Mutex::new(state), wakers, waker, _place: place })
    }

    /// Begins the call; whoever waits is woken.
    fn launch(&self, opening: Opening, keep: Keep, is_streaming: bool) {
        let mut state = self.state.lock();
        state.stage = Stage::Opening(opening);
        state.keep = Some(keep);
        state.is_streaming = is_streaming;
        drop(state);
        self.wakers.wake_all();
    }

    /// Ends a flight that was never launched.
    fn abandon(&self) {
        let mut state = self.state.lock();
        if matches!(state.stage, Stage::Unbegun) && state.end.is_none() {
            state.end = Some(End::Abandoned);
        }
        drop(state);
        self.wakers.wake_all();
    }

    /// Returns whether the call may still cost something.
    pub(super) fn is_running(&self) -> bool {
        self.state.lock().end.is_none()
    }

    /// Takes the record of a leader that is done while its call still runs; it is closed when the call has ended.
    pub(super) fn adopt(&self, orphan: Orphan) {
        let mut state = self.state.lock();
        if state.end.is_none() {
            state.orphan = Some(orphan);
            return;
        }
        drop(state);
        orphan.close();
    }

    /// Lets a reader leave. The last one takes the call with it.
    fn leave(&self, reader: u64) {
        self.wakers.forget(reader);
        let mut state = self.state.lock();
        let is_last = state.log.leave(reader);
        if !is_last || state.end.is_some() {
            return;
        }
        state.end = Some(End::Abandoned);
        let stage = std::mem::replace(&mut state.stage, Stage::Over);
        let orphan = state.orphan.take();
        drop(state);
        drop(stage);
        if let Some(orphan) = orphan {
            orphan.close();
        }
    }
}

impl State {
    /// Drives the call on; ready when the log has grown or the flight has ended.
    fn advance(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // While it is polled the stage is `Over`, which it stays when polling panics.
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Unbegun => {
                self.stage = Stage::Unbegun;
                Poll::Pending
            }
            Stage::Opening(mut opening) => match opening.as_mut().poll(context) {
                Poll::Pending => {
                    self.stage = Stage::Opening(opening);
                    Poll::Pending
                }
                Poll::Ready(opened) => {
                    drop(opening);
                    self.open(opened.map_err(Failure::from));
                    Poll::Ready(())
                }
            },
            Stage::Open(mut events) => match events.as_mut().poll_next(context) {
                Poll::Pending => {
                    self.stage = Stage::Open(events);
                    Poll::Pending
                }
                Poll::Ready(event) => {
                    self.take(events, event);
                    Poll::Ready(())
                }
            },
            Stage::Over => {
                let detail = "the call broke while another reader drove it";
                self.close(End::Broken(BackendError::new(Code::Internal, "The answer broke off.", detail)));
                Poll::Ready(())
            }
        }
    }

    fn open(&mut self, opened: Result<Opened, Failure>) {
        match opened.and_then(|opened| self.begin(opened)) {
            Ok(None) => {}
            Ok(Some(end)) => self.close(end),
            Err(failure) => self.close(End::Refused(failure)),
        }
    }

    fn begin(&mut self, opened: Opened) -> Result<Option<End>, Failure> {
        self.model = Some(opened.model);
        match (opened.reply, self.is_streaming) {
            (Reply::Whole(whole), false) => {
                self.log.push(Part::Whole(whole.clone()));
                self.store(|keep, model| keep.store_whole(whole, model));
                Ok(Some(End::Good))
            }
            (reply, true) => {
                self.stage = Stage::Open(super::stream::events(reply)?);
                Ok(None)
            }
            (Reply::Stream(_), false) => Err(super::asking::streamed_unasked()),
        }
    }

    fn take(&mut self, events: EventStream, event: Option<Result<Event, BackendError>>) {
        match event {
            Some(Ok(event)) => {
                if let Some(keep) = &mut self.keep {
                    keep.push(&event);
                }
                self.log.push(Part::Event(event));
                self.stage = Stage::Open(events);
            }
            None => {
                drop(events);
                self.store(Keep::store);
                self.close(End::Good);
            }
            Some(Err(error)) => {
                drop(events);
                self.close(End::Broken(error));
            }
        }
    }

    fn store(&mut self, store: impl FnOnce(Keep, ModelName)) {
        let Some(keep) = self.keep.take() else { return };
        self.cost = keep.cost();
        if let Some(model) = self.model.clone() {
            store(keep, model);
        }
    }

    fn close(&mut self, end: End) {
        self.end = Some(end);
        self.keep = None;
        if let Some(orphan) = self.orphan.take() {
            orphan.close();
        }
    }
}

impl Flight {
    /// Reads on for one reader.
    fn poll(&self, reader: u64, context: &mut Context<'_>) -> Poll<Option<Result<Part, Failure>>> {
        self.poll_until(reader, context, |state| match state.log.next(reader) {
            Ok(Some(part)) => Some(Some(Ok(part))),
            Ok(None) => state.end.as_ref().map(ended),
            Err(lagging) => Some(Some(Err(lagging))),
        })
    }

    /// Drives the call until `is_met` gives something.
    fn poll_until<T>(
        &self,
        reader: u64,
        context: &mut Context<'_>,
        is_met: impl Fn(&mut State) -> Option<T>,
    ) -> Poll<T> {
        let mut has_moved = false;
        let mut state = self.state.lock();
        let met = loop {
            if let Some(met) = is_met(&mut state) {
                break Poll::Ready(met);
            }
            // Before the call is polled, so that no wake-up is lost.
            self.wakers.register(reader, context.waker());
            if state.advance(&mut Context::from_waker(&self.waker)).is_pending() {
                break Poll::Pending;
            }
            has_moved = true;
        };
        drop(state);
        if has_moved {
            self.wakers.wake_others(reader);
        }
        met
    }
}

fn ended(end: &End) -> Option<Result<Part, Failure>> {
    match end {
        End::Good => None,
        End::Refused(failure) => Some(Err(failure.clone())),
        End::Broken(error) => Some(Err(Failure::from(error.clone()))),
        End::Abandoned => Some(Err(Failure::new(Code::Internal, "The answer that this request joined never came."))),
    }
}

/// Returns what a whole answer says, from the parts of either kind.
fn whole_of(parts: Vec<Part>) -> Result<WholeReply, Failure> {
    let mut gathered = crate::wire::replay::Accumulator::default();
    for part in parts {
        match part {
            Part::Whole(whole) => return Ok(whole),
            Part::Event(event) => gathered.push(&event.data).map_err(|error| super::passing::uncollected(&error))?,
        }
    }
    Ok(WholeReply::read(gathered.finish()))
}

#[cfg(test)]
mod tests;
