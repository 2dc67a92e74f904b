//! Easy prompts to cheap models: the cheapest one that is expected to succeed.

use std::cmp::Ordering;

use super::{
    Constraints, ParameterError, Strategy, Weight,
    outcome::{Ranked, decision},
    parameters::check_weight,
};
use crate::domain::{Ask, Candidate, Decision, ModelName, Needs, NoRoute, Reason, Terms};

/// What [`Difficulty`] needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct DifficultyParameters {
    /// What every model must meet.
    pub constraints: Constraints,
    /// Predicted quality that is good enough, `[0, 1]`; a caller's `quality` raises it towards `max`.
    pub threshold: Weight,
    /// How many spreads the prediction must lie above the threshold.
    pub caution: f64,
    /// The model that is tried first when there are no scores; `None` takes the best by the priors.
    pub default_model: Option<ModelName>,
    /// How many models stand by.
    pub max_fallbacks: usize,
}

/// Chooses the cheapest candidate that is expected to succeed, `q_m - caution * s_m >= threshold`; where none is, the one of the
/// best prediction.
///
/// With two candidates this is the weak/strong router of HybridLLM (arXiv 2404.14618) with the threshold on the weak model's
/// success; with more it is a ladder whose rungs are ordered by expected cost. Those that pass stand by in the order of their
/// cost, the others after them with the best first. Equal cost or quality: the faster, then the policy's order.
#[derive(Clone, Debug)]
pub struct Difficulty {
    parameters: DifficultyParameters,
}

impl Difficulty {
    /// Returns the strategy.
    ///
    /// # Errors
    /// The threshold or one of its bounds is not in `[0, 1]`, it lies outside its bounds, or the caution is no weight.
    pub fn new(parameters: DifficultyParameters) -> Result<Self, ParameterError> {
        parameters.threshold.check_share("threshold")?;
        check_weight("caution", parameters.caution)?;
        Ok(Self { parameters })
    }

    fn place<'a>(&self, candidate: &'a Candidate, threshold: f64) -> Rung<'a> {
        let estimate = &candidate.estimate;
        let quality = estimate.quality.value() - self.parameters.caution * estimate.spread;
        Rung { candidate, quality, is_good_enough: quality >= threshold }
    }
}

impl Strategy for Difficulty {
    fn decide(&self, ask: &Ask) -> Result<Decision, NoRoute> {
        let gated = self.parameters.constraints.sift(ask)?;
        let threshold = self.parameters.threshold.rising(ask.preferences.quality.map(|quality| quality.value()));
        let mut rungs: Vec<Rung<'_>> = gated.fitting.iter().map(|fit| self.place(fit, threshold)).collect();
        rungs.sort_by(better_first);
        if ask.unscored.is_some() {
            let default = self.parameters.default_model.as_ref();
            rungs.sort_by_key(|rung| default != Some(&rung.candidate.model.name));
        }
        let is_passed = rungs.first().is_some_and(|rung| rung.is_good_enough);
        let reason = match (ask.unscored, is_passed) {
            (Some(_), _) => Reason::ScorerUnavailable,
            (None, true) => Reason::GoodEnough,
            (None, false) => Reason::NoneGoodEnough,
        };
        let order = rungs.iter().map(Rung::ranked).collect();
        decision(order, gated, reason, self.parameters.max_fallbacks)
    }

    fn needs(&self) -> Needs {
        Needs::SCORES
    }
}

/// A candidate and whether it is good enough.
struct Rung<'a> {
    candidate: &'a Candidate,
    quality: f64,
    is_good_enough: bool,
}

impl<'a> Rung<'a> {
    fn ranked(&self) -> Ranked<'a> {
        let terms = Terms { quality: self.quality, utility: self.quality, ..Terms::default() };
        Ranked { candidate: self.candidate, terms: Some(terms) }
    }
}

fn better_first(one: &Rung<'_>, other: &Rung<'_>) -> Ordering {
    let (a, b) = (&one.candidate.estimate, &other.candidate.estimate);
    let by_kind = other.is_good_enough.cmp(&one.is_good_enough);
    let by_quality = if one.is_good_enough { Ordering::Equal } else { other.quality.total_cmp(&one.quality) };
    by_kind.then(by_quality).then(a.cost.cmp(&b.cost)).then(a.latency.cmp(&b.latency))
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert, proptest};

    use super::*;
    use crate::{
        domain::{Probability, ScoresUnavailable},
        routing::samples::{any_ask, ask, expected},
    };

    fn parameters(threshold: f64) -> DifficultyParameters {
        DifficultyParameters {
            constraints: Constraints::default(),
            threshold: Weight::fixed(threshold),
            caution: 0.0,
            default_model: None,
            max_fallbacks: 2,
        }
    }

    fn strategy(threshold: f64) -> Difficulty {
        Difficulty::new(parameters(threshold)).unwrap()
    }

    fn ladder() -> Ask {
        ask(vec![
            expected("strong", 0.9, 20_000_000, 8_000),
            expected("weak", 0.6, 1_000_000, 1_000),
            expected("middle", 0.8, 5_000_000, 2_000),
        ])
    }

    fn legs(decision: &Decision) -> Vec<&str> {
        decision.plan.legs().map(|leg| leg.model.as_str()).collect()
    }

    #[test]
    fn the_cheapest_that_is_good_enough_answers() {
        let choose = |threshold| strategy(threshold).decide(&ladder()).unwrap();

        assert_eq!(legs(&choose(0.5)), ["weak", "middle", "strong"]);
        assert_eq!(legs(&choose(0.7)), ["middle", "strong", "weak"]);
        assert_eq!(legs(&choose(0.85)), ["strong", "middle", "weak"]);
        assert_eq!(choose(0.85).reason, Reason::GoodEnough);
    }

    #[test]
    fn where_none_is_good_enough_the_best_answers() {
        let decision = strategy(0.95).decide(&ladder()).unwrap();

        assert_eq!((legs(&decision)[0], decision.reason), ("strong", Reason::NoneGoodEnough));
    }

    #[test]
    fn caution_wants_more_of_an_uncertain_prediction() {
        let cautious = Difficulty::new(DifficultyParameters { caution: 1.0, ..parameters(0.58) }).unwrap();

        assert_eq!(legs(&strategy(0.58).decide(&ladder()).unwrap())[0], "weak");
        assert_eq!(legs(&cautious.decide(&ladder()).unwrap())[0], "middle");
    }

    #[test]
    fn a_caller_who_wants_quality_raises_the_threshold() {
        let threshold = Weight { value: 0.5, min: 0.2, max: 0.85 };
        let strategy = Difficulty::new(DifficultyParameters { threshold, ..parameters(0.5) }).unwrap();
        let mut ask = ladder();
        ask.preferences.quality = Some(Probability::ONE);

        assert_eq!(legs(&strategy.decide(&ask).unwrap())[0], "strong");
    }

    #[test]
    fn without_scores_the_default_model_comes_first() {
        let default_model = Some(ModelName::parse("middle").unwrap());
        let strategy = Difficulty::new(DifficultyParameters { default_model, ..parameters(0.5) }).unwrap();
        let mut ask = ladder();
        ask.unscored = Some(ScoresUnavailable::Late);

        let decision = strategy.decide(&ask).unwrap();

        assert_eq!((legs(&decision)[0], decision.reason), ("middle", Reason::ScorerUnavailable));
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let refused = |parameters| Difficulty::new(parameters).unwrap_err().to_string();

        assert!(refused(parameters(1.2)).starts_with("threshold must be a number from 0 to 1"));
        assert!(refused(parameters(f64::NAN)).starts_with("threshold"));
        assert!(refused(DifficultyParameters { caution: -1.0, ..parameters(0.5) }).starts_with("caution"));
    }

    proptest! {
        #[test]
        fn a_higher_threshold_never_makes_the_choice_worse(ask in any_ask(), low in 0.0..1.0f64, more in 0.0..1.0f64) {
            let high = low + (1.0 - low) * more;
            let quality = |decision: &Decision| decision.alternatives[0].estimate.quality.value();

            if let (Ok(low), Ok(high)) = (strategy(low).decide(&ask), strategy(high).decide(&ask)) {
                // Where both pass, the higher threshold may take a dearer model of any quality above it.
                prop_assert!(high.reason == Reason::GoodEnough || quality(&high) >= quality(&low));
                prop_assert!(high.alternatives[0].estimate.cost >= low.alternatives[0].estimate.cost
                    || high.reason == Reason::NoneGoodEnough);
            }
        }
    }
}
