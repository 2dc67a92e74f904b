//! The quality that holds with a given probability.

use crate::domain::{Estimate, Probability};

/// A probability with which a quality is to hold, above a half and below 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence {
    share: f64,
    /// The share's quantile of the standard normal distribution.
    quantile: f64,
}

impl Confidence {
    /// Returns the confidence; `None` when it is not above a half and below 1.
    pub fn new(share: f64) -> Option<Self> {
        (share > 0.5 && share < 1.0).then(|| Self { share, quantile: normal_quantile(share) })
    }

    /// Returns the probability.
    pub fn share(self) -> f64 {
        self.share
    }

    /// Returns the quality of an estimate that holds with this probability: the mean less the quantile times the spread, never
    /// below 0.
    pub(super) fn lower_bound(self, estimate: &Estimate) -> Probability {
        Probability::clamped(estimate.quality.value() - self.quantile * estimate.spread)
    }
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
        let confidence = Confidence::new(0.9).unwrap();

        estimate.spread = 0.1;
        assert!((confidence.lower_bound(&estimate).value() - (0.8 - 0.128_16)).abs() < 1e-4);
        estimate.spread = 0.0;
        assert_eq!(confidence.lower_bound(&estimate).value(), 0.8);
        estimate.spread = 0.9;
        assert_eq!(confidence.lower_bound(&estimate).value(), 0.0);
    }

    #[test]
    fn certainty_and_less_than_even_chances_are_no_confidence() {
        assert!([0.5, 1.0, 0.0, f64::NAN].iter().all(|share| Confidence::new(*share).is_none()));
    }
}
