//! The best quality for the money: Tryage's objective.

use std::{cmp::Ordering, sync::Arc};

use jiff::civil::Date;

use super::{
    Calibrator, Confidence, Constraints, ParameterError, Strategy, Weight,
    budget::{self, Budget},
    chance::uniform,
    gates::Gated,
    outcome::{Ranked, decision},
    parameters::check_weight,
};
use crate::domain::{
    Ask, Calibrated, Candidate, Decision, Estimate, ModelFacts, ModelName, NanoUsd, Needs, NoRoute, Probability,
    Reason, Terms,
};

/// One unit of cost in the objective: a cent. On MMLU-Pro and ZeroEval nine of ten answers, over all models, cost between 0.003
/// and 1.2 of it.
const DOLLARS_PER_UNIT: f64 = 0.01;
/// Utilities that differ by less are a tie: rounding is smaller, and no prediction is that fine.
const TIE: f64 = 1e-9;
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

/// What is to be spent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CostGoal {
    /// Quality given up to save one US cent of expected cost.
    Weight(Weight),
    /// Expected cost of a request in the mean over recent requests; the weight follows from it. Callers cannot move it.
    Budget(NanoUsd),
}

impl From<Weight> for CostGoal {
    fn from(weight: Weight) -> Self {
        Self::Weight(weight)
    }
}

/// What [`QualityCost`] needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct QualityCostParameters {
    /// What every model must meet.
    pub constraints: Constraints,
    /// What is to be spent.
    pub cost: CostGoal,
    /// Quality given up to save one second of expected time to the last token.
    pub latency_weight: Weight,
    /// Further goals.
    pub goals: Goals,
    /// Judges by the quality that holds with this probability instead of the expected one.
    pub confidence: Option<Confidence>,
    /// Models whose quality, judged so, reaches this come before all others; those come with the best first, whatever they
    /// cost.
    pub least_quality: Option<Probability>,
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
/// policy's order. Fallbacks follow in the same order. With a confidence, `q_m` is a lower bound of the quality.
///
/// With a budget `w_cost` comes from recent requests ([`Calibration`](super::Calibration)), and a tie goes to the dearer
/// model with the probability that meets the budget. Before there are recent requests, and without scores, each request by
/// itself keeps to the budget: the best model that is expected to cost no more, or else the cheapest.
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
        match parameters.cost {
            CostGoal::Weight(weight) => weight.check("cost_weight")?,
            CostGoal::Budget(budget) => check_weight("budget", budget.dollars())?,
        }
        parameters.latency_weight.check("latency_weight")?;
        check_weight("goals.size", parameters.goals.size)?;
        check_weight("goals.recency", parameters.goals.recency)?;
        check_weight("goals.verbosity", parameters.goals.verbosity)?;
        Ok(Self { parameters })
    }

    fn rank<'a>(&self, ask: &Ask, gated: &Gated<'a>) -> Vec<Placed<'a>> {
        let objective = self.objective(ask, &gated.fitting);
        let mut ranked: Vec<_> = gated.fitting.iter().map(|&fit| objective.place(fit)).collect();
        // A stable sort: what is equal in everything stays in the policy's order.
        ranked.sort_by(|one, other| objective.better_first(one, other));
        if ask.unscored.is_some() {
            ranked.sort_by_key(|placed| !self.is_default(&placed.candidate.model.name));
        }
        ranked
    }

    fn is_default(&self, model: &ModelName) -> bool {
        self.parameters.default_model.as_ref() == Some(model)
    }

    fn objective(&self, ask: &Ask, fitting: &[&Candidate]) -> Objective {
        let quality = ask.preferences.quality.map(|quality| quality.value());
        Objective {
            price: self.price(ask, quality),
            latency_weight: self.parameters.latency_weight.at(quality),
            goals: self.parameters.goals,
            field: Field::of(fitting),
            confidence: self.parameters.confidence,
            least_quality: self.parameters.least_quality,
        }
    }

    fn price(&self, ask: &Ask, quality: Option<f64>) -> Price {
        match self.parameters.cost {
            CostGoal::Weight(weight) => Price::Weight(weight.at(quality)),
            CostGoal::Budget(each) => match ask.signals.calibrated.get(budget::NAME) {
                Some(&found) if ask.unscored.is_none() => Price::Found(found),
                _ => Price::Within(each),
            },
        }
    }

    /// Returns utility without cost, and cost in cents, of every model among which the cost decides.
    fn table(&self, ask: &Ask) -> Option<Vec<f64>> {
        let gated = self.parameters.constraints.sift(ask).ok()?;
        let free = Objective { price: Price::Weight(0.0), ..self.objective(ask, &gated.fitting) };
        let mut placed: Vec<_> = gated.fitting.iter().map(|&fit| free.place(fit)).collect();
        placed.sort_by(|one, other| free.better_first(one, other));
        // Where no model is good enough the best is taken whatever it costs.
        let among = placed.iter().filter(|one| one.is_good_enough).count().max(1);
        placed.truncate(among);
        Some(placed.iter().flat_map(|one| [one.terms.utility, budget::cents(one.candidate.estimate.cost)]).collect())
    }
}

impl Strategy for QualityCost {
    fn decide(&self, ask: &Ask) -> Result<Decision, NoRoute> {
        let gated = self.parameters.constraints.sift(ask)?;
        let mut ranked = self.rank(ask, &gated);
        let propensity = match self.price(ask, None) {
            Price::Found(found) => break_tie(&mut ranked, found.mix, ask.seed),
            Price::Weight(_) | Price::Within(_) => Probability::ONE,
        };
        let order = ranked.into_iter().map(|one| Ranked { candidate: one.candidate, terms: Some(one.terms) }).collect();
        let reason = if ask.unscored.is_some() { Reason::ScorerUnavailable } else { Reason::BestUtility };
        Ok(Decision { propensity, ..decision(order, gated, reason, self.parameters.max_fallbacks)? })
    }

    fn needs(&self) -> Needs {
        Needs::SCORES
    }

    fn calibrators(&self) -> Vec<Arc<dyn Calibrator>> {
        let CostGoal::Budget(each) = self.parameters.cost else { return Vec::new() };
        let same = self.clone();
        let table = Box::new(move |ask: &Ask| same.table(ask));
        vec![Arc::new(Budget { cents: budget::cents(each), table })]
    }
}

/// Puts the dearest of those that tie for the first place there with probability `mix`, else the cheapest, and returns the
/// probability of what came to pass.
fn break_tie(ranked: &mut Vec<Placed<'_>>, mix: Probability, seed: u64) -> Probability {
    let Some(best) = ranked.first().map(|first| (first.is_good_enough, first.terms.utility)) else {
        return Probability::ONE;
    };
    let ties = |one: &Placed<'_>| one.is_good_enough == best.0 && best.1 - one.terms.utility <= TIE;
    let tied = || ranked.iter().enumerate().filter(|(_, one)| ties(one));
    let cost = |&(_, one): &(usize, &Placed<'_>)| one.candidate.estimate.cost;
    let (Some((cheapest, least)), Some((dearest, most))) = (tied().min_by_key(cost), tied().max_by_key(cost)) else {
        return Probability::ONE;
    };
    if cost(&(0, least)) == cost(&(0, most)) {
        return Probability::ONE;
    }
    let takes_dearest = uniform(seed, budget::NAME) < mix.value();
    let (winner, propensity) = if takes_dearest { (dearest, mix.value()) } else { (cheapest, 1.0 - mix.value()) };
    let winner = ranked.remove(winner);
    ranked.insert(0, winner);
    Probability::clamped(propensity)
}

/// A candidate with its share of the objective.
struct Placed<'a> {
    candidate: &'a Candidate,
    terms: Terms,
    is_good_enough: bool,
}

/// How cost enters the objective.
#[derive(Clone, Copy)]
enum Price {
    /// With the policy's weight.
    Weight(f64),
    /// With the weight that recent requests found for the budget.
    Found(Calibrated),
    /// As a bound on this request.
    Within(NanoUsd),
}

/// The objective for one ask.
struct Objective {
    price: Price,
    latency_weight: f64,
    goals: Goals,
    field: Field,
    confidence: Option<Confidence>,
    least_quality: Option<Probability>,
}

impl Objective {
    fn place<'a>(&self, candidate: &'a Candidate) -> Placed<'a> {
        let terms = self.terms(candidate);
        let is_good_enough = self.least_quality.is_none_or(|least| terms.quality >= least.value());
        Placed { candidate, terms, is_good_enough }
    }

    fn better_first(&self, one: &Placed<'_>, other: &Placed<'_>) -> Ordering {
        if let (Price::Within(budget), true, true) = (self.price, one.is_good_enough, other.is_good_enough) {
            let excess = |placed: &Placed<'_>| {
                let cost = placed.candidate.estimate.cost;
                if cost > budget { cost } else { NanoUsd::ZERO }
            };
            return excess(one).cmp(&excess(other)).then_with(|| better_first(one, other));
        }
        if !one.is_good_enough && !other.is_good_enough {
            return other.terms.quality.total_cmp(&one.terms.quality).then_with(|| better_first(one, other));
        }
        other.is_good_enough.cmp(&one.is_good_enough).then_with(|| better_first(one, other))
    }

    fn terms(&self, candidate: &Candidate) -> Terms {
        let estimate = &candidate.estimate;
        let judged = self.confidence.map_or(estimate.quality, |confidence| confidence.lower_bound(estimate));
        let quality = judged.value();
        let cost = -self.cost_weight() * estimate.cost.dollars() / DOLLARS_PER_UNIT;
        let latency = -self.latency_weight * estimate.latency.as_secs_f64();
        let goals = -self.penalties(&candidate.model, estimate);
        // Adding zero turns the minus zero of an unused weight into zero.
        let [cost, latency, goals] = [cost, latency, goals].map(|term| term + 0.0);
        Terms { quality, cost, latency, goals, utility: quality + cost + latency + goals }
    }

    fn cost_weight(&self) -> f64 {
        match self.price {
            Price::Weight(weight) => weight,
            Price::Found(found) => found.value,
            Price::Within(_) => 0.0,
        }
    }

    fn penalties(&self, model: &ModelFacts, estimate: &Estimate) -> f64 {
        self.goals.size * self.field.relative_size(model)
            + self.goals.recency * self.field.years_behind(model)
            + self.goals.verbosity * estimate.output_tokens / TOKENS_PER_UNIT
    }
}

fn better_first(one: &Placed<'_>, other: &Placed<'_>) -> Ordering {
    let (one_estimate, other_estimate): (&Estimate, &Estimate) = (&one.candidate.estimate, &other.candidate.estimate);
    other
        .terms
        .utility
        .total_cmp(&one.terms.utility)
        .then(one_estimate.cost.cmp(&other_estimate.cost))
        .then(one_estimate.latency.cmp(&other_estimate.latency))
        .then(other_estimate.quality.value().total_cmp(&one_estimate.quality.value()))
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
            cost: Weight::fixed(cost).into(),
            latency_weight: Weight::fixed(latency),
            goals: Goals::default(),
            confidence: None,
            least_quality: None,
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
        let cost = Weight { value: 0.17, min: 0.05, max: 1.0 }.into();
        let strategy = QualityCost::new(QualityCostParameters { cost, ..parameters(0.0, 0.0) }).unwrap();
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

    fn with_budget(nanos: u64) -> QualityCost {
        QualityCost::new(QualityCostParameters { cost: CostGoal::Budget(NanoUsd(nanos)), ..parameters(0.0, 0.0) })
            .unwrap()
    }

    /// Learns from the asks as the gateway does and returns the mean cost of the choices that follow, over many seeds.
    fn mean_cost(strategy: &QualityCost, asks: &[Ask]) -> f64 {
        let calibrator = strategy.calibrators().remove(0);
        let rows: Vec<Vec<f64>> = asks.iter().filter_map(|ask| calibrator.row(ask)).collect();
        let number = calibrator.fit(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
        let mut costs = Vec::new();
        for seed in 0..200 {
            for ask in asks {
                let mut ask = Ask { seed, ..ask.clone() };
                ask.signals.calibrated.insert(budget::NAME.to_owned(), number);
                costs.extend(strategy.decide(&ask).map(|decision| cost_of_choice(&decision) as f64));
            }
        }
        costs.iter().sum::<f64>() / costs.len() as f64
    }

    #[test]
    fn a_budget_is_met_in_the_mean_by_paying_where_it_pays_most() {
        let asked = |better: f64| ask(vec![expected("strong", 0.5 + better, 100, 10), expected("weak", 0.5, 20, 10)]);
        let asks: Vec<Ask> = (0..40).map(|index| asked(f64::from(index) / 100.0)).collect();

        // Half of the way from 20 to 100, so half of the requests.
        let mean = mean_cost(&with_budget(60), &asks);
        assert!((mean - 60.0).abs() < 1.0, "{mean}");
        let calibrator = with_budget(60).calibrators().remove(0);
        let rows: Vec<Vec<f64>> = asks.iter().filter_map(|ask| calibrator.row(ask)).collect();
        let number = calibrator.fit(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
        let first_of = |better: f64| {
            let mut ask = asked(better);
            ask.signals.calibrated.insert(budget::NAME.to_owned(), number);
            legs(&with_budget(60).decide(&ask).unwrap())[0].to_owned()
        };
        assert_eq!((first_of(0.1).as_str(), first_of(0.3).as_str()), ("weak", "strong"));
    }

    #[test]
    fn a_tie_at_the_budget_is_drawn_and_its_chance_recorded() {
        let mut ask = ask(vec![expected("strong", 0.9, 100, 10), expected("weak", 0.5, 20, 10)]);
        let calibrator = with_budget(40).calibrators().remove(0);
        let row = calibrator.row(&ask).unwrap();
        let number = calibrator.fit(&[&row]).unwrap();
        ask.signals.calibrated.insert(budget::NAME.to_owned(), number);

        let mut strong = 0;
        for seed in 0..2_000 {
            ask.seed = seed;
            let decision = with_budget(40).decide(&ask).unwrap();
            let is_strong = legs(&decision)[0] == "strong";
            strong += u32::from(is_strong);
            let chance = if is_strong { 0.25 } else { 0.75 };
            assert!((decision.propensity.value() - chance).abs() < 1e-9);
        }

        // The standard error of a share of 0.25 in 2,000 draws is 0.0097: three of them either way.
        assert!((442..=558).contains(&strong), "{strong}");
    }

    #[test]
    fn before_there_is_traffic_each_request_keeps_to_the_budget_by_itself() {
        let within =
            ask(vec![expected("dear", 0.9, 50, 10), expected("fair", 0.7, 30, 10), expected("poor", 0.4, 5, 10)]);
        let beyond = ask(vec![expected("dear", 0.9, 500, 10), expected("less", 0.7, 300, 10)]);

        assert_eq!(legs(&with_budget(40).decide(&within).unwrap()), ["fair", "poor", "dear"]);
        assert_eq!(legs(&with_budget(40).decide(&beyond).unwrap()), ["less", "dear"]);
    }

    #[test]
    fn with_a_confidence_an_unsure_model_counts_for_less() {
        let mut ask = ask(vec![expected("unsure", 0.8, 10, 10), expected("sure", 0.75, 10, 10)]);
        (ask.candidates[0].estimate.spread, ask.candidates[1].estimate.spread) = (0.2, 0.02);
        let judge = |confidence| {
            let parameters = QualityCostParameters { confidence, ..parameters(0.0, 0.0) };
            legs(&QualityCost::new(parameters).unwrap().decide(&ask).unwrap())[0].to_owned()
        };

        assert_eq!(judge(None), "unsure");
        assert_eq!(judge(Confidence::new(0.9)), "sure");
    }

    #[test]
    fn the_cheapest_that_is_good_enough_comes_first_and_else_the_best() {
        let ask =
            ask(vec![expected("best", 0.9, 100, 10), expected("good", 0.8, 20, 10), expected("poor", 0.4, 1, 10)]);
        let judge = |least: f64| {
            let least_quality = Some(Probability::clamped(least));
            let parameters = QualityCostParameters { least_quality, ..parameters(1e9, 0.0) };
            let decision = QualityCost::new(parameters).unwrap().decide(&ask).unwrap();
            legs(&decision).iter().map(ToString::to_string).collect::<Vec<_>>()
        };

        assert_eq!(judge(0.7), ["good", "best", "poor"]);
        assert_eq!(judge(0.95), ["best", "good", "poor"]);
        assert_eq!(judge(0.1), ["poor", "good", "best"]);
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
        // Every case decides ten thousand times.
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(12))]

        #[test]
        fn no_budget_is_exceeded_in_the_mean(asks in proptest::collection::vec(any_ask(), 32..40), nanos in 0..3_000_000u64) {
            let asks: Vec<Ask> = asks.into_iter().map(|ask| Ask { signals: Default::default(), ..ask }).collect();
            let cheapest = mean_cost(&with_budget(0), &asks);

            let mean = mean_cost(&with_budget(nanos), &asks);

            // One tie is drawn 200 times for two models that are at most 3,000,000 apart.
            let drawn = 3.0 * 3e6 / 2.0 / 200f64.sqrt() / asks.len() as f64;
            prop_assert!(mean <= cheapest.max(nanos as f64) + drawn, "{} {} {}", mean, cheapest, nanos);
        }
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
