//! What the model itself holds of the next token, before anything is done to its logits.

use super::exponential::exp_of_non_positive;
use crate::domain::TokenSignal;

/// Sums run in this many lanes side by side, so that they become vector instructions.
const LANES: usize = 16;

/// `f32` sums of so many terms lose nothing that matters; whole sums are `f64`.
const BLOCK: usize = 256;

/// A token and how likely the model itself held it to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct Likely {
    /// Its id in the vocabulary.
    pub(in super::super) token: u32,
    /// Natural logarithm of its probability.
    pub(in super::super) logprob: f64,
}

/// The model's own distribution, as far as signals need it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    log_total: f64,
    entropy: f64,
    margin: f64,
}

impl Own {
    /// Reads the logits twice: for the two highest, and for the sums.
    pub(super) fn of(logits: &[f32]) -> Self {
        let (highest, second) = two_highest(logits);
        let (total, weighted) = sums(logits, highest);
        let log_sum = total.ln();
        // H = ln Z - sum(e^x x) / Z, where x is a logit less the highest and Z the sum of all e^x.
        let entropy = (log_sum - weighted / total).max(0.0);
        Self { log_total: f64::from(highest) + log_sum, entropy, margin: f64::from(highest) - f64::from(second) }
    }

    /// Returns how sure the model was of the token of `logit`.
    pub(super) fn signal(&self, logit: f32) -> TokenSignal {
        let margin = self.margin.is_finite().then_some(self.margin);
        TokenSignal { logprob: self.logprob(logit), entropy: Some(self.entropy), margin }
    }

    /// Returns the `count` likeliest tokens, likeliest first.
    pub(super) fn top(&self, logits: &[f32], count: usize) -> Vec<Likely> {
        if count == 0 {
            return Vec::new();
        }
        let mut best: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
        for (token, logit) in (0..).zip(logits.iter().copied()).filter(|(_, logit)| !logit.is_nan()) {
            if best.len() == count && best.last().is_none_or(|(_, lowest)| logit <= *lowest) {
                continue;
            }
            let place = best.partition_point(|(_, other)| *other >= logit);
            best.insert(place, (token, logit));
            best.truncate(count);
        }
        best.into_iter().map(|(token, logit)| Likely { token, logprob: self.logprob(logit) }).collect()
    }

    fn logprob(&self, logit: f32) -> f64 {
        f64::from(logit) - self.log_total
    }
}

/// Returns the highest logit and the second, NaN passed over.
fn two_highest(logits: &[f32]) -> (f32, f32) {
    let mut lanes = [(f32::NEG_INFINITY, f32::NEG_INFINITY); LANES];
    for chunk in logits.chunks(LANES) {
        for ((first, second), logit) in lanes.iter_mut().zip(chunk) {
            let lower = if *logit < *first { *logit } else { *first };
            *first = if *logit > *first { *logit } else { *first };
            *second = if lower > *second { lower } else { *second };
        }
    }
    let merge = |(first, second): (f32, f32), (other, next): (f32, f32)| {
        (first.max(other), first.min(other).max(second).max(next))
    };
    lanes.into_iter().fold((f32::NEG_INFINITY, f32::NEG_INFINITY), merge)
}

/// Returns the sums of `e^x` and of `e^x x`, where `x` is a logit less the highest.
fn sums(logits: &[f32], highest: f32) -> (f64, f64) {
    let (mut total, mut weighted) = (0.0, 0.0);
    for block in logits.chunks(BLOCK) {
        let mut lanes = [(0.0_f32, 0.0_f32); LANES];
        for chunk in block.chunks(LANES) {
            for ((sum, product), logit) in lanes.iter_mut().zip(chunk) {
                let x = logit - highest;
                let weight = exp_of_non_positive(x);
                *sum += weight;
                *product += if weight > 0.0 { weight * x } else { 0.0 };
            }
        }
        total += lanes.iter().map(|(sum, _)| f64::from(*sum)).sum::<f64>();
        weighted += lanes.iter().map(|(_, product)| f64::from(*product)).sum::<f64>();
    }
    (total, weighted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_tokens_of_three_to_one() {
        let own = Own::of(&[3_f32.ln(), 0.0, f32::NEG_INFINITY, f32::NAN]);

        let signal = own.signal(0.0);

        assert!((signal.logprob - 0.25_f64.ln()).abs() < 1e-6);
        assert!((signal.margin.unwrap() - 3_f64.ln()).abs() < 1e-6);
        assert!((signal.entropy.unwrap() - (0.75 * (4_f64 / 3.0).ln() + 0.25 * 4_f64.ln())).abs() < 1e-6);
    }

    #[test]
    fn where_only_one_token_is_possible_there_is_no_margin() {
        let signal = Own::of(&[f32::NEG_INFINITY, 2.0]).signal(2.0);

        assert_eq!((signal.logprob, signal.entropy, signal.margin), (0.0, Some(0.0), None));
    }

    proptest! {
        #[test]
        fn signals_are_what_the_definition_gives(logits in prop::collection::vec(-30_f32..30.0, 2..700)) {
            let highest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let total: f64 = logits.iter().map(|logit| (f64::from(*logit) - highest).exp()).sum();
            let logprob = |logit: &f32| f64::from(*logit) - highest - total.ln();
            let entropy: f64 = logits.iter().map(|logit| -logprob(logit) * logprob(logit).exp()).sum();
            let mut sorted = logits.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));

            let own = Own::of(&logits);
            let signal = own.signal(logits[0]);

            prop_assert!((signal.logprob - logprob(&logits[0])).abs() < 1e-5);
            prop_assert!((signal.entropy.unwrap() - entropy).abs() < 1e-5);
            prop_assert!((signal.margin.unwrap() - f64::from(sorted[0] - sorted[1])).abs() < 1e-5);
            let top: Vec<f64> = own.top(&logits, 2).iter().map(|likely| likely.logprob).collect();
            prop_assert_eq!(top, [own.logprob(sorted[0]), own.logprob(sorted[1])]);
        }
    }
}
