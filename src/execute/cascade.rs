//! [`crate::domain::Plan::Cascade`]: one model after another, until an answer passes its tests.
//!
//! The answer of a rung with tests is held back until it has passed them all (or the tests of its tokens, where the rung
//! accepts early); then the caller gets it as it came. It is always asked for as a stream, so that the tests of its tokens look
//! at it while it is written: a doubtful one is cancelled, and what it has cost is booked.
//!
//! # What happens when...
//!
//! - a rung fails, or its judge does: the next rung is asked. Only an error that is the request's own fault ends the plan,
//!   unless the tests had asked the model for log-probabilities: then it may be that which it rejects.
//! - money or time is short: a rung that is too dear is passed over, and an answer is not given up while nobody else could be
//!   afforded.
//! - nobody else answers: the last whole answer that was in doubt is given, if the plan keeps it. The record says so.

use std::sync::Arc;

use futures_util::StreamExt;

use super::{
    Course, Executor, Job, Opened, agreement,
    answer::{Answer, Shape},
    deferral::{self, Objection},
    error::ExecuteError,
    gather::{Gathered, Watch, gather, whole},
    judge,
    legs::{Legs, Place, Reads, is_final},
    single,
};
use crate::domain::{BackendError, Cascade, Cause, DeferralTest, Leg, Probability, Reply, Ruling, Rung};

/// Runs the rungs in order.
pub(super) async fn run(executor: Arc<Executor>, cascade: Cascade, job: Job) -> Result<Opened, ExecuteError> {
    let Some(legs) = Legs::of(&executor, &job) else {
        let legs = cascade.rungs.into_iter().map(|rung| rung.leg).chain(cascade.fallbacks).collect();
        return single::run(executor, Course { first: 0, legs }, job).await;
    };
    let mut run = Run { legs, position: 0, doubtful: None, failure: None };
    for (index, rung) in cascade.rungs.iter().enumerate() {
        let later = cascade.rungs.iter().skip(index + 1).map(|rung| &rung.leg).chain(&cascade.fallbacks);
        if let Some(opened) = run.rung(rung, &later.collect::<Vec<_>>()).await? {
            return Ok(opened);
        }
    }
    run.end(cascade.fallbacks, cascade.keeps_doubtful).await
}

/// A cascade under way.
struct Run {
    legs: Legs,
    /// Position in the plan of the leg that comes next.
    position: u32,
    /// The last whole answer that failed its tests.
    doubtful: Option<Held>,
    /// Why the latest rung that failed gave no answer.
    failure: Option<ExecuteError>,
}

/// A whole answer that nobody has been given.
struct Held {
    answer: Box<Answer>,
    shape: Shape,
    place: Place,
}

impl Run {
    /// Runs one rung; `None` means that the next one may try.
    async fn rung(&mut self, rung: &Rung, later: &[&Leg]) -> Result<Option<Opened>, ExecuteError> {
        let place = Place { position: self.position, leg: rung.leg.clone() };
        self.position += rung.legs().count() as u32;
        if rung.defer.is_empty() {
            return self.untested(place).await;
        }
        let reads = rung.defer.iter().map(Reads::of).max().unwrap_or(Reads::Text);
        let (job, shape) = self.legs.held(&rung.leg, reads);
        let opened = match self.legs.ask(&place, job).await {
            Ok(opened) => opened,
            Err(error) => return self.failed(&place, error, shape),
        };
        match self.gathered(opened.reply, rung, later).await {
            Ok(Gathered::Abandoned(objection)) => {
                self.legs.rule(&place, Ruling::Abandoned, objection);
                Ok(None)
            }
            Ok(Gathered::Begun(events)) if shape.is_streaming => {
                let shown = events.map(move |event| event.map(|event| shape.shown(event)));
                Ok(Some(self.accepted(place, Reply::Stream(Box::pin(shown)))))
            }
            // Whoever wants it whole waits for the rest, which is not tested either.
            Ok(Gathered::Begun(events)) => match whole(Reply::Stream(events)).await {
                Ok(answer) => Ok(Some(self.accepted(place, answer.into_reply(shape)))),
                Err(error) => self.failed(&place, self.legs.broken(&place, error), shape),
            },
            Ok(Gathered::Whole(answer)) => Ok(self.tested(rung, Held { answer, shape, place }).await),
            Err(error) => self.failed(&place, self.legs.broken(&place, error), shape),
        }
    }

    async fn gathered(&self, reply: Reply, rung: &Rung, later: &[&Leg]) -> Result<Gathered, BackendError> {
        let may_abandon = || later.iter().any(|leg| self.legs.is_open(leg));
        let watch = Watch { tests: &rung.defer, accept_after: rung.accept_after, may_abandon: &may_abandon };
        gather(reply, &watch).await
    }

    /// Accepts a whole answer, or keeps it in doubt.
    async fn tested(&mut self, rung: &Rung, held: Held) -> Option<Opened> {
        match self.objection(rung, &held).await {
            None => Some(self.accepted(held.place, held.answer.into_reply(held.shape))),
            Some(objection) => {
                self.legs.rule(&held.place, Ruling::Deferred, objection);
                self.doubtful = Some(held);
                None
            }
        }
    }

    fn accepted(&self, place: Place, reply: Reply) -> Opened {
        self.legs.rule(&place, Ruling::Accepted, Objection::of(Cause::Passed));
        self.legs.opened(place, reply)
    }

    /// Returns what the tests have against an answer; those that cost nothing come first.
    async fn objection(&self, rung: &Rung, held: &Held) -> Option<Objection> {
        let format = &self.legs.chat.format;
        let free = rung.defer.iter().find_map(|test| deferral::objection(test, &held.answer, format));
        if free.is_some() {
            return free;
        }
        let mut position = held.place.position + 1;
        for test in &rung.defer {
            let objection = match test {
                DeferralTest::Judge { leg, below } => {
                    self.judged(&Place { position, leg: leg.clone() }, *below, held).await
                }
                DeferralTest::Agreement { .. } => agreement::objection(&self.legs, test, position, &held.answer).await,
                _ => None,
            };
            if objection.is_some() {
                return objection;
            }
            position += test.legs().count() as u32;
        }
        None
    }

    async fn judged(&self, judge: &Place, below: Probability, held: &Held) -> Option<Objection> {
        let is_own = judge.leg.model == held.place.leg.model;
        match judge::grade(&self.legs, judge, &held.answer).await {
            Ok(grade) if grade < below => {
                let cause = if is_own { Cause::SelfCheck } else { Cause::Judge };
                Some(Objection { cause, value: Some(grade.value()) })
            }
            Ok(_) => None,
            Err(cause) => Some(Objection::of(cause)),
        }
    }

    /// Runs a rung whose answer is accepted whatever it is.
    async fn untested(&mut self, place: Place) -> Result<Option<Opened>, ExecuteError> {
        match self.legs.ask(&place, self.legs.job.clone()).await {
            Ok(opened) => {
                self.legs.rule(&place, Ruling::Accepted, Objection::of(Cause::Untested));
                Ok(Some(self.legs.opened(place, opened.reply)))
            }
            Err(error) => self.failed(&place, error, self.legs.plain()),
        }
    }

    /// Takes note that a rung gave no answer.
    ///
    /// # Errors
    /// Nobody else may be asked.
    fn failed(&mut self, place: &Place, error: ExecuteError, shape: Shape) -> Result<Option<Opened>, ExecuteError> {
        self.legs.rule_failed(place);
        let is_final = is_final(&error, shape);
        // That a later model was too dear says less than that an earlier one failed.
        if self.failure.is_none() || error.was_attempted() {
            self.failure = Some(error);
        }
        if is_final && self.doubtful.is_none() { Err(self.failure()) } else { Ok(None) }
    }

    /// Asks the fallbacks, and then gives what is there.
    async fn end(mut self, fallbacks: Vec<Leg>, keeps_doubtful: bool) -> Result<Opened, ExecuteError> {
        for leg in fallbacks {
            let place = Place { position: self.position, leg };
            self.position += 1;
            if let Some(opened) = self.untested(place).await? {
                return Ok(opened);
            }
        }
        match self.doubtful.take().filter(|_| keeps_doubtful) {
            Some(Held { answer, shape, place }) => {
                self.legs.rule(&place, Ruling::Kept, Objection::of(Cause::NoBetter));
                Ok(self.legs.opened(place, answer.into_reply(shape)))
            }
            None => Err(self.failure()),
        }
    }

    fn failure(&mut self) -> ExecuteError {
        self.failure.take().unwrap_or(ExecuteError::DeadlineExceeded { attempts: self.legs.attempts() })
    }
}
