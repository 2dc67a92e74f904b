//! One model, and others only when it cannot answer.

use super::{
    Constraints, Strategy,
    outcome::{Ranked, decision},
};
use crate::domain::{Ask, Decision, ModelName, Needs, NoRoute, Reason};

/// What [`Fixed`] needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct FixedParameters {
    /// The model.
    pub model: ModelName,
    /// What every model must meet, this one too.
    pub constraints: Constraints,
    /// How many of the policy's other candidates stand by, in the policy's order.
    pub max_fallbacks: usize,
}

/// Chooses the same model every time. Where it does not meet the constraints, the first other candidate that does is chosen.
#[derive(Clone, Debug)]
pub struct Fixed {
    parameters: FixedParameters,
}

impl Fixed {
    /// Returns the strategy; every value is accepted.
    pub fn new(parameters: FixedParameters) -> Self {
        Self { parameters }
    }
}

impl Strategy for Fixed {
    fn decide(&self, ask: &Ask) -> Result<Decision, NoRoute> {
        let gated = self.parameters.constraints.sift(ask)?;
        let mut order: Vec<_> = gated.fitting.iter().copied().map(Ranked::plain).collect();
        // A stable sort: the model first, the others in the policy's order.
        order.sort_by_key(|ranked| ranked.candidate.model.name != self.parameters.model);
        decision(order, gated, Reason::Fixed, self.parameters.max_fallbacks)
    }

    fn needs(&self) -> Needs {
        Needs::NOTHING
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::Tag,
        routing::samples::{ask, candidate},
    };

    fn fixed(model: &str, max_fallbacks: usize) -> Fixed {
        let model = ModelName::parse(model).unwrap();
        Fixed::new(FixedParameters { model, constraints: Constraints::default(), max_fallbacks })
    }

    fn legs(decision: &Decision) -> Vec<&str> {
        decision.plan.legs().map(|leg| leg.model.as_str()).collect()
    }

    #[test]
    fn the_model_comes_first_and_the_others_stand_by_in_order() {
        let ask = ask(vec![candidate("a"), candidate("b"), candidate("c"), candidate("d")]);

        let decision = fixed("c", 2).decide(&ask).unwrap();

        assert_eq!(legs(&decision), ["c", "a", "b"]);
        assert_eq!(decision.reason, Reason::Fixed);
        assert_eq!(decision.alternatives.len(), 4);
    }

    #[test]
    fn a_model_that_does_not_fit_makes_way() {
        let mut ask = ask(vec![candidate("a"), candidate("b")]);
        let mut european = (*ask.candidates[1].model).clone();
        european.tags.insert(Tag("eu".into()));
        ask.candidates[1].model = european.into();
        ask.preferences.tags.insert(Tag("eu".into()));

        let decision = fixed("a", 2).decide(&ask).unwrap();

        assert_eq!(legs(&decision), ["b"]);
    }
}
