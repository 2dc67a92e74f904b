//! [`crate::domain::Plan::Topology`]: tasks of which the later ones get the answers of the earlier ones.
//!
//! Every task starts as soon as all that it builds on is done, so what does not depend on each other runs at once; each task and
//! each edge is looked at once. The plan ends with the last task, whose answer is passed on as it comes: there are at most as many
//! calls as tasks, and no task is done twice.
//!
//! # What happens when...
//!
//! - a task fails: those that build on it do without. A critique without anything to criticise is left out, and so is a part
//!   without a plan, but for the first, which answers the request.
//! - a critic approves, or a revision changes nothing: the revisions behind it take the answer over, and nobody is asked.
//! - the last task fails: the newest whole answer of an earlier task is given, and the record says so; if there is none, the
//!   fallbacks are asked.

mod order;
mod words;

use std::{collections::VecDeque, sync::Arc};

use futures_util::{StreamExt, stream::FuturesUnordered};

use self::{
    order::{Order, order},
    words::consistency,
};
use super::{
    Course, Executor, Job, Opened, Operation,
    answer::{Answer, Shape},
    deferral::Objection,
    error::ExecuteError,
    gather::whole,
    legs::{Legs, Place, Reads, is_final},
    single,
};
use crate::domain::{Cause, Duty, Ruling, Task, Tokens, Topology};

/// A revision with this much in common with what it revises has changed nothing that is worth another round.
const UNCHANGED: f64 = 0.95;

/// Runs the tasks.
pub(super) async fn run(executor: Arc<Executor>, plan: Topology, job: Job) -> Result<Opened, ExecuteError> {
    let Some(legs) = Legs::of(&executor, &job).filter(|_| plan.is_sound()) else {
        let legs = plan.tasks.into_iter().rev().take(1).map(|task| task.leg).chain(plan.fallbacks).collect();
        return single::run(executor, Course { first: 0, legs }, job).await;
    };
    let mut run = Run { legs: &legs, plan: &plan, done: plan.tasks.iter().map(|_| Done::Failed).collect() };
    run.earlier().await;
    match run.last().await {
        Ok(opened) => Ok(opened),
        Err(error) => run.fall_back(error).await,
    }
}

/// What came of a task.
enum Done {
    /// This answer; a revision may have changed nothing.
    Said { answer: Box<Answer>, shape: Shape, is_settled: bool },
    /// The answer of this earlier task, taken over.
    Same(usize),
    /// Nothing, or nothing yet.
    Failed,
}

struct Run<'a> {
    legs: &'a Legs,
    plan: &'a Topology,
    done: Vec<Done>,
}

impl Run<'_> {
    /// Runs all tasks but the last, each as soon as what it builds on is done.
    async fn earlier(&mut self) {
        let (legs, plan) = (self.legs, self.plan);
        let last = plan.tasks.len().saturating_sub(1);
        let mut waiting: Vec<usize> = plan.tasks.iter().map(|task| task.after.len()).collect();
        let mut ready: VecDeque<usize> = (0..last).filter(|index| waiting.get(*index) == Some(&0)).collect();
        let followers = followers(plan);
        let mut running = FuturesUnordered::new();
        loop {
            let (index, done) = match ready.pop_front().and_then(|index| Some((index, plan.tasks.get(index)?))) {
                Some((index, task)) => match order(plan, index, self) {
                    Order::Ask(turn) => {
                        running.push(ask(legs, index, task, turn));
                        continue;
                    }
                    Order::Take(from) => (index, Done::Same(from)),
                    Order::LeaveOut => (index, Done::Failed),
                },
                None => {
                    let Some((index, said)) = running.next().await else { return };
                    (index, self.judged(index, said))
                }
            };
            if let Some(place) = self.done.get_mut(index) {
                *place = done;
            }
            for &next in followers.get(index).into_iter().flatten() {
                let Some(count) = waiting.get_mut(next) else { continue };
                *count = count.saturating_sub(1);
                if *count == 0 && next != last {
                    ready.push_back(next);
                }
            }
        }
    }

    /// Writes down what a task said, and whether it changed anything.
    fn judged(&self, index: usize, said: Result<(Box<Answer>, Shape), ExecuteError>) -> Done {
        let Some((task, place)) = self.plan.tasks.get(index).zip(self.place(index)) else { return Done::Failed };
        let Ok((answer, shape)) = said else {
            self.legs.rule_failed(&place);
            return Done::Failed;
        };
        let revised = (task.does == Duty::Revise).then(|| self.newest_answer(task)).flatten();
        let in_common = revised.and_then(|(_, before)| Some(consistency(before, answer.text()?)));
        self.legs.rule(&place, Ruling::Heard, Objection { cause: Cause::Task, value: in_common });
        Done::Said { answer, shape, is_settled: in_common.is_some_and(|share| share >= UNCHANGED) }
    }

    /// Does the last task.
    async fn last(&mut self) -> Result<Opened, ExecuteError> {
        let index = self.plan.tasks.len().saturating_sub(1);
        let (Some(task), Some(place)) = (self.plan.tasks.get(index), self.place(index)) else {
            return Err(ExecuteError::DeadlineExceeded { attempts: self.legs.attempts() });
        };
        match order(self.plan, index, self) {
            Order::Ask(turn) => {
                let job = composed(self.legs, task, turn, self.legs.job.clone());
                let opened = self.legs.ask(&place, job).await.inspect_err(|_| self.legs.rule_failed(&place))?;
                self.legs.rule(&place, Ruling::Accepted, Objection::of(Cause::Untested));
                Ok(self.legs.opened(place, opened.reply))
            }
            Order::Take(from) => self.given(from, Ruling::Accepted, Cause::Approved),
            Order::LeaveOut => Err(ExecuteError::DeadlineExceeded { attempts: self.legs.attempts() }),
        }
    }

    /// Gives the answer of an earlier task.
    fn given(&mut self, index: usize, ruling: Ruling, cause: Cause) -> Result<Opened, ExecuteError> {
        let failed = ExecuteError::DeadlineExceeded { attempts: self.legs.attempts() };
        let Some(place) = self.place(index) else { return Err(failed) };
        match self.done.get_mut(index).map(|done| std::mem::replace(done, Done::Failed)) {
            Some(Done::Said { answer, shape, .. }) => {
                self.legs.rule(&place, ruling, Objection::of(cause));
                Ok(self.legs.opened(place, answer.into_reply(shape)))
            }
            _ => Err(failed),
        }
    }

    /// Gives the newest answer that is there, or asks the fallbacks.
    async fn fall_back(mut self, error: ExecuteError) -> Result<Opened, ExecuteError> {
        let whole = |(index, task): &(usize, &Task)| {
            let is_answer = matches!(task.does, Duty::Answer | Duty::Revise | Duty::Synthesise);
            is_answer
                && matches!(self.done.get(*index), Some(Done::Said { answer, .. }) if answer.finish_reason() != Some("length"))
        };
        let newest = self.plan.tasks.iter().enumerate().rfind(whole).map(|(index, _)| index);
        if let Some(newest) = newest {
            return self.given(newest, Ruling::Kept, Cause::NoBetter);
        }
        if is_final(&error, self.legs.plain()) || self.plan.fallbacks.is_empty() {
            return Err(error);
        }
        let (first, legs) = (self.plan.tasks.len() as u32, self.plan.fallbacks.clone());
        match single::run(Arc::clone(&self.legs.executor), Course { first, legs }, self.legs.job.clone()).await {
            // That nobody else could be asked says less than how the last task failed.
            Err(later) if !later.was_attempted() && error.was_attempted() => Err(error),
            other => other,
        }
    }

    fn place(&self, index: usize) -> Option<Place> {
        let task = self.plan.tasks.get(index)?;
        Some(Place { position: index as u32, leg: task.leg.clone() })
    }

    /// Returns the task whose answer this one's is, which is another where it was taken over.
    fn source(&self, index: usize) -> usize {
        match self.done.get(index) {
            // An earlier task each time, so this ends.
            Some(Done::Same(from)) if *from < index => self.source(*from),
            _ => index,
        }
    }

    /// Returns what a task said; `None` when it said nothing.
    fn text(&self, index: usize) -> Option<&str> {
        match self.done.get(self.source(index))? {
            Done::Said { answer, .. } => answer.text().filter(|text| !text.trim().is_empty()),
            Done::Same(_) | Done::Failed => None,
        }
    }

    /// Returns whether a task's answer is what another's was.
    fn is_settled(&self, index: usize) -> bool {
        match self.done.get(index) {
            Some(Done::Said { is_settled, .. }) => *is_settled,
            Some(Done::Same(_)) => true,
            Some(Done::Failed) | None => false,
        }
    }

    /// Returns the newest whole answer that a task builds on, with its task.
    fn newest_answer(&self, task: &Task) -> Option<(usize, &str)> {
        let is_answer = |index: &&usize| {
            let before = self.plan.tasks.get(**index);
            before.is_some_and(|before| matches!(before.does, Duty::Answer | Duty::Revise | Duty::Synthesise))
        };
        let newest = task.after.iter().filter(is_answer).filter(|index| self.text(**index).is_some()).max()?;
        Some((*newest, self.text(*newest)?))
    }
}

/// Returns which tasks build on each.
fn followers(plan: &Topology) -> Vec<Vec<usize>> {
    let mut followers = vec![Vec::new(); plan.tasks.len()];
    for (index, task) in plan.tasks.iter().enumerate() {
        for before in &task.after {
            followers.get_mut(*before).into_iter().for_each(|list: &mut Vec<usize>| list.push(index));
        }
    }
    followers
}

/// Asks for a task whose answer is held back.
async fn ask(
    legs: &Legs,
    index: usize,
    task: &Task,
    turn: Option<String>,
) -> (usize, Result<(Box<Answer>, Shape), ExecuteError>) {
    let place = Place { position: index as u32, leg: task.leg.clone() };
    let (job, shape) = legs.held(&task.leg, Reads::Text);
    let asked = match legs.ask(&place, composed(legs, task, turn, job)).await {
        Ok(opened) => whole(opened.reply).await.map_err(|error| legs.broken(&place, error)),
        Err(error) => Err(error),
    };
    (index, asked.map(|answer| (answer, shape)))
}

/// Returns the job with the task's own turn behind the conversation, its limit, and an upper estimate that knows of the turn.
fn composed(legs: &Legs, task: &Task, turn: Option<String>, job: Job) -> Job {
    let Operation::Chat { chat, is_streaming } = &job.operation else { return job };
    let writes_the_answer = matches!(task.does, Duty::Answer | Duty::Revise | Duty::Synthesise);
    let Ok(chat) = chat.with_turn(turn.as_deref(), writes_the_answer, task.max_tokens) else { return job };
    let more = Tokens::estimate(turn.map_or(0, |turn| turn.len()));
    let price = legs.executor.models.get(task.leg.model.as_str()).map(|model| model.facts.prices.input.of(more));
    let mut upper_costs = job.upper_costs.clone();
    for (model, upper) in &mut upper_costs {
        if *model == task.leg.model {
            *upper += price.unwrap_or_default();
        }
    }
    let operation = Operation::Chat { chat: Arc::new(chat), is_streaming: *is_streaming };
    Job { operation, upper_costs, input_tokens: job.input_tokens + more, draft: None, ..job }
}
