//! What came of a leg besides its answer: why a plan went on, or stopped.

use serde::{Deserialize, Serialize};

use super::ids::ModelName;

/// What a plan decided about a leg while it ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Position of the leg in the plan, from 0.
    pub leg: u32,
    /// The model that was asked.
    pub model: ModelName,
    /// What was decided.
    pub ruling: Ruling,
    /// Why.
    pub cause: Cause,
    /// The figure that decided, in the unit of the cause; `None` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

/// What is decided about a leg, a closed set for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// Its answer is the plan's.
    Accepted,
    /// Its answer is whole and another model is asked.
    Deferred,
    /// It was cancelled while it answered, and another model is asked.
    Abandoned,
    /// Its answer is the plan's too: it says the same as the one that is given.
    Agreed,
    /// Its answer went into the questions of others.
    Heard,
    /// Another answer was chosen over its own.
    Outvoted,
    /// It gave no answer.
    Failed,
    /// Its answer was in doubt, and is the plan's because nothing better came.
    Kept,
}

/// Why a leg was accepted or not, a closed set for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It passed every test.
    Passed,
    /// There was nothing to pass.
    Untested,
    /// The log-probabilities of its tokens.
    Logprob,
    /// The margins between its likeliest tokens.
    Margin,
    /// How little the model knew what to say.
    Entropy,
    /// Its length.
    Length,
    /// Why it ended.
    Finish,
    /// It declines.
    Refusal,
    /// It does not have the form that it should.
    Format,
    /// What further answers come to, of the same model or of others.
    Agreement,
    /// A judge finds it wrong.
    Judge,
    /// The model finds its own answer wrong.
    SelfCheck,
    /// The tests need token probabilities, and the model told none.
    NoSignals,
    /// The judge did not answer.
    JudgeFailed,
    /// The judge's answer is no grade.
    JudgeUnreadable,
    /// It is larger than what is held back for a test.
    TooLarge,
    /// What its quality is taken to be, against that of others and their cost.
    Utility,
    /// The votes of the members.
    Vote,
    /// It says nothing that can be compared.
    NoVote,
    /// Others had decided already.
    Decided,
    /// It began before the other.
    FirstToken,
    /// The other began before it.
    Late,
    /// It is a task of a plan of several; the figure is what a revision has in common with what it revises.
    Task,
    /// A critic found nothing wrong.
    Approved,
    /// The call failed; its attempt has the code.
    Error,
    /// No other model answered.
    NoBetter,
}

impl Ruling {
    /// Returns the snake-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Deferred => "deferred",
            Self::Abandoned => "abandoned",
            Self::Agreed => "agreed",
            Self::Heard => "heard",
            Self::Outvoted => "outvoted",
            Self::Failed => "failed",
            Self::Kept => "kept",
        }
    }
}

impl Cause {
    /// Returns the snake-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Untested => "untested",
            Self::Logprob => "logprob",
            Self::Margin => "margin",
            Self::Entropy => "entropy",
            Self::Length => "length",
            Self::Finish => "finish",
            Self::Refusal => "refusal",
            Self::Format => "format",
            Self::Agreement => "agreement",
            Self::Judge => "judge",
            Self::SelfCheck => "self_check",
            Self::NoSignals => "no_signals",
            Self::JudgeFailed => "judge_failed",
            Self::JudgeUnreadable => "judge_unreadable",
            Self::TooLarge => "too_large",
            Self::Utility => "utility",
            Self::Vote => "vote",
            Self::NoVote => "no_vote",
            Self::Decided => "decided",
            Self::FirstToken => "first_token",
            Self::Late => "late",
            Self::Task => "task",
            Self::Approved => "approved",
            Self::Error => "error",
            Self::NoBetter => "no_better",
        }
    }
}
