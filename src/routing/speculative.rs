//! One local model, with another that drafts its answers.

use super::{Fixed, FixedParameters, Strategy};
use crate::domain::{Ask, Decision, ModelName, Needs, NoRoute, Plan};

/// Chooses the same model every time, and names who drafts for it. Where the model does not meet the constraints, another answers
/// and nobody drafts.
#[derive(Clone, Debug)]
pub struct Speculative {
    model: ModelName,
    draft: ModelName,
    fixed: Fixed,
}

impl Speculative {
    /// Returns the strategy; every value is accepted.
    pub fn new(parameters: FixedParameters, draft: ModelName) -> Self {
        Self { model: parameters.model.clone(), draft, fixed: Fixed::new(parameters) }
    }
}

impl Strategy for Speculative {
    fn decide(&self, ask: &Ask) -> Result<Decision, NoRoute> {
        let decision = self.fixed.decide(ask)?;
        let plan = match decision.plan {
            Plan::Single { leg, fallbacks } if leg.model == self.model => {
                Plan::Speculative { leg, draft: self.draft.clone(), fallbacks }
            }
            other => other,
        };
        Ok(Decision { plan, ..decision })
    }

    fn needs(&self) -> Needs {
        Needs::NOTHING
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Leg, Tag},
        routing::{
            Constraints,
            samples::{ask, candidate},
        },
    };

    fn speculative() -> Speculative {
        let model = ModelName::parse("large").unwrap();
        let parameters = FixedParameters { model, constraints: Constraints::default(), max_fallbacks: 1 };
        Speculative::new(parameters, ModelName::parse("small").unwrap())
    }

    fn leg(model: &str) -> Leg {
        Leg { model: ModelName::parse(model).unwrap() }
    }

    #[test]
    fn the_model_answers_with_the_draft_s_help() {
        let decision = speculative().decide(&ask(vec![candidate("other"), candidate("large")])).unwrap();

        let draft = leg("small").model;
        assert_eq!(decision.plan, Plan::Speculative { leg: leg("large"), draft, fallbacks: vec![leg("other")] });
    }

    #[test]
    fn another_model_answers_alone() {
        let mut ask = ask(vec![candidate("large"), candidate("other")]);
        let mut european = (*ask.candidates[1].model).clone();
        european.tags.insert(Tag("eu".into()));
        ask.candidates[1].model = european.into();
        ask.preferences.tags.insert(Tag("eu".into()));

        let decision = speculative().decide(&ask).unwrap();

        assert_eq!(decision.plan, Plan::Single { leg: leg("other"), fallbacks: Vec::new() });
    }
}
