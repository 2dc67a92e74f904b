//! How many requests may be hedged.

use parking_lot::Mutex;

/// Hedges that a quiet time may save up for a bad one.
const MOST_SAVED: f64 = 10.0;

/// A share of the requests that begin with a model. Each request adds its share, each hedge takes one; the first hedge is free, so
/// after `n` requests there were at most `share * n + 1`.
#[derive(Debug)]
pub(super) struct HedgeBudget {
    saved: Mutex<f64>,
}

impl HedgeBudget {
    pub(super) fn new() -> Self {
        Self { saved: Mutex::new(1.0) }
    }

    pub(super) fn note_request(&self, share: f64) {
        let mut saved = self.saved.lock();
        *saved = (*saved + share.clamp(0.0, 1.0)).min(MOST_SAVED);
    }

    /// Takes one hedge from the budget if there is one.
    pub(super) fn try_spend(&self) -> bool {
        let mut saved = self.saved.lock();
        // A sum of many shares may lie a little below a whole number.
        let is_affordable = *saved >= 1.0 - 1e-9;
        if is_affordable {
            *saved -= 1.0;
        }
        is_affordable
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_in_twenty_is_one_in_twenty() {
        let budget = HedgeBudget::new();

        let granted = (0..1_000)
            .filter(|_| {
                budget.note_request(0.05);
                budget.try_spend()
            })
            .count();

        assert_eq!(granted, 51);
    }

    proptest! {
        #[test]
        fn hedges_never_exceed_their_share(wants in proptest::collection::vec(proptest::bool::ANY, 0..400), share in 0.0..1.0f64) {
            let budget = HedgeBudget::new();
            let mut granted = 0.0;

            for (requests, wants) in wants.into_iter().enumerate() {
                budget.note_request(share);
                granted += f64::from(u32::from(wants && budget.try_spend()));
                prop_assert!(granted <= share * (requests as f64 + 1.0) + 1.0 + 1e-6);
            }
        }
    }
}
