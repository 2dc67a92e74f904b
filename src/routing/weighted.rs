//! A draw by fixed weights, for canaries and for comparisons.

use std::collections::BTreeMap;

use super::{
    Constraints, ParameterError, Strategy,
    chance::uniform,
    outcome::{Ranked, decision},
    parameters::check_weight,
};
use crate::domain::{Ask, Decision, ModelName, Needs, NoRoute, Reason};

/// What [`Weighted`] needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedParameters {
    /// Shares, relative to their sum; a model that is not listed has weight 0.
    pub weights: Vec<(ModelName, f64)>,
    /// What every model must meet.
    pub constraints: Constraints,
    /// How many models stand by.
    pub max_fallbacks: usize,
}

/// Draws the order of models at random by their weights.
///
/// Every model draws a waiting time from the exponential distribution with its weight as rate, and the shortest comes first;
/// so each is first with a probability of its weight over the sum (Efraimidis and Spirakis 2006). A model's time depends on
/// the ask's seed and its own name alone: one that is rejected leaves the order of the others as it was. Models of weight 0
/// wait for ever, and so come last, in the policy's order.
#[derive(Clone, Debug)]
pub struct Weighted {
    weights: BTreeMap<ModelName, f64>,
    constraints: Constraints,
    max_fallbacks: usize,
}

impl Weighted {
    /// Returns the strategy.
    ///
    /// # Errors
    /// A weight is negative, infinite or not a number, a model has two, or none is above zero.
    pub fn new(parameters: WeightedParameters) -> Result<Self, ParameterError> {
        let mut weights = BTreeMap::new();
        for (model, weight) in parameters.weights {
            check_weight(&format!("the weight of {model}"), weight)?;
            if weights.insert(model.clone(), weight).is_some() {
                return Err(ParameterError::Twice(model.to_string()));
            }
        }
        if weights.values().all(|&weight| weight == 0.0) {
            return Err(ParameterError::NoWeight);
        }
        let WeightedParameters { constraints, max_fallbacks, .. } = parameters;
        Ok(Self { weights, constraints, max_fallbacks })
    }

    fn waiting_time(&self, model: &ModelName, seed: u64) -> f64 {
        match self.weights.get(model) {
            Some(&weight) if weight > 0.0 => -uniform(seed, model.as_str()).ln() / weight,
            _ => f64::INFINITY,
        }
    }
}

impl Strategy for Weighted {
    fn decide(&self, ask: &Ask) -> Result<Decision, NoRoute> {
        let gated = self.constraints.sift(ask)?;
        let mut drawn: Vec<_> =
            gated.fitting.iter().map(|&fit| (self.waiting_time(&fit.model.name, ask.seed), fit)).collect();
        drawn.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let order = drawn.into_iter().map(|(_, candidate)| Ranked::plain(candidate)).collect();
        decision(order, gated, Reason::Weighted, self.max_fallbacks)
    }

    fn needs(&self) -> Needs {
        Needs::NOTHING
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::samples::{ask, candidate};

    fn weighted(weights: &[(&str, f64)]) -> Result<Weighted, ParameterError> {
        let weights = weights.iter().map(|(name, weight)| (ModelName::parse(name).unwrap(), *weight)).collect();
        Weighted::new(WeightedParameters { weights, constraints: Constraints::default(), max_fallbacks: 2 })
    }

    fn first(strategy: &Weighted, ask: &Ask) -> String {
        strategy.decide(ask).unwrap().plan.legs().next().unwrap().model.to_string()
    }

    #[test]
    fn each_model_is_drawn_by_its_share() {
        let strategy = weighted(&[("a", 7.0), ("b", 3.0), ("never", 0.0)]).unwrap();
        let mut ask = ask(vec![candidate("never"), candidate("a"), candidate("b")]);

        let mut drawn = BTreeMap::<String, u32>::new();
        for seed in 0..4_000 {
            ask.seed = seed;
            *drawn.entry(first(&strategy, &ask)).or_default() += 1;
        }

        // The standard error of a share of 0.7 in 4,000 draws is 0.007: three of them either way.
        assert!((2_716..=2_884).contains(&drawn["a"]), "{drawn:?}");
        assert_eq!(drawn.get("never"), None);
    }

    #[test]
    fn a_rejected_model_leaves_the_draw_of_the_others_alone() {
        let strategy = weighted(&[("a", 1.0), ("b", 1.0), ("c", 1.0)]).unwrap();

        for seed in 0..50 {
            let mut all = ask(vec![candidate("a"), candidate("b"), candidate("c")]);
            all.seed = seed;
            let winner = first(&strategy, &all);
            let mut fewer = all.clone();
            let loser = fewer.candidates.iter().position(|other| other.model.name.as_str() != winner).unwrap();
            fewer.candidates.remove(loser);

            assert_eq!(first(&strategy, &fewer), winner);
        }
    }

    #[test]
    fn weights_that_draw_nothing_are_refused() {
        assert_eq!(weighted(&[("a", 0.0), ("b", 0.0)]).unwrap_err(), ParameterError::NoWeight);
        assert_eq!(weighted(&[]).unwrap_err(), ParameterError::NoWeight);
        assert_eq!(weighted(&[("a", 1.0), ("a", 2.0)]).unwrap_err(), ParameterError::Twice("a".into()));
        assert!(matches!(weighted(&[("a", f64::NAN)]), Err(ParameterError::BadWeight { .. })));
    }
}
