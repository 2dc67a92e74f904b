//! [`crate::domain::Plan::Single`]: one leg after the other until one answers.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    Executor, Job, Model, Opened,
    attempt::{RunningAttempt, Start},
    breaker::Pass,
    deadlines::{Deadlines, Phase},
    error::ExecuteError,
    opening,
    retry::{Pauses, is_safe},
};
use crate::domain::{BackendError, Leg, Reply};

/// Legs that stand in for each other.
pub(super) struct Course {
    /// Position of the first of them in the plan.
    pub(super) first: u32,
    /// The first choice and what follows when it fails.
    pub(super) legs: Vec<Leg>,
}

impl Course {
    /// Returns the course of a whole plan.
    pub(super) fn of(leg: Leg, fallbacks: Vec<Leg>) -> Self {
        Self { first: 0, legs: std::iter::once(leg).chain(fallbacks).collect() }
    }
}

/// Runs the legs in order. Legs whose breaker is open are passed over; where that leaves nothing, the first of them is tried
/// all the same, once.
pub(super) async fn run(executor: Arc<Executor>, course: Course, job: Job) -> Result<Opened, ExecuteError> {
    let pauses = Pauses::new(&executor.settings, job.seed);
    let mut run = Run { executor, job, pauses, attempts: 0, failure: None, spared: None };
    let last = course.legs.len().saturating_sub(1);
    for (index, leg) in course.legs.iter().enumerate() {
        let place = Place { position: course.first + index as u32, is_last: index == last };
        if let Some(opened) = run.leg(leg, place).await? {
            return Ok(opened);
        }
    }
    run.last_resort().await
}

/// A plan under way.
struct Run {
    executor: Arc<Executor>,
    job: Job,
    pauses: Pauses,
    attempts: u32,
    /// Why the latest leg gave no answer.
    failure: Option<ExecuteError>,
    /// The first leg that was passed over because of its breaker.
    spared: Option<(Arc<Model>, Place)>,
}

/// Where a leg stands in its plan.
#[derive(Clone, Copy)]
struct Place {
    position: u32,
    is_last: bool,
}

impl Run {
    /// Runs one leg; `None` means that the next one may try.
    async fn leg(&mut self, leg: &Leg, place: Place) -> Result<Option<Opened>, ExecuteError> {
        let Some(model) = self.executor.models.get(leg.model.as_str()).cloned() else {
            self.note(ExecuteError::UnknownModel { model: leg.model.clone() });
            return Ok(None);
        };
        if Instant::now() >= self.job.deadline {
            return Err(self.failure.take().unwrap_or(ExecuteError::DeadlineExceeded { attempts: self.attempts }));
        }
        if let Some((upper, left)) = self.job.shortfall(&leg.model) {
            self.note(ExecuteError::TooDear { model: leg.model.clone(), upper, left });
            return Ok(None);
        }
        model.retries.note_request();
        self.tries(&model, place).await
    }

    /// Asks one model, again where that is safe.
    async fn tries(&mut self, model: &Arc<Model>, place: Place) -> Result<Option<Opened>, ExecuteError> {
        let mut tries = 0;
        while model.breaker.would_admit() {
            let seat = match model.seat(self.patience(model, place)).await {
                Ok(seat) => seat,
                Err(error) => return self.give_up(model, error),
            };
            // While a seat or a pause was waited for, money may have been spent, and others may have opened the breaker.
            if let Some((upper, left)) = self.job.shortfall(&model.facts.name) {
                self.note(ExecuteError::TooDear { model: model.facts.name.clone(), upper, left });
                return Ok(None);
            }
            let Some(pass) = model.breaker.admit() else { break };
            let start = Start { leg: place.position, pass, seat, hold: self.job.hold(&model.facts.name) };
            let attempt = RunningAttempt::begin(&self.job, model, start);
            let error = match self.ask(model, attempt).await {
                Ok(reply) => return Ok(Some(self.opened(model, place, reply))),
                Err(error) => error,
            };
            tries += 1;
            let until = self.pause_before_retry(model, tries, &error);
            self.give_up(model, error)?;
            let Some(until) = until else { return Ok(None) };
            tokio::time::sleep_until(until).await;
        }
        self.spared.get_or_insert_with(|| (Arc::clone(model), place));
        Ok(None)
    }

    /// Makes one attempt.
    async fn ask(&mut self, model: &Arc<Model>, attempt: RunningAttempt) -> Result<Reply, BackendError> {
        self.attempts += 1;
        let deadlines = Deadlines::new(attempt.begun(), self.job.timeouts(model), self.job.deadline);
        let phase = if self.job.operation.is_streaming() { Phase::FirstToken } else { Phase::WholeAnswer };
        match deadlines.within(phase, &model.facts.name, self.job.call(model, attempt.waited())).await.flatten() {
            Ok(Reply::Stream(events)) => opening::open(events, attempt, deadlines).await.map(Reply::Stream),
            Ok(Reply::Whole(whole)) => {
                attempt.succeed_whole(&whole, self.job.operation.estimated_output(&whole));
                Ok(Reply::Whole(whole))
            }
            Err(error) => {
                attempt.fail(&error);
                Err(error)
            }
        }
    }

    /// Returns until when to wait before asking again; `None` when asking again is not safe, not allowed or too late.
    fn pause_before_retry(&mut self, model: &Model, tries: u32, error: &BackendError) -> Option<Instant> {
        if !is_safe(error.code) || tries >= self.executor.settings.attempts || !model.breaker.would_admit() {
            return None;
        }
        let until = Instant::now() + self.pauses.after(tries, error)?;
        (until < self.job.deadline && model.retries.try_spend()).then_some(until)
    }

    /// Only the last leg waits for a seat; the others leave the waiting to those who have no choice.
    fn patience(&self, model: &Model, place: Place) -> Option<Instant> {
        let longest = Instant::now().checked_add(self.job.timeouts(model).first_token);
        place.is_last.then(|| longest.unwrap_or(self.job.deadline).min(self.job.deadline))
    }

    /// Takes note that an attempt failed.
    ///
    /// # Errors
    /// No other model may be asked either.
    fn give_up(&mut self, model: &Model, error: BackendError) -> Result<Option<Opened>, ExecuteError> {
        let may_go_on = error.allows_fallback();
        let model = model.facts.name.clone();
        let error = ExecuteError::Backend { model, attempts: self.attempts, error: Box::new(error) };
        if !may_go_on {
            return Err(error);
        }
        self.failure = Some(error);
        Ok(None)
    }

    /// Keeps why a leg could not start, unless an attempt has already failed: that says more.
    fn note(&mut self, error: ExecuteError) {
        tracing::debug!(error = %error, "leg passed over");
        if self.attempts == 0 {
            self.failure = Some(error);
        }
    }

    fn opened(&self, model: &Model, place: Place, reply: Reply) -> Opened {
        Opened { model: model.facts.name.clone(), leg: place.position, attempts: self.attempts, reply }
    }

    /// Tries the first leg that was passed over for its breaker, if nothing else was tried.
    async fn last_resort(mut self) -> Result<Opened, ExecuteError> {
        if let (0, Some((model, place))) = (self.attempts, self.spared.take())
            && let Some(opened) = self.despite_breaker(&model, place).await?
        {
            return Ok(opened);
        }
        Err(self.failure.unwrap_or(ExecuteError::DeadlineExceeded { attempts: self.attempts }))
    }

    async fn despite_breaker(&mut self, model: &Arc<Model>, place: Place) -> Result<Option<Opened>, ExecuteError> {
        let seat = match model.seat(self.patience(model, Place { is_last: true, ..place })).await {
            Ok(seat) => seat,
            Err(error) => return self.give_up(model, error),
        };
        let hold = self.job.hold(&model.facts.name);
        let start = Start { leg: place.position, pass: Pass::Ordinary, seat, hold };
        let attempt = RunningAttempt::begin(&self.job, model, start);
        match self.ask(model, attempt).await {
            Ok(reply) => Ok(Some(self.opened(model, place, reply))),
            Err(error) => self.give_up(model, error),
        }
    }
}
