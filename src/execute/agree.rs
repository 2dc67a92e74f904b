//! [`crate::domain::Plan::Agree`]: a committee is asked one after another, until another answer is worth no more than it costs.
//!
//! The plan's [`Course`](crate::domain::Course) decides; here it is told where every member stands. Answers are held back, because
//! an earlier one may be given in the end; the answer given is always one that a member gave, as it came. Where an answer will be
//! given whatever it says, it is passed on as it comes.
//!
//! # What happens when...
//!
//! - a member fails, is spared or cannot be paid: the others decide without it.
//! - an answer says nothing that can be compared: it counts as silence, which the fitted model has a weight for.
//! - time is up while another is asked: the best answer so far is given.
//! - nobody answers: the fallbacks are asked, one after the other.

use std::sync::Arc;

use super::{
    Course as Fallbacks, Executor, Job, Opened,
    answer::{Answer, Shape},
    deferral::Objection,
    error::ExecuteError,
    gather::whole,
    legs::{Legs, Place, Reads, is_final},
    single,
};
use crate::domain::{Agree, AgreeStep, Cause, MemberState, Ruling};

/// Asks members until stopping is best.
pub(super) async fn run(executor: Arc<Executor>, plan: Agree, job: Job) -> Result<Opened, ExecuteError> {
    let Some(legs) = Legs::of(&executor, &job) else {
        let legs = plan.legs().cloned().collect();
        return single::run(executor, Fallbacks { first: 0, legs }, job).await;
    };
    let states = vec![MemberState::Open; plan.members.len()];
    let answers = plan.members.iter().map(|_| None).collect();
    let mut run = Run { legs, plan: &plan, states, answers, failure: None };
    if let Some(opened) = run.all().await? {
        return Ok(opened);
    }
    let failure = run.failure();
    if plan.fallbacks.is_empty() {
        return Err(failure);
    }
    let first = plan.members.len() as u32;
    single::run(executor, Fallbacks { first, legs: plan.fallbacks }, job).await
}

struct Run<'a> {
    legs: Legs,
    plan: &'a Agree,
    states: Vec<MemberState>,
    /// By member; `None` where there is none (yet).
    answers: Vec<Option<(Box<Answer>, Shape)>>,
    failure: Option<ExecuteError>,
}

impl Run<'_> {
    /// Returns what is given; `None` when no member answers.
    async fn all(&mut self) -> Result<Option<Opened>, ExecuteError> {
        loop {
            self.close_the_unaffordable();
            match self.plan.course.next(&self.states) {
                AgreeStep::Ask(member) => {
                    if let Some(opened) = self.ask(member).await? {
                        return Ok(Some(opened));
                    }
                }
                AgreeStep::Give(member, probability) => return Ok(self.give(member, probability)),
                AgreeStep::GiveUp => return Ok(None),
            }
        }
    }

    /// Once there is an answer, whoever cannot be asked is out; without one, being refused says why.
    fn close_the_unaffordable(&mut self) {
        if self.answers.iter().all(Option::is_none) {
            return;
        }
        for (state, member) in self.states.iter_mut().zip(&self.plan.members) {
            if *state == MemberState::Open && !self.legs.is_open(&member.leg) {
                *state = MemberState::Closed;
            }
        }
    }

    /// Asks a member; returns its answer where that is given whatever it says.
    async fn ask(&mut self, member: usize) -> Result<Option<Opened>, ExecuteError> {
        let Some(place) = self.place(member) else { return Ok(None) };
        let is_first = self.answers.iter().all(Option::is_none);
        if is_first && self.plan.course.is_final(&self.states, member) {
            return match self.legs.ask(&place, self.legs.job.clone()).await {
                Ok(opened) => {
                    self.legs.rule(&place, Ruling::Accepted, Objection::of(Cause::Untested));
                    Ok(Some(self.legs.opened(place, opened.reply)))
                }
                Err(error) => self.gone(member, &place, error, self.legs.plain()).map(|()| None),
            };
        }
        let (job, shape) = self.legs.held(&place.leg, Reads::Text);
        let answered = match self.legs.ask(&place, job).await {
            Ok(opened) => whole(opened.reply).await.map_err(|error| self.legs.broken(&place, error)),
            Err(error) => Err(error),
        };
        match answered {
            Ok(answer) => self.hear(member, answer, shape),
            Err(error) => self.gone(member, &place, error, shape)?,
        }
        Ok(None)
    }

    fn hear(&mut self, member: usize, answer: Box<Answer>, shape: Shape) {
        let said = answer.text().and_then(|text| self.plan.extract.read(text));
        let heard = MemberState::Answered { said, tokens: answer.tokens() };
        self.states.iter_mut().skip(member).take(1).for_each(|state| *state = heard.clone());
        if let Some(place) = self.answers.get_mut(member) {
            *place = Some((answer, shape));
        }
    }

    /// Gives the answer of a member.
    fn give(&mut self, given: usize, probability: Option<f64>) -> Option<Opened> {
        let place = self.place(given)?;
        let (answer, shape) = self.answers.get_mut(given).and_then(Option::take)?;
        for (member, state) in self.states.iter().enumerate() {
            if let (MemberState::Answered { said, .. }, Some(place)) = (state, self.place(member)) {
                let (ruling, objection) = self.ruling(member, said.as_deref(), (given, probability));
                self.legs.rule(&place, ruling, objection);
            }
        }
        Some(self.legs.opened(place, answer.into_reply(shape)))
    }

    fn ruling(
        &self,
        member: usize,
        said: Option<&str>,
        (given, probability): (usize, Option<f64>),
    ) -> (Ruling, Objection) {
        let answer = match self.states.get(given) {
            Some(MemberState::Answered { said, .. }) => said.as_deref(),
            _ => None,
        };
        match (member == given, said) {
            (true, None) => (Ruling::Kept, Objection::of(Cause::NoVote)),
            (true, Some(_)) => (Ruling::Accepted, Objection { cause: Cause::Agreement, value: probability }),
            (false, None) => (Ruling::Outvoted, Objection::of(Cause::NoVote)),
            (false, said) if said == answer => (Ruling::Agreed, Objection::of(Cause::Agreement)),
            (false, Some(_)) => (Ruling::Outvoted, Objection::of(Cause::Agreement)),
        }
    }

    /// Takes note that a member gave no answer.
    fn gone(&mut self, member: usize, place: &Place, error: ExecuteError, shape: Shape) -> Result<(), ExecuteError> {
        self.legs.rule_failed(place);
        let has_answer = self.answers.iter().any(Option::is_some);
        if is_final(&error, shape) {
            if !has_answer {
                return Err(error);
            }
            // The time is up, or the request is at fault: nobody else is asked.
            let open = self.states.iter_mut().filter(|state| **state == MemberState::Open);
            open.for_each(|state| *state = MemberState::Closed);
        }
        self.states.iter_mut().skip(member).take(1).for_each(|state| *state = MemberState::Closed);
        if self.failure.is_none() || error.was_attempted() {
            self.failure = Some(error);
        }
        Ok(())
    }

    fn place(&self, member: usize) -> Option<Place> {
        let leg = self.plan.members.get(member)?.leg.clone();
        Some(Place { position: member as u32, leg })
    }

    fn failure(&mut self) -> ExecuteError {
        self.failure.take().unwrap_or(ExecuteError::DeadlineExceeded { attempts: self.legs.attempts() })
    }
}
