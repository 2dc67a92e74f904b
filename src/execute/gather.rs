//! Reading an answer that may yet be given up: while it comes, the tests look at its tokens.

use futures_util::{StreamExt, stream};

use super::{
    answer::Answer,
    deferral::{self, Objection, Progress},
};
use crate::{
    domain::{BackendError, Cause, DeferralTest, Event, EventStream, Reply},
    error::Code,
};

/// Most of an answer that is held back, in bytes; a larger one cannot be tested.
const MAX_HELD_BYTES: usize = 8 << 20;

/// How the tokens of a growing answer are looked at again: whenever it has grown by this share, so that all looks together cost
/// no more than a few looks at the whole.
const REGROWTH: u64 = 8;

/// What an answer is read under.
pub(super) struct Watch<'a> {
    pub(super) tests: &'a [DeferralTest],
    /// Tokens after which an answer that nothing doubts is accepted.
    pub(super) accept_after: Option<u32>,
    /// Says whether another model could be asked now, if this one was given up.
    pub(super) may_abandon: &'a (dyn Fn() -> bool + Send + Sync),
}

/// What came of reading an answer.
pub(super) enum Gathered {
    /// All of it is here, still to be tested.
    Whole(Box<Answer>),
    /// It was given up; the call is cancelled.
    Abandoned(Objection),
    /// It is accepted before its end; what was read stands in front.
    Begun(EventStream),
}

/// Reads an answer.
///
/// # Errors
/// It broke off, or is no completion.
///
/// # Cancel safety
/// Dropping the future cancels the call.
pub(super) async fn gather(reply: Reply, watch: &Watch<'_>) -> Result<Gathered, BackendError> {
    let mut events = match reply {
        Reply::Whole(whole) => return Ok(Gathered::Whole(Box::new(Answer::of_whole(whole)?))),
        Reply::Stream(events) => events,
    };
    let mut held = Held::default();
    while let Some(event) = events.next().await {
        held.take(event?);
        if held.bytes > MAX_HELD_BYTES {
            return Ok(Gathered::Abandoned(Objection::of(Cause::TooLarge)));
        }
        if !held.is_due(watch) {
            continue;
        }
        let doubt = deferral::doubt(watch.tests, &held.progress, |after| held.has(after));
        match doubt {
            Some(objection) if (watch.may_abandon)() => return Ok(Gathered::Abandoned(objection)),
            None if watch.accept_after.is_some_and(|after| held.has(after)) => {
                return Ok(Gathered::Begun(Box::pin(stream::iter(held.events.into_iter().map(Ok)).chain(events))));
            }
            _ => {}
        }
    }
    Ok(Gathered::Whole(Box::new(Answer::of_events(held.events)?)))
}

/// Reads an answer to its end.
///
/// # Errors
/// It broke off, is no completion, or larger than what is held back.
pub(super) async fn whole(reply: Reply) -> Result<Box<Answer>, BackendError> {
    let watch = Watch { tests: &[], accept_after: None, may_abandon: &|| false };
    match gather(reply, &watch).await? {
        Gathered::Whole(answer) => Ok(answer),
        // Without tests an answer is only given up for its size, and never begun.
        Gathered::Abandoned(_) | Gathered::Begun(_) => {
            let message = "The model's answer is larger than what can be compared.";
            Err(BackendError::new(Code::UpstreamMalformed, message, "the answer is too large to hold"))
        }
    }
}

/// What has been read.
#[derive(Default)]
struct Held {
    events: Vec<Event>,
    bytes: usize,
    progress: Progress,
    /// Tokens at the last look.
    looked_at: u64,
}

impl Held {
    fn take(&mut self, event: Event) {
        self.bytes += event.data.len();
        self.progress.signals.extend_from_slice(&event.signals);
        self.progress.pieces += u64::from(event.has_content);
        self.events.push(event);
    }

    fn has(&self, tokens: u32) -> bool {
        self.progress.tokens() >= u64::from(tokens)
    }

    /// Returns whether it is time for a look: it has grown enough since the last one, or just reached a number that a test or
    /// the acceptance waits for.
    fn is_due(&mut self, watch: &Watch<'_>) -> bool {
        let now = self.progress.tokens();
        let has_reached = |after: &u32| (self.looked_at < u64::from(*after)) && u64::from(*after) <= now;
        let named = watch.tests.iter().filter_map(after).chain(watch.accept_after);
        let is_due =
            now >= self.looked_at + 1 + self.looked_at / REGROWTH || named.into_iter().any(|at| has_reached(&at));
        if is_due {
            self.looked_at = now;
        }
        is_due
    }
}

/// Returns the tokens after which a test looks at a growing answer.
fn after(test: &DeferralTest) -> Option<u32> {
    match test {
        DeferralTest::Logprob { after, .. }
        | DeferralTest::Margin { after, .. }
        | DeferralTest::Entropy { after, .. } => *after,
        DeferralTest::Length { max, .. } => max.and_then(|max| u32::try_from(max.saturating_add(1)).ok()),
        _ => None,
    }
}
