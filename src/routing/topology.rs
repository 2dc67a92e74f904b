//! Tasks that build on each other.

use super::{
    Constraints, ParameterError, Strategy, Weight,
    gates::Gated,
    outcome::{Ranked, decision},
    parameters::{check_bound, check_count},
    quality_cost::DOLLARS_PER_UNIT,
};
use crate::domain::{
    Ask, Candidate, Decision, Duty, Leg, ModelName, Needs, NoRoute, Plan, Probability, Reason, Task, Terms, Topology,
};

/// Most tasks of a topology.
pub const MAX_TASKS: usize = 16;

/// Which tasks there are.
#[derive(Clone, Debug, PartialEq)]
pub enum Tasks {
    /// These, in an order in which each builds only on those before it.
    Fixed(Vec<Task>),
    /// The best candidates by utility answer at once and briefly, and the best of all writes one answer from theirs: experts and a
    /// primary, after Mixture of Thoughts.
    Experts {
        /// How many answer briefly.
        experts: usize,
        /// Most tokens of a brief answer.
        brief: u64,
        /// Quality given up to save one US cent of expected cost.
        cost_weight: Weight,
    },
}

/// What [`Topologies`] needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct TopologyParameters {
    /// What every model must meet.
    pub constraints: Constraints,
    /// Which tasks there are.
    pub tasks: Tasks,
    /// How many models stand by when the last task fails.
    pub max_fallbacks: usize,
}

/// Plans the tasks of a policy. A task whose model does not meet the constraints is done by the last task's model; where that does not
/// meet them either, the first other candidate answers alone. So does the last task's model where the request offers tools or asks for
/// several choices: a call of a tool cannot be criticised or composed.
#[derive(Clone, Debug)]
pub struct Topologies {
    parameters: TopologyParameters,
}

impl Topologies {
    /// Returns the strategy.
    ///
    /// # Errors
    /// There are no or too many tasks, or they do not lead to the last one.
    pub fn new(parameters: TopologyParameters) -> Result<Self, ParameterError> {
        match &parameters.tasks {
            Tasks::Fixed(tasks) => {
                check_count("tasks", tasks.len(), (2, MAX_TASKS))?;
                let topology = Topology { tasks: tasks.clone(), fallbacks: Vec::new() };
                let ends_in_an_answer = tasks
                    .last()
                    .is_some_and(|task| matches!(task.does, Duty::Answer | Duty::Revise | Duty::Synthesise));
                if !topology.is_sound() || !ends_in_an_answer {
                    return Err(ParameterError::Unsound);
                }
            }
            Tasks::Experts { experts, brief, cost_weight } => {
                check_count("experts", *experts, (1, MAX_TASKS - 1))?;
                check_bound("brief", *brief as f64, (1.0, f64::MAX))?;
                cost_weight.check("cost_weight")?;
            }
        }
        Ok(Self { parameters })
    }

    /// Returns the candidates, the model of the last task first.
    fn order<'a>(&self, ask: &Ask, gated: &Gated<'a>) -> Vec<Ranked<'a>> {
        let fitting = gated.fitting.iter().copied();
        match &self.parameters.tasks {
            Tasks::Fixed(tasks) => {
                let last = tasks.last().map(|task| &task.leg.model);
                let place = |name: &ModelName| match tasks.iter().position(|task| task.leg.model == *name) {
                    _ if Some(name) == last => 0,
                    Some(place) => place + 1,
                    None => usize::MAX,
                };
                let mut order: Vec<_> = fitting.map(Ranked::plain).collect();
                // A stable sort: the others in the policy's order.
                order.sort_by_key(|ranked| place(&ranked.candidate.model.name));
                order
            }
            Tasks::Experts { cost_weight, .. } => {
                let weight = cost_weight.at(ask.preferences.quality.map(Probability::value));
                let ranked = |candidate: &'a Candidate| Ranked { candidate, terms: Some(terms(candidate, weight)) };
                let mut order: Vec<_> = fitting.map(ranked).collect();
                let utility = |ranked: &Ranked<'_>| ranked.terms.map_or(0.0, |terms| terms.utility);
                order.sort_by(|a, b| utility(b).total_cmp(&utility(a)));
                order
            }
        }
    }

    /// Returns the tasks for candidates in order.
    fn tasks(&self, order: &[Ranked<'_>]) -> Vec<Task> {
        let models: Vec<&ModelName> = order.iter().map(|ranked| &ranked.candidate.model.name).collect();
        match &self.parameters.tasks {
            Tasks::Fixed(tasks) => {
                let Some(last) = tasks.last().filter(|last| models.contains(&&last.leg.model)) else {
                    return Vec::new();
                };
                let leg =
                    |task: &Task| if models.contains(&&task.leg.model) { task.leg.clone() } else { last.leg.clone() };
                tasks.iter().map(|task| Task { leg: leg(task), ..task.clone() }).collect()
            }
            Tasks::Experts { experts, brief, .. } => {
                let task = |model: &&ModelName| Task {
                    leg: Leg { model: (*model).clone() },
                    does: Duty::Answer,
                    after: Vec::new(),
                    max_tokens: Some(*brief),
                };
                let mut tasks: Vec<Task> = models.iter().skip(1).take(*experts).map(task).collect();
                let after = (0..tasks.len()).collect();
                tasks.extend(models.first().map(|primary| Task {
                    does: Duty::Synthesise,
                    after,
                    max_tokens: None,
                    ..task(primary)
                }));
                tasks
            }
        }
    }
}

impl Strategy for Topologies {
    fn decide(&self, ask: &Ask) -> Result<Decision, NoRoute> {
        let gated = self.parameters.constraints.sift(ask)?;
        let order = self.order(ask, &gated);
        let tasks = self.tasks(&order);
        let is_task = |name: &ModelName| tasks.iter().any(|task| task.leg.model == *name);
        let others = order.iter().map(|ranked| &ranked.candidate.model.name).filter(|name| !is_task(name));
        let fallbacks = others.take(self.parameters.max_fallbacks).map(|model| Leg { model: model.clone() }).collect();
        let decided = decision(order, gated, Reason::Topology, self.parameters.max_fallbacks)?;
        if tasks.len() < 2 || ask.request.needs_tools || ask.request.choices > 1 {
            return Ok(decided);
        }
        Ok(Decision { plan: Plan::Topology(Topology { tasks, fallbacks }), ..decided })
    }

    fn needs(&self) -> Needs {
        match self.parameters.tasks {
            Tasks::Fixed(_) => Needs::NOTHING,
            Tasks::Experts { .. } => Needs::SCORES,
        }
    }
}

fn terms(candidate: &Candidate, weight: f64) -> Terms {
    let quality = candidate.estimate.quality.value();
    let cost = -weight * candidate.estimate.cost.dollars() / DOLLARS_PER_UNIT + 0.0;
    Terms { quality, cost, latency: 0.0, goals: 0.0, utility: quality + cost }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::samples::{ask, candidate, expected};

    fn task(model: &str, does: Duty, after: &[usize]) -> Task {
        let leg = Leg { model: ModelName::parse(model).unwrap() };
        Task { leg, does, after: after.to_vec(), max_tokens: None }
    }

    fn strategy(tasks: Tasks) -> Result<Topologies, ParameterError> {
        Topologies::new(TopologyParameters { constraints: Constraints::default(), tasks, max_fallbacks: 1 })
    }

    fn revised() -> Tasks {
        let (draft, critique) = (task("a", Duty::Answer, &[]), task("b", Duty::Critique, &[0]));
        Tasks::Fixed(vec![draft, critique, task("c", Duty::Revise, &[0, 1])])
    }

    fn legs(strategy: &Topologies, ask: &Ask) -> Vec<String> {
        strategy.decide(ask).unwrap().plan.legs().map(|leg| leg.model.to_string()).collect()
    }

    #[test]
    fn tasks_come_in_their_order_and_a_missing_model_is_stood_in_for() {
        let all = ask(["x", "c", "b", "a"].map(candidate).to_vec());
        let without = ask(["x", "c", "a"].map(candidate).to_vec());
        let strategy = strategy(revised()).unwrap();

        assert_eq!(legs(&strategy, &all), ["a", "b", "c", "x"]);
        assert_eq!(legs(&strategy, &without), ["a", "c", "c", "x"]);
        assert_eq!(strategy.decide(&all).unwrap().reason, Reason::Topology);
    }

    #[test]
    fn the_last_model_answers_alone_where_tools_are_offered_or_it_is_all_there_is() {
        let mut tools = ask(["a", "b", "c"].map(candidate).to_vec());
        tools.request.needs_tools = true;
        for candidate in &mut tools.candidates {
            std::sync::Arc::make_mut(&mut candidate.model).has_tools = true;
        }
        let strategy = strategy(revised()).unwrap();

        assert_eq!(legs(&strategy, &tools), ["c", "a"]);
        assert_eq!(legs(&strategy, &ask(vec![candidate("x"), candidate("a")])), ["a", "x"]);
    }

    #[test]
    fn the_best_is_the_primary_and_the_next_ones_are_experts() {
        let tasks = Tasks::Experts { experts: 2, brief: 300, cost_weight: Weight::fixed(0.0) };
        let ask = ask([("a", 0.2), ("b", 0.9), ("c", 0.5), ("d", 0.7)]
            .map(|(name, quality)| expected(name, quality, 1, 1))
            .to_vec());

        let decision = strategy(tasks).unwrap().decide(&ask).unwrap();

        let Plan::Topology(plan) = decision.plan else { panic!("{:?}", decision.plan) };
        let tasks: Vec<_> =
            plan.tasks.iter().map(|task| (task.leg.model.as_str(), task.does, task.max_tokens)).collect();
        let expected = [("d", Duty::Answer, Some(300)), ("c", Duty::Answer, Some(300)), ("b", Duty::Synthesise, None)];
        assert_eq!(tasks, expected);
        assert_eq!((plan.tasks[2].after.as_slice(), plan.fallbacks[0].model.as_str()), ([0, 1].as_slice(), "a"));
    }

    #[test]
    fn what_has_no_end_or_no_answer_is_refused() {
        let critique_last = vec![task("a", Duty::Answer, &[]), task("b", Duty::Critique, &[0])];
        let cycle = vec![task("a", Duty::Answer, &[1]), task("b", Duty::Revise, &[0])];

        for tasks in [critique_last, cycle] {
            assert_eq!(strategy(Tasks::Fixed(tasks)).unwrap_err(), ParameterError::Unsound);
        }
        assert!(strategy(Tasks::Fixed(vec![task("a", Duty::Answer, &[])])).is_err());
    }
}
