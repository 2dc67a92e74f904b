//! The plan that asks a second model when the first is slow to begin.

use serde::{Deserialize, Serialize};

use super::Leg;

/// As a single model with fallbacks, and the first fallback is started when the first choice is slow to begin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hedged {
    /// The first choice.
    pub leg: Leg,
    /// Started when the first choice has not begun in time, or has failed.
    pub second: Leg,
    /// Asked in this order when both failed.
    pub fallbacks: Vec<Leg>,
    /// In time is this quantile of its recent times to the first token, in `(0, 1)`.
    pub quantile: f64,
    /// In time while too few times are known, in milliseconds.
    pub start_ms: u64,
    /// Largest share of the requests that begin with the first choice which are hedged, `[0, 1]`.
    pub share: f64,
}

impl Hedged {
    /// Returns every leg in the order in which it may run.
    pub fn legs(&self) -> impl Iterator<Item = &Leg> {
        [&self.leg, &self.second].into_iter().chain(&self.fallbacks)
    }
}
