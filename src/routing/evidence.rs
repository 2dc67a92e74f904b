//! What strategies make of graded prompts near the one that is routed.

use crate::domain::{Ask, Candidate, ModelName, Observed, Probability, Reason};

/// Returns the mean grade, shrunk to what the model reaches over all training data as if `strength` more prompts had been graded
/// so; what is not known is the prediction.
pub(super) fn quality(candidate: &Candidate, observed: Option<&Observed>, strength: f64) -> f64 {
    let prediction = candidate.estimate.quality;
    let towards = candidate.evidence.overall.unwrap_or(prediction);
    let shrunk: Probability = observed.map_or(prediction, |observed| observed.shrunk(towards, strength));
    shrunk.value()
}

/// Returns why the best by evidence was chosen, or why it could not be looked at.
pub(super) fn reason(ask: &Ask, has_evidence: bool) -> Reason {
    match (ask.unscored, has_evidence) {
        (Some(_), _) => Reason::ScorerUnavailable,
        (None, false) => Reason::EvidenceMissing,
        (None, true) => Reason::BestUtility,
    }
}

/// Returns whether a candidate comes before all others because there are no scores.
pub(super) fn is_default(ask: &Ask, candidate: &Candidate, default: Option<&ModelName>) -> bool {
    ask.unscored.is_some() && default == Some(&candidate.model.name)
}
