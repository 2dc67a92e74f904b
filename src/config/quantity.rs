//! Numbers with a unit, as people write them: `30s`, `16MiB`.

use std::{borrow::Cow, fmt, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Why a quantity was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseQuantityError {
    /// Not a length of time.
    #[error("expected a whole number and a unit: ms, s, m, h or d")]
    Period,
    /// Not a size.
    #[error("expected a whole number and a unit: B, KiB, MiB or GiB")]
    Size,
}

const PERIOD_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A length of time: a whole number with `ms`, `s`, `m`, `h` or `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period(pub Duration);

/// A size: a whole number with `B`, `KiB`, `MiB` or `GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(pub u64);

impl Period {
    /// Returns a number of milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// Returns a number of seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl ByteSize {
    /// Returns a number of mebibytes.
    pub const fn mebibytes(count: u64) -> Self {
        Self(count << 20)
    }

    /// Returns the size for memory on this machine.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn render(amount: u64, units: &[(&str, u64)]) -> String {
    let fitting = units.iter().find(|(_, factor)| amount > 0 && amount.is_multiple_of(*factor));
    match fitting.or(units.last()) {
        Some((name, factor)) => format!("{}{name}", amount / factor),
        None => amount.to_string(),
    }
}

impl TryFrom<String> for Period {
    type Error = ParseQuantityError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        parse(&text, &PERIOD_UNITS).map(Self::millis).ok_or(ParseQuantityError::Period)
    }
}

impl TryFrom<String> for ByteSize {
    type Error = ParseQuantityError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        parse(&text, &SIZE_UNITS).map(Self).ok_or(ParseQuantityError::Size)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&render(u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), &PERIOD_UNITS))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&render(self.0, &SIZE_UNITS))
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> Self {
        size.to_string()
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "a length of time (ms, s, m, h, d)",
            "type": "string",
            "pattern": "^[0-9]{1,12}(ms|s|m|h|d)$",
            "examples": ["30s"],
        })
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "a size (B, KiB, MiB, GiB)",
            "type": "string",
            "pattern": "^[0-9]{1,9}(B|KiB|MiB|GiB)$",
            "examples": ["16MiB"],
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_without_a_unit_is_refused() {
        assert_eq!(Period::try_from("30".to_owned()), Err(ParseQuantityError::Period));
        assert_eq!(ByteSize::try_from("16MB".to_owned()), Err(ParseQuantityError::Size));
    }

    #[test]
    fn the_largest_fitting_unit_is_written() {
        assert_eq!(Period::seconds(120).to_string(), "2m");
        assert_eq!(Period::millis(1_500).to_string(), "1500ms");
        assert_eq!(Period::millis(0).to_string(), "0ms");
        assert_eq!(ByteSize::mebibytes(2048).to_string(), "2GiB");
    }

    proptest! {
        #[test]
        fn quantities_survive_the_round_trip(amount in 0..u64::from(u32::MAX)) {
            prop_assert_eq!(Period::try_from(Period::millis(amount).to_string()).unwrap(), Period::millis(amount));
            prop_assert_eq!(ByteSize::try_from(ByteSize(amount).to_string()).unwrap(), ByteSize(amount));
        }
    }
}
