//! The numbers of a strategy, ranged.

use serde::{Deserialize, Serialize};

/// Fallbacks behind the first choice where a policy does not say: enough to survive two outages, few enough that a caller
/// does not wait for a whole catalogue.
pub const DEFAULT_MAX_FALLBACKS: usize = 2;

/// Why a strategy's parameters were refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ParameterError {
    /// A weight is negative, infinite or not a number.
    #[error("{name} must be a finite number of at least 0, not {value}")]
    BadWeight {
        /// The parameter.
        name: String,
        /// What it was.
        value: f64,
    },
    /// A share or a probability lies outside of `[0, 1]`.
    #[error("{name} must be a number from 0 to 1, not {value}")]
    NotAShare {
        /// The parameter.
        name: String,
        /// What it was.
        value: f64,
    },
    /// A count lies outside of its range.
    #[error("{name} must be a whole number from {min} to {max}, not {value}")]
    BadCount {
        /// The parameter.
        name: String,
        /// What it was.
        value: usize,
        /// Least.
        min: usize,
        /// Most.
        max: usize,
    },
    /// A number lies outside of its range, or is none.
    #[error("{name} must be a number {}, not {value}", range(*.min, *.max))]
    OutOfRange {
        /// The parameter.
        name: String,
        /// What it was.
        value: f64,
        /// Least.
        min: f64,
        /// Most.
        max: f64,
    },
    /// A model stands twice where it may stand once.
    #[error("the model {0} stands twice")]
    Repeated(String),
    /// Tasks build on themselves or lead nowhere.
    #[error("the last task must write an answer, and every other task must lead to it")]
    Unsound,
    /// Two models that are to be compared are the same.
    #[error("{0} cannot be compared with itself")]
    Same(String),
    /// The bounds of a weight do not enclose it.
    #[error("{name} must lie between its bounds, but {value} is not between {min} and {max}")]
    OutOfBounds {
        /// The parameter.
        name: String,
        /// The policy's own weight.
        value: f64,
        /// Lower bound.
        min: f64,
        /// Upper bound.
        max: f64,
    },
    /// No model has a weight above zero, so nothing could ever be drawn.
    #[error("at least one weight must be above 0")]
    NoWeight,
    /// A model has two weights.
    #[error("model {0} has more than one weight")]
    Twice(String),
}

/// A weight of an objective and how far a caller may move it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weight {
    /// The policy's own weight.
    pub value: f64,
    /// The least a caller who wants quality may set.
    pub min: f64,
    /// The most a caller who wants to save may set.
    pub max: f64,
}

impl Weight {
    /// Returns a weight that callers cannot move.
    pub const fn fixed(value: f64) -> Self {
        Self { value, min: value, max: value }
    }

    /// Returns the weight for a caller's `quality` in `[0, 1]`: `max` at 0, the policy's own at 0.5 and for `None`, `min` at
    /// 1, linear between.
    pub fn at(&self, quality: Option<f64>) -> f64 {
        match quality {
            None => self.value,
            Some(quality) if quality < 0.5 => self.value + (self.max - self.value) * (1.0 - 2.0 * quality),
            Some(quality) => self.value + (self.min - self.value) * (2.0 * quality - 1.0),
        }
    }

    /// Returns the value of something that grows with a caller's `quality`: `min` at 0, the policy's own at 0.5 and for `None`,
    /// `max` at 1, linear between.
    pub fn rising(&self, quality: Option<f64>) -> f64 {
        self.at(quality.map(|quality| 1.0 - quality))
    }

    /// Checks the weight as a share of `[0, 1]`.
    pub(super) fn check_share(&self, name: &str) -> Result<(), ParameterError> {
        check_share(name, self.value)?;
        check_share(&format!("{name}.min"), self.min)?;
        check_share(&format!("{name}.max"), self.max)?;
        self.check(name)
    }

    pub(super) fn check(&self, name: &str) -> Result<(), ParameterError> {
        check_weight(name, self.value)?;
        check_weight(&format!("{name}.min"), self.min)?;
        check_weight(&format!("{name}.max"), self.max)?;
        if self.min <= self.value && self.value <= self.max {
            return Ok(());
        }
        Err(ParameterError::OutOfBounds { name: name.to_owned(), value: self.value, min: self.min, max: self.max })
    }
}

pub(super) fn check_weight(name: &str, value: f64) -> Result<(), ParameterError> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(ParameterError::BadWeight { name: name.to_owned(), value })
}

pub(super) fn check_share(name: &str, value: f64) -> Result<(), ParameterError> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(ParameterError::NotAShare { name: name.to_owned(), value })
}

/// Checks a number; `f64::MIN` and `f64::MAX` are no bounds.
pub(super) fn check_bound(name: &str, value: f64, (min, max): (f64, f64)) -> Result<(), ParameterError> {
    if value.is_finite() && (min..=max).contains(&value) {
        return Ok(());
    }
    Err(ParameterError::OutOfRange { name: name.to_owned(), value, min, max })
}

/// Returns a range in words.
fn range(min: f64, max: f64) -> String {
    match (min == f64::MIN, max == f64::MAX) {
        (true, true) => "that is finite".to_owned(),
        (true, false) => format!("of at most {max}"),
        (false, true) => format!("of at least {min}"),
        (false, false) => format!("from {min} to {max}"),
    }
}

pub(super) fn check_count(name: &str, value: usize, (min, max): (usize, usize)) -> Result<(), ParameterError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(ParameterError::BadCount { name: name.to_owned(), value, min, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEIGHT: Weight = Weight { value: 0.2, min: 0.05, max: 1.0 };

    #[test]
    fn a_caller_moves_the_weight_between_its_bounds() {
        let weights: Vec<f64> = [0.0, 0.25, 0.5, 0.75, 1.0].iter().map(|&quality| WEIGHT.at(Some(quality))).collect();

        let expected = [1.0, 0.6, 0.2, 0.125, 0.05];
        for (weight, expected) in weights.iter().zip(expected) {
            assert!((weight - expected).abs() < 1e-12, "{weight} is not {expected}");
        }
    }

    #[test]
    fn what_grows_with_quality_grows_between_the_same_bounds() {
        let values: Vec<f64> = [0.0, 0.5, 1.0].iter().map(|&quality| WEIGHT.rising(Some(quality))).collect();

        for (value, expected) in values.iter().zip([0.05, 0.2, 1.0]) {
            assert!((value - expected).abs() < 1e-12, "{value} is not {expected}");
        }
        assert_eq!(WEIGHT.rising(None), 0.2);
    }

    #[test]
    fn a_silent_caller_gets_the_policy_s_own_weight() {
        assert_eq!(WEIGHT.at(None), 0.2);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let not_a_number = Weight::fixed(f64::NAN).check("cost_weight");
        let negative = Weight::fixed(-1.0).check("cost_weight");
        let outside = Weight { value: 2.0, ..WEIGHT }.check("cost_weight");
        let no_share = Weight::fixed(1.5).check_share("threshold").unwrap_err();

        assert_eq!(no_share.to_string(), "threshold must be a number from 0 to 1, not 1.5");

        assert!(matches!(not_a_number, Err(ParameterError::BadWeight { name, .. }) if name == "cost_weight"));
        assert_eq!(negative.unwrap_err().to_string(), "cost_weight must be a finite number of at least 0, not -1");
        assert!(matches!(outside, Err(ParameterError::OutOfBounds { max, .. }) if max == 1.0));
    }
}
