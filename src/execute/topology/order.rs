//! What is to be done for a task, once what it builds on is done.

use super::{
    Run,
    words::{Input, Share, approves, turn},
};
use crate::domain::{Duty, Task, Topology};

/// What is to be done for a task.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Order {
    /// Ask its model, with this turn behind the conversation.
    Ask(Option<String>),
    /// Take over the answer of this earlier task.
    Take(usize),
    /// Leave it out.
    LeaveOut,
}

/// Returns what is to be done for a task.
pub(super) fn order(plan: &Topology, index: usize, run: &Run<'_>) -> Order {
    let Some(task) = plan.tasks.get(index) else { return Order::LeaveOut };
    let inputs = inputs(plan, task, run);
    match task.does {
        Duty::Critique => criticise(task, &inputs, run),
        Duty::Revise => revise(task, &inputs, run),
        Duty::Part => {
            let share = share(plan, task, index);
            // Without a plan there is only one part.
            if inputs.is_empty() && share.part > 1 {
                Order::LeaveOut
            } else {
                Order::Ask(plain_or(&inputs, task, share))
            }
        }
        Duty::Plan => {
            let parts =
                plan.tasks.iter().filter(|other| other.does == Duty::Part && other.after.contains(&index)).count();
            Order::Ask(turn(Duty::Plan, &inputs, Share { part: 1, of: parts.max(1) }))
        }
        Duty::Answer | Duty::Synthesise => Order::Ask(plain_or(&inputs, task, Share { part: 1, of: 1 })),
    }
}

/// Returns what a task is told, or nothing where it has nothing to build on: then it answers the conversation.
fn plain_or(inputs: &[Input], task: &Task, share: Share) -> Option<String> {
    if inputs.is_empty() { None } else { turn(task.does, inputs, share) }
}

fn inputs(plan: &Topology, task: &Task, run: &Run<'_>) -> Vec<Input> {
    let input = |before: &usize| {
        let does = plan.tasks.get(*before)?.does;
        Some(Input { does, text: run.text(*before)?.to_owned() })
    };
    task.after.iter().filter_map(input).collect()
}

/// A critic looks at answers that are new.
fn criticise(task: &Task, inputs: &[Input], run: &Run<'_>) -> Order {
    let is_settled = run.newest_answer(task).is_some_and(|(answer, _)| run.is_settled(answer));
    if inputs.is_empty() || is_settled {
        return Order::LeaveOut;
    }
    Order::Ask(turn(Duty::Critique, inputs, Share { part: 1, of: 1 }))
}

/// A revision takes up what is criticised, and takes the answer over where nothing is.
fn revise(task: &Task, inputs: &[Input], run: &Run<'_>) -> Order {
    let Some((newest, text)) = run.newest_answer(task) else { return Order::Ask(None) };
    let critiques = inputs.iter().filter(|input| input.does == Duty::Critique && !approves(&input.text)).cloned();
    let answer = Input { does: Duty::Answer, text: text.to_owned() };
    let shown: Vec<Input> = std::iter::once(answer).chain(critiques).collect();
    if shown.len() < 2 {
        return Order::Take(run.source(newest));
    }
    Order::Ask(turn(Duty::Revise, &shown, Share { part: 1, of: 1 }))
}

/// Returns which part of its plan a task works on: tasks of the same plan in their order.
fn share(plan: &Topology, task: &Task, index: usize) -> Share {
    let is_sibling = |other: &&Task| other.does == Duty::Part && other.after == task.after;
    let of = plan.tasks.iter().filter(is_sibling).count();
    let before = plan.tasks.iter().take(index).filter(is_sibling).count();
    Share { part: before + 1, of }
}
