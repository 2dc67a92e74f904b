//! What will be done. A plan is data: strategies return it, `execute` interprets it, records store it.

use serde::{Deserialize, Serialize};

use super::ids::ModelName;

/// One call in a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// The model that is asked.
    pub model: ModelName,
}

/// How a request is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Plan {
    /// One model answers; if it fails before the first byte, the next fallback does.
    Single {
        /// The first choice.
        leg: Leg,
        /// Asked in this order when the one before failed.
        fallbacks: Vec<Leg>,
    },
    /// As [`Plan::Single`], and a local model drafts the answers of local models, which check its tokens.
    Speculative {
        /// The first choice.
        leg: Leg,
        /// The model that drafts; it is no leg, because it answers nothing.
        draft: ModelName,
        /// Asked in this order when the one before failed.
        fallbacks: Vec<Leg>,
    },
}

/// The name of a kind of plan, a closed set for headers and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanKind {
    /// [`Plan::Single`].
    Single,
    /// [`Plan::Speculative`].
    Speculative,
}

impl PlanKind {
    /// Returns the snake-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Speculative => "speculative",
        }
    }
}

impl Plan {
    /// Returns the kind.
    pub const fn kind(&self) -> PlanKind {
        match self {
            Self::Single { .. } => PlanKind::Single,
            Self::Speculative { .. } => PlanKind::Speculative,
        }
    }

    /// Returns every leg in the order in which it may run.
    pub fn legs(&self) -> impl Iterator<Item = &Leg> {
        match self {
            Self::Single { leg, fallbacks } | Self::Speculative { leg, fallbacks, .. } => {
                std::iter::once(leg).chain(fallbacks)
            }
        }
    }
}
