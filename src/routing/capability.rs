//! The cheapest model that can do it, or the first.

use serde::{Deserialize, Serialize};

use super::{
    Constraints, Strategy,
    outcome::{Ranked, decision},
};
use crate::domain::{Ask, Decision, Needs, NoRoute, Reason};

/// Who comes first among the models that can answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preference {
    /// The lowest expected cost of this request; equal cost: the order of the policy.
    #[default]
    Cheapest,
    /// The order of the policy.
    First,
}

/// What [`Capability`] needs to know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CapabilityParameters {
    /// What every model must meet.
    pub constraints: Constraints,
    /// Who comes first.
    pub preference: Preference,
    /// How many models stand by.
    pub max_fallbacks: usize,
}

/// Chooses by what models can do, without scores: the gates keep out who cannot (modality, tools, JSON, language, context
/// window, limits), and price or order decides among the rest.
#[derive(Clone, Debug)]
pub struct Capability {
    parameters: CapabilityParameters,
}

impl Capability {
    /// Returns the strategy; every value is accepted.
    pub fn new(parameters: CapabilityParameters) -> Self {
        Self { parameters }
    }
}

impl Strategy for Capability {
    fn decide(&self, ask: &Ask) -> Result<Decision, NoRoute> {
        let gated = self.parameters.constraints.sift(ask)?;
        let mut order: Vec<_> = gated.fitting.iter().copied().map(Ranked::plain).collect();
        if self.parameters.preference == Preference::Cheapest {
            // A stable sort: equal cost stays in the policy's order.
            order.sort_by_key(|ranked| ranked.candidate.estimate.cost);
        }
        decision(order, gated, Reason::Capability, self.parameters.max_fallbacks)
    }

    fn needs(&self) -> Needs {
        Needs::NOTHING
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        domain::{Candidate, Modality},
        routing::samples::{ask, expected},
    };

    fn choose(preference: Preference, ask: &Ask) -> String {
        let parameters = CapabilityParameters { preference, max_fallbacks: 1, ..CapabilityParameters::default() };
        Capability::new(parameters).decide(ask).unwrap().plan.legs().next().unwrap().model.to_string()
    }

    fn reading(name: &str, cost: u64, modality: Modality) -> Candidate {
        let mut candidate = expected(name, 0.5, cost, 10);
        Arc::make_mut(&mut candidate.model).modalities.insert(modality);
        candidate
    }

    #[test]
    fn the_cheapest_or_the_first_that_can_answer_is_chosen_whatever_its_quality() {
        let mut ask = ask(vec![
            expected("good", 0.9, 1, 10),
            reading("dear", 30, Modality::Image),
            reading("cheap", 20, Modality::Image),
        ]);

        assert_eq!(choose(Preference::Cheapest, &ask), "good");
        ask.request.modalities = vec![Modality::Image];

        assert_eq!(choose(Preference::Cheapest, &ask), "cheap");
        assert_eq!(choose(Preference::First, &ask), "dear");
    }
}
