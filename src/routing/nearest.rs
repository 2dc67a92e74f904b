//! The model that did best on the prompts nearest to this one: k nearest neighbours.

use std::cmp::Ordering;

use super::{
    Constraints, ParameterError, Strategy, Weight,
    evidence::{is_default, quality, reason},
    outcome::{Ranked, decision},
    parameters::check_weight,
};
use crate::domain::{Ask, Candidate, Decision, ModelName, Needs, NoRoute, Terms};

/// US dollars of one unit of cost in the objective: a cent.
const DOLLARS_PER_UNIT: f64 = 0.01;

/// What [`Nearest`] needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct NearestParameters {
    /// What every model must meet.
    pub constraints: Constraints,
    /// Quality given up to save one US cent of expected cost; a caller's `quality` lowers it towards `min`.
    pub cost_weight: Weight,
    /// Graded prompts that the model's mean over all data is worth: n0.
    pub shrinkage: f64,
    /// The model that is tried first when there are no scores; `None` takes the best by the priors.
    pub default_model: Option<ModelName>,
    /// How many models stand by.
    pub max_fallbacks: usize,
}

/// Chooses the greatest `q_m - w_cost * cents_m`, where the quality is the mean grade of the nearest training prompts, weighted
/// by their closeness and shrunk to the model's mean over all training data:
///
/// ```text
/// q_m = (sum of a_i s_im + n0 mu_m) / (sum of a_i + n0)
/// ```
///
/// (kNN routing as in RouterBench, arXiv 2403.12031; the shrinkage is ours.) A model without graded neighbours so counts with its
/// mean, one that the evidence does not know with its predicted quality, and so do all models of a router artifact without
/// evidence; the reason tells it. Equal utility: the cheaper, then the policy's order.
#[derive(Clone, Debug)]
pub struct Nearest {
    parameters: NearestParameters,
}

impl Nearest {
    /// Returns the strategy.
    ///
    /// # Errors
    /// A weight is negative, infinite or not a number, or lies outside its bounds.
    pub fn new(parameters: NearestParameters) -> Result<Self, ParameterError> {
        parameters.cost_weight.check("cost_weight")?;
        check_weight("shrinkage", parameters.shrinkage)?;
        Ok(Self { parameters })
    }

    fn terms(&self, candidate: &Candidate, cost_weight: f64) -> Terms {
        let quality = quality(candidate, candidate.evidence.neighbours.as_ref(), self.parameters.shrinkage);
        // Adding zero turns the minus zero of an unused weight into zero.
        let cost = -cost_weight * candidate.estimate.cost.dollars() / DOLLARS_PER_UNIT + 0.0;
        Terms { quality, cost, utility: quality + cost, ..Terms::default() }
    }
}

impl Strategy for Nearest {
    fn decide(&self, ask: &Ask) -> Result<Decision, NoRoute> {
        let gated = self.parameters.constraints.sift(ask)?;
        let cost_weight = self.parameters.cost_weight.at(ask.preferences.quality.map(|quality| quality.value()));
        let mut scored: Vec<(&Candidate, Terms)> =
            gated.fitting.iter().map(|&fit| (fit, self.terms(fit, cost_weight))).collect();
        scored.sort_by(better_first);
        scored.sort_by_key(|(candidate, _)| !is_default(ask, candidate, self.parameters.default_model.as_ref()));
        let has_evidence = scored.iter().any(|(candidate, _)| candidate.evidence.neighbours.is_some());
        let order = scored.into_iter().map(|(candidate, terms)| Ranked { candidate, terms: Some(terms) }).collect();
        decision(order, gated, reason(ask, has_evidence), self.parameters.max_fallbacks)
    }

    fn needs(&self) -> Needs {
        Needs { neighbours: true, ..Needs::SCORES }
    }
}

fn better_first((one, one_terms): &(&Candidate, Terms), (other, other_terms): &(&Candidate, Terms)) -> Ordering {
    other_terms.utility.total_cmp(&one_terms.utility).then(one.estimate.cost.cmp(&other.estimate.cost))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Observed, Probability, Reason, ScoresUnavailable},
        routing::samples::{ask, expected},
    };

    fn parameters(cost: f64, shrinkage: f64) -> NearestParameters {
        NearestParameters {
            constraints: Constraints::default(),
            cost_weight: Weight::fixed(cost),
            shrinkage,
            default_model: None,
            max_fallbacks: 2,
        }
    }

    fn strategy(cost: f64, shrinkage: f64) -> Nearest {
        Nearest::new(parameters(cost, shrinkage)).unwrap()
    }

    /// A model with this mean over all data and these grades nearby.
    fn graded(name: &str, cost: u64, overall: f64, (mean, weight): (f64, f64)) -> Candidate {
        let mut candidate = expected(name, 0.5, cost, 1_000);
        candidate.evidence.overall = Some(Probability::clamped(overall));
        candidate.evidence.neighbours = Some(Observed { mean: Probability::clamped(mean), weight, spread: 0.1 });
        candidate
    }

    fn neighbourhood() -> Ask {
        ask(vec![
            graded("steady", 20_000_000, 0.8, (0.8, 30.0)),
            graded("lucky", 1_000_000, 0.4, (1.0, 5.0)),
            graded("unheard", 1_000_000, 0.7, (0.5, 0.0)),
        ])
    }

    fn legs(decision: &Decision) -> Vec<&str> {
        decision.plan.legs().map(|leg| leg.model.as_str()).collect()
    }

    #[test]
    fn few_lucky_grades_do_not_outweigh_a_model_s_mean() {
        let believing = strategy(0.0, 0.0).decide(&neighbourhood()).unwrap();
        let shrinking = strategy(0.0, 20.0).decide(&neighbourhood()).unwrap();

        assert_eq!(legs(&believing), ["lucky", "steady", "unheard"]);
        assert_eq!(legs(&shrinking), ["steady", "unheard", "lucky"]);
        let lucky = shrinking.alternatives[2].terms.unwrap().quality;
        assert!((lucky - (5.0 + 20.0 * 0.4) / 25.0).abs() < 1e-12, "{lucky}");
    }

    #[test]
    fn a_cent_has_its_price() {
        // The steady model is better than the unheard one by 0.1 and dearer by 1.9 cents.
        assert_eq!(legs(&strategy(0.06, 20.0).decide(&neighbourhood()).unwrap())[0], "unheard");
        assert_eq!(legs(&strategy(0.05, 20.0).decide(&neighbourhood()).unwrap())[0], "steady");
    }

    #[test]
    fn without_evidence_predictions_count_and_the_reason_tells() {
        let ask = ask(vec![expected("fair", 0.6, 1, 1), expected("good", 0.9, 1, 1)]);

        let decision = strategy(0.0, 20.0).decide(&ask).unwrap();

        assert_eq!((legs(&decision)[0], decision.reason), ("good", Reason::EvidenceMissing));
    }

    #[test]
    fn without_scores_the_default_model_comes_first() {
        let default_model = Some(ModelName::parse("lucky").unwrap());
        let strategy = Nearest::new(NearestParameters { default_model, ..parameters(0.0, 20.0) }).unwrap();
        let ask = Ask { unscored: Some(ScoresUnavailable::Late), ..neighbourhood() };

        let decision = strategy.decide(&ask).unwrap();

        assert_eq!((legs(&decision)[0], decision.reason), ("lucky", Reason::ScorerUnavailable));
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let refused = |parameters| Nearest::new(parameters).unwrap_err().to_string();

        assert!(refused(parameters(-1.0, 20.0)).starts_with("cost_weight"));
        assert!(refused(parameters(0.0, f64::INFINITY)).starts_with("shrinkage"));
    }
}
