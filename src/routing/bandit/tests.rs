use std::collections::BTreeMap;

use super::*;
use crate::{
    domain::ModelName,
    routing::samples::{ask, expected},
};

fn bandit(algorithm: BanditAlgorithm, exploration: f64) -> Bandit {
    Bandit::new(BanditParameters {
        constraints: Constraints::default(),
        learner: Learner { algorithm, prior_weight: 10.0, discount: 0.999 },
        width: 1.0,
        exploration,
        cost_weight: Weight::fixed(0.0),
        latency_weight: Weight::fixed(0.0),
        max_fallbacks: 2,
    })
    .unwrap()
}

/// Three models of which traffic says this.
fn three(evidence: [(f64, f64); 3]) -> Ask {
    let candidates = ["a", "b", "c"].iter().zip(evidence).map(|(name, (mean, spread))| {
        let mut candidate = expected(name, 0.5, 1_000_000, 1_000);
        candidate.evidence.traffic = Some(Observed { mean: Probability::clamped(mean), weight: 10.0, spread });
        candidate
    });
    ask(candidates.collect())
}

fn first(decision: &Decision) -> ModelName {
    decision.plan.legs().next().unwrap().model.clone()
}

/// Returns how often each model is first over many seeds, and the mean of one over the propensities.
fn drawn(bandit: &Bandit, ask: &Ask, seeds: u64) -> (BTreeMap<String, f64>, BTreeMap<String, f64>) {
    let (mut shares, mut weights) = (BTreeMap::new(), BTreeMap::new());
    for seed in 0..seeds {
        let decision = bandit.decide(&Ask { seed, ..ask.clone() }).unwrap();
        let name = first(&decision).to_string();
        *shares.entry(name.clone()).or_insert(0.0) += 1.0 / seeds as f64;
        *weights.entry(name).or_insert(0.0) += 1.0 / decision.propensity.value() / seeds as f64;
    }
    (shares, weights)
}

#[test]
fn an_upper_bound_prefers_what_is_little_known() {
    let bandit = bandit(BanditAlgorithm::Linucb, 0.0);

    let decision = bandit.decide(&three([(0.6, 0.01), (0.55, 0.2), (0.5, 0.1)])).unwrap();

    assert_eq!((first(&decision).as_str(), decision.propensity), ("b", Probability::ONE));
    assert_eq!(decision.reason, Reason::BestUtility);
}

#[test]
fn exploration_is_even_and_its_propensity_exact() {
    let bandit = bandit(BanditAlgorithm::Linucb, 0.09);
    let ask = three([(0.9, 0.01), (0.5, 0.01), (0.1, 0.01)]);

    let (shares, _) = drawn(&bandit, &ask, 4_000);
    let decisions = (0..200).map(|seed| bandit.decide(&Ask { seed, ..ask.clone() }).unwrap());

    // 0.03 each with a standard error of 0.0027 in 4,000 draws: three of them either way.
    assert!((0.022..=0.038).contains(&shares["b"]) && (0.022..=0.038).contains(&shares["c"]), "{shares:?}");
    for decision in decisions {
        let expected = if first(&decision).as_str() == "a" { 0.94 } else { 0.03 };
        assert!((decision.propensity.value() - expected).abs() < 1e-12, "{decision:?}");
    }
}

#[test]
fn propensities_of_draws_add_up_to_one_over_the_models() {
    let bandit = bandit(BanditAlgorithm::Thompson, 0.05);
    let ask = three([(0.6, 0.1), (0.55, 0.1), (0.5, 0.1)]);

    let (shares, weights) = drawn(&bandit, &ask, 1_500);

    assert!(shares["a"] > shares["b"] && shares["b"] > shares["c"], "{shares:?}");
    // The mean of [chosen = m] / propensity is 1 for every model; the error of the counts and of 512 draws stays below 0.15.
    assert!(weights.values().all(|mean| (mean - 1.0).abs() < 0.15), "{weights:?}");
}

#[test]
fn cost_counts_against_quality() {
    let mut ask = three([(0.60, 0.01), (0.58, 0.01), (0.1, 0.01)]);
    ask.candidates[0].estimate.cost = crate::domain::NanoUsd(10_000_000);
    let frugal =
        BanditParameters { cost_weight: Weight::fixed(0.1), ..bandit(BanditAlgorithm::Linucb, 0.0).parameters };

    let decision = Bandit::new(frugal).unwrap().decide(&ask).unwrap();

    assert_eq!(first(&decision).as_str(), "b");
}

#[test]
fn more_chance_than_the_cap_is_refused() {
    let parameters = BanditParameters { exploration: 0.2, ..bandit(BanditAlgorithm::Linucb, 0.0).parameters };

    let refused = Bandit::new(parameters).unwrap_err();

    assert!(matches!(refused, ParameterError::OutOfBounds { max: MAX_EXPLORATION, .. }), "{refused}");
}
