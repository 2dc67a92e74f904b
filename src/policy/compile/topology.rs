//! From the document of a topology to the strategy: every form becomes tasks that build on earlier ones.

use super::{
    Compiler,
    strategy::{Built, Scope, shared, weight},
};
use crate::{
    config::path::Path,
    domain::{Duty, Leg, Task},
    policy::document::{
        DutyDocument, GraphDocument, HierarchicalDocument, HybridDocument, ParallelDocument, SequentialDocument,
        TaskDocument, TopologyDocument,
    },
    routing::{Tasks, Topologies, TopologyParameters},
};

/// Most tokens of a critique, a plan or a part of one: notes, no essays.
const NOTES: u64 = 600;

/// A task before its model is looked up.
struct Draft {
    model: String,
    at: Path,
    does: Duty,
    after: Vec<usize>,
    max_tokens: Option<u64>,
}

impl Compiler<'_, '_> {
    /// Returns `None` when a name or a number is at fault, which is then in the report.
    pub(super) fn topology(&mut self, document: &TopologyDocument, scope: &Scope, at: &Path) -> Option<Built> {
        let drafts = match document {
            TopologyDocument::Sequential(document) => sequential(document, &at.key("sequential")),
            TopologyDocument::Parallel(document) => parallel(document, &at.key("parallel")),
            TopologyDocument::Hybrid(document) => hybrid(document, &at.key("hybrid")),
            TopologyDocument::Hierarchical(document) => hierarchical(document, &at.key("hierarchical")),
            TopologyDocument::Graph(document) => self.graph(document, &at.key("graph").key("tasks"))?,
            TopologyDocument::Experts(document) => {
                let (experts, brief) = (document.experts, document.brief);
                let tasks = Tasks::Experts { experts, brief, cost_weight: weight(document.cost) };
                return Some(built(tasks, scope, &at.key("experts")));
            }
        };
        let tasks: Vec<Option<Task>> = drafts.iter().map(|draft| self.task(draft, scope)).collect();
        Some(built(Tasks::Fixed(tasks.into_iter().collect::<Option<Vec<_>>>()?), scope, at))
    }

    fn task(&mut self, draft: &Draft, scope: &Scope) -> Option<Task> {
        let model = self.chosen(&draft.model, &scope.candidates, &draft.at)?;
        let (does, after, max_tokens) = (draft.does, draft.after.clone(), draft.max_tokens);
        Some(Task { leg: Leg { model }, does, after, max_tokens })
    }

    /// Returns the tasks of a graph, each behind those that it builds on; `None` when they have faults.
    fn graph(&mut self, document: &GraphDocument, at: &Path) -> Option<Vec<Draft>> {
        let edges = self.edges(&document.tasks, at)?;
        let (order, is_whole) = sorted(&edges);
        if !is_whole {
            let left = (0..edges.len()).filter(|task| !order.contains(task));
            let names: Vec<&str> = left.filter_map(|task| Some(document.tasks.get(task)?.name.as_str())).collect();
            self.report.add(at, format!("these tasks wait for each other: {}", names.join(", ")));
            return None;
        }
        let is_used = |task: &usize| edges.iter().any(|after| after.contains(task));
        let ends: Vec<usize> = order.iter().copied().filter(|task| !is_used(task)).collect();
        let [last] = ends.as_slice() else {
            let names: Vec<&str> =
                ends.iter().filter_map(|task| Some(document.tasks.get(*task)?.name.as_str())).collect();
            let message = format!("one task must come last, but nothing builds on any of {}", names.join(", "));
            self.report.add(at, message);
            return None;
        };
        let places: Vec<usize> = order.iter().copied().filter(|task| task != last).chain([*last]).collect();
        let place = |task: &usize| places.iter().position(|other| other == task);
        let draft = |(position, task): (usize, &usize)| {
            let (written, after) = document.tasks.get(*task).zip(edges.get(*task))?;
            let is_last = position + 1 == places.len();
            Some(Draft {
                model: written.model.clone(),
                at: at.index(*task).key("model"),
                does: duty(written.does),
                after: after.iter().filter_map(place).collect(),
                max_tokens: written.max_tokens.filter(|_| !is_last),
            })
        };
        places.iter().enumerate().map(draft).collect()
    }

    /// Returns what each task builds on.
    fn edges(&mut self, tasks: &[TaskDocument], at: &Path) -> Option<Vec<Vec<usize>>> {
        let mut is_good = true;
        let mut edges = Vec::new();
        for (index, task) in tasks.iter().enumerate() {
            let at = at.index(index);
            if tasks.iter().take(index).any(|other| other.name == task.name) {
                self.report.add(&at.key("name"), format!("there are two tasks \"{}\"", task.name));
                is_good = false;
            }
            let mut after = Vec::new();
            for (place, name) in task.after.iter().enumerate() {
                match tasks.iter().position(|other| other.name == *name) {
                    Some(before) => after.push(before),
                    None => {
                        let names = tasks.iter().map(|task| task.name.as_str());
                        self.report.add_unknown(&at.key("after").index(place), "task", name, names);
                        is_good = false;
                    }
                }
            }
            edges.push(after);
        }
        is_good.then_some(edges)
    }
}

fn built(tasks: Tasks, scope: &Scope, at: &Path) -> Built {
    let (constraints, max_fallbacks) = (scope.constraints.clone(), scope.max_fallbacks);
    let strategy = Topologies::new(TopologyParameters { constraints, tasks, max_fallbacks });
    strategy.map(shared).map_err(|error| (error, at.clone()))
}

/// Returns the tasks in an order in which each stands behind those that it builds on (Kahn 1962), and whether that was possible for
/// all: the others wait for each other.
fn sorted(edges: &[Vec<usize>]) -> (Vec<usize>, bool) {
    let mut order: Vec<usize> = Vec::new();
    let mut waiting: Vec<usize> = edges.iter().map(Vec::len).collect();
    let mut ready: Vec<usize> = (0..edges.len()).rev().filter(|task| waiting.get(*task) == Some(&0)).collect();
    while let Some(task) = ready.pop() {
        order.push(task);
        for (next, after) in edges.iter().enumerate() {
            let Some(count) = waiting.get_mut(next) else { continue };
            let builds_on = after.iter().filter(|before| **before == task).count();
            *count -= builds_on.min(*count);
            if builds_on > 0 && *count == 0 {
                ready.push(next);
            }
        }
    }
    let is_whole = order.len() == edges.len();
    (order, is_whole)
}

fn sequential(document: &SequentialDocument, at: &Path) -> Vec<Draft> {
    let task = |model: &str, key: &str, does, after, max_tokens| Draft {
        model: model.to_owned(),
        at: at.key(key),
        does,
        after,
        max_tokens,
    };
    let mut tasks = vec![task(&document.draft, "draft", Duty::Answer, vec![], None)];
    for _ in 0..document.rounds {
        let newest = tasks.len() - 1;
        tasks.push(task(&document.critic, "critic", Duty::Critique, vec![newest], Some(NOTES)));
        tasks.push(task(&document.reviser, "reviser", Duty::Revise, vec![newest, newest + 1], None));
    }
    tasks
}

fn parallel(document: &ParallelDocument, at: &Path) -> Vec<Draft> {
    let member = |(index, model): (usize, &String)| Draft {
        model: model.clone(),
        at: at.key("members").index(index),
        does: Duty::Answer,
        after: Vec::new(),
        max_tokens: Some(document.brief),
    };
    let mut tasks: Vec<Draft> = document.members.iter().enumerate().map(member).collect();
    let after = (0..tasks.len()).collect();
    let (model, at) = (document.primary.clone(), at.key("primary"));
    tasks.push(Draft { model, at, does: Duty::Synthesise, after, max_tokens: None });
    tasks
}

fn hybrid(document: &HybridDocument, at: &Path) -> Vec<Draft> {
    let (members, primary) = (document.members.clone(), document.primary.clone());
    let mut tasks = parallel(&ParallelDocument { members, primary, brief: document.brief }, at);
    let newest = tasks.len() - 1;
    let critic = Draft {
        model: document.critic.clone(),
        at: at.key("critic"),
        does: Duty::Critique,
        after: vec![newest],
        max_tokens: Some(NOTES),
    };
    let (model, at) = (document.primary.clone(), at.key("primary"));
    let reviser = Draft { model, at, does: Duty::Revise, after: vec![newest, newest + 1], max_tokens: None };
    tasks.extend([critic, reviser]);
    tasks
}

fn hierarchical(document: &HierarchicalDocument, at: &Path) -> Vec<Draft> {
    let planner = Draft {
        model: document.planner.clone(),
        at: at.key("planner"),
        does: Duty::Plan,
        after: Vec::new(),
        max_tokens: Some(NOTES),
    };
    let worker = |(index, model): (usize, &String)| Draft {
        model: model.clone(),
        at: at.key("workers").index(index),
        does: Duty::Part,
        after: vec![0],
        max_tokens: None,
    };
    let mut tasks: Vec<Draft> =
        std::iter::once(planner).chain(document.workers.iter().enumerate().map(worker)).collect();
    let (after, at) = ((1..tasks.len()).collect(), at.key("synthesiser"));
    tasks.push(Draft { model: document.synthesiser.clone(), at, does: Duty::Synthesise, after, max_tokens: None });
    tasks
}

const fn duty(document: DutyDocument) -> Duty {
    match document {
        DutyDocument::Answer => Duty::Answer,
        DutyDocument::Critique => Duty::Critique,
        DutyDocument::Revise => Duty::Revise,
        DutyDocument::Plan => Duty::Plan,
        DutyDocument::Part => Duty::Part,
        DutyDocument::Synthesise => Duty::Synthesise,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_sorted_behind_what_they_build_on_and_cycles_are_found() {
        assert_eq!(sorted(&[vec![1], vec![], vec![0, 1]]), (vec![1, 0, 2], true));
        assert_eq!(sorted(&[vec![], vec![2], vec![1]]), (vec![0], false));
        assert_eq!(sorted(&[vec![0]]), (vec![], false));
    }
}
