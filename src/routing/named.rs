//! The model that the caller named.

use super::{
    Strategy,
    gates::sift_named,
    outcome::{Ranked, decision},
};
use crate::domain::{Ask, Decision, Needs, NoRoute, Reason};

/// Chooses the ask's only candidate: the model that the caller named. Only the caller's own limits and whether the model can
/// be asked at all are checked; whether it can do what the request needs is left for the provider to say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Named;

impl Strategy for Named {
    fn decide(&self, ask: &Ask) -> Result<Decision, NoRoute> {
        let gated = sift_named(ask)?;
        let order = gated.fitting.iter().copied().map(Ranked::plain).collect();
        decision(order, gated, Reason::Named, 0)
    }

    fn needs(&self) -> Needs {
        Needs::NOTHING
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{NanoUsd, RejectionCode, Tokens},
        routing::samples::{ask, candidate},
    };

    #[test]
    fn abilities_are_left_to_the_provider() {
        let mut ask = ask(vec![candidate("named")]);
        ask.request.needs_tools = true;
        ask.request.input_tokens = Tokens(1_000_000);

        let decision = Named.decide(&ask).unwrap();

        assert_eq!(decision.reason, Reason::Named);
    }

    #[test]
    fn the_caller_s_own_limits_still_hold() {
        let mut ask = ask(vec![candidate("named")]);
        ask.preferences.max_cost = Some(NanoUsd(1));

        let no_route = Named.decide(&ask).unwrap_err();

        assert_eq!(no_route.rejected[0].1.code, RejectionCode::MaxCost);
    }
}
