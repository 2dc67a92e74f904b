//! What holds for every strategy, on any ask.

use proptest::{prop_assert, prop_assert_eq, proptest};

use super::{
    Constraints, Explanation, Fixed, FixedParameters, Goals, Named, QualityCost, QualityCostParameters, Strategy,
    Weight, Weighted, WeightedParameters, samples::any_ask,
};
use crate::domain::{Ask, Candidate, ModelName, Tag};

fn model(index: usize) -> ModelName {
    ModelName::parse(&format!("model-{index}")).unwrap()
}

/// One of each; the policy demands what half of the generated models have.
fn every_strategy() -> [Box<dyn Strategy>; 4] {
    let constraints = || Constraints { tags: [Tag("eu".into())].into(), ..Constraints::default() };
    let weights = (0..7).map(|index| (model(index), index as f64)).collect();
    let quality_cost = QualityCostParameters {
        constraints: constraints(),
        cost_weight: Weight { value: 0.3, min: 0.1, max: 2.0 },
        latency_weight: Weight { value: 0.01, min: 0.0, max: 0.1 },
        goals: Goals { size: 0.05, recency: 0.02, verbosity: 0.01 },
        default_model: Some(model(2)),
        max_fallbacks: 2,
    };
    let weighted = WeightedParameters { weights, constraints: constraints(), max_fallbacks: 2 };
    [
        Box::new(Fixed::new(FixedParameters { model: model(1), constraints: constraints(), max_fallbacks: 2 })),
        Box::new(Weighted::new(weighted).unwrap()),
        Box::new(QualityCost::new(quality_cost).unwrap()),
        Box::new(Named),
    ]
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
        for (index, strategy) in every_strategy().iter().enumerate() {
            let Ok(decision) = strategy.decide(&ask) else { continue };
            let is_named = index == 3;
            for leg in decision.plan.legs() {
                let chosen = ask.candidates.iter().find(|candidate| candidate.model.name == leg.model).unwrap();
                prop_assert!(meets_every_wish(chosen, &ask));
                prop_assert!(is_named || chosen.model.tags.contains(&Tag("eu".into())));
                prop_assert!(is_named || chosen.model.has_tools || !ask.request.needs_tools);
            }
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
