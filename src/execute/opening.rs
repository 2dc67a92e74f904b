//! The head of a stream: nothing is given out before the first token.

use std::collections::VecDeque;

use futures_util::{StreamExt, stream};

use super::{
    attempt::RunningAttempt,
    deadlines::{Deadlines, Phase},
};
use crate::{
    domain::{BackendError, Event, EventStream},
    error::Code,
};

/// Events held back at most while waiting for the first token; a provider that sends more of them is passed on as it is.
const MAX_HELD_BACK: usize = 64;

/// Reads a stream up to its first token and returns it with what was read put back in front.
///
/// # Errors
/// It failed before the first token; nothing has been given out, so another attempt may follow.
pub(super) async fn open(
    events: EventStream,
    attempt: RunningAttempt,
    deadlines: Deadlines,
) -> Result<EventStream, BackendError> {
    let mut live = Live { running: Some(Running { events, attempt }), deadlines, held_back: VecDeque::new() };
    while let Some(event) = live.pull(Phase::FirstToken).await.transpose()? {
        let is_begun = event.has_content || event.finish_reason.is_some();
        live.held_back.push_back(event);
        if is_begun || live.held_back.len() >= MAX_HELD_BACK {
            break;
        }
    }
    Ok(live.into_stream())
}

/// A stream under way.
struct Live {
    /// `None` once it has ended or failed.
    running: Option<Running>,
    deadlines: Deadlines,
    held_back: VecDeque<Event>,
}

/// Dropped together: the call upstream is cancelled and the attempt booked.
struct Running {
    events: EventStream,
    attempt: RunningAttempt,
}

impl Live {
    fn into_stream(self) -> EventStream {
        Box::pin(stream::unfold(self, |mut live| async move {
            let next = live.next().await?;
            Some((next, live))
        }))
    }

    async fn next(&mut self) -> Option<Result<Event, BackendError>> {
        match self.held_back.pop_front() {
            Some(event) => Some(Ok(event)),
            None => self.pull(Phase::NextEvent).await,
        }
    }

    /// Reads the next event and books the attempt when there is none.
    async fn pull(&mut self, phase: Phase) -> Option<Result<Event, BackendError>> {
        let Running { events, attempt } = self.running.as_mut()?;
        let error = match self.deadlines.within(phase, attempt.model(), events.next()).await {
            Ok(Some(Ok(event))) => {
                attempt.saw(&event);
                return Some(Ok(event));
            }
            Ok(None) if attempt.has_seen_events() => {
                self.running.take()?.attempt.succeed();
                return None;
            }
            Ok(None) => empty_answer(attempt),
            Ok(Some(Err(error))) | Err(error) => error,
        };
        self.running.take()?.attempt.fail(&error);
        Some(Err(error))
    }
}

fn empty_answer(attempt: &RunningAttempt) -> BackendError {
    let message = format!("Model {} ended its answer before it began.", attempt.model());
    BackendError::new(Code::UpstreamCut, message, "the stream ended without an event")
}
