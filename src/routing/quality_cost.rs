//! The best quality for the money: Tryage's objective.

use std::cmp::Ordering;

use jiff::civil::Date;

use super::{
    Constraints, ParameterError, Strategy, Weight,
    gates::Gated,
    outcome::{Ranked, decision},
    parameters::check_weight,
};
use crate::domain::{Ask, Candidate, Decision, Estimate, ModelFacts, ModelName, Needs, NoRoute, Reason, Terms};

/// One unit of cost in the objective: a cent. On MMLU-Pro and ZeroEval nine of ten answers, over all models, cost between 0.003
/// and 1.2 of it.
const DOLLARS_PER_UNIT: f64 = 0.01;
/// One unit of verbosity in the objective.
const TOKENS_PER_UNIT: f64 = 1_000.0;
const DAYS_PER_YEAR: f64 = 365.25;

/// Weights of further goals; each is a penalty and 0 turns it off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Goals {
    /// Quality given up for not having to use the largest fitting candidate: parameters relative to the largest known size
    /// among the fitting candidates. An unknown size counts as the largest.
    pub size: f64,
    /// Quality given up per year by which a model is older than the newest fitting candidate. An unknown date counts as the
    /// oldest known one.
    pub recency: f64,
    /// Quality given up per thousand expected tokens of answer.
    pub verbosity: f64,
}

/// What [`QualityCost`] needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct QualityCostParameters {
    /// What every model must meet.
    pub constraints: Constraints,
    /// Quality given up to save one US cent of expected cost.
    pub cost_weight: Weight,
    /// Quality given up to save one second of expected time to the last token.
    pub latency_weight: Weight,
    /// Further goals.
    pub goals: Goals,
    /// The model that is tried first when there are no scores; `None` leaves that to the objective over the priors.
    pub default_model: Option<ModelName>,
    /// How many models stand by.
    pub max_fallbacks: usize,
}

/// Chooses the candidate of the greatest utility:
///
/// ```text
/// u_m = q_m - w_cost * cents_m - w_latency * seconds_m
///           - (w_size * size_m + w_recency * years_behind_m + w_verbosity * thousand_tokens_m)
/// ```
///
/// (Tryage, arXiv 2308.11601, whose user flags are the further goals here.) The units are absolute, so that a candidate
/// that comes or goes does not turn the order of the others around. A caller's `quality` moves `w_cost` and `w_latency`
/// between the policy's bounds ([`Weight::at`]). Equal utility: the cheaper, then the faster, then the better, then the
/// policy's order. Fallbacks follow in the same order.
#[derive(Clone, Debug)]
pub struct QualityCost {
    parameters: QualityCostParameters,
}

impl QualityCost {
    /// Returns the strategy.
    ///
    /// # Errors
    /// A weight is negative, infinite or not a number, or lies outside its bounds.
    pub fn new(parameters: QualityCostParameters) -> Result<Self, ParameterError> {
        parameters.cost_weight.check("cost_weight")?;
        parameters.latency_weight.check("latency_weight")?;
        check_weight("goals.size", parameters.goals.size)?;
        check_weight("goals.recency", parameters.goals.recency)?;
        check_weight("goals.verbosity", parameters.goals.verbosity)?;
        Ok(Self { parameters })
    }

    fn rank<'a>(&self, ask: &Ask, gated: &Gated<'a>) -> Vec<(Terms, &'a Candidate)> {
        let objective = self.objective(ask, &gated.fitting);
        let mut ranked: Vec<_> = gated.fitting.iter().map(|&fit| (objective.terms(fit), fit)).collect();
        // A stable sort: what is equal in everything stays in the policy's order.
        ranked.sort_by(better_first);
        if ask.unscored.is_some() {
            ranked.sort_by_key(|(_, candidate)| !self.is_default(&candidate.model.name));
        }
        ranked
    }

    fn is_default(&self, model: &ModelName) -> bool {
        self.parameters.default_model.as_ref() == Some(model)
    }

    fn objective(&self, ask: &Ask, fitting: &[&Candidate]) -> Objective {
        let quality = ask.preferences.quality.map(|quality| quality.value());
        Objective {
            cost_weight: self.parameters.cost_weight.at(quality),
            latency_weight: self.parameters.latency_weight.at(quality),
            goals: self.parameters.goals,
            field: Field::of(fitting),
        }
    }
}

impl Strategy for QualityCost {
    fn decide(&self, ask: &Ask) -> Result<Decision, NoRoute> {
        let gated = self.parameters.constraints.sift(ask)?;
        let ranked = self.rank(ask, &gated);
        let order = ranked.into_iter().map(|(terms, candidate)| Ranked { candidate, terms: Some(terms) }).collect();
        let reason = if ask.unscored.is_some() { Reason::ScorerUnavailable } else { Reason::BestUtility };
        decision(order, gated, reason, self.parameters.max_fallbacks)
    }

    fn needs(&self) -> Needs {
        Needs::SCORES
    }
}

fn better_first((one_terms, one): &(Terms, &Candidate), (other_terms, other): &(Terms, &Candidate)) -> Ordering {
    let (one, other): (&Estimate, &Estimate) = (&one.estimate, &other.estimate);
    other_terms
        .utility
        .total_cmp(&one_terms.utility)
        .then(one.cost.cmp(&other.cost))
        .then(one.latency.cmp(&other.latency))
        .then(other.quality.value().total_cmp(&one.quality.value()))
}

/// The objective for one ask.
struct Objective {
    cost_weight: f64,
    latency_weight: f64,
    goals: Goals,
    field: Field,
}

impl Objective {
    fn terms(&self, candidate: &Candidate) -> Terms {
        let estimate = &candidate.estimate;
        let quality = estimate.quality.value();
        let cost = -self.cost_weight * estimate.cost.dollars() / DOLLARS_PER_UNIT;
        let latency = -self.latency_weight * estimate.latency.as_secs_f64();
        let goals = -self.penalties(&candidate.model, estimate);
        // Adding zero turns the minus zero of an unused weight into zero.
        let [cost, latency, goals] = [cost, latency, goals].map(|term| term + 0.0);
        Terms { quality, cost, latency, goals, utility: quality + cost + latency + goals }
    }

    fn penalties(&self, model: &ModelFacts, estimate: &Estimate) -> f64 {
        self.goals.size * self.field.relative_size(model)
            + self.goals.recency * self.field.years_behind(model)
            + self.goals.verbosity * estimate.output_tokens / TOKENS_PER_UNIT
    }
}

/// What the fitting candidates have in common as a yardstick.
struct Field {
    largest_b: Option<f64>,
    newest: Option<Date>,
    oldest: Option<Date>,
}

impl Field {
    fn of(fitting: &[&Candidate]) -> Self {
        let dates = || fitting.iter().filter_map(|fit| fit.model.released);
        let sizes = fitting.iter().filter_map(|fit| fit.model.parameters_b).filter(|size| *size > 0.0);
        Self { largest_b: sizes.max_by(f64::total_cmp), newest: dates().max(), oldest: dates().min() }
    }

    fn relative_size(&self, model: &ModelFacts) -> f64 {
        match (model.parameters_b, self.largest_b) {
            (Some(size), Some(largest)) => (size / largest).clamp(0.0, 1.0),
            _ => 1.0,
        }
    }

    fn years_behind(&self, model: &ModelFacts) -> f64 {
        match (model.released.or(self.oldest), self.newest) {
            (Some(released), Some(newest)) => f64::from((newest - released).get_days()) / DAYS_PER_YEAR,
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::civil::date;
    use proptest::{prop_assert, proptest};

    use super::*;
    use crate::{
        domain::{Probability, ScoresUnavailable},
        routing::samples::{any_ask, ask, expected},
    };

    fn parameters(cost: f64, latency: f64) -> QualityCostParameters {
        QualityCostParameters {
            constraints: Constraints::default(),
            cost_weight: Weight::fixed(cost),
            latency_weight: Weight::fixed(latency),
            goals: Goals::default(),
            default_model: None,
            max_fallbacks: 2,
        }
    }

    fn strategy(cost: f64, latency: f64) -> QualityCost {
        QualityCost::new(parameters(cost, latency)).unwrap()
    }

    fn legs(decision: &Decision) -> Vec<&str> {
        decision.plan.legs().map(|leg| leg.model.as_str()).collect()
    }

    fn strong_and_weak() -> Ask {
        // 2 cents and 0.1 cents.
        ask(vec![expected("strong", 0.9, 20_000_000, 8_000), expected("weak", 0.6, 1_000_000, 1_000)])
    }

    #[test]
    fn the_weight_of_a_cent_decides_between_strong_and_weak() {
        // The strong model is better by 0.3 and dearer by 1.9 cents: they break even at a weight of 0.158.
        let saving = strategy(0.17, 0.0).decide(&strong_and_weak()).unwrap();
        let spending = strategy(0.14, 0.0).decide(&strong_and_weak()).unwrap();

        assert_eq!(legs(&saving), ["weak", "strong"]);
        assert_eq!(legs(&spending), ["strong", "weak"]);
    }

    #[test]
    fn a_caller_moves_the_choice_within_the_policy_s_bounds() {
        let cost_weight = Weight { value: 0.17, min: 0.05, max: 1.0 };
        let strategy = QualityCost::new(QualityCostParameters { cost_weight, ..parameters(0.0, 0.0) }).unwrap();
        let mut ask = strong_and_weak();
        ask.preferences.quality = Some(Probability::clamped(1.0));

        let decision = strategy.decide(&ask).unwrap();

        assert_eq!(legs(&decision), ["strong", "weak"]);
        let terms = decision.alternatives[0].terms.unwrap();
        assert!((terms.utility - (0.9 - 0.05 * 2.0)).abs() < 1e-12);
    }

    #[test]
    fn a_second_of_waiting_has_its_price() {
        let decision = strategy(0.0, 0.05).decide(&strong_and_weak()).unwrap();

        assert_eq!(legs(&decision), ["weak", "strong"]);
    }

    #[test]
    fn equal_utility_goes_to_the_cheaper_then_to_the_first() {
        let ask =
            ask(vec![expected("dear", 0.5, 20, 10), expected("first", 0.5, 10, 10), expected("next", 0.5, 10, 10)]);

        let decision = strategy(0.0, 0.0).decide(&ask).unwrap();

        assert_eq!(legs(&decision), ["first", "next", "dear"]);
    }

    #[test]
    fn without_scores_the_default_model_comes_first() {
        let default_model = Some(ModelName::parse("weak").unwrap());
        let strategy = QualityCost::new(QualityCostParameters { default_model, ..parameters(0.0, 0.0) }).unwrap();
        let mut ask = strong_and_weak();
        ask.unscored = Some(ScoresUnavailable::Late);

        let decision = strategy.decide(&ask).unwrap();

        assert_eq!(decision.reason, Reason::ScorerUnavailable);
        assert_eq!(legs(&decision), ["weak", "strong"]);
    }

    #[test]
    fn small_recent_and_terse_models_can_be_goals() {
        let with = |goals| QualityCost::new(QualityCostParameters { goals, ..parameters(0.0, 0.0) }).unwrap();
        let mut ask = ask(vec![expected("old", 0.6, 10, 10), expected("new", 0.5, 10, 10)]);
        let describe = |ask: &mut Ask, index: usize, size, released, tokens| {
            let candidate: &mut Candidate = &mut ask.candidates[index];
            let facts = Arc::make_mut(&mut candidate.model);
            (facts.parameters_b, facts.released) = (Some(size), Some(released));
            candidate.estimate.output_tokens = tokens;
        };
        describe(&mut ask, 0, 70.0, date(2024, 1, 1), 900.0);
        describe(&mut ask, 1, 7.0, date(2026, 1, 1), 100.0);

        let choose = |goals| legs(&with(goals).decide(&ask).unwrap())[0].to_owned();

        assert_eq!(choose(Goals::default()), "old");
        assert_eq!(choose(Goals { size: 0.2, ..Goals::default() }), "new");
        assert_eq!(choose(Goals { recency: 0.06, ..Goals::default() }), "new");
        assert_eq!(choose(Goals { verbosity: 0.2, ..Goals::default() }), "new");
    }

    #[test]
    fn nonsense_weights_are_refused() {
        let goals = Goals { recency: -0.1, ..Goals::default() };

        let refused = QualityCost::new(QualityCostParameters { goals, ..parameters(0.0, 0.0) });

        assert!(matches!(refused, Err(ParameterError::BadWeight { name, .. }) if name == "goals.recency"));
        assert!(QualityCost::new(parameters(f64::INFINITY, 0.0)).is_err());
    }

    fn cost_of_choice(decision: &Decision) -> u64 {
        decision.alternatives[0].estimate.cost.0
    }

    proptest! {
        #[test]
        fn a_dearer_cent_never_makes_the_choice_dearer(ask in any_ask(), cost in 0..200u32, more in 1..200u32) {
            let (low, high) = (f64::from(cost) / 100.0, f64::from(cost + more) / 100.0);

            let (before, after) = (strategy(low, 0.01).decide(&ask), strategy(high, 0.01).decide(&ask));

            if let (Ok(before), Ok(after)) = (before, after) {
                prop_assert!(cost_of_choice(&after) <= cost_of_choice(&before));
            }
        }

        #[test]
        fn the_choice_is_on_the_front(ask in any_ask(), cost in 0.0..2.0f64, latency in 0.0..0.2f64) {
            if let Ok(decision) = strategy(cost, latency).decide(&ask) {
                prop_assert!(decision.alternatives[0].is_on_front);
            }
        }
    }
}
