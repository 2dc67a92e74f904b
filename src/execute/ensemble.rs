//! [`crate::domain::Plan::Ensemble`]: several answers at once, of which one is given.
//!
//! All members are asked at once, each for a stream that is held back. What their answers come to is compared; as soon as nothing
//! that is still out could change who wins, the others are cancelled and the winner's answer is given as it came. A winner is
//! always an answer that one of the members gave: nothing is put together of several.
//!
//! # What happens when...
//!
//! - a member fails, or cannot be paid: the others decide without it. Members share the request's money: what those that run may
//!   cost is not there for others.
//! - a member never answers: the others wait for it as long as the plan's patience, its own timeouts and the request allow.
//! - an answer says nothing that can be compared: it has no vote. Where no answer has one, the first member's is given, and the
//!   record says so.
//! - the judge fails or talks nonsense about an answer: that answer has no grade. Where none has, as above.
//! - a member runs on this machine and callers wait there: it goes after them, as background work.
//! - nobody answers: the fallbacks are asked, one after the other.

mod ballot;
mod consistency;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::Instant;

use self::{
    ballot::{Ballot, Vote},
    consistency::Sample,
};
use super::{
    Course, Executor, Job, Opened,
    answer::{Answer, Shape},
    deferral::Objection,
    error::ExecuteError,
    gather::whole,
    judge,
    legs::{Legs, Place, Reads, is_final, sampled},
    single,
};
use crate::domain::{Cause, Choosing, Ensemble, Priority, Probability, Ruling};

/// Asks every member, and gives the answer that is chosen.
pub(super) async fn run(executor: Arc<Executor>, plan: Ensemble, job: Job) -> Result<Opened, ExecuteError> {
    let Some(legs) = Legs::of(&executor, &job) else {
        let legs = plan.members.into_iter().map(|member| member.leg).chain(plan.fallbacks).collect();
        return single::run(executor, Course { first: 0, legs }, job).await;
    };
    let mut count = Count::of(&plan);
    let gathered = gather_votes(&legs, &plan, &mut count).await;
    let failure = count.failure.take();
    if let Some(winner) = count.winner()
        && let Some(opened) = announce(&legs, count, winner)
    {
        return Ok(opened);
    }
    gathered?;
    let first = (plan.members.len() + plan.judge().into_iter().count()) as u32;
    if plan.fallbacks.is_empty() {
        return Err(failure.unwrap_or(ExecuteError::DeadlineExceeded { attempts: legs.attempts() }));
    }
    single::run(executor, Course { first, legs: plan.fallbacks }, job).await
}

/// What has come of the members.
struct Count<'a> {
    plan: &'a Ensemble,
    answers: BTreeMap<usize, (Box<Answer>, Shape)>,
    /// What each answer comes to.
    votes: BTreeMap<usize, String>,
    grades: BTreeMap<usize, Probability>,
    failed: Vec<usize>,
    failure: Option<ExecuteError>,
}

/// The answer that is given.
#[derive(Clone, Copy)]
struct Winner {
    member: usize,
    /// Its share of the vote, or its grade; `None` where there was nothing to choose by.
    value: Option<f64>,
}

/// What came of one member.
struct Said {
    member: usize,
    answered: Result<(Box<Answer>, Shape), (ExecuteError, Shape)>,
    grade: Option<Result<Probability, Cause>>,
}

/// Reads what the members say until it is decided.
///
/// # Errors
/// The request itself is at fault.
async fn gather_votes(legs: &Legs, plan: &Ensemble, count: &mut Count<'_>) -> Result<(), ExecuteError> {
    let mut running: FuturesUnordered<_> = (0..plan.members.len()).map(|member| ask(legs, plan, member)).collect();
    let mut until: Option<Instant> = None;
    loop {
        let limit = until.unwrap_or(legs.job.deadline);
        let Ok(Some(said)) = tokio::time::timeout_at(limit, running.next()).await else { return Ok(()) };
        let is_the_request_s = matches!(&said.answered, Err((error, shape)) if is_final(error, *shape));
        count.take(legs, said);
        if count.is_decided() {
            return Ok(());
        }
        if is_the_request_s && count.answers.is_empty() {
            return Err(count.failure.take().unwrap_or(ExecuteError::DeadlineExceeded { attempts: legs.attempts() }));
        }
        if !count.answers.is_empty() && until.is_none() {
            let patience = plan.patience_ms.map(Duration::from_millis);
            until = patience.and_then(|patience| Instant::now().checked_add(patience));
            until = until.map(|until| until.min(legs.job.deadline));
        }
    }
}

/// Asks one member, and the judge about its answer.
async fn ask(legs: &Legs, plan: &Ensemble, member: usize) -> Said {
    let reads = if plan.choose == Choosing::Consistency { Reads::Logprobs } else { Reads::Text };
    let Some(asked) = plan.members.get(member) else { return nobody(legs, member) };
    let place = Place { position: member as u32, leg: asked.leg.clone() };
    let (job, shape) = legs.held(&place.leg, reads);
    // One answer can be done without: where it runs on this machine it lets callers go first who wait for theirs.
    let job = Job { priority: Priority::Background, ..job };
    let job = asked.temperature.map_or_else(|| job.clone(), |temperature| sampled(&job, temperature, member));
    let answered = match legs.ask(&place, job).await {
        Ok(opened) => whole(opened.reply).await.map_err(|error| legs.broken(&place, error)),
        Err(error) => Err(error),
    };
    let grade = match (&answered, &plan.choose) {
        (Ok(answer), Choosing::Judge { leg, .. }) => {
            let judge = Place { position: plan.members.len() as u32, leg: leg.clone() };
            Some(judge::grade(legs, &judge, answer).await)
        }
        _ => None,
    };
    let answered = answered.map(|answer| (answer, shape)).map_err(|error| (error, shape));
    Said { member, answered, grade }
}

fn nobody(legs: &Legs, member: usize) -> Said {
    let error = ExecuteError::DeadlineExceeded { attempts: legs.attempts() };
    Said { member, answered: Err((error, legs.plain())), grade: None }
}

impl<'a> Count<'a> {
    fn of(plan: &'a Ensemble) -> Self {
        let (answers, votes, grades) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { plan, answers, votes, grades, failed: Vec::new(), failure: None }
    }

    /// Takes what a member said.
    fn take(&mut self, legs: &Legs, Said { member, answered, grade }: Said) {
        match answered {
            Ok((answer, shape)) => {
                let vote = answer.text().and_then(|text| self.plan.extract.read(text));
                self.votes.extend(vote.map(|vote| (member, vote)));
                self.answers.insert(member, (answer, shape));
            }
            Err((error, _)) => {
                if let Some(asked) = self.plan.members.get(member) {
                    legs.rule_failed(&Place { position: member as u32, leg: asked.leg.clone() });
                }
                if self.failure.is_none() || error.was_attempted() {
                    self.failure = Some(error);
                }
                self.failed.push(member);
            }
        }
        match (grade, &self.plan.choose) {
            (Some(Ok(grade)), _) => drop(self.grades.insert(member, grade)),
            (Some(Err(cause)), Choosing::Judge { leg, .. }) => {
                let judge = Place { position: self.plan.members.len() as u32, leg: leg.clone() };
                legs.rule(&judge, Ruling::Failed, Objection::of(cause));
            }
            _ => {}
        }
    }

    /// Returns whether nothing that is still out could change who wins.
    fn is_decided(&self) -> bool {
        let is_out = |member: &usize| !self.answers.contains_key(member) && !self.failed.contains(member);
        let out: Vec<usize> = (0..self.plan.members.len()).filter(is_out).collect();
        if out.is_empty() {
            return true;
        }
        match &self.plan.choose {
            Choosing::Vote => {
                !self.votes.is_empty() && self.ballot().is_decided(out.iter().map(|at| self.weight(*at)).sum())
            }
            // Any sample could be the likeliest of all.
            Choosing::Consistency => false,
            Choosing::Judge { enough, .. } => self.grades.values().any(|grade| grade.value() >= *enough),
        }
    }

    fn weight(&self, member: usize) -> f64 {
        self.plan.members.get(member).map_or(0.0, |member| member.weight)
    }

    /// Returns the votes with what they count.
    fn ballot(&self) -> Ballot {
        let weights = match self.plan.choose {
            Choosing::Consistency => self.probabilities(),
            Choosing::Vote | Choosing::Judge { .. } => None,
        };
        let mut ballot = Ballot::default();
        for (&member, answer) in &self.votes {
            let weight =
                weights.as_ref().map_or_else(|| self.weight(member), |all| all.get(&member).copied().unwrap_or(0.0));
            ballot.cast(Vote { member, answer: answer.clone(), weight });
        }
        ballot
    }

    /// Returns what votes count by their probabilities; `None` where an answer tells none.
    fn probabilities(&self) -> Option<BTreeMap<usize, f64>> {
        let mut samples = Vec::new();
        for (&member, answer) in &self.votes {
            let (held, _) = self.answers.get(&member)?;
            let signals = held.signals();
            if signals.is_empty() {
                return None;
            }
            let logprob = signals.iter().map(|signal| signal.logprob).sum();
            let text = held.text().unwrap_or_default().to_owned();
            samples.push(Sample { member, answer: answer.clone(), text, logprob, tokens: signals.len() });
        }
        let weights = consistency::weights(&samples);
        Some(samples.iter().map(|sample| sample.member).zip(weights).collect())
    }

    /// Returns what is said of a member that did not win and did not fail.
    fn ruling(&self, member: usize, ballot: &Ballot, won: Option<&str>) -> (Ruling, Objection) {
        if !self.answers.contains_key(&member) {
            return (Ruling::Abandoned, Objection::of(Cause::Decided));
        }
        if let Choosing::Judge { .. } = self.plan.choose {
            let value = self.grades.get(&member).map(|grade| grade.value());
            return (Ruling::Outvoted, Objection { cause: Cause::Judge, value });
        }
        match ballot.vote_of(member) {
            None => (Ruling::Outvoted, Objection::of(Cause::NoVote)),
            vote if vote == won => (Ruling::Agreed, Objection::of(Cause::Vote)),
            Some(_) => (Ruling::Outvoted, Objection::of(Cause::Vote)),
        }
    }

    /// Returns whose answer is given; `None` when there is no answer at all.
    fn winner(&self) -> Option<Winner> {
        let chosen = match self.plan.choose {
            Choosing::Judge { .. } => {
                let best = self.grades.iter().max_by(|a, b| a.1.value().total_cmp(&b.1.value()).then(b.0.cmp(a.0)));
                best.map(|(&member, grade)| (member, grade.value()))
            }
            Choosing::Vote | Choosing::Consistency => self.ballot().winner(),
        };
        match chosen {
            Some((member, value)) => Some(Winner { member, value: Some(value) }),
            None => self.answers.keys().next().map(|&member| Winner { member, value: None }),
        }
    }
}

/// Writes down what came of each member and gives the winner's answer.
fn announce(legs: &Legs, mut count: Count<'_>, winner: Winner) -> Option<Opened> {
    let plan = count.plan;
    let (answer, shape) = count.answers.remove(&winner.member)?;
    let leg = plan.members.get(winner.member)?.leg.clone();
    let ballot = count.ballot();
    let won = ballot.vote_of(winner.member);
    for (member, asked) in plan.members.iter().enumerate() {
        if member != winner.member && !count.failed.contains(&member) {
            let (ruling, objection) = count.ruling(member, &ballot, won);
            legs.rule(&Place { position: member as u32, leg: asked.leg.clone() }, ruling, objection);
        }
    }
    let (ruling, cause) = match (winner.value, &plan.choose) {
        (None, _) => (Ruling::Kept, Cause::NoVote),
        (Some(_), Choosing::Judge { .. }) => (Ruling::Accepted, Cause::Judge),
        (Some(_), Choosing::Vote | Choosing::Consistency) => (Ruling::Accepted, Cause::Vote),
    };
    let place = Place { position: winner.member as u32, leg };
    legs.rule(&place, ruling, Objection { cause, value: winner.value });
    Some(legs.opened(place, answer.into_reply(shape)))
}
