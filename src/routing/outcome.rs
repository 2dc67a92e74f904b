//! From an order of candidates to a decision.

use super::{front::is_on_front, gates::Gated};
use crate::domain::{Alternative, Candidate, Decision, Leg, NoRoute, Plan, Probability, Reason, Rejection, Terms};

/// A candidate that may be chosen, with its share of the objective if the strategy has one.
pub(super) struct Ranked<'a> {
    pub(super) candidate: &'a Candidate,
    pub(super) terms: Option<Terms>,
}

impl<'a> Ranked<'a> {
    pub(super) fn plain(candidate: &'a Candidate) -> Self {
        Self { candidate, terms: None }
    }
}

/// Makes a decision of candidates in order, best first: the first answers, the next `max_fallbacks` stand by. `order` holds
/// every fitting candidate of `gated` once.
pub(super) fn decision(
    order: Vec<Ranked<'_>>,
    gated: Gated<'_>,
    reason: Reason,
    max_fallbacks: usize,
) -> Result<Decision, NoRoute> {
    let mut legs = order.iter().map(|ranked| Leg { model: ranked.candidate.model.name.clone() });
    let Some(leg) = legs.next() else {
        return Err(NoRoute { rejected: Vec::new() });
    };
    let plan = Plan::Single { leg, fallbacks: legs.take(max_fallbacks).collect() };
    let mut alternatives: Vec<_> = order.into_iter().map(|ranked| eligible(ranked, &gated.fitting)).collect();
    alternatives.extend(gated.rejected.into_iter().map(|(candidate, why)| ineligible(candidate, why)));
    Ok(Decision {
        plan,
        reason,
        rules: Vec::new(),
        alternatives,
        propensity: Probability::ONE,
        policy: None,
        policy_version: 0,
    })
}

fn eligible(ranked: Ranked<'_>, among: &[&Candidate]) -> Alternative {
    Alternative {
        model: ranked.candidate.model.name.clone(),
        estimate: ranked.candidate.estimate.clone(),
        terms: ranked.terms,
        is_on_front: is_on_front(ranked.candidate, among),
        rejected: None,
    }
}

fn ineligible(candidate: &Candidate, why: Rejection) -> Alternative {
    Alternative {
        model: candidate.model.name.clone(),
        estimate: candidate.estimate.clone(),
        terms: None,
        is_on_front: false,
        rejected: Some(why),
    }
}
