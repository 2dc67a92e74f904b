//! The plan in which the answers of some models go into the questions of others.

use serde::{Deserialize, Serialize};

use super::Leg;

/// Tasks that build on each other. The last one's answer is the plan's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// Each task builds only on tasks before it, so there is no cycle and an end.
    pub tasks: Vec<Task>,
    /// Asked in this order when the last task fails and no earlier one has answered.
    pub fallbacks: Vec<Leg>,
}

/// One call of a topology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Who does it.
    pub leg: Leg,
    /// What is done.
    pub does: Duty,
    /// Positions of the tasks whose answers it gets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<usize>,
    /// Most tokens of its answer, where that is less than what the request allows; never for the last task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
}

/// What a task does, a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// Answers the request.
    Answer,
    /// Says what is wrong with the answers that it gets, or that nothing is.
    Critique,
    /// Writes the newest answer that it gets again, with the critiques that it gets; where nothing is criticised, that answer is
    /// its own and nobody is asked.
    Revise,
    /// Parts the request into as many parts as tasks of [`Duty::Part`] build on it.
    Plan,
    /// Works on its part of the plan that it gets: the first such task on the first part, and so on.
    Part,
    /// Writes one answer from all that it gets.
    Synthesise,
}

impl Duty {
    /// Returns the snake-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Critique => "critique",
            Self::Revise => "revise",
            Self::Plan => "plan",
            Self::Part => "part",
            Self::Synthesise => "synthesise",
        }
    }
}

impl Topology {
    /// Returns every leg: the tasks, then the fallbacks.
    pub fn legs(&self) -> impl Iterator<Item = &Leg> {
        self.tasks.iter().map(|task| &task.leg).chain(&self.fallbacks)
    }

    /// Returns whether every task builds only on tasks before it and every task but the last is built upon: in time linear in
    /// tasks and edges.
    pub fn is_sound(&self) -> bool {
        let mut is_used = vec![false; self.tasks.len()];
        for (index, task) in self.tasks.iter().enumerate() {
            for &before in &task.after {
                match is_used.get_mut(before) {
                    Some(used) if before < index => *used = true,
                    _ => return false,
                }
            }
        }
        is_used.pop().is_some() && is_used.into_iter().all(|used| used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ModelName;

    fn topology(edges: &[&[usize]]) -> Topology {
        let leg = Leg { model: ModelName::parse("model").unwrap() };
        let task =
            |after: &&[usize]| Task { leg: leg.clone(), does: Duty::Answer, after: after.to_vec(), max_tokens: None };
        Topology { tasks: edges.iter().map(task).collect(), fallbacks: Vec::new() }
    }

    #[test]
    fn tasks_build_on_earlier_ones_and_lead_to_the_last() {
        assert!(topology(&[&[], &[0], &[0, 1]]).is_sound());
        let bad: [&[&[usize]]; 5] = [&[], &[&[0]], &[&[1], &[]], &[&[], &[]], &[&[], &[0], &[0]]];
        for edges in bad {
            assert!(!topology(edges).is_sound(), "{edges:?}");
        }
    }
}
