//! One reader of a flight: the leader, or one who asked the same.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{End, Flight, Part, Stage, whole_of};
use crate::{
    domain::{BackendError, Event, ModelName, NanoUsd},
    gateway::{failure::Failure, stream},
    wire::replay::replay,
};

/// Reads a flight from its first part on. Dropping it leaves; the last to leave cancels the call.
pub(in crate::gateway) struct Reader {
    flight: Arc<Flight>,
    id: u64,
    is_leader: bool,
    /// Events of a whole answer that is told as a stream.
    told: VecDeque<Event>,
}

impl Reader {
    pub(super) fn new(flight: Arc<Flight>, id: u64, is_leader: bool) -> Self {
        Self { flight, id, is_leader, told: VecDeque::new() }
    }

    /// Returns whether it only shares what another request pays for.
    pub(in crate::gateway) fn is_follower(&self) -> bool {
        !self.is_leader
    }

    /// Returns the model that answers, once it is known.
    pub(in crate::gateway) fn model(&self) -> Option<ModelName> {
        self.flight.state.lock().model.clone()
    }

    /// Returns what the call cost; nothing while it runs.
    pub(in crate::gateway) fn cost(&self) -> NanoUsd {
        self.flight.state.lock().cost
    }

    /// Waits until the call has been launched; false when its leader left before.
    pub(in crate::gateway) async fn is_launched(&self) -> bool {
        poll_fn(|context| {
            let state = self.flight.state.lock();
            match (&state.stage, &state.end) {
                (_, Some(End::Abandoned)) => Poll::Ready(false),
                (Stage::Unbegun, None) => {
                    self.flight.wakers.register(self.id, context.waker());
                    Poll::Pending
                }
                _ => Poll::Ready(true),
            }
        })
        .await
    }

    /// Waits until the answer has begun.
    ///
    /// # Errors
    /// None came.
    pub(in crate::gateway) async fn opened(&self) -> Result<(), Failure> {
        poll_fn(|context| {
            self.flight.poll_until(self.id, context, |state| match (&state.end, &state.model) {
                (Some(End::Refused(failure)), _) => Some(Err(failure.clone())),
                (Some(_), _) | (None, Some(_)) => Some(Ok(())),
                (None, None) => None,
            })
        })
        .await
    }

    /// Waits for the whole answer, however the call brings it.
    ///
    /// # Errors
    /// It never came, or broke off.
    pub(in crate::gateway) async fn whole(&mut self) -> Result<crate::domain::WholeReply, Failure> {
        let mut parts = Vec::new();
        while let Some(part) = poll_fn(|context| self.flight.poll(self.id, context)).await {
            parts.push(part?);
        }
        whole_of(parts)
    }

    /// Reads the next event; a whole answer is told as a stream would have been.
    pub(in crate::gateway) fn poll_event(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Event, BackendError>>> {
        loop {
            if let Some(event) = self.told.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            match ready!(self.flight.poll(self.id, context)) {
                None => return Poll::Ready(None),
                Some(Err(failure)) => return Poll::Ready(Some(Err(failure.into()))),
                Some(Ok(Part::Event(event))) => return Poll::Ready(Some(Ok(event))),
                Some(Ok(Part::Whole(whole))) => match replay(&whole.body, true) {
                    Ok(chunks) => self.told.extend(chunks.into_iter().map(Event::read)),
                    Err(error) => return Poll::Ready(Some(Err(stream::untold(&error).into()))),
                },
            }
        }
    }
}

#[cfg(test)]
impl Reader {
    /// Returns the bytes that the flight holds for its readers.
    pub(super) fn held_bytes(&self) -> usize {
        self.flight.state.lock().log.bytes()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.flight.leave(self.id);
    }
}
