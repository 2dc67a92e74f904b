//! From the document of a bandit to the strategy.

use super::strategy::{Scope, weight};
use crate::{
    config::path::Path,
    domain::{BanditAlgorithm, Learner},
    policy::document::{AlgorithmDocument, BanditDocument},
    routing::{Bandit, BanditParameters, ParameterError},
};

/// Returns the strategy, or what is wrong with its numbers and where.
pub(super) fn bandit(document: &BanditDocument, scope: &Scope, at: &Path) -> Result<Bandit, (ParameterError, Path)> {
    let parameters = BanditParameters {
        constraints: scope.constraints.clone(),
        learner: Learner {
            algorithm: match document.algorithm {
                AlgorithmDocument::Linucb => BanditAlgorithm::Linucb,
                AlgorithmDocument::Thompson => BanditAlgorithm::Thompson,
            },
            prior_weight: document.prior,
            discount: document.discount,
        },
        width: document.width,
        exploration: document.exploration,
        cost_weight: weight(document.cost),
        latency_weight: weight(document.latency),
        max_fallbacks: scope.max_fallbacks,
    };
    Bandit::new(parameters).map_err(|error| {
        let place = match &error {
            ParameterError::OutOfBounds { name, .. } => Some(name.trim_end_matches("_weight").to_owned()),
            _ => None,
        };
        let at = place.map_or_else(|| at.clone(), |name| at.key(&name));
        (error, at)
    })
}
