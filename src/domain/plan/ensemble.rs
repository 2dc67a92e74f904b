//! The plan that asks several models at once and lets them vote.

use serde::{Deserialize, Serialize};

use super::Leg;
use crate::domain::extractor::Extractor;

/// Several answers at once, of which one is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ensemble {
    /// Asked at once, each once; a model that is sampled several times stands here as often.
    pub members: Vec<Member>,
    /// What of the answers is compared.
    pub extract: Extractor,
    /// How one is chosen.
    pub choose: Choosing,
    /// How long the others are waited for once there is an answer, in milliseconds; `None` waits for all that can matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience_ms: Option<u64>,
    /// Asked in this order when no member answers.
    pub fallbacks: Vec<Leg>,
}

/// One call of an ensemble.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// The model.
    pub leg: Leg,
    /// What its vote counts, above 0.
    pub weight: f64,
    /// Replaces the request's temperature, for samples that differ; `None` leaves the request as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
}

/// How the answer of an ensemble is chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Choosing {
    /// The answer of the greatest weight; of equal ones that of the earlier member.
    Vote,
    /// The answer of the greatest probability, unlikely samples left out (RPC); a vote where members tell no probabilities.
    Consistency,
    /// The answer that a judge grades best; one that it grades at least this high ends the search.
    Judge {
        /// The model that judges; its leg runs once for each answer.
        leg: Leg,
        /// A grade that is good enough, `[0, 1]`.
        enough: f64,
    },
}

impl Ensemble {
    /// Returns every leg: the members, the judge, the fallbacks.
    pub fn legs(&self) -> impl Iterator<Item = &Leg> {
        self.members.iter().map(|member| &member.leg).chain(self.judge()).chain(&self.fallbacks)
    }

    /// Returns the judge's leg.
    pub fn judge(&self) -> Option<&Leg> {
        match &self.choose {
            Choosing::Judge { leg, .. } => Some(leg),
            Choosing::Vote | Choosing::Consistency => None,
        }
    }
}
