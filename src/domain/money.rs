//! Money in integers. One token of a cheap model costs less than a micro-dollar, so the unit is the nano-dollar.

use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Sub},
};

use serde::{Deserialize, Serialize};

use super::tokens::Tokens;

const NANOS_PER_DOLLAR: f64 = 1e9;
const TOKENS_PER_PRICE: u128 = 1_000_000;

/// An amount in nano-dollars (1e-9 USD); arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NanoUsd(pub u64);

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Converts US dollars, rounding up so that a price never becomes free; negative amounts and NaN become zero, and what is
    /// too large becomes the largest amount.
    pub fn from_dollars(dollars: f64) -> Self {
        Self(nanos(dollars))
    }

    /// Returns US dollars.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / NANOS_PER_DOLLAR
    }
}

// A float-to-integer `as` saturates and maps NaN to zero, which is what is wanted here.
fn nanos(dollars: f64) -> u64 {
    (dollars * NANOS_PER_DOLLAR - 1e-6).ceil().max(0.0) as u64
}

impl Add for NanoUsd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for NanoUsd {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl AddAssign for NanoUsd {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for NanoUsd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for NanoUsd {
    /// Writes dollars with nine decimals, without an exponent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// A price in nano-dollars per million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PricePerMillion(pub u64);

impl PricePerMillion {
    /// Converts US dollars per million tokens, as price lists state them.
    pub fn from_dollars(dollars: f64) -> Self {
        Self(nanos(dollars))
    }

    /// Returns US dollars per million tokens.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / NANOS_PER_DOLLAR
    }

    /// Returns the price of `tokens`, rounded up to a whole nano-dollar.
    pub fn of(self, tokens: Tokens) -> NanoUsd {
        let exact = u128::from(self.0) * u128::from(tokens.0);
        NanoUsd(u64::try_from(exact.div_ceil(TOKENS_PER_PRICE)).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cheap_token_costs_a_whole_number_of_nanos() {
        let price = PricePerMillion::from_dollars(0.02);

        assert_eq!(price.of(Tokens(1)), NanoUsd(20));
        assert_eq!(price.of(Tokens(1_000_000)), NanoUsd(20_000_000));
    }

    #[test]
    fn dollars_survive_the_round_trip() {
        for dollars in [0.075, 0.15, 0.3, 0.6, 2.5, 10.0, 15.0, 75.0] {
            assert!((PricePerMillion::from_dollars(dollars).dollars() - dollars).abs() < 1e-9);
        }
    }

    #[test]
    fn nonsense_becomes_nothing_and_too_much_the_most() {
        assert_eq!(NanoUsd::from_dollars(f64::NAN), NanoUsd::ZERO);
        assert_eq!(NanoUsd::from_dollars(-1.0), NanoUsd::ZERO);
        assert_eq!(NanoUsd::from_dollars(f64::INFINITY), NanoUsd(u64::MAX));
    }

    #[test]
    fn amounts_are_written_without_an_exponent() {
        assert_eq!(NanoUsd(1_234).to_string(), "0.000001234");
    }
}
