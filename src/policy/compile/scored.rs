//! From documents to the strategies that look at predictions and evidence.

use super::{
    Compiler,
    strategy::{Built, Scope, shared, weight},
};
use crate::{
    config::path::Path,
    domain::ModelName,
    policy::document::{ClusterDocument, DifficultyDocument, NearestDocument, PreferenceDocument},
    routing::{
        Cluster, ClusterParameters, Difficulty, DifficultyParameters, Nearest, NearestParameters, ParameterError,
        StrongGoal, WinRate, WinRateParameters,
    },
};

impl Compiler<'_, '_> {
    pub(super) fn difficulty(&mut self, document: &DifficultyDocument, scope: &Scope, at: &Path) -> Built {
        let parameters = DifficultyParameters {
            constraints: scope.constraints.clone(),
            threshold: weight(document.threshold),
            caution: document.caution,
            default_model: self.default_model(document.default.as_ref(), scope, at),
            max_fallbacks: scope.max_fallbacks,
        };
        Difficulty::new(parameters).map(shared).map_err(|error| placed(error, at))
    }

    /// Returns `None` when a name or the goal is at fault, which is then in the report.
    pub(super) fn preference(&mut self, document: &PreferenceDocument, scope: &Scope, at: &Path) -> Option<Built> {
        let goal = self.strong_goal(document, at);
        let strong = self.chosen(&document.strong, &scope.candidates, &at.key("strong"));
        let weak = self.chosen(&document.weak, &scope.candidates, &at.key("weak"));
        let parameters = WinRateParameters {
            constraints: scope.constraints.clone(),
            strong: strong?,
            weak: weak?,
            goal: goal?,
            default_model: self.default_model(document.default.as_ref(), scope, at),
            max_fallbacks: scope.max_fallbacks,
        };
        Some(WinRate::new(parameters).map(shared).map_err(|error| placed(error, at)))
    }

    fn strong_goal(&mut self, document: &PreferenceDocument, at: &Path) -> Option<StrongGoal> {
        match (document.share, document.threshold) {
            (Some(share), None) => Some(StrongGoal::Share(share)),
            (None, Some(threshold)) => Some(StrongGoal::WinRate(weight(threshold))),
            (None, None) => {
                self.report.add_with_help(at, "\"share\" or \"threshold\" is missing", "for instance share: 0.4");
                None
            }
            (Some(_), Some(_)) => {
                let help = "a share finds its threshold itself";
                self.report.add_with_help(&at.key("threshold"), "it cannot stand beside \"share\"", help);
                None
            }
        }
    }

    pub(super) fn cluster(&mut self, document: &ClusterDocument, scope: &Scope, at: &Path) -> Built {
        let parameters = ClusterParameters {
            constraints: scope.constraints.clone(),
            clusters: document.clusters,
            alpha: document.alpha.map(weight),
            shrinkage: document.shrinkage,
            default_model: self.default_model(document.default.as_ref(), scope, at),
            max_fallbacks: scope.max_fallbacks,
        };
        Cluster::new(parameters).map(shared).map_err(|error| placed(error, at))
    }

    pub(super) fn nearest(&mut self, document: &NearestDocument, scope: &Scope, at: &Path) -> Built {
        let parameters = NearestParameters {
            constraints: scope.constraints.clone(),
            cost_weight: weight(document.cost),
            shrinkage: document.shrinkage,
            default_model: self.default_model(document.default.as_ref(), scope, at),
            max_fallbacks: scope.max_fallbacks,
        };
        Nearest::new(parameters).map(shared).map_err(|error| placed(error, at))
    }

    fn default_model(&mut self, name: Option<&String>, scope: &Scope, at: &Path) -> Option<ModelName> {
        self.chosen(name?, &scope.candidates, &at.key("default"))
    }
}

/// Returns the error with the place of the parameter that it names.
fn placed(error: ParameterError, at: &Path) -> (ParameterError, Path) {
    let at = match &error {
        ParameterError::OutOfBounds { name, .. }
        | ParameterError::NotAShare { name, .. }
        | ParameterError::BadWeight { name, .. }
        | ParameterError::BadCount { name, .. } => {
            let parameter = name.split('.').next().unwrap_or(name);
            at.key(parameter.trim_end_matches("_weight"))
        }
        ParameterError::Same(_) => at.key("weak"),
        ParameterError::OutOfRange { .. }
        | ParameterError::Repeated(_)
        | ParameterError::Unsound
        | ParameterError::NoWeight
        | ParameterError::Twice(_) => at.clone(),
    };
    (error, at)
}
