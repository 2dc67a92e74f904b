//! One answer at a time, and another only where it is worth its cost.

use super::{
    Belief, Constraints, MAX_PROSPECTS, NextStep, Outlook, ParameterError, Prospect, ProspectState, Strategy, Weight,
    gates::Gated,
    next_step,
    outcome::{Ranked, decision},
    parameters::{check_bound, check_count, check_share},
    quality_cost::DOLLARS_PER_UNIT,
};
use crate::domain::{
    AnswerEvidence, Ask, Candidate, CascadeRouting as Routed, Decision, DeferralTest, ModelProspect, Needs, NoRoute,
    Plan, Probability, Reason, Terms,
};

/// What [`CascadeRouting`] needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct CascadeRoutingParameters {
    /// What every model must meet, judges too.
    pub constraints: Constraints,
    /// Quality given up to save one US cent of expected cost.
    pub cost_weight: Weight,
    /// Most models that are asked.
    pub most_legs: usize,
    /// How far what is seen of one answer moves what is believed of the other models, `[0, 1]`.
    pub correlation: f64,
    /// What stands for the quality of an answer.
    pub evidence: Vec<AnswerEvidence>,
    /// What an answer is worth nothing for.
    pub reject: Vec<DeferralTest>,
    /// How many models stand by where one model is all that can be asked.
    pub max_fallbacks: usize,
}

/// Cascade routing over the fitting candidates of the greatest utility `q_m - w_cost * cents_m`, at most [`MAX_PROSPECTS`]: who is
/// asked first follows from [`next_step`], who is asked next from what the answers are like. Evidence of a judge that does not meet
/// the constraints is left out. Where only one model may be asked, the plan is a single one.
#[derive(Clone, Debug)]
pub struct CascadeRouting {
    parameters: CascadeRoutingParameters,
}

impl CascadeRouting {
    /// Returns the strategy.
    ///
    /// # Errors
    /// A number lies outside of its range, or is none.
    pub fn new(parameters: CascadeRoutingParameters) -> Result<Self, ParameterError> {
        parameters.cost_weight.check("cost_weight")?;
        check_count("most_legs", parameters.most_legs, (1, MAX_PROSPECTS))?;
        check_share("correlation", parameters.correlation)?;
        for evidence in &parameters.evidence {
            match evidence {
                AnswerEvidence::Logprob { low, high, noise } => {
                    check_bound("high", *high, (f64::MIN, 0.0))?;
                    check_bound("low", *low, (f64::MIN, high.next_down()))?;
                    check_bound("noise", *noise, (0.0, 1.0))?;
                }
                AnswerEvidence::Judge { noise, .. } => check_bound("noise", *noise, (0.0, 1.0))?,
            }
        }
        Ok(Self { parameters })
    }

    fn terms(&self, ask: &Ask, candidate: &Candidate) -> Terms {
        let weight = self.parameters.cost_weight.at(ask.preferences.quality.map(Probability::value));
        let quality = candidate.estimate.quality.value();
        let cost = -weight * candidate.estimate.cost.dollars() / DOLLARS_PER_UNIT + 0.0;
        Terms { quality, cost, latency: 0.0, goals: 0.0, utility: quality + cost }
    }

    /// Returns the candidates, the one that is asked first in front, the others by utility.
    fn order<'a>(&self, ask: &Ask, gated: &Gated<'a>, evidence: &[AnswerEvidence]) -> Vec<Ranked<'a>> {
        let ranked = |candidate: &&'a Candidate| Ranked { candidate, terms: Some(self.terms(ask, candidate)) };
        let mut order: Vec<_> = gated.fitting.iter().map(ranked).collect();
        let utility = |ranked: &Ranked<'_>| ranked.terms.map_or(0.0, |terms| terms.utility);
        order.sort_by(|a, b| utility(b).total_cmp(&utility(a)));
        let prospects: Vec<Prospect> = order.iter().take(MAX_PROSPECTS).map(prospect).collect();
        let outlook = Outlook { most_more: self.parameters.most_legs, noise: AnswerEvidence::together(evidence) };
        if let NextStep::Ask(first) = next_step(&prospects, outlook) {
            order.get_mut(..=first).into_iter().for_each(|front| front.rotate_right(1));
        }
        order
    }
}

impl Strategy for CascadeRouting {
    fn decide(&self, ask: &Ask) -> Result<Decision, NoRoute> {
        let gated = self.parameters.constraints.sift(ask)?;
        let fits = |evidence: &&AnswerEvidence| {
            let judge = evidence.judge();
            judge.is_none_or(|judge| gated.fitting.iter().any(|candidate| candidate.model.name == judge.model))
        };
        let evidence: Vec<_> = self.parameters.evidence.iter().filter(fits).cloned().collect();
        let order = self.order(ask, &gated, &evidence);
        let prospects: Vec<_> = order.iter().take(MAX_PROSPECTS).map(planned).collect();
        let decided = decision(order, gated, Reason::BestUtility, self.parameters.max_fallbacks)?;
        if prospects.len() < 2 || self.parameters.most_legs < 2 {
            return Ok(decided);
        }
        let plan = Plan::CascadeRouting(Routed {
            prospects,
            most_legs: self.parameters.most_legs as u32,
            correlation: self.parameters.correlation,
            evidence,
            reject: self.parameters.reject.clone(),
        });
        Ok(Decision { plan, ..decided })
    }

    fn needs(&self) -> Needs {
        Needs::SCORES
    }
}

fn prospect(ranked: &Ranked<'_>) -> Prospect {
    let (estimate, cost) = (&ranked.candidate.estimate, cost(ranked));
    let belief = Belief { mean: estimate.quality.value(), spread: estimate.spread };
    Prospect { belief, cost, state: ProspectState::Open }
}

fn planned(ranked: &Ranked<'_>) -> ModelProspect {
    let estimate = &ranked.candidate.estimate;
    let leg = crate::domain::Leg { model: ranked.candidate.model.name.clone() };
    ModelProspect { leg, quality: estimate.quality, spread: estimate.spread, cost: cost(ranked) }
}

fn cost(ranked: &Ranked<'_>) -> f64 {
    ranked.terms.map_or(0.0, |terms| -terms.cost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Leg, ModelName},
        routing::samples::{ask, expected},
    };

    fn judge(model: &str) -> AnswerEvidence {
        AnswerEvidence::Judge { leg: Leg { model: ModelName::parse(model).unwrap() }, noise: 0.2 }
    }

    fn parameters(most_legs: usize, evidence: Vec<AnswerEvidence>) -> CascadeRoutingParameters {
        CascadeRoutingParameters {
            constraints: Constraints::default(),
            cost_weight: Weight::fixed(0.1),
            most_legs,
            correlation: 0.5,
            evidence,
            reject: Vec::new(),
            max_fallbacks: 1,
        }
    }

    /// A cheap model that may be right, a dear one that is better, and one that is neither.
    fn three() -> Ask {
        let mut ask = ask(vec![
            expected("bad", 0.2, 90_000_000, 1),
            expected("dear", 0.82, 10_000_000, 1),
            expected("cheap", 0.7, 100, 1),
        ]);
        ask.candidates.iter_mut().for_each(|candidate| candidate.estimate.spread = 0.2);
        ask
    }

    #[test]
    fn who_is_asked_first_stands_in_front_and_the_others_by_utility() {
        let strategy = CascadeRouting::new(parameters(3, vec![judge("dear"), judge("gone")])).unwrap();

        let decision = strategy.decide(&three()).unwrap();

        let Plan::CascadeRouting(plan) = &decision.plan else { panic!("{:?}", decision.plan) };
        let models: Vec<&str> = plan.prospects.iter().map(|prospect| prospect.leg.model.as_str()).collect();
        assert_eq!(models, ["cheap", "dear", "bad"]);
        assert!((plan.prospects[1].cost - 0.1).abs() < 1e-12);
        assert_eq!(plan.evidence, [judge("dear")]);
        assert_eq!((decision.reason, decision.alternatives.len()), (Reason::BestUtility, 3));
    }

    #[test]
    fn one_model_is_a_plain_plan() {
        let strategy = CascadeRouting::new(parameters(1, vec![judge("dear")])).unwrap();

        let plan = strategy.decide(&three()).unwrap().plan;

        let models: Vec<&str> = plan.legs().map(|leg| leg.model.as_str()).collect();
        assert_eq!((plan.kind().name(), models), ("single", vec!["dear", "cheap"]));
    }

    #[test]
    fn nonsense_is_refused() {
        let logprob = |low, high, noise| vec![AnswerEvidence::Logprob { low, high, noise }];

        for bad in [
            parameters(0, Vec::new()),
            parameters(9, Vec::new()),
            parameters(2, logprob(-0.1, -0.5, 0.2)),
            parameters(2, logprob(-1.0, 0.5, 0.2)),
            parameters(2, logprob(-1.0, -0.5, f64::NAN)),
            CascadeRoutingParameters { correlation: 1.5, ..parameters(2, Vec::new()) },
        ] {
            assert!(CascadeRouting::new(bad.clone()).is_err(), "{bad:?}");
        }
    }
}
