//! Who could answer, what is expected of each, and the decision among them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{answer::RequestContext, names::Target};
use crate::{
    domain::{
        Ask, Availability, Candidate, Decision, Evidence, Familiarity, Language, ModelName, NanoUsd, NoRoute,
        Preferences, PromptView, RequestFacts, Scores, ScoresUnavailable, Signals, Tail,
    },
    execute::{Model, Models},
    policy::Policy,
    routing::{Named, Strategy, estimate, language_of},
    scoring::{Sample, Scorer},
};

/// What a decision is made from, besides the models.
pub(super) struct Question<'a> {
    pub(super) target: &'a Target,
    pub(super) facts: RequestFacts,
    pub(super) prompt: &'a PromptView,
    pub(super) context: &'a RequestContext,
    pub(super) seed: u64,
    pub(super) withheld: BTreeSet<ModelName>,
    pub(super) scores: &'a Result<Scores, ScoresUnavailable>,
    pub(super) scorer: Option<Arc<dyn Scorer>>,
}

/// Evidence by profile.
type EvidenceMap = HashMap<Arc<str>, Evidence>;

/// Builds the ask: the target's candidates with what is expected of each.
pub(super) fn ask(models: &Models, question: Question<'_>) -> Ask {
    let scores = question.scores.as_ref().ok();
    let named: &[ModelName] = match question.target {
        Target::Policy(policy) => &policy.candidates,
        Target::Model(name) => std::slice::from_ref(name),
    };
    let known = named.iter().filter_map(|name| models.get(name.as_str()));
    let evidence = evidence(&question, scores);
    let candidates: Vec<_> = known.map(|model| candidate(model, &question.facts, scores, &evidence)).collect();
    start(models, &question, scores);
    let unscored = question.target.needs().scores.then(|| question.scores.as_ref().err().copied()).flatten();
    Ask {
        signals: Signals { language: language(&question, &candidates), ..signals(&question, scores) },
        request: question.facts,
        preferences: question.context.preferences.clone(),
        candidates,
        unscored,
        seed: question.seed,
    }
}

fn signals(question: &Question<'_>, scores: Option<&Scores>) -> Signals {
    let text = &question.prompt.text;
    let artifact = scores.map(|scores| Arc::clone(&scores.artifact));
    let (matched, calibrated) = match question.target {
        Target::Policy(policy) => {
            let calibrated = artifact.as_ref().map(|artifact| policy.calibration.numbers(artifact));
            (policy.strategy.observe(text), calibrated.unwrap_or_default())
        }
        Target::Model(_) => Default::default(),
    };
    Signals {
        familiarity: scores.map_or(Familiarity::UNKNOWN, |scores| scores.familiarity),
        topics: scores.map(|scores| scores.topics.clone()).unwrap_or_default(),
        characters: text.chars().count() as u64,
        matched,
        withheld: question.withheld.clone(),
        tails: tails(question.target, scores),
        tenant: Some(question.context.principal.tenant.clone()),
        key: Some(question.context.principal.key.clone()),
        language: None,
        arrived: question.context.request.made_at(),
        artifact,
        calibrated,
    }
}

/// Returns how far the artifact's errors put the bounds that the strategy wants below predictions.
fn tails(target: &Target, scores: Option<&Scores>) -> Vec<Tail> {
    let Some(conformal) = scores.and_then(|scores| scores.conformal.as_ref()) else { return Vec::new() };
    let Target::Policy(policy) = target else { return Vec::new() };
    let tail = |share: f64| Tail { share, factor: conformal.factor(share) };
    policy.strategy.shares().into_iter().map(tail).collect()
}

/// Returns the prompt's language if anyone needs to know it.
fn language(question: &Question<'_>, candidates: &[Candidate]) -> Option<Language> {
    let Target::Policy(policy) = question.target else { return None };
    let is_needed = policy.strategy.needs().language || candidates.iter().any(|one| !one.model.languages.is_empty());
    is_needed.then(|| language_of(&question.prompt.text)).flatten()
}

fn evidence(question: &Question<'_>, scores: Option<&Scores>) -> EvidenceMap {
    let (Some(scorer), Some(scores)) = (&question.scorer, scores) else { return EvidenceMap::new() };
    scorer.evidence(scores, question.target.needs())
}

fn candidate(model: &Model, facts: &RequestFacts, scores: Option<&Scores>, evidence: &EvidenceMap) -> Candidate {
    Candidate {
        model: model.facts.clone(),
        estimate: estimate(&model.facts, facts, scores, Some(model.measured_latency())),
        evidence: evidence.get(model.facts.profile_name()).cloned().unwrap_or_default(),
        availability: model.availability(),
    }
}

/// Lets the numbers that a policy finds in recent traffic start from the artifact's training prompts: once for each policy and
/// artifact, and a matter of a millisecond.
fn start(models: &Models, question: &Question<'_>, scores: Option<&Scores>) {
    let (Target::Policy(policy), Some(scorer), Some(scores)) = (question.target, &question.scorer, scores) else {
        return;
    };
    if !policy.calibration.is_blank(&scores.artifact) {
        return;
    }
    policy.calibration.start(&scores.artifact, &training_asks(models, policy, &**scorer, &scores.artifact));
}

/// Returns the asks that the artifact's training prompts would have been for a policy; none if another artifact is in use by now.
pub(super) fn training_asks(models: &Models, policy: &Policy, scorer: &dyn Scorer, artifact: &Arc<str>) -> Vec<Ask> {
    let samples = scorer.samples();
    let is_same = |sample: &&Sample| sample.scores.artifact == *artifact;
    samples.iter().filter(is_same).map(|sample| sample_ask(models, policy, sample)).collect()
}

/// Returns the ask that a training prompt would have been, had every model been ready.
fn sample_ask(models: &Models, policy: &Policy, sample: &Sample) -> Ask {
    let request = RequestFacts { input_tokens: sample.input_tokens, choices: 1, ..RequestFacts::default() };
    let known = policy.candidates.iter().filter_map(|name| models.get(name.as_str()));
    let candidate = |model: &Arc<Model>| Candidate {
        model: model.facts.clone(),
        estimate: estimate(&model.facts, &request, Some(&sample.scores), None),
        evidence: Evidence::default(),
        availability: Availability::Ready,
    };
    let signals = Signals {
        familiarity: sample.scores.familiarity,
        topics: sample.scores.topics.clone(),
        artifact: Some(Arc::clone(&sample.scores.artifact)),
        ..Signals::default()
    };
    let (candidates, preferences) = (known.map(candidate).collect(), Preferences::default());
    Ask { request, preferences, signals, candidates, unscored: None, seed: 0 }
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

/// Lets the target's strategy learn from an ask that was decided.
pub(super) fn learn(target: &Target, ask: &Ask) {
    if let Target::Policy(policy) = target {
        policy.calibration.learn(ask);
    }
}

/// Returns the most that the plan may cost: never more than the request allows, because no leg starts that could.
pub(super) fn worst_cost(decision: &Decision, ask: &Ask) -> NanoUsd {
    let upper = |model: &ModelName| {
        let found = ask.candidates.iter().find(|candidate| candidate.model.name == *model);
        found.map_or(NanoUsd::ZERO, |candidate| candidate.estimate.cost_upper)
    };
    let worst = decision.plan.worst_cost(upper);
    ask.preferences.max_cost.map_or(worst, |most| worst.min(most))
}
