//! Who could answer, what is expected of each, and the decision among them.

use super::{answer::RequestContext, names::Target};
use crate::{
    domain::{Ask, Candidate, Decision, ModelName, NanoUsd, NoRoute, RequestFacts, Scores, ScoresUnavailable},
    execute::{Model, Models},
    routing::{Named, Strategy, estimate},
};

/// What a decision is made from, besides the models.
pub(super) struct Question<'a> {
    pub(super) target: &'a Target,
    pub(super) facts: RequestFacts,
    pub(super) context: &'a RequestContext,
    pub(super) seed: u64,
    pub(super) scores: &'a Result<Scores, ScoresUnavailable>,
}

/// Builds the ask: the target's candidates with what is expected of each.
pub(super) fn ask(models: &Models, question: Question<'_>) -> Ask {
    let scores = question.scores.as_ref().ok();
    let named: &[ModelName] = match question.target {
        Target::Policy(policy) => &policy.candidates,
        Target::Model(name) => std::slice::from_ref(name),
    };
    let known = named.iter().filter_map(|name| models.get(name.as_str()));
    let candidates = known.map(|model| candidate(model, &question.facts, scores)).collect();
    let unscored = question.target.needs_scores().then(|| question.scores.as_ref().err().copied()).flatten();
    Ask {
        request: question.facts,
        preferences: question.context.preferences.clone(),
        candidates,
        unscored,
        seed: question.seed,
    }
}

fn candidate(model: &Model, facts: &RequestFacts, scores: Option<&Scores>) -> Candidate {
    Candidate {
        model: model.facts.clone(),
        estimate: estimate(&model.facts, facts, scores, Some(model.measured_latency())),
        availability: model.availability(),
    }
}

/// Asks the target's strategy.
pub(super) fn decide(target: &Target, ask: &Ask) -> Result<Decision, NoRoute> {
    match target {
        Target::Policy(policy) => {
            let decision = policy.strategy.decide(ask)?;
            Ok(Decision { policy: Some(policy.name.clone()), policy_version: policy.version, ..decision })
        }
        Target::Model(_) => Named.decide(ask),
    }
}

/// Returns the most that the plan's dearest leg may cost.
pub(super) fn dearest_leg(decision: &Decision, ask: &Ask) -> NanoUsd {
    let in_plan = |candidate: &&Candidate| decision.plan.legs().any(|leg| leg.model == candidate.model.name);
    ask.candidates.iter().filter(in_plan).map(|candidate| candidate.estimate.cost_upper).max().unwrap_or_default()
}
