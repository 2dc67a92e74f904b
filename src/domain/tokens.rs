//! Token counts and what a call used.

use std::{
    iter::Sum,
    ops::{Add, AddAssign},
};

use serde::{Deserialize, Serialize};

use crate::wire::{answer::Counts, usage::UsageFields};

/// A number of tokens; arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tokens(pub u64);

impl Tokens {
    /// Estimates the tokens of a text of `bytes` UTF-8 bytes, at four bytes a token (the rule of thumb for English text in
    /// byte-pair encodings of 32k to 200k entries), rounded up.
    pub fn estimate(bytes: usize) -> Self {
        Self((bytes as u64).div_ceil(4))
    }
}

impl Add for Tokens {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Tokens {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Tokens {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Add::add)
    }
}

/// What one call used, as the provider reported it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input: Tokens,
    /// Tokens of the answer, reasoning included.
    pub output: Tokens,
    /// Those tokens of the prompt that were billed at the cached price.
    pub cached_input: Tokens,
    /// Those tokens of the answer that were reasoning.
    pub reasoning: Tokens,
    /// Whether the figures are our own estimate, because the provider sent none.
    #[serde(default)]
    pub is_estimated: bool,
}

impl From<Usage> for Counts {
    fn from(usage: Usage) -> Self {
        Self { prompt_tokens: usage.input.0, completion_tokens: usage.output.0, total_tokens: usage.total().0 }
    }
}

impl From<UsageFields> for Usage {
    fn from(fields: UsageFields) -> Self {
        Self {
            input: Tokens(fields.prompt),
            output: Tokens(fields.completion),
            cached_input: Tokens(fields.cached),
            reasoning: Tokens(fields.reasoning),
            is_estimated: false,
        }
    }
}

impl Usage {
    /// Returns input plus output.
    pub fn total(&self) -> Tokens {
        self.input + self.output
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            input: self.input + other.input,
            output: self.output + other.output,
            cached_input: self.cached_input + other.cached_input,
            reasoning: self.reasoning + other.reasoning,
            is_estimated: self.is_estimated || other.is_estimated,
        }
    }
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(usages: I) -> Self {
        usages.fold(Self::default(), Add::add)
    }
}
