//! Strategies whose choices follow from earlier traffic, and those that look at no prediction.

use std::sync::Arc;

use super::{Built, Family, SHRINKAGE, mean_cents, weights, with_cost};
use crate::{
    domain::{Ask, BanditAlgorithm, Learner, NanoUsd},
    routing::{
        Bandit, BanditParameters, Capability, CapabilityParameters, Constraints, CostGoal, ParameterError, Preference,
        Strategy, Weight,
    },
};

/// Budgets between the cheapest model for everything and the dearest: what a weight of cost is found for.
const BUDGETS: usize = 16;
/// Every so many of the weights of cost; bandits learn anew at each.
const BANDIT_STRIDE: usize = 6;
/// Orders of the prompts that a bandit is measured on.
const ORDERS: u64 = 3;

/// A budget per request in the mean instead of a weight.
pub(super) fn budget(asks: &[Ask]) -> Result<Family, ParameterError> {
    let (least, most) = range(asks);
    let strategy = |step: usize| -> Built {
        let dollars = least * (most / least).powf(step as f64 / (BUDGETS - 1) as f64);
        with_cost(CostGoal::Budget(NanoUsd::from_dollars(dollars)))
    };
    let points: Result<Vec<_>, _> = (0..BUDGETS).rev().map(strategy).collect();
    Ok(Family {
        name: "quality_cost, budget".to_owned(),
        points: points?,
        weighs_quality: false,
        shipped: None,
        orders: 1,
        among: None,
    })
}

/// Returns the mean costs in USD of the cheapest and of the dearest model.
fn range(asks: &[Ask]) -> (f64, f64) {
    let models = asks.first().map_or(0, |ask| ask.candidates.len());
    let cost = |ask: &Ask, model: usize| ask.candidates.get(model).map_or(0.0, |one| one.estimate.cost.dollars());
    let mean = |model: usize| asks.iter().map(|ask| cost(ask, model)).sum::<f64>() / asks.len().max(1) as f64;
    let means = || (0..models).map(mean);
    let least = means().fold(f64::INFINITY, f64::min).clamp(1e-9, 1e9);
    (least, means().fold(0.0, f64::max).max(2.0 * least))
}

/// Grades are the scores of the models that were chosen.
pub(super) fn bandit(asks: &[Ask], algorithm: BanditAlgorithm) -> Result<Family, ParameterError> {
    let strategy = |weight: f64| -> Built {
        Ok(Arc::new(Bandit::new(BanditParameters {
            constraints: Constraints::default(),
            learner: Learner { algorithm, prior_weight: SHRINKAGE, discount: 0.999 },
            width: 0.5,
            exploration: 0.02,
            cost_weight: Weight::fixed(weight),
            latency_weight: Weight::fixed(0.0),
            max_fallbacks: 0,
        })?))
    };
    let (name, stride) = match algorithm {
        BanditAlgorithm::Linucb => ("bandit, LinUCB", BANDIT_STRIDE),
        // Its propensities take hundreds of draws.
        BanditAlgorithm::Thompson => ("bandit, Thompson", 5 * BANDIT_STRIDE / 2),
    };
    let weights = weights(mean_cents(asks));
    let points: Result<Vec<_>, _> = weights.into_iter().step_by(stride).map(strategy).collect();
    let points = points?;
    Ok(Family { name: name.to_owned(), points, weighs_quality: false, shipped: None, orders: ORDERS, among: None })
}

/// Without any prediction: the cheapest model that fits.
pub(super) fn capability() -> Family {
    let parameters = CapabilityParameters { preference: Preference::Cheapest, ..CapabilityParameters::default() };
    let points: Vec<Arc<dyn Strategy>> = vec![Arc::new(Capability::new(parameters))];
    Family { name: "capability".to_owned(), points, weighs_quality: false, shipped: None, orders: 1, among: None }
}
