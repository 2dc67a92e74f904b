use std::sync::Arc;

use jiff::civil::date;
use proptest::{prop_assert, proptest};

use super::*;
use crate::{
    domain::{Probability, ScoresUnavailable, Tail},
    routing::{
        Interval,
        samples::{any_ask, ask, expected},
    },
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
    let ask = ask(vec![expected("dear", 0.5, 20, 10), expected("first", 0.5, 10, 10), expected("next", 0.5, 10, 10)]);

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
    QualityCost::new(QualityCostParameters { cost: CostGoal::Budget(NanoUsd(nanos)), ..parameters(0.0, 0.0) }).unwrap()
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
    let within = ask(vec![expected("dear", 0.9, 50, 10), expected("fair", 0.7, 30, 10), expected("poor", 0.4, 5, 10)]);
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
    assert_eq!(judge(Confidence::new(0.9, Interval::Normal)), "sure");
}

#[test]
fn a_conformal_confidence_asks_for_its_share_and_judges_by_what_the_artifact_says_of_it() {
    let mut ask = ask(vec![expected("unsure", 0.8, 10, 10), expected("sure", 0.75, 10, 10)]);
    (ask.candidates[0].estimate.spread, ask.candidates[1].estimate.spread) = (0.2, 0.02);
    let confidence = Confidence::new(0.9, Interval::Conformal);
    let strategy = QualityCost::new(QualityCostParameters { confidence, ..parameters(0.0, 0.0) }).unwrap();
    let judge = |ask: &Ask| legs(&strategy.decide(ask).unwrap())[0].to_owned();

    let normal = judge(&ask);
    ask.signals.tails = vec![Tail { share: 0.9, factor: 0.1 }];

    assert_eq!(strategy.shares(), [0.9]);
    assert_eq!((normal.as_str(), judge(&ask).as_str()), ("sure", "unsure"), "errors here are smaller than stated");
}

#[test]
fn the_cheapest_that_is_good_enough_comes_first_and_else_the_best() {
    let ask = ask(vec![expected("best", 0.9, 100, 10), expected("good", 0.8, 20, 10), expected("poor", 0.4, 1, 10)]);
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
