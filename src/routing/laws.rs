//! What holds for every strategy, on any ask.

use proptest::{prop_assert, prop_assert_eq, proptest};

use std::{collections::BTreeSet, sync::Arc};

use super::{
    AgreeParameters, Agreeing, Bandit, BanditParameters, Capability, CapabilityParameters, Cascade, CascadeParameters,
    CascadeRouting, CascadeRoutingParameters, Cluster, ClusterParameters, Condition, Confidence, Constraints, CostGoal,
    Difficulty, DifficultyParameters, EnsembleParameters, Explanation, Fixed, FixedParameters, Goals, Hedging,
    HedgingParameters, Interval, Named, Nearest, NearestParameters, Outside, OutsideRule, QualityCost,
    QualityCostParameters, Rule, Rules, Span, Strategy, StrongGoal, Tasks, Topologies, TopologyParameters, Voting,
    Weight, Weighted, WeightedParameters, WinRate, WinRateParameters, agreement::samples::committee, samples::any_ask,
};
use crate::domain::{
    Ask, BanditAlgorithm, Candidate, Choosing, DeferralTest, Extractor, Learner, Leg, Member, ModelName, NanoUsd,
    Probability, Rung, Tag,
};

fn model(index: usize) -> ModelName {
    ModelName::parse(&format!("model-{index}")).unwrap()
}

/// What half of the generated models have.
fn constraints() -> Constraints {
    Constraints { tags: [Tag("eu".into())].into(), ..Constraints::default() }
}

fn fixed(index: usize) -> Fixed {
    Fixed::new(FixedParameters { model: model(index), constraints: constraints(), max_fallbacks: 2 })
}

fn quality_cost(cost: CostGoal, share: Option<f64>) -> Arc<dyn Strategy> {
    let parameters = QualityCostParameters {
        constraints: constraints(),
        cost,
        latency_weight: Weight { value: 0.01, min: 0.0, max: 0.1 },
        goals: Goals { size: 0.05, recency: 0.02, verbosity: 0.01 },
        confidence: share.and_then(|share| Confidence::new(share, Interval::Conformal)),
        least_quality: share.map(|_| Probability::clamped(0.6)),
        default_model: Some(model(2)),
        max_fallbacks: 2,
    };
    Arc::new(QualityCost::new(parameters).unwrap())
}

fn bandit(algorithm: BanditAlgorithm) -> Arc<dyn Strategy> {
    let parameters = BanditParameters {
        constraints: constraints(),
        learner: Learner { algorithm, prior_weight: 20.0, discount: 0.999 },
        width: 1.0,
        exploration: 0.1,
        cost_weight: Weight { value: 0.3, min: 0.1, max: 2.0 },
        latency_weight: Weight::fixed(0.01),
        max_fallbacks: 2,
    };
    Arc::new(Bandit::new(parameters).unwrap())
}

/// Rules: long prompts without some of the models, short ones to one model, the rest under a budget.
fn rules() -> Rules {
    let when = |min, max| Condition { characters: Span { min, max }, ..Condition::default() };
    let house: BTreeSet<ModelName> = [model(0), model(3), model(4)].into();
    let narrow = Constraints { rules: vec![("house".to_owned(), house)], ..constraints() };
    let capability = CapabilityParameters { constraints: narrow, max_fallbacks: 2, ..CapabilityParameters::default() };
    let long: Arc<dyn Strategy> = Arc::new(Capability::new(capability));
    let rule = |name: &str, when, then, is_choice| Rule { name: name.to_owned(), when, then, is_choice };
    let rules = vec![
        rule("long", when(Some(600), None), long, false),
        rule("short", when(None, Some(300)), Arc::new(fixed(3)), true),
    ];
    Rules::new(rules, quality_cost(CostGoal::Budget(NanoUsd(900_000)), None))
}

fn cascade() -> Cascade {
    let refusal = DeferralTest::Refusal { phrases: Vec::new() };
    let rung = |index| Rung {
        at_least: Some(Probability::clamped(0.4)),
        defer: vec![refusal.clone()],
        ..Rung::of(Leg { model: model(index) })
    };
    Cascade::new(CascadeParameters {
        constraints: constraints(),
        rungs: [2, 0, 3].map(rung).to_vec(),
        keeps_doubtful: true,
        max_fallbacks: 2,
    })
    .unwrap()
}

fn cascade_routing() -> CascadeRouting {
    CascadeRouting::new(CascadeRoutingParameters {
        constraints: constraints(),
        cost_weight: Weight { value: 0.3, min: 0.1, max: 2.0 },
        most_legs: 3,
        correlation: 0.5,
        evidence: Vec::new(),
        reject: Vec::new(),
        max_fallbacks: 2,
    })
    .unwrap()
}

fn agreeing() -> Agreeing {
    let names = [3, 1, 0].map(|index| model(index).to_string());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Agreeing::new(AgreeParameters {
        constraints: constraints(),
        model: Arc::new(committee(&names)),
        name: "sample".to_owned(),
        extract: Extractor::Number,
        cost_weight: Weight { value: 0.3, min: 0.1, max: 2.0 },
        latency_weight: Weight::fixed(0.01),
        max_fallbacks: 2,
    })
    .unwrap()
}

fn ensemble() -> Voting {
    let member = |index| Member { leg: Leg { model: model(index) }, weight: 1.0, temperature: None };
    Voting::new(EnsembleParameters {
        constraints: constraints(),
        members: [3, 1, 0].map(member).to_vec(),
        extract: Extractor::Number,
        choose: Choosing::Judge { leg: Leg { model: model(2) }, enough: 1.0 },
        patience_ms: None,
        max_fallbacks: 2,
    })
    .unwrap()
}

fn hedging() -> Hedging {
    let parameters = HedgingParameters { quantile: 0.95, start_ms: 1_000, share: 0.1 };
    Hedging::new(Arc::new(difficulty()), parameters).unwrap()
}

fn experts() -> Topologies {
    let tasks = Tasks::Experts { experts: 2, brief: 300, cost_weight: Weight { value: 0.3, min: 0.1, max: 2.0 } };
    Topologies::new(TopologyParameters { constraints: constraints(), tasks, max_fallbacks: 2 }).unwrap()
}

fn difficulty() -> Difficulty {
    let threshold = Weight { value: 0.6, min: 0.3, max: 0.9 };
    let default_model = Some(model(2));
    Difficulty::new(DifficultyParameters {
        constraints: constraints(),
        threshold,
        caution: 0.5,
        default_model,
        max_fallbacks: 2,
    })
    .unwrap()
}

fn preference(goal: StrongGoal) -> WinRate {
    let (strong, weak) = (model(1), model(2));
    let parameters =
        WinRateParameters { constraints: constraints(), strong, weak, goal, default_model: None, max_fallbacks: 2 };
    WinRate::new(parameters).unwrap()
}

fn cluster() -> Cluster {
    let alpha = Some(Weight { value: 0.5, min: 0.2, max: 0.9 });
    let default_model = Some(model(2));
    let parameters = ClusterParameters {
        constraints: constraints(),
        clusters: 2,
        alpha,
        shrinkage: 20.0,
        default_model,
        max_fallbacks: 2,
    };
    Cluster::new(parameters).unwrap()
}

fn nearest() -> Nearest {
    let cost_weight = Weight { value: 0.3, min: 0.1, max: 2.0 };
    let default_model = Some(model(2));
    let parameters =
        NearestParameters { constraints: constraints(), cost_weight, shrinkage: 20.0, default_model, max_fallbacks: 2 };
    Nearest::new(parameters).unwrap()
}

/// One of each, but for [`Named`], which keeps to no constraint of a policy.
fn every_strategy_of_a_policy() -> Vec<Arc<dyn Strategy>> {
    let weights = (0..7).map(|index| (model(index), index as f64)).collect();
    let weighted = WeightedParameters { weights, constraints: constraints(), max_fallbacks: 2 };
    let weight = Weight { value: 0.3, min: 0.1, max: 2.0 };
    vec![
        Arc::new(fixed(1)),
        Arc::new(Weighted::new(weighted).unwrap()),
        quality_cost(weight.into(), None),
        quality_cost(weight.into(), Some(0.9)),
        quality_cost(CostGoal::Budget(NanoUsd(900_000)), None),
        Arc::new(Capability::new(CapabilityParameters {
            constraints: constraints(),
            max_fallbacks: 2,
            ..CapabilityParameters::default()
        })),
        bandit(BanditAlgorithm::Linucb),
        bandit(BanditAlgorithm::Thompson),
        Arc::new(rules()),
        Arc::new(Outside::new(Arc::new(rules()), OutsideRule::DomainPrior)),
        Arc::new(Outside::new(quality_cost(weight.into(), None), OutsideRule::Safe(fixed(4)))),
        Arc::new(difficulty()),
        Arc::new(preference(StrongGoal::WinRate(Weight { value: 0.55, min: 0.5, max: 0.7 }))),
        Arc::new(preference(StrongGoal::Share(0.4))),
        Arc::new(cluster()),
        Arc::new(nearest()),
        Arc::new(cascade()),
        Arc::new(cascade_routing()),
        Arc::new(hedging()),
        Arc::new(experts()),
        Arc::new(ensemble()),
        Arc::new(agreeing()),
    ]
}

fn every_strategy() -> Vec<Arc<dyn Strategy>> {
    let mut all = every_strategy_of_a_policy();
    all.push(Arc::new(Named));
    all
}

fn meets_every_wish(candidate: &Candidate, ask: &Ask) -> bool {
    let wishes = &ask.preferences;
    wishes.max_cost.is_none_or(|most| candidate.estimate.cost_upper <= most)
        && wishes.max_latency.is_none_or(|most| candidate.estimate.latency <= most)
        && wishes.tags.is_subset(&candidate.model.tags)
}

proptest! {
    #[test]
    fn decide_is_pure(ask in any_ask()) {
        let recorded = serde_json::to_string(&ask).unwrap();
        let replayed: Ask = serde_json::from_str(&recorded).unwrap();

        for (strategy, same_again) in every_strategy().iter().zip(every_strategy()) {
            prop_assert_eq!(strategy.decide(&ask), same_again.decide(&replayed));
        }
    }

    #[test]
    fn no_leg_violates_a_constraint(ask in any_ask()) {
        for strategy in every_strategy() {
            let Ok(decision) = strategy.decide(&ask) else { continue };
            for leg in decision.plan.legs() {
                let chosen = ask.candidates.iter().find(|candidate| candidate.model.name == leg.model).unwrap();
                prop_assert!(meets_every_wish(chosen, &ask));
            }
        }
        for strategy in every_strategy_of_a_policy() {
            let Ok(decision) = strategy.decide(&ask) else { continue };
            for leg in decision.plan.legs() {
                let chosen = ask.candidates.iter().find(|candidate| candidate.model.name == leg.model).unwrap();
                prop_assert!(chosen.model.tags.contains(&Tag("eu".into())));
                prop_assert!(chosen.model.has_tools || !ask.request.needs_tools);
            }
        }
    }

    #[test]
    fn a_rule_that_holds_is_final(ask in any_ask()) {
        let Ok(decision) = rules().decide(&ask) else { return Ok(()) };

        if decision.rules == ["long"] {
            let house = [model(0), model(3), model(4)];
            prop_assert!(decision.plan.legs().all(|leg| house.contains(&leg.model)));
        }
        prop_assert_eq!(decision.rules.is_empty(), (301..600).contains(&ask.signals.characters));
    }

    #[test]
    fn a_decision_was_possible(ask in any_ask()) {
        for strategy in every_strategy() {
            let Ok(decision) = strategy.decide(&ask) else { continue };

            prop_assert!(decision.propensity.value() > 0.0);
        }
    }

    #[test]
    fn an_explanation_lists_every_candidate_exactly_once(ask in any_ask()) {
        let mut expected: Vec<_> = ask.candidates.iter().map(|candidate| candidate.model.name.clone()).collect();
        expected.sort();

        for strategy in every_strategy() {
            let explanation = match strategy.decide(&ask) {
                Ok(decision) => Explanation::of(&decision, &ask),
                Err(no_route) => Explanation::of_refusal(&no_route, &ask),
            };

            let mut listed: Vec<_> = explanation.candidates.iter().map(|row| row.model.clone()).collect();
            listed.sort();
            prop_assert_eq!(&listed, &expected);
            prop_assert!(explanation.candidates.iter().all(|row| row.rejected.is_none() || row.leg.is_none()));
        }
    }

    #[test]
    fn no_model_stands_twice_in_a_plan(ask in any_ask()) {
        for strategy in every_strategy() {
            let Ok(decision) = strategy.decide(&ask) else { continue };
            let legs: Vec<_> = decision.plan.legs().map(|leg| &leg.model).collect();
            let distinct: std::collections::BTreeSet<_> = legs.iter().collect();

            prop_assert_eq!(distinct.len(), legs.len());
        }
    }
}
