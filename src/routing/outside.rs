//! What is done with prompts that lie far from everything the router model was trained on.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Calibrator, Fixed, Strategy};
use crate::domain::{Ask, Candidate, Decision, Learner, Needs, NoRoute, Observed, Probability, Reason};

/// What is done with a prompt of which predictions should not be trusted.
#[derive(Clone, Debug)]
pub enum OutsideRule {
    /// Predictions are drawn towards what is known of a model without its profile.
    DomainPrior,
    /// This strategy decides instead.
    Safe(Fixed),
}

/// A strategy with a rule for prompts outside of what the router knows
/// ([`Familiarity::is_outside`](crate::domain::Familiarity::is_outside)); without scores nothing is outside.
///
/// `DomainPrior` replaces each predicted quality by the mean of prediction and prior, each weighted by its precision:
///
/// ```text
/// q' = (q / s^2 + p / t^2) / (1 / s^2 + 1 / t^2)      s = max(spread of q, t), t = spread of the prior p
/// ```
///
/// (the posterior mean of two normal estimates; that outside a profile is never worth more than the prior is ours: its spread
/// was found among prompts that it knows). Evidence from graded prompts is drawn in the same way. The more models are alike
/// then, the more price decides.
pub struct Outside {
    inner: Arc<dyn Strategy>,
    rule: OutsideRule,
}

impl Outside {
    /// Returns the strategy; every value is accepted.
    pub fn new(inner: Arc<dyn Strategy>, rule: OutsideRule) -> Self {
        Self { inner, rule }
    }
}

impl Strategy for Outside {
    fn decide(&self, ask: &Ask) -> Result<Decision, NoRoute> {
        if !ask.signals.familiarity.is_outside {
            return self.inner.decide(ask);
        }
        let (decision, reason) = match &self.rule {
            OutsideRule::DomainPrior => (self.inner.decide(&drawn_to_the_prior(ask))?, Reason::OutsidePrior),
            OutsideRule::Safe(safe) => (safe.decide(ask)?, Reason::OutsideSafe),
        };
        Ok(Decision { reason, ..decision })
    }

    fn needs(&self) -> Needs {
        self.inner.needs()
    }

    fn observe(&self, text: &str) -> BTreeSet<String> {
        self.inner.observe(text)
    }

    fn calibrators(&self) -> Vec<Arc<dyn Calibrator>> {
        self.inner.calibrators()
    }

    fn learner(&self) -> Option<Learner> {
        self.inner.learner()
    }

    fn shares(&self) -> Vec<f64> {
        self.inner.shares()
    }
}

fn drawn_to_the_prior(ask: &Ask) -> Ask {
    let mut drawn = ask.clone();
    drawn.candidates.iter_mut().for_each(draw);
    drawn
}

fn draw(candidate: &mut Candidate) {
    let estimate = &mut candidate.estimate;
    let prior = (estimate.prior.value(), estimate.prior_spread);
    let (mean, spread) = posterior((estimate.quality.value(), estimate.spread), prior);
    (estimate.quality, estimate.spread) = (Probability::clamped(mean), spread);
    let evidence = &mut candidate.evidence;
    let all = evidence.clusters.iter_mut().chain(&mut evidence.neighbours).chain(&mut evidence.traffic);
    for observed in all {
        let (mean, spread) = posterior((observed.mean.value(), observed.spread), prior);
        *observed = Observed { mean: Probability::clamped(mean), spread, ..*observed };
    }
}

/// Returns mean and spread of an estimate and a prior together, the estimate no more precise than the prior.
fn posterior((mean, spread): (f64, f64), (prior, prior_spread): (f64, f64)) -> (f64, f64) {
    // A prior without any spread is certain.
    if prior_spread <= 0.0 {
        return (prior, prior_spread);
    }
    let (own, other) = (spread.max(prior_spread).powi(-2), prior_spread.powi(-2));
    ((mean * own + prior * other) / (own + other), (own + other).sqrt().recip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Familiarity, ModelName},
        routing::{
            Constraints, FixedParameters, Goals, QualityCost, QualityCostParameters, Weight,
            samples::{ask, expected},
        },
    };

    fn inner() -> Arc<dyn Strategy> {
        Arc::new(
            QualityCost::new(QualityCostParameters {
                constraints: Constraints::default(),
                cost: Weight::fixed(0.0).into(),
                latency_weight: Weight::fixed(0.0),
                goals: Goals::default(),
                confidence: None,
                least_quality: None,
                default_model: None,
                max_fallbacks: 1,
            })
            .unwrap(),
        )
    }

    /// A model that is predicted to be good and is known to be weak, and one of which both say the same.
    fn outside() -> Ask {
        let mut ask = ask(vec![expected("praised", 0.9, 10, 10), expected("solid", 0.7, 10, 10)]);
        ask.signals.familiarity = Familiarity { typicality: Probability::clamped(0.0), is_outside: true };
        for (candidate, prior) in ask.candidates.iter_mut().zip([0.4, 0.7]) {
            (candidate.estimate.prior, candidate.estimate.prior_spread) = (Probability::clamped(prior), 0.1);
        }
        ask
    }

    fn first(decision: &Decision) -> &str {
        decision.plan.legs().next().unwrap().model.as_str()
    }

    #[test]
    fn inside_nothing_changes() {
        let mut ask = outside();
        ask.signals.familiarity = Familiarity::UNKNOWN;

        let decision = Outside::new(inner(), OutsideRule::DomainPrior).decide(&ask).unwrap();

        assert_eq!(decision, inner().decide(&ask).unwrap());
        assert_eq!((first(&decision), decision.reason), ("praised", Reason::BestUtility));
    }

    #[test]
    fn outside_a_prediction_counts_no_more_than_the_prior() {
        let decision = Outside::new(inner(), OutsideRule::DomainPrior).decide(&outside()).unwrap();

        assert_eq!((first(&decision), decision.reason), ("solid", Reason::OutsidePrior));
        let qualities: Vec<f64> = decision.alternatives.iter().map(|one| one.estimate.quality.value()).collect();
        assert!((qualities[0] - 0.7).abs() < 1e-9 && (qualities[1] - 0.65).abs() < 1e-9, "{qualities:?}");
    }

    #[test]
    fn outside_the_safe_model_can_take_over() {
        let model = ModelName::parse("solid").unwrap();
        let safe = Fixed::new(FixedParameters { model, constraints: Constraints::default(), max_fallbacks: 1 });

        let decision = Outside::new(inner(), OutsideRule::Safe(safe)).decide(&outside()).unwrap();

        assert_eq!((first(&decision), decision.reason), ("solid", Reason::OutsideSafe));
    }

    #[test]
    fn an_unsure_prediction_weighs_less() {
        let (sure, unsure) = (posterior((0.9, 0.01), (0.5, 0.1)), posterior((0.9, 0.3), (0.5, 0.1)));

        assert!((sure.0 - 0.7).abs() < 1e-9);
        assert!((unsure.0 - 0.54).abs() < 1e-9);
        assert!(sure.1 < 0.1 && unsure.1 < 0.1);
    }
}
