//! [`crate::domain::Plan::CascadeRouting`]: after every answer, stop or ask one more, and whom.
//!
//! The rule is [`next_step`]; here it is fed: a model that fails is gone, an answer that a test rejects is worth nothing, and what
//! the evidence says of an answer moves the beliefs. Answers are held back, because a later one may be given instead; the answer
//! given is the one believed best. Where nothing can follow an answer (it is the only one, or the last that may be asked and the
//! first that came), it is passed on as it comes.

use std::sync::Arc;

use super::{
    Course, Executor, Job, Opened,
    answer::{Answer, Shape},
    deferral::{self, Objection, tokens},
    error::ExecuteError,
    gather::whole,
    judge,
    legs::{Legs, Place, Reads, is_final},
    single,
};
use crate::{
    domain::{AnswerEvidence, CascadeRouting, Cause, ModelProspect, Ruling, Statistic},
    routing::{Belief, NextStep, Outlook, Prospect, ProspectState, next_step, observe},
};

/// Asks models until stopping is best.
pub(super) async fn run(executor: Arc<Executor>, plan: CascadeRouting, job: Job) -> Result<Opened, ExecuteError> {
    let Some(legs) = Legs::of(&executor, &job) else {
        let legs = plan.prospects.into_iter().map(|prospect| prospect.leg).collect();
        return single::run(executor, Course { first: 0, legs }, job).await;
    };
    let prospects = plan.prospects.iter().map(believed).collect();
    let answers = plan.prospects.iter().map(|_| None).collect();
    Run { legs, plan: &plan, prospects, answers, asked: 0, failure: None }.all().await
}

fn believed(prospect: &ModelProspect) -> Prospect {
    let belief = Belief { mean: prospect.quality.value(), spread: prospect.spread };
    Prospect { belief, cost: prospect.cost, state: ProspectState::Open }
}

struct Run<'a> {
    legs: Legs,
    plan: &'a CascadeRouting,
    prospects: Vec<Prospect>,
    /// By prospect; `None` where there is none (yet).
    answers: Vec<Option<(Box<Answer>, Shape)>>,
    /// Models that were asked.
    asked: u32,
    failure: Option<ExecuteError>,
}

impl Run<'_> {
    async fn all(mut self) -> Result<Opened, ExecuteError> {
        loop {
            self.close_the_unaffordable();
            let most_more = self.plan.most_legs.saturating_sub(self.asked) as usize;
            match next_step(&self.prospects, Outlook { most_more, noise: self.plan.noise() }) {
                NextStep::Ask(index) => {
                    if let Some(opened) = self.ask(index).await? {
                        return Ok(opened);
                    }
                }
                NextStep::Stop(index) => return self.stop(index),
                NextStep::GiveUp => return Err(self.failure()),
            }
        }
    }

    /// Once there is an answer, whoever cannot be asked is no prospect; without one, being refused says why.
    fn close_the_unaffordable(&mut self) {
        if self.answers.iter().all(Option::is_none) {
            return;
        }
        for (prospect, planned) in self.prospects.iter_mut().zip(&self.plan.prospects) {
            if prospect.state == ProspectState::Open && !self.legs.is_open(&planned.leg) {
                prospect.state = ProspectState::Gone;
            }
        }
    }

    /// Asks a model; returns its answer where it is the plan's whatever it is.
    async fn ask(&mut self, index: usize) -> Result<Option<Opened>, ExecuteError> {
        let Some(place) = self.place(index) else { return Ok(None) };
        self.asked += 1;
        if self.is_last_chance(index) {
            let opened = self.legs.ask(&place, self.legs.job.clone()).await;
            return match opened {
                Ok(opened) => {
                    self.legs.rule(&place, Ruling::Accepted, Objection::of(Cause::Untested));
                    Ok(Some(self.legs.opened(place, opened.reply)))
                }
                Err(error) => self.gone(index, &place, error, self.legs.plain()).map(|()| None),
            };
        }
        let (job, shape) = self.legs.held(&place.leg, self.reads());
        match self.whole(&place, job).await {
            Ok(answer) => self.weigh(index, answer, shape).await,
            Err(error) => self.gone(index, &place, error, shape)?,
        }
        Ok(None)
    }

    async fn whole(&self, place: &Place, job: Job) -> Result<Box<Answer>, ExecuteError> {
        let opened = self.legs.ask(place, job).await?;
        whole(opened.reply).await.map_err(|error| self.legs.broken(place, error))
    }

    /// Moves the beliefs by what an answer is like.
    async fn weigh(&mut self, index: usize, answer: Box<Answer>, shape: Shape) {
        let format = &self.legs.chat.format;
        let is_rejected = self.plan.reject.iter().any(|test| deferral::objection(test, &answer, format).is_some());
        let seen = if is_rejected { vec![(0.0, 0.0)] } else { self.evidence(index, &answer).await };
        if let Some(prospect) = self.prospects.get_mut(index) {
            prospect.state = ProspectState::Answered;
        }
        for seen in seen {
            observe(&mut self.prospects, index, seen, self.plan.correlation);
        }
        if let Some(place) = self.answers.get_mut(index) {
            *place = Some((answer, shape));
        }
    }

    /// Returns what stands for the quality of an answer, each with its error; evidence that is missing says nothing.
    async fn evidence(&self, index: usize, answer: &Answer) -> Vec<(f64, f64)> {
        let mut seen = Vec::new();
        let mut judges = self.plan.prospects.len() as u32..;
        for evidence in &self.plan.evidence {
            match evidence {
                AnswerEvidence::Logprob { low, high, noise } => {
                    let mean = tokens::statistic(Statistic::Mean, answer.signals());
                    seen.extend(mean.map(|mean| (((mean - low) / (high - low)).clamp(0.0, 1.0), *noise)));
                }
                AnswerEvidence::Judge { leg, noise } => {
                    let Some(position) = judges.next() else { continue };
                    let place = Place { position, leg: leg.clone() };
                    match judge::grade(&self.legs, &place, answer).await {
                        Ok(grade) => seen.push((grade.value(), *noise)),
                        Err(cause) => self.legs.rule(&place, Ruling::Failed, Objection::of(cause)),
                    }
                }
            }
        }
        tracing::debug!(prospect = index, observations = seen.len(), "answer weighed");
        seen
    }

    /// Gives the answer believed best.
    fn stop(mut self, best: usize) -> Result<Opened, ExecuteError> {
        for (index, prospect) in self.prospects.iter().enumerate() {
            let (true, Some(place)) = (prospect.state == ProspectState::Answered, self.place(index)) else { continue };
            let ruling = if index == best { Ruling::Accepted } else { Ruling::Deferred };
            self.legs.rule(&place, ruling, Objection { cause: Cause::Utility, value: Some(prospect.belief.mean) });
        }
        let answer = self.answers.get_mut(best).and_then(Option::take);
        match (answer, self.place(best)) {
            (Some((answer, shape)), Some(place)) => Ok(self.legs.opened(place, answer.into_reply(shape))),
            _ => Err(self.failure()),
        }
    }

    /// Takes note that a model gave no answer.
    fn gone(&mut self, index: usize, place: &Place, error: ExecuteError, shape: Shape) -> Result<(), ExecuteError> {
        self.legs.rule_failed(place);
        // A model that was never asked takes nobody's turn.
        if !error.was_attempted() {
            self.asked = self.asked.saturating_sub(1);
        }
        let has_answer = self.answers.iter().any(Option::is_some);
        if is_final(&error, shape) && !has_answer {
            return Err(error);
        }
        if let Some(prospect) = self.prospects.get_mut(index) {
            prospect.state = ProspectState::Gone;
        }
        if self.failure.is_none() || error.was_attempted() {
            self.failure = Some(error);
        }
        Ok(())
    }

    fn place(&self, index: usize) -> Option<Place> {
        let prospect = self.plan.prospects.get(index)?;
        Some(Place { position: index as u32, leg: prospect.leg.clone() })
    }

    /// Whether nothing can follow the answer of this prospect, and nothing came before it.
    fn is_last_chance(&self, index: usize) -> bool {
        let others = self.prospects.iter().enumerate().filter(|(other, _)| *other != index);
        let is_alone = others.clone().all(|(_, prospect)| prospect.state == ProspectState::Gone);
        let is_first = self.answers.iter().all(Option::is_none);
        is_first && (is_alone || self.asked >= self.plan.most_legs)
    }

    fn reads(&self) -> Reads {
        let reads_tokens = self.plan.evidence.iter().any(|one| matches!(one, AnswerEvidence::Logprob { .. }));
        let tests = self.plan.reject.iter().map(Reads::of).max().unwrap_or(Reads::Text);
        if reads_tokens { tests.max(Reads::Logprobs) } else { tests }
    }

    fn failure(&mut self) -> ExecuteError {
        self.failure.take().unwrap_or(ExecuteError::DeadlineExceeded { attempts: self.legs.attempts() })
    }
}
