//! The quality that holds with a given probability.

use crate::domain::{Estimate, Probability, Tail};

/// How a bound is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// As if errors were normal with the stated spread.
    Normal,
    /// From the errors that the artifact made where they could be checked; as [`Interval::Normal`] where it does not say.
    Conformal,
}

/// A probability with which a quality is to hold, above a half and below 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence {
    share: f64,
    interval: Interval,
    /// The share's quantile of the standard normal distribution.
    quantile: f64,
}

impl Confidence {
    /// Returns the confidence; `None` when it is not above a half and below 1.
    pub fn new(share: f64, interval: Interval) -> Option<Self> {
        (share > 0.5 && share < 1.0).then(|| Self { share, interval, quantile: normal_quantile(share) })
    }

    /// Returns the probability.
    pub fn share(self) -> f64 {
        self.share
    }

    /// Returns the probability if the bound is to be read off the artifact's errors.
    pub fn conformal_share(self) -> Option<f64> {
        (self.interval == Interval::Conformal).then_some(self.share)
    }

    /// Returns how many spreads below an estimate its bound lies; `tails` is what the artifact says.
    pub fn factor(self, tails: &[Tail]) -> f64 {
        let is_own = |tail: &&Tail| self.conformal_share() == Some(tail.share);
        tails.iter().find(is_own).map_or(self.quantile, |tail| tail.factor)
    }
}

/// Returns the quality that lies so many spreads below an estimate, never below 0.
pub(super) fn lower_bound(estimate: &Estimate, factor: f64) -> Probability {
    Probability::clamped(estimate.quality.value() - factor * estimate.spread)
}

/// Returns the quantile of the standard normal distribution for a share above a half: Abramowitz and Stegun 1964, formula
/// 26.2.23, off by less than 4.5e-4.
fn normal_quantile(share: f64) -> f64 {
    let t = (-2.0 * (1.0 - share).ln()).sqrt();
    let numerator = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let denominator = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    (t - numerator / denominator).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::samples::expected;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (share, expected) in [(0.6, 0.2533), (0.8, 0.8416), (0.9, 1.2816), (0.95, 1.6449), (0.99, 2.3263)] {
            assert!((normal_quantile(share) - expected).abs() < 5e-4, "{share}");
        }
    }

    #[test]
    fn the_bound_falls_with_the_spread_and_not_below_zero() {
        let mut estimate = expected("model", 0.8, 1, 1).estimate;
        let factor = Confidence::new(0.9, Interval::Normal).unwrap().factor(&[]);

        estimate.spread = 0.1;
        assert!((lower_bound(&estimate, factor).value() - (0.8 - 0.128_16)).abs() < 1e-4);
        estimate.spread = 0.0;
        assert_eq!(lower_bound(&estimate, factor).value(), 0.8);
        estimate.spread = 0.9;
        assert_eq!(lower_bound(&estimate, factor).value(), 0.0);
    }

    #[test]
    fn a_conformal_bound_follows_the_artifact_and_is_normal_where_that_is_silent() {
        let conformal = Confidence::new(0.9, Interval::Conformal).unwrap();
        let normal = Confidence::new(0.9, Interval::Normal).unwrap();
        let tails = [Tail { share: 0.8, factor: 1.0 }, Tail { share: 0.9, factor: 2.5 }];

        assert_eq!((conformal.conformal_share(), normal.conformal_share()), (Some(0.9), None));
        assert_eq!(conformal.factor(&tails), 2.5);
        assert_eq!(normal.factor(&tails), conformal.factor(&[]));
        assert!((normal.factor(&tails) - 1.2816).abs() < 5e-4);
    }

    #[test]
    fn certainty_and_less_than_even_chances_are_no_confidence() {
        assert!([0.5, 1.0, 0.0, f64::NAN].iter().all(|share| Confidence::new(*share, Interval::Normal).is_none()));
    }
}
