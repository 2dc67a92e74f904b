//! The strategies of the gateway, each at many settings: the operating points of its curve.

mod online;

use std::{fmt, sync::Arc};

use crate::{
    domain::{Ask, BanditAlgorithm, ModelName},
    routing::{
        Cluster, ClusterParameters, Constraints, CostGoal, Difficulty, DifficultyParameters, Goals, Nearest,
        NearestParameters, ParameterError, QualityCost, QualityCostParameters, Strategy, StrongGoal, Weight, WinRate,
        WinRateParameters,
    },
};

/// A strategy at many settings.
pub struct Family {
    /// The strategy's name in policies, or the policy's own.
    pub name: String,
    /// Strategies that differ in one setting. The first one has no regard for cost.
    pub points: Vec<Arc<dyn Strategy>>,
    /// Whether it weighs the predicted qualities of all candidates, rather than comparing one number with a threshold.
    pub weighs_quality: bool,
    /// The setting of the policy that the program ships as `default`, if it is of this strategy.
    pub shipped: Option<Arc<dyn Strategy>>,
    /// In how many orders the prompts are served; more than one where a strategy learns from those before.
    pub orders: u64,
    /// The models that it may choose from; `None` for all.
    pub among: Option<Vec<ModelName>>,
}

/// A policy whose choices are measured as they are.
#[derive(Clone)]
pub struct NamedPolicy {
    /// Its name.
    pub name: String,
    /// Its candidates.
    pub candidates: Vec<ModelName>,
    /// Its rules and strategy.
    pub strategy: Arc<dyn Strategy>,
}

impl fmt::Debug for NamedPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedPolicy")
            .field("name", &self.name)
            .field("candidates", &self.candidates)
            .finish_non_exhaustive()
    }
}

impl From<&NamedPolicy> for Family {
    fn from(policy: &NamedPolicy) -> Self {
        Self {
            name: format!("policy {}", policy.name),
            points: vec![Arc::clone(&policy.strategy)],
            weighs_quality: false,
            shipped: None,
            orders: 1,
            among: Some(policy.candidates.clone()),
        }
    }
}

/// Steps of a geometric grid of weights between all of quality and all of cost.
pub const STEPS: usize = 60;

/// `cost.weight` in `config/policies/default.yaml`, per US cent.
pub const SHIPPED_COST_WEIGHT: f64 = 0.04;

/// What evidence is shrunk by, where a setting is to be reported and not found: what policies do without saying anything.
const SHRINKAGE: f64 = 20.0;

/// A strategy at one setting, or why the setting is refused.
type Built = Result<Arc<dyn Strategy>, ParameterError>;

/// Returns the weights per unit of cost at which quality and cost are weighed: 0, then a geometric grid that is wide enough for
/// all of quality to be worth nothing, and all of cost. `mean` is the mean cost.
pub fn weights(mean: f64) -> Vec<f64> {
    if mean <= 0.0 {
        return vec![0.0];
    }
    let weight = |step: usize| 1e-4 / mean * 1e8_f64.powf(step as f64 / STEPS as f64);
    std::iter::once(0.0).chain((1..=STEPS).map(weight)).collect()
}

/// Returns every strategy that can be measured on asks.
///
/// # Errors
/// A setting is refused.
pub fn families(asks: &[Ask]) -> Result<Vec<Family>, ParameterError> {
    let mut all = vec![quality_cost(asks)?, difficulty()?, cluster()?, nearest(asks)?];
    if mean_cents(asks) > 0.0 {
        all.extend([online::budget(asks)?, online::capability()]);
    }
    all.push(online::bandit(asks, BanditAlgorithm::Linucb)?);
    all.push(online::bandit(asks, BanditAlgorithm::Thompson)?);
    if let Some((weak, strong)) = weak_and_strong(asks) {
        all.push(preference(&weak, &strong)?);
    }
    Ok(all)
}

fn quality_cost(asks: &[Ask]) -> Result<Family, ParameterError> {
    let strategy = |weight: f64| with_cost(Weight::fixed(weight).into());
    let points: Result<Vec<_>, _> = weights(mean_cents(asks)).into_iter().map(strategy).collect();
    let shipped = Some(strategy(SHIPPED_COST_WEIGHT)?);
    Ok(Family {
        name: "quality_cost".to_owned(),
        points: points?,
        weighs_quality: true,
        shipped,
        orders: 1,
        among: None,
    })
}

/// Returns the strategy that weighs nothing but quality and cost.
pub(super) fn with_cost(cost: CostGoal) -> Built {
    Ok(Arc::new(QualityCost::new(QualityCostParameters {
        constraints: Constraints::default(),
        cost,
        latency_weight: Weight::fixed(0.0),
        goals: Goals::default(),
        confidence: None,
        least_quality: None,
        default_model: None,
        max_fallbacks: 0,
    })?))
}

fn mean_cents(asks: &[Ask]) -> f64 {
    let costs = asks.iter().flat_map(|ask| &ask.candidates).map(|candidate| candidate.estimate.cost.dollars() * 100.0);
    costs.clone().sum::<f64>() / costs.count().max(1) as f64
}

/// From a threshold that nothing reaches down to one that everything does.
fn difficulty() -> Result<Family, ParameterError> {
    let strategy = |step: usize| -> Built {
        Ok(Arc::new(Difficulty::new(DifficultyParameters {
            constraints: Constraints::default(),
            threshold: Weight::fixed(1.0 - step as f64 / (2 * STEPS) as f64),
            caution: 0.0,
            default_model: None,
            max_fallbacks: 0,
        })?))
    };
    let points: Result<Vec<_>, _> = (0..=2 * STEPS).map(strategy).collect();
    Ok(Family {
        name: "difficulty".to_owned(),
        points: points?,
        weighs_quality: false,
        shipped: None,
        orders: 1,
        among: None,
    })
}

/// First without an alpha: performance alone.
fn cluster() -> Result<Family, ParameterError> {
    let strategy = |alpha: Option<f64>| -> Built {
        Ok(Arc::new(Cluster::new(ClusterParameters {
            constraints: Constraints::default(),
            clusters: 3,
            alpha: alpha.map(Weight::fixed),
            shrinkage: SHRINKAGE,
            default_model: None,
            max_fallbacks: 0,
        })?))
    };
    let alphas = (0..=STEPS).map(|step| Some(1.0 - step as f64 / STEPS as f64));
    let points: Result<Vec<_>, _> = std::iter::once(None).chain(alphas).map(strategy).collect();
    Ok(Family {
        name: "cluster".to_owned(),
        points: points?,
        weighs_quality: false,
        shipped: None,
        orders: 1,
        among: None,
    })
}

fn nearest(asks: &[Ask]) -> Result<Family, ParameterError> {
    let strategy = |weight: f64| -> Built {
        Ok(Arc::new(Nearest::new(NearestParameters {
            constraints: Constraints::default(),
            cost_weight: Weight::fixed(weight),
            shrinkage: SHRINKAGE,
            default_model: None,
            max_fallbacks: 0,
        })?))
    };
    let points: Result<Vec<_>, _> = weights(mean_cents(asks)).into_iter().map(strategy).collect();
    Ok(Family {
        name: "nearest".to_owned(),
        points: points?,
        weighs_quality: false,
        shipped: None,
        orders: 1,
        among: None,
    })
}

/// From always strong to never. Win rates crowd around one half, and so do the thresholds.
fn preference(weak: &ModelName, strong: &ModelName) -> Result<Family, ParameterError> {
    let strategy = |threshold: f64| -> Built {
        Ok(Arc::new(WinRate::new(WinRateParameters {
            constraints: Constraints::default(),
            strong: strong.clone(),
            weak: weak.clone(),
            goal: StrongGoal::WinRate(Weight::fixed(threshold)),
            default_model: None,
            max_fallbacks: 0,
        })?))
    };
    let middle = (0..=200).map(|step| 0.4 + 0.45 * f64::from(step) / 200.0);
    let thresholds = [0.0, 0.2, 0.3].into_iter().chain(middle).chain([0.9, 0.95, 1.0]);
    let points: Result<Vec<_>, _> = thresholds.map(strategy).collect();
    Ok(Family {
        name: "preference".to_owned(),
        points: points?,
        weighs_quality: false,
        shipped: None,
        orders: 1,
        among: None,
    })
}

/// How much cheaper than the strong model a weak one has to be, if any is.
const CHEAPER: f64 = 4.0;

/// Returns the model that is expected to be best, and before it the best one of those that cost a quarter of it at most, or else
/// the cheapest other one: by expectation, since nothing of what happened may choose.
fn weak_and_strong(asks: &[Ask]) -> Option<(ModelName, ModelName)> {
    let mut sums: Vec<(ModelName, f64, f64)> = Vec::new();
    for ask in asks {
        for (index, candidate) in ask.candidates.iter().enumerate() {
            if sums.len() <= index {
                sums.push((candidate.model.name.clone(), 0.0, 0.0));
            }
            let estimate = &candidate.estimate;
            sums.get_mut(index).into_iter().for_each(|(_, quality, cost)| {
                *quality += estimate.quality.value();
                *cost += estimate.cost.dollars();
            });
        }
    }
    let strong = sums.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let others = || sums.iter().filter(|(name, ..)| *name != strong.0);
    let cheap = others().filter(|(_, _, cost)| CHEAPER * cost <= strong.2).max_by(|a, b| a.1.total_cmp(&b.1));
    let weak = cheap.or_else(|| others().min_by(|a, b| a.2.total_cmp(&b.2)))?;
    Some((weak.0.clone(), strong.0.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::samples::{ask, expected};

    #[test]
    fn the_shipped_setting_is_that_of_the_default_policy() {
        let policy = include_str!("../../../config/policies/default.yaml");

        assert!(policy.contains(&format!("cost: {{ weight: {SHIPPED_COST_WEIGHT},")), "{policy}");
    }

    #[test]
    fn weak_is_the_best_of_the_cheap_ones() {
        let names =
            |asks: &[Ask]| weak_and_strong(asks).map(|(weak, strong)| [weak, strong].map(|name| name.to_string()));
        let four = ask(vec![
            expected("small", 0.3, 1_000, 1),
            expected("middle", 0.6, 2_000, 1),
            expected("near", 0.8, 9_000, 1),
            expected("large", 0.9, 10_000, 1),
        ]);
        let alike = ask(vec![expected("one", 0.5, 10, 1), expected("other", 0.6, 11, 1)]);

        assert_eq!(names(&[four]), Some(["middle", "large"].map(str::to_owned)));
        assert_eq!(names(&[alike]), Some(["one", "other"].map(str::to_owned)));
        assert_eq!(names(&[]), None);
    }

    /// All but the one that looks at no prediction, and the one that draws lots.
    fn with_regard_for_quality(ask: &Ask) -> impl Iterator<Item = Family> {
        let all = families(std::slice::from_ref(ask)).unwrap();
        all.into_iter().filter(|family| !["capability", "bandit, Thompson"].contains(&family.name.as_str()))
    }

    #[test]
    fn the_first_setting_has_no_regard_for_cost() {
        let dear_and_good = ask(vec![expected("weak", 0.4, 1_000, 1), expected("strong", 0.9, 90_000_000, 1)]);

        for family in with_regard_for_quality(&dear_and_good) {
            let chosen = family.points[0].decide(&dear_and_good).unwrap();

            assert_eq!(chosen.plan.legs().next().unwrap().model.as_str(), "strong", "{}", family.name);
        }
    }

    #[test]
    fn the_last_setting_has_regard_for_nothing_else() {
        let dear_and_good = ask(vec![expected("weak", 0.4, 1_000, 1), expected("strong", 0.9, 90_000_000, 1)]);

        for family in with_regard_for_quality(&dear_and_good) {
            let chosen = family.points.last().unwrap().decide(&dear_and_good).unwrap();

            assert_eq!(chosen.plan.legs().next().unwrap().model.as_str(), "weak", "{}", family.name);
        }
    }
}
