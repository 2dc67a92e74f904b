//! The plan that asks one model after another.

use serde::{Deserialize, Serialize};

use super::Leg;
use crate::domain::{deferral::DeferralTest, scores::Probability};

/// One model after another, until an answer passes its tests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cascade {
    /// Asked in this order; an answer of a rung without tests is always accepted.
    pub rungs: Vec<Rung>,
    /// Asked in this order when the last rung failed.
    pub fallbacks: Vec<Leg>,
    /// Whether the last answer that failed its tests is given when nobody after it answers; if not, the request fails.
    pub keeps_doubtful: bool,
}

/// One step of a cascade.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rung {
    /// The model that is asked.
    pub leg: Leg,
    /// The model is left out where the router predicts less; looked at before the plan is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Probability>,
    /// Each of them can send the request on, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defer: Vec<DeferralTest>,
    /// Tokens after which an answer that no test of its tokens doubts is accepted, and passed on as it comes; `None` waits for
    /// its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_after: Option<u32>,
}

impl Rung {
    /// Returns a rung without tests.
    pub fn of(leg: Leg) -> Self {
        Self { leg, at_least: None, defer: Vec::new(), accept_after: None }
    }

    /// Returns the model's leg and those of its tests, in the order in which they may run.
    pub fn legs(&self) -> impl Iterator<Item = &Leg> {
        std::iter::once(&self.leg).chain(self.defer.iter().flat_map(DeferralTest::legs))
    }
}

impl Cascade {
    /// Returns every leg in the order in which it may run.
    pub fn legs(&self) -> impl Iterator<Item = &Leg> {
        self.rungs.iter().flat_map(Rung::legs).chain(&self.fallbacks)
    }
}
