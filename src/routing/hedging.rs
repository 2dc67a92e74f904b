//! A second model for when the first is slow to begin.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Calibrator, ParameterError, Strategy,
    parameters::{check_bound, check_share},
};
use crate::domain::{Ask, Decision, Hedged, Learner, Needs, NoRoute, Plan};

/// What [`Hedging`] needs to know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HedgingParameters {
    /// A model is slow beyond this quantile of its recent times to the first token.
    pub quantile: f64,
    /// And beyond so many milliseconds while too few times are known.
    pub start_ms: u64,
    /// Largest share of requests that are hedged.
    pub share: f64,
}

/// A strategy whose single plans are hedged with their first fallback; plans of several models, and plans without a fallback, stay as
/// they are.
pub struct Hedging {
    inner: Arc<dyn Strategy>,
    parameters: HedgingParameters,
}

impl Hedging {
    /// Returns the strategy.
    ///
    /// # Errors
    /// A number lies outside of its range.
    pub fn new(inner: Arc<dyn Strategy>, parameters: HedgingParameters) -> Result<Self, ParameterError> {
        check_bound("quantile", parameters.quantile, (0.5, 0.999))?;
        check_share("share", parameters.share)?;
        Ok(Self { inner, parameters })
    }
}

impl Strategy for Hedging {
    fn decide(&self, ask: &Ask) -> Result<Decision, NoRoute> {
        let decision = self.inner.decide(ask)?;
        let HedgingParameters { quantile, start_ms, share } = self.parameters;
        let plan = match decision.plan {
            Plan::Single { leg, mut fallbacks } if !fallbacks.is_empty() => {
                let second = fallbacks.remove(0);
                Plan::Hedged(Hedged { leg, second, fallbacks, quantile, start_ms, share })
            }
            other => other,
        };
        Ok(Decision { plan, ..decision })
    }

    fn needs(&self) -> Needs {
        self.inner.needs()
    }

    fn observe(&self, text: &str) -> BTreeSet<String> {
        self.inner.observe(text)
    }

    fn calibrators(&self) -> Vec<Arc<dyn Calibrator>> {
        self.inner.calibrators()
    }

    fn learner(&self) -> Option<Learner> {
        self.inner.learner()
    }

    fn shares(&self) -> Vec<f64> {
        self.inner.shares()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Leg, ModelName},
        routing::{
            Capability, CapabilityParameters,
            samples::{ask, candidate},
        },
    };

    const PARAMETERS: HedgingParameters = HedgingParameters { quantile: 0.95, start_ms: 2_000, share: 0.05 };

    fn plan(max_fallbacks: usize) -> Plan {
        let inner = Capability::new(CapabilityParameters { max_fallbacks, ..CapabilityParameters::default() });
        let hedging = Hedging::new(Arc::new(inner), PARAMETERS).unwrap();
        hedging.decide(&ask(["a", "b", "c"].map(candidate).to_vec())).unwrap().plan
    }

    fn leg(model: &str) -> Leg {
        Leg { model: ModelName::parse(model).unwrap() }
    }

    #[test]
    fn the_first_fallback_is_the_hedge() {
        let (leg, second, fallbacks) = (leg("a"), leg("b"), vec![leg("c")]);

        let expected = Hedged { leg, second, fallbacks, quantile: 0.95, start_ms: 2_000, share: 0.05 };
        assert_eq!(plan(2), Plan::Hedged(expected));
    }

    #[test]
    fn without_a_fallback_nothing_is_hedged() {
        assert_eq!(plan(0), Plan::Single { leg: leg("a"), fallbacks: Vec::new() });
    }

    #[test]
    fn nonsense_is_refused() {
        let inner = || Arc::new(Capability::new(CapabilityParameters::default()));

        for parameters in [
            HedgingParameters { quantile: 0.2, ..PARAMETERS },
            HedgingParameters { quantile: f64::NAN, ..PARAMETERS },
            HedgingParameters { share: 1.5, ..PARAMETERS },
        ] {
            assert!(Hedging::new(inner(), parameters).is_err());
        }
    }
}
