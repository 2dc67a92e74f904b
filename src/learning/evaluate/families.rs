//! The strategies of the gateway, each at many settings: the operating points of its curve.

use super::outcomes::Outcomes;
use crate::{
    domain::Ask,
    routing::{Constraints, Goals, ParameterError, QualityCost, QualityCostParameters, Strategy, Weight},
};

/// A strategy at many settings.
pub struct Family {
    /// The strategy's name in policies.
    pub name: &'static str,
    /// Strategies that differ in one setting. The first one has no regard for cost.
    pub points: Vec<Box<dyn Strategy>>,
    /// Whether it weighs the predicted qualities of all candidates, rather than comparing one number with a threshold.
    pub weighs_quality: bool,
    /// The setting of the policy that the program ships as `default`, if it is of this strategy.
    pub shipped: Option<Box<dyn Strategy>>,
}

/// Steps of a geometric grid of weights between all of quality and all of cost.
pub const STEPS: usize = 60;

/// `cost.weight` in `config/policies/default.yaml`, per US cent.
pub const SHIPPED_COST_WEIGHT: f64 = 0.04;

/// Returns the weights per unit of cost at which quality and cost are weighed: 0, then a geometric grid that is wide enough for
/// all of quality to be worth nothing, and all of cost. `mean` is the mean cost.
pub fn weights(mean: f64) -> Vec<f64> {
    if mean <= 0.0 {
        return vec![0.0];
    }
    let weight = |step: usize| 1e-4 / mean * 1e8_f64.powf(step as f64 / STEPS as f64);
    std::iter::once(0.0).chain((1..=STEPS).map(weight)).collect()
}

/// Returns every strategy that can be measured on the outcomes of prompts.
///
/// # Errors
/// A setting is refused.
pub fn families(_outcomes: &Outcomes, asks: &[Ask]) -> Result<Vec<Family>, ParameterError> {
    Ok(vec![quality_cost(asks)?])
}

fn quality_cost(asks: &[Ask]) -> Result<Family, ParameterError> {
    let costs = asks.iter().flat_map(|ask| &ask.candidates).map(|candidate| candidate.estimate.cost.dollars() * 100.0);
    let mean = costs.clone().sum::<f64>() / costs.count().max(1) as f64;
    let strategy = |weight: f64| -> Result<Box<dyn Strategy>, ParameterError> {
        Ok(Box::new(QualityCost::new(QualityCostParameters {
            constraints: Constraints::default(),
            cost: Weight::fixed(weight).into(),
            latency_weight: Weight::fixed(0.0),
            goals: Goals::default(),
            confidence: None,
            least_quality: None,
            default_model: None,
            max_fallbacks: 0,
        })?))
    };
    let points: Result<Vec<_>, _> = weights(mean).into_iter().map(strategy).collect();
    Ok(Family {
        name: "quality_cost",
        points: points?,
        weighs_quality: true,
        shipped: Some(strategy(SHIPPED_COST_WEIGHT)?),
    })
}
