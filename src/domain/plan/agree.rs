//! The plan that asks a committee one after another, until another answer is worth no more than it costs.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::Leg;
use crate::domain::{extractor::Extractor, scores::Probability};

/// Probe and agree: what the answers so far come to, and who gave them, says whether to stop with the best of them or to ask on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agree {
    /// Who can be asked, the first one first; the order of the others says nothing.
    pub members: Vec<AgreeMember>,
    /// What of the answers is compared.
    pub extract: Extractor,
    /// The fitted model that decides, by name.
    pub model: String,
    /// Asked in this order when no member answers.
    pub fallbacks: Vec<Leg>,
    /// How it decides; a plan that was read back from a record takes the first answer.
    #[serde(skip)]
    pub course: Course,
}

/// A member of the committee and what was believed of it before anyone was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgreeMember {
    /// The model.
    pub leg: Leg,
    /// Predicted quality.
    pub quality: Probability,
    /// Quality that asking it is worth less by: the policy's weights times expected cost and time.
    pub charge: f64,
}

/// Where a member stands.
#[derive(Clone, Debug, PartialEq)]
pub enum MemberState {
    /// It can be asked.
    Open,
    /// It cannot, and has not answered.
    Closed,
    /// It answered.
    Answered {
        /// What its answer comes to; `None` when it does not say.
        said: Option<String>,
        /// Tokens of the answer.
        tokens: u64,
    },
}

/// What a committee does next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AgreeStep {
    /// This member is asked.
    Ask(usize),
    /// The answer of this member is given, which is right with this probability; `None` where nothing is known of it.
    Give(usize, Option<f64>),
    /// Nobody answered and nobody can be asked.
    GiveUp,
}

/// Decides for one request; implemented where deciding lives.
pub trait Committee: fmt::Debug + Send + Sync {
    /// Returns what is done next, from where each member stands, in their order. Whoever is asked is open, whose answer is given
    /// has answered.
    fn next(&self, states: &[MemberState]) -> AgreeStep;

    /// Returns whether, once this member answers, its answer is given whatever it says.
    fn is_final(&self, states: &[MemberState], member: usize) -> bool;
}

/// A committee's way through one request. Two are taken for equal, as the rest of a plan tells plans apart.
#[derive(Clone, Debug)]
pub struct Course(Arc<dyn Committee>);

impl Course {
    /// Returns the course by which a committee decides.
    pub fn new(committee: Arc<dyn Committee>) -> Self {
        Self(committee)
    }

    /// Returns what is done next, as [`Committee::next`].
    pub fn next(&self, states: &[MemberState]) -> AgreeStep {
        self.0.next(states)
    }

    /// Returns whether an answer will be given whatever it says, as [`Committee::is_final`].
    pub fn is_final(&self, states: &[MemberState], member: usize) -> bool {
        self.0.is_final(states, member)
    }
}

impl PartialEq for Course {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Default for Course {
    fn default() -> Self {
        Self(Arc::new(FirstAnswer))
    }
}

/// Takes the first answer.
#[derive(Debug)]
struct FirstAnswer;

impl Committee for FirstAnswer {
    fn next(&self, states: &[MemberState]) -> AgreeStep {
        let answered = states.iter().position(|state| matches!(state, MemberState::Answered { .. }));
        let open = states.iter().position(|state| *state == MemberState::Open);
        match (answered, open) {
            (Some(member), _) => AgreeStep::Give(member, None),
            (None, Some(member)) => AgreeStep::Ask(member),
            (None, None) => AgreeStep::GiveUp,
        }
    }

    fn is_final(&self, _: &[MemberState], _: usize) -> bool {
        true
    }
}

impl Agree {
    /// Returns every leg: the members, the fallbacks.
    pub fn legs(&self) -> impl Iterator<Item = &Leg> {
        self.members.iter().map(|member| &member.leg).chain(&self.fallbacks)
    }
}
