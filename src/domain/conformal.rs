//! How far predictions were off where they could be checked.

use serde::{Deserialize, Serialize};

/// Errors of predictions that were made without the outcome, each in units of its own standard deviation; positive where the
/// prediction was too high. Bounds read off them hold with the stated probability for whatever is exchangeable with what they
/// were measured on, whether or not errors are normal (split conformal prediction: Vovk, Gammerman and Shafer 2005; Lei et al.
/// 2018, section 2.2, with scores scaled by the spread as in section 5.2).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<f32>", into = "Vec<f32>")]
pub struct Conformal {
    sorted: Vec<f32>,
}

impl Conformal {
    /// Returns how many standard deviations below a prediction the truth lies at most, with probability `share` (in `(0, 1)`):
    /// the `ceil((n + 1) share)`-th smallest of the `n` errors, at least 0. Infinite when there are too few errors to say.
    pub fn factor(&self, share: f64) -> f64 {
        let rank = ((self.sorted.len() as f64 + 1.0) * share).ceil().max(1.0) as usize;
        self.sorted.get(rank - 1).map_or(f64::INFINITY, |error| f64::from(*error).max(0.0))
    }

    /// Returns how many errors there are.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }
}

impl From<Vec<f32>> for Conformal {
    /// Errors that are not finite are left out.
    fn from(mut errors: Vec<f32>) -> Self {
        errors.retain(|error| error.is_finite());
        errors.sort_by(f32::total_cmp);
        Self { sorted: errors }
    }
}

impl From<Conformal> for Vec<f32> {
    fn from(conformal: Conformal) -> Self {
        conformal.sorted
    }
}

/// A probability that a bound is to hold with, and what [`Conformal::factor`] says of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    /// The probability.
    pub share: f64,
    /// Standard deviations between the prediction and its lower bound.
    pub factor: f64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_factor_is_the_corrected_quantile() {
        let conformal = Conformal::from((1..=9).map(|error| error as f32).collect::<Vec<_>>());

        assert_eq!(conformal.factor(0.5), 5.0);
        assert_eq!(conformal.factor(0.9), 9.0);
        assert_eq!(conformal.factor(0.91), f64::INFINITY, "nine errors say nothing of one in eleven");
        assert_eq!(Conformal::default().factor(0.5), f64::INFINITY);
    }

    #[test]
    fn a_bound_is_never_above_the_prediction() {
        assert_eq!(Conformal::from(vec![-3.0, -2.0, -1.0]).factor(0.5), 0.0);
    }

    proptest! {
        /// The promise itself: of n + 1 exchangeable errors, the last one lies beyond the factor of the others in at most
        /// `1 - share` of their orders.
        #[test]
        fn the_bound_holds_as_often_as_it_says(errors in prop::collection::vec(0.0_f32..9.0, 2..60), share in 0.05_f64..0.99) {
            let missed = (0..errors.len()).filter(|left_out| {
                let mut others = errors.clone();
                let own = others.remove(*left_out);
                f64::from(own) > Conformal::from(others).factor(share)
            });

            prop_assert!(missed.count() as f64 <= (1.0 - share) * errors.len() as f64 + 1e-9);
        }
    }
}
