//! [`crate::domain::Plan::Hedged`]: a second model is asked when the first is slow to begin.
//!
//! The second leg starts when the first has not given a token by the quantile of its recent times to the first token that the plan
//! names. Whoever gives the first token answers; the other is cancelled and booked. A request is hedged only within a share of the
//! requests that begin with the same model, and only if both legs together can be paid for: a hedge is for the slow tail, and a
//! model that is slow as a whole must not double the load on the next one.
//!
//! Where the first fails before that, this is [`single`]: the second leg is the fallback, and so are the legs behind it.
//! Whole answers are read from streams too: that a model has begun is the best sign that it will end.

use std::{sync::Arc, time::Duration};

use futures_util::future::{Either, select};

use super::{
    Course, Executor, Job, Model, Opened,
    deferral::Objection,
    error::ExecuteError,
    gather::whole,
    legs::{Legs, Place, Reads, is_final},
    single,
};
use crate::domain::{Cause, Hedged, Leg, Ruling};

/// Runs the first leg, and the second where it is slow to begin.
pub(super) async fn run(executor: Arc<Executor>, plan: Hedged, job: Job) -> Result<Opened, ExecuteError> {
    let model = executor.models.get(plan.leg.model.as_str()).cloned();
    let (Some(legs), Some(model)) = (Legs::of(&executor, &job), model) else {
        let legs = [plan.leg, plan.second].into_iter().chain(plan.fallbacks).collect();
        return single::run(executor, Course { first: 0, legs }, job).await;
    };
    model.hedges.note_request(plan.share);
    let mut race = Race { legs, model, plan, is_hedged: false };
    let error = match race.run().await {
        Ok(opened) => match race.whole(opened).await {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        },
        Err(error) => error,
    };
    race.fall_back(error).await
}

struct Race {
    legs: Legs,
    /// The first leg's.
    model: Arc<Model>,
    plan: Hedged,
    /// Whether the second leg was started.
    is_hedged: bool,
}

impl Race {
    /// Returns the answer of the leg that begins first.
    async fn run(&mut self) -> Result<Opened, ExecuteError> {
        let [first, second] = self.places();
        let running = Box::pin(ask(&self.legs, &first));
        let running = match select(running, Box::pin(tokio::time::sleep(self.delay()))).await {
            Either::Left((opened, _)) => return opened,
            Either::Right(((), running)) => running,
        };
        if !self.legs.is_open(&second.leg) || !self.model.hedges.try_spend() {
            return running.await;
        }
        self.is_hedged = true;
        match select(running, Box::pin(ask(&self.legs, &second))).await {
            Either::Left((Ok(opened), late)) => Ok(self.won(opened, late, (&first, &second))),
            Either::Right((Ok(opened), late)) => Ok(self.won(opened, late, (&second, &first))),
            Either::Left((Err(error), other)) => self.alone(error, other, (&first, &second)).await,
            Either::Right((Err(error), other)) => self.alone(error, other, (&second, &first)).await,
        }
    }

    /// Cancels the leg that is late.
    fn won(&self, opened: Opened, late: impl Future, (winner, loser): (&Place, &Place)) -> Opened {
        drop(late);
        self.legs.rule(loser, Ruling::Abandoned, Objection::of(Cause::Late));
        self.legs.rule(winner, Ruling::Accepted, Objection::of(Cause::FirstToken));
        opened
    }

    /// Waits for the other leg where one has failed.
    async fn alone(
        &self,
        error: ExecuteError,
        other: impl Future<Output = Result<Opened, ExecuteError>>,
        (failed, left): (&Place, &Place),
    ) -> Result<Opened, ExecuteError> {
        self.legs.rule_failed(failed);
        if is_final(&error, self.legs.plain()) {
            return Err(error);
        }
        let opened = other.await;
        match &opened {
            Ok(_) => self.legs.rule(left, Ruling::Accepted, Objection::of(Cause::FirstToken)),
            Err(_) => self.legs.rule_failed(left),
        }
        opened
    }

    /// Returns how long the first leg may take to begin.
    fn delay(&self) -> Duration {
        let learned = self.model.latency.first_token_quantile(self.plan.quantile);
        let prefill = self.model.prefill(self.legs.job.input_tokens);
        learned.map_or(Duration::from_millis(self.plan.start_ms), |learned| learned + prefill)
    }

    /// Returns an answer as the caller wants it.
    async fn whole(&self, opened: Opened) -> Result<Opened, ExecuteError> {
        let opened = Opened { attempts: self.legs.attempts(), ..opened };
        if self.legs.is_streaming {
            return Ok(opened);
        }
        let place = Place { position: opened.leg, leg: Leg { model: opened.model.clone() } };
        let answer = whole(opened.reply).await.map_err(|error| self.legs.broken(&place, error))?;
        Ok(Opened { reply: answer.into_reply(self.legs.plain()), ..opened })
    }

    /// Asks whoever has not been asked.
    async fn fall_back(self, error: ExecuteError) -> Result<Opened, ExecuteError> {
        if is_final(&error, self.legs.plain()) {
            return Err(error);
        }
        let first = if self.is_hedged { 2 } else { 1 };
        let second = Some(self.plan.second).filter(|_| !self.is_hedged);
        let legs: Vec<Leg> = second.into_iter().chain(self.plan.fallbacks).collect();
        if legs.is_empty() {
            return Err(error);
        }
        match single::run(Arc::clone(&self.legs.executor), Course { first, legs }, self.legs.job).await {
            // That nobody else could be asked says less than how the first failed.
            Err(later) if !later.was_attempted() && error.was_attempted() => Err(error),
            other => other,
        }
    }

    fn places(&self) -> [Place; 2] {
        let place = |position, leg: &Leg| Place { position, leg: leg.clone() };
        [place(0, &self.plan.leg), place(1, &self.plan.second)]
    }
}

async fn ask(legs: &Legs, place: &Place) -> Result<Opened, ExecuteError> {
    let (job, _) = legs.held(&place.leg, Reads::Text);
    legs.ask(place, job).await
}
