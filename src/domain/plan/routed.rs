//! The plan that decides after every answer whether another one is worth its cost.

use serde::{Deserialize, Serialize};

use super::Leg;
use crate::domain::{deferral::DeferralTest, scores::Probability};

/// Models of which the next one to ask, if any, follows from what the answers so far are like; the rule is that of
/// [`next_step`](crate::routing::next_step).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CascadeRouting {
    /// Who can be asked; the first is asked first.
    pub prospects: Vec<ModelProspect>,
    /// Most models that are asked.
    pub most_legs: u32,
    /// How far what is seen of one model's answer moves what is believed of the others, `[0, 1]`.
    pub correlation: f64,
    /// What is taken for the quality of an answer; each of them is looked at.
    pub evidence: Vec<AnswerEvidence>,
    /// An answer to which one of these objects is worth nothing.
    pub reject: Vec<DeferralTest>,
}

/// A model and what was believed of it before anything was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelProspect {
    /// The model.
    pub leg: Leg,
    /// Predicted quality.
    pub quality: Probability,
    /// Standard deviation of it.
    pub spread: f64,
    /// Quality that asking it is worth less by: the policy's weight times its expected cost.
    pub cost: f64,
}

/// What is taken for the quality of an answer, with an error of standard deviation `noise`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum AnswerEvidence {
    /// The mean log-probability of its tokens, on a line from 0 at `low` to 1 at `high`.
    Logprob {
        /// Stands for a wrong answer.
        low: f64,
        /// Stands for a right one; above `low`, at most 0.
        high: f64,
        /// Standard deviation of the error.
        noise: f64,
    },
    /// The grade of a judge.
    Judge {
        /// The model that judges.
        leg: Leg,
        /// Standard deviation of the error.
        noise: f64,
    },
}

impl AnswerEvidence {
    /// Returns the leg of the judge.
    pub fn judge(&self) -> Option<&Leg> {
        match self {
            Self::Judge { leg, .. } => Some(leg),
            Self::Logprob { .. } => None,
        }
    }

    /// Returns the standard deviation of the error of several together, their errors taken for independent; `None` without any.
    pub fn together(evidence: &[Self]) -> Option<f64> {
        let precision = |one: &Self| match one {
            Self::Logprob { noise, .. } | Self::Judge { noise, .. } => noise.powi(-2),
        };
        (!evidence.is_empty()).then(|| evidence.iter().map(precision).sum::<f64>().sqrt().recip())
    }
}

impl CascadeRouting {
    /// Returns the standard deviation of the error of all evidence together; `None` without any.
    pub fn noise(&self) -> Option<f64> {
        AnswerEvidence::together(&self.evidence)
    }

    /// Returns the models' legs, and those of the judges after them; a judge's leg runs once for each answer.
    pub fn legs(&self) -> impl Iterator<Item = &Leg> {
        let models = self.prospects.iter().map(|prospect| &prospect.leg);
        models.chain(self.evidence.iter().filter_map(AnswerEvidence::judge))
    }
}
