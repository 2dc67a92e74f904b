//! Who has been asked, and who said what.

/// A committee has at most this many members: there is a set of weights for each of its subsets.
pub const MOST_MEMBERS: usize = 8;

/// What a member made of the prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// It has not been asked.
    #[default]
    Unasked,
    /// It gave no answer that could be found in what it wrote.
    Silent,
    /// It gave an answer; equal numbers are equal answers.
    Said(i64),
}

/// A set of members by number, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberSet(u16);

impl MemberSet {
    /// Returns the set of these members; numbers from [`MOST_MEMBERS`] on are left out.
    pub fn of(members: impl IntoIterator<Item = usize>) -> Self {
        members.into_iter().fold(Self::default(), Self::with)
    }

    /// Returns every set of members of a committee with 1 to `most` of them, small sets first.
    pub fn all(members: usize, most: usize) -> Vec<Self> {
        let mut sets: Vec<Self> = (1..1_u16 << members.min(MOST_MEMBERS)).map(Self).collect();
        sets.retain(|set| set.len() <= most);
        sets.sort_by_key(|set| (set.len(), *set));
        sets
    }

    /// Returns the set with one more.
    #[must_use]
    pub const fn with(self, member: usize) -> Self {
        if member < MOST_MEMBERS { Self(self.0 | 1 << member) } else { self }
    }

    /// Returns whether a member belongs to it.
    pub const fn has(self, member: usize) -> bool {
        member < MOST_MEMBERS && self.0 & 1 << member != 0
    }

    /// Returns how many members it has.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Returns whether nobody belongs to it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns its members in order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..MOST_MEMBERS).filter(move |member| self.has(*member))
    }

    /// Returns its number among all sets, below `2^MOST_MEMBERS`.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Logarithms of answers' lengths in tokens lie around this, and so far around it (MMLU-Pro and ZeroEval, all models).
const USUAL_LENGTH: (f64, f64) = (5.0, 1.5);

/// What has been heard of a committee so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Heard {
    answers: [Answer; MOST_MEMBERS],
    lengths: [f64; MOST_MEMBERS],
}

impl Heard {
    /// Returns this with what one more member said, in how many tokens; `None` counts as usual. What it said before is replaced.
    #[must_use]
    pub fn with(mut self, member: usize, answer: Answer, tokens: Option<f64>) -> Self {
        let length = tokens.filter(|tokens| tokens.is_finite() && *tokens >= 0.0);
        let length = length.map_or(0.0, |tokens| (tokens.ln_1p() - USUAL_LENGTH.0) / USUAL_LENGTH.1);
        if let (Some(place), Some(known)) = (self.answers.get_mut(member), self.lengths.get_mut(member)) {
            (*place, *known) = (answer, length);
        }
        self
    }

    /// Returns what a member said.
    pub fn answer(&self, member: usize) -> Answer {
        self.answers.get(member).copied().unwrap_or_default()
    }

    /// Returns how long a member's answer is, in standard deviations from the usual logarithm; 0 of who was not asked.
    pub fn length(&self, member: usize) -> f64 {
        self.lengths.get(member).copied().unwrap_or_default()
    }

    /// Returns who has been asked.
    pub fn asked(&self) -> MemberSet {
        MemberSet::of((0..MOST_MEMBERS).filter(|member| self.answer(*member) != Answer::Unasked))
    }
}
