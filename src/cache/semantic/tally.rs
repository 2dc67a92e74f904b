//! What the semantic cache did so far, and what that says of its error.
//!
//! Nobody knows whether a served answer was right: only questions that were asked again tell. A question asked again with
//! probability `1 - p` stands for `p / (1 - p)` that were served (inverse probability weighting), so the weights of those that
//! proved wrong add up to an estimate of the wrong answers served. The interval is the gamma interval for weighted sums of
//! Poisson counts (Fay and Feuer, Statistics in Medicine 16, 1997), which holds up where few or no labels are wrong.

use serde::Serialize;

/// The normal quantile that leaves 2.5 % above.
const QUANTILE: f64 = 1.96;

/// What the cache did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Tally {
    /// Answers served.
    pub served: u64,
    /// Questions asked again whose stored answer was right.
    pub agreed: u64,
    /// Questions asked again whose stored answer was wrong.
    pub differed: u64,
    /// Questions asked again of whose stored answer nobody could tell.
    pub unjudged: u64,
    /// Expected number of wrong answers among those served.
    pub expected_wrong: f64,
    /// Sum of the squares of what `expected_wrong` is the sum of.
    #[serde(skip)]
    squares: f64,
    /// The most that one label may stand for.
    #[serde(skip)]
    heaviest: f64,
    /// The bound that the policy set last, in `(0, 1)`; 0 before anything was looked up.
    pub bound: f64,
}

/// A share of wrong answers, each in `[0, 1]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ErrorShare {
    /// The estimate.
    pub estimate: f64,
    /// The lower end of its 95 % interval.
    pub lower: f64,
    /// The upper end of its 95 % interval.
    pub upper: f64,
}

impl Tally {
    pub(super) fn note_served(&mut self, serving: f64) {
        self.served += 1;
        self.heaviest = self.heaviest.max(weight(serving));
    }

    pub(super) fn note_label(&mut self, serving: f64, is_right: bool) {
        let weight = weight(serving);
        self.heaviest = self.heaviest.max(weight);
        if is_right {
            self.agreed += 1;
            return;
        }
        self.differed += 1;
        self.expected_wrong += weight;
        self.squares += weight * weight;
    }

    /// Returns the share of wrong answers among all lookups that found something near enough to be served.
    pub fn error(&self) -> ErrorShare {
        let all = self.served + self.agreed + self.differed;
        if all == 0 {
            return ErrorShare { estimate: 0.0, lower: 0.0, upper: 1.0 };
        }
        let share = |wrong: f64| (wrong / all as f64).clamp(0.0, 1.0);
        let lower = gamma(self.expected_wrong, self.squares, -QUANTILE);
        let one_more = (self.expected_wrong + self.heaviest, self.squares + self.heaviest * self.heaviest);
        let upper = gamma(one_more.0, one_more.1, QUANTILE);
        ErrorShare { estimate: share(self.expected_wrong), lower: share(lower), upper: share(upper) }
    }
}

/// Returns for how many served answers a label stands.
fn weight(serving: f64) -> f64 {
    serving / (1.0 - serving).max(f64::EPSILON)
}

/// Returns the quantile of the gamma distribution with this mean and variance, by Wilson and Hilferty's cube root (within 1 % at
/// the shapes of 1 and above that occur here).
fn gamma(mean: f64, variance: f64, quantile: f64) -> f64 {
    if mean <= 0.0 || variance <= 0.0 {
        return 0.0;
    }
    let shape = mean * mean / variance;
    let root = 1.0 - 1.0 / (9.0 * shape) + quantile / (3.0 * shape.sqrt());
    mean * root.max(0.0).powi(3)
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // Exact limits for counts of 0 and of 10 (Garwood): 3.689; 4.795 and 18.39.
        let near = |one: f64, other: f64| (one / other - 1.0).abs() < 0.01;

        assert!(near(gamma(1.0, 1.0, QUANTILE), 3.689));
        assert!(near(gamma(10.0, 10.0, -QUANTILE), 4.795));
        assert!(near(gamma(11.0, 11.0, QUANTILE), 18.39));
    }

    #[test]
    fn nothing_is_claimed_before_anything_is_known() {
        assert_eq!(Tally::default().error(), ErrorShare { estimate: 0.0, lower: 0.0, upper: 1.0 });
    }

    #[test]
    fn the_interval_holds_the_truth_nearly_always() {
        let (rounds, lookups, wrong_share, serving) = (400_u32, 4_000, 0.02, 0.9);
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut missed = 0_u32;
        for _ in 0..rounds {
            let mut tally = Tally::default();
            let mut wrong = 0.0;
            for _ in 0..lookups {
                let is_right = !rng.random_bool(wrong_share);
                if rng.random_bool(serving) {
                    tally.note_served(serving);
                    wrong += f64::from(u8::from(!is_right));
                } else {
                    tally.note_label(serving, is_right);
                }
            }
            let truth = wrong / f64::from(lookups);
            let ErrorShare { lower, upper, .. } = tally.error();
            missed += u32::from(truth < lower || truth > upper);
        }

        // 5 % may be missed; the interval errs on the safe side.
        assert!(missed <= rounds / 20, "{missed} of {rounds} intervals missed the truth");
    }
}
