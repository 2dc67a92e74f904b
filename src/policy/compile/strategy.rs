//! From the document of a strategy to a strategy: one arm each.

use std::sync::Arc;

use super::{Compiler, bandit::bandit};
use crate::{
    config::path::Path,
    domain::{ModelName, NanoUsd, Probability},
    policy::{
        catalogue::Meaning,
        document::{
            FixedDocument, IntervalDocument, PreferDocument, QualityCostDocument, SpeculativeDocument,
            StrategyDocument, WeightDocument, WeightedDocument,
        },
    },
    routing::{
        Capability, CapabilityParameters, Confidence, Constraints, CostGoal, Fixed, FixedParameters, Goals, Interval,
        ParameterError, Preference, QualityCost, QualityCostParameters, Speculative, Strategy, Weight, Weighted,
        WeightedParameters,
    },
};

/// A model that costs a cent more must be expected to be right in 4 of 100 requests more.
const DEFAULT_COST: WeightDocument = WeightDocument::Fixed(0.04);

/// What stands around a strategy: the policy as a whole, or the part of it that a rule leaves.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// The models it may choose from.
    pub(super) candidates: Vec<ModelName>,
    /// What every model must meet.
    pub(super) constraints: Constraints,
    /// How many models stand by.
    pub(super) max_fallbacks: usize,
}

/// A strategy, or what is wrong with its numbers and where.
pub(super) type Built = Result<Arc<dyn Strategy>, (ParameterError, Path)>;

impl Compiler<'_, '_> {
    /// Returns the strategy that a document describes; `None` when it has faults, which are then in the report.
    pub(super) fn strategy(
        &mut self,
        document: &StrategyDocument,
        scope: &Scope,
        at: &Path,
    ) -> Option<Arc<dyn Strategy>> {
        let built = match document {
            StrategyDocument::Fixed(fixed) => self.fixed(fixed, scope, &at.key("fixed"))?,
            StrategyDocument::Speculative(pair) => self.speculative(pair, scope, &at.key("speculative"))?,
            StrategyDocument::Weighted(weighted) => self.weighted(weighted, scope, &at.key("weighted")),
            StrategyDocument::Capability(capability) => Ok(shared(Capability::new(CapabilityParameters {
                constraints: scope.constraints.clone(),
                preference: match capability.prefer {
                    PreferDocument::Cheapest => Preference::Cheapest,
                    PreferDocument::First => Preference::First,
                },
                max_fallbacks: scope.max_fallbacks,
            }))),
            StrategyDocument::Bandit(document) => bandit(document, scope, &at.key("bandit")).map(shared),
            StrategyDocument::Cascade(cascade) => self.cascade(cascade, scope, &at.key("cascade"))?,
            StrategyDocument::CascadeRouting(routed) => {
                self.cascade_routing(routed, scope, &at.key("cascade_routing"))?
            }
            StrategyDocument::Agree(agree) => self.agree(agree, scope, &at.key("agree"))?,
            StrategyDocument::Ensemble(ensemble) => self.ensemble(ensemble, scope, &at.key("ensemble"))?,
            StrategyDocument::Topology(topology) => self.topology(topology, scope, &at.key("topology"))?,
            StrategyDocument::QualityCost(objective) => self.quality_cost(objective, scope, &at.key("quality_cost")),
            StrategyDocument::Difficulty(difficulty) => self.difficulty(difficulty, scope, &at.key("difficulty")),
            StrategyDocument::Preference(pair) => self.preference(pair, scope, &at.key("preference"))?,
            StrategyDocument::Cluster(cluster) => self.cluster(cluster, scope, &at.key("cluster")),
            StrategyDocument::Nearest(nearest) => self.nearest(nearest, scope, &at.key("nearest")),
        };
        built.map_err(|(error, at)| self.report.add(&at, error.to_string())).ok()
    }

    fn fixed(&mut self, document: &FixedDocument, scope: &Scope, at: &Path) -> Option<Built> {
        let model = self.chosen(&document.model, &scope.candidates, &at.key("model"))?;
        let (constraints, max_fallbacks) = (scope.constraints.clone(), scope.max_fallbacks);
        Some(Ok(Arc::new(Fixed::new(FixedParameters { model, constraints, max_fallbacks }))))
    }

    fn speculative(&mut self, document: &SpeculativeDocument, scope: &Scope, at: &Path) -> Option<Built> {
        let model = self.chosen(&document.model, &scope.candidates, &at.key("model"));
        let draft = self.model(&document.draft, &at.key("draft"));
        for (name, key) in [(&document.model, "model"), (&document.draft, "draft")] {
            if matches!(self.catalogue.find(name), Meaning::Awake(facts) if !facts.is_local) {
                self.report.add(&at.key(key), format!("the model \"{name}\" is not local"));
            }
        }
        let (model, (draft, _)) = (model?, draft?);
        if model == draft {
            self.report.add(&at.key("draft"), "a model cannot draft for itself");
        }
        let (constraints, max_fallbacks) = (scope.constraints.clone(), scope.max_fallbacks);
        let parameters = FixedParameters { model, constraints, max_fallbacks };
        Some(Ok(shared(Speculative::new(parameters, draft))))
    }

    fn weighted(&mut self, document: &WeightedDocument, scope: &Scope, at: &Path) -> Built {
        let at = at.key("weights");
        let mut weights = Vec::new();
        for (name, share) in &document.weights {
            weights.extend(self.chosen(name, &scope.candidates, &at.key(name)).map(|model| (model, share.0)));
        }
        let (constraints, max_fallbacks) = (scope.constraints.clone(), scope.max_fallbacks);
        let parameters = WeightedParameters { weights, constraints, max_fallbacks };
        Weighted::new(parameters).map(shared).map_err(|error| (error, at))
    }

    fn quality_cost(&mut self, document: &QualityCostDocument, scope: &Scope, at: &Path) -> Built {
        let default_at = at.key("default");
        let default = document.default.as_ref();
        let parameters = QualityCostParameters {
            constraints: scope.constraints.clone(),
            cost: self.cost_goal(document, at),
            latency_weight: weight(document.latency),
            goals: Goals { size: document.size, recency: document.recency, verbosity: document.verbosity },
            confidence: self.confidence(document, at),
            least_quality: document.at_least.map(Probability::clamped),
            default_model: default.and_then(|name| self.chosen(name, &scope.candidates, &default_at)),
            max_fallbacks: scope.max_fallbacks,
        };
        QualityCost::new(parameters).map(shared).map_err(|error| {
            let at = place(&error, at);
            (error, at)
        })
    }

    fn cost_goal(&mut self, document: &QualityCostDocument, at: &Path) -> CostGoal {
        let Some(budget) = document.budget else {
            return CostGoal::Weight(weight(document.cost.unwrap_or(DEFAULT_COST)));
        };
        if document.cost.is_some() {
            let help = "leave out one of the two";
            self.report.add_with_help(&at.key("budget"), "a budget finds the weight of cost itself", help);
        }
        CostGoal::Budget(NanoUsd::from_dollars(budget))
    }

    fn confidence(&mut self, document: &QualityCostDocument, at: &Path) -> Option<Confidence> {
        let interval = match document.interval {
            IntervalDocument::Normal => Interval::Normal,
            IntervalDocument::Conformal => Interval::Conformal,
        };
        let Some(share) = document.confidence else {
            if interval == Interval::Conformal {
                self.report.add_with_help(&at.key("interval"), "there is no confidence to bound", "add \"confidence\"");
            }
            return None;
        };
        let confidence = Confidence::new(share, interval);
        if confidence.is_none() {
            let message = format!("a confidence lies above 0.5 and below 1, not at {share}");
            self.report.add(&at.key("confidence"), message);
        }
        confidence
    }
}

/// Returns where a parameter of `quality_cost` stands.
fn place(error: &ParameterError, at: &Path) -> Path {
    match error {
        ParameterError::OutOfBounds { name, .. } => at.key(name.trim_end_matches("_weight")),
        _ => at.clone(),
    }
}

pub(super) fn shared(strategy: impl Strategy + 'static) -> Arc<dyn Strategy> {
    Arc::new(strategy)
}

pub(super) fn weight(document: WeightDocument) -> Weight {
    match document {
        WeightDocument::Fixed(value) => Weight::fixed(value),
        WeightDocument::Bounded(bounded) => Weight { value: bounded.weight, min: bounded.min, max: bounded.max },
    }
}
