//! A promise on quality: at most so much lost against a reference model, with so much confidence, for as little as that costs.
//!
//! Learn then test (Angelopoulos et al., arXiv 2110.01052): settings are tested from the safest to the cheapest on prompts that had
//! no part in the fit, and the last one before the first that fails is taken (fixed sequence testing), so that with the stated
//! confidence its loss keeps the promise. The test of one setting is by betting (Waudby-Smith and Ramdas, arXiv 2010.09686,
//! section 4): it is valid for any distribution, and unlike Hoeffding-Bentkus it gains where losses vary little, as those of two
//! answers to the same prompt do.
//!
//! That is a statement on the mean of all prompts there could be. Who asked for a promise sees the mean of those that come, so a
//! setting must also keep it for as many prompts again, by the usual bound for the mean of a second sample; with half of the
//! error allowed, as the cheapest of several settings is likely to be one that was lucky here.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: settings and prompts are numbered by the match")]

use rand::seq::SliceRandom;
use serde::Serialize;

use super::{contest::Match, trial::Points};
use crate::{
    learning::encoder::stage_rng,
    routing::{Confidence, Interval},
};

/// What is promised.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Promise {
    /// Most quality that is lost against the reference, in the mean, `[0, 1]`.
    pub quality_loss: f64,
    /// Probability with which it is kept.
    pub confidence: f64,
}

/// The promise that reports measure.
pub const PROMISE: Promise = Promise { quality_loss: 0.02, confidence: 0.95 };

/// Divisions into prompts that set a plan and prompts that judge it.
pub const SPLITS: u64 = 100;

/// Returns whether losses in `[-1, 1]` show that their mean is below `limit`, wrongly with probability at most `error` when it is
/// not. Their order must be by chance.
pub fn is_below(losses: impl ExactSizeIterator<Item = f64>, limit: f64, error: f64) -> bool {
    let (count, threshold) = (losses.len() as f64, (1.0 / error).ln());
    let limit = (limit + 1.0) / 2.0;
    let (mut capital, mut mean, mut spread, mut seen) = (0.0_f64, 0.5, 0.25, 1.0);
    for loss in losses {
        let loss = ((loss + 1.0) / 2.0).clamp(0.0, 1.0);
        // The stake knows only what came before; it is held below what could lose everything.
        let stake = (2.0 * threshold / (count * spread / seen)).sqrt().min(0.99);
        capital += (1.0 - stake * (loss - limit)).ln();
        if capital >= threshold {
            return true;
        }
        seen += 1.0;
        mean += (loss - mean) / seen;
        spread += (loss - mean).powi(2);
    }
    false
}

/// Returns whether the mean of as many losses again is likely to be below `limit` too: `mean + z s sqrt(2 / n)` is.
fn is_below_again(losses: impl ExactSizeIterator<Item = f64> + Clone, limit: f64, error: f64) -> bool {
    let count = losses.len() as f64;
    let mean = losses.clone().sum::<f64>() / count;
    let variance = losses.map(|loss| (loss - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let Some(confidence) = Confidence::new(1.0 - error, Interval::Normal) else { return false };
    mean + confidence.factor(&[]) * (2.0 * variance / count).sqrt() <= limit
}

/// Returns the cheapest setting of a match that keeps a promise against a reference by these prompts; `None` if none can be shown
/// to, or costs less. Settings are tested in their order, which is from the safest on.
pub fn setting(points: &[Points], reference: &Points, prompts: &[usize], promise: Promise) -> Option<usize> {
    let mut kept = None;
    for (place, points) in points.iter().enumerate() {
        let losses = prompts.iter().map(|prompt| f64::from(reference[*prompt].1 - points[*prompt].1));
        let (limit, error) = (promise.quality_loss, 1.0 - promise.confidence);
        if !is_below(losses.clone(), limit, error) || !is_below_again(losses, limit, error / 2.0) {
            break;
        }
        kept = Some(place);
    }
    let cost = |points: &Points| prompts.iter().map(|prompt| f64::from(points[*prompt].0)).sum::<f64>();
    // What costs as much as the reference is no reason not to ask that.
    kept.filter(|place| cost(&points[*place]) < cost(reference))
}

/// What became of a promise over random splits.
#[derive(Clone, Debug, Serialize)]
pub struct PromiseReport {
    /// What was promised.
    pub promise: Promise,
    /// Splits into two halves: one sets the plan, the other judges it.
    pub splits: u64,
    /// Splits in which the other half lost no more than promised, in the mean.
    pub kept: u64,
    /// Splits in which no setting could be shown to keep it, so that the reference answered everything.
    pub refused: u64,
    /// Mean loss.
    pub loss: f64,
    /// Mean cost, in percent of the reference's.
    pub cost: f64,
}

impl PromiseReport {
    /// Measures it on a match: what was fitted on other prompts, set on one half of them and judged on the other.
    pub fn of(one: &Match, reference: &Points, promise: Promise) -> Self {
        let mut report = Self { promise, splits: SPLITS, kept: 0, refused: 0, loss: 0.0, cost: 0.0 };
        for split in 0..SPLITS {
            let mut order: Vec<usize> = (0..reference.len()).collect();
            order.shuffle(&mut stage_rng(split, 13));
            let (sets, judges) = order.split_at(order.len() / 2);
            let chosen = setting(&one.points, reference, sets, promise);
            let points = chosen.map_or(reference, |place| &one.points[place]);
            let sum = |of: &dyn Fn(usize) -> f32| judges.iter().map(|prompt| f64::from(of(*prompt))).sum::<f64>();
            let loss = sum(&|prompt| reference[prompt].1 - points[prompt].1) / judges.len().max(1) as f64;
            report.kept += u64::from(loss <= promise.quality_loss);
            report.refused += u64::from(chosen.is_none());
            report.loss += loss / SPLITS as f64;
            report.cost += 100.0 * sum(&|prompt| points[prompt].0) / sum(&|prompt| reference[prompt].0) / SPLITS as f64;
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    /// Losses of -1, 0 and 1 with this mean.
    fn losses(mean: f64, count: usize, seed: u64) -> Vec<f64> {
        let mut rng = stage_rng(seed, 1);
        let draw = |chance: f64| {
            if chance < 0.1 {
                -1.0
            } else if chance < 0.2 + mean {
                1.0
            } else {
                0.0
            }
        };
        (0..count).map(|_| draw(rng.random_range(0.0..1.0))).collect()
    }

    #[test]
    fn a_loss_at_the_limit_is_accepted_no_more_often_than_allowed_and_none_nearly_always() {
        let accepted =
            |mean: f64| (0..400).filter(|seed| is_below(losses(mean, 2_000, *seed).into_iter(), 0.05, 0.05)).count();

        assert!(accepted(0.05) <= 32, "{}", accepted(0.05));
        assert!(accepted(0.0) >= 380, "{}", accepted(0.0));
    }

    #[test]
    fn a_second_sample_is_worked_out_by_hand() {
        // Mean 0, variance 20 / 199: 1.96 sqrt(2 * 0.1005 / 200) = 0.0621.
        let losses = || losses_of(10, 200).into_iter();

        assert!(is_below_again(losses(), 0.063, 0.025) && !is_below_again(losses(), 0.061, 0.025));
    }

    /// As many losses of 1 as of -1, the others 0.
    fn losses_of(each: usize, count: usize) -> Vec<f64> {
        (0..count)
            .map(|index| {
                if index < each {
                    1.0
                } else if index < 2 * each {
                    -1.0
                } else {
                    0.0
                }
            })
            .collect()
    }

    #[test]
    fn few_prompts_show_nothing() {
        assert!(!is_below([0.0; 20].into_iter(), 0.02, 0.05));
        assert!(!is_below([].into_iter(), 0.02, 0.05));
    }

    #[test]
    fn settings_are_taken_up_to_the_first_that_fails() {
        let reference: Points = vec![(1.0, 1.0); 3_000];
        let losing = |share: usize| -> Points {
            (0..3_000).map(|index| (0.1, if index % 100 < share { 0.0 } else { 1.0 })).collect()
        };
        let points = [losing(0), losing(1), losing(9), losing(0)];
        let prompts: Vec<usize> = (0..3_000).collect();
        let promise = Promise { quality_loss: 0.05, confidence: 0.95 };

        assert_eq!(setting(&points, &reference, &prompts, promise), Some(1));
        assert_eq!(setting(&points[2..], &reference, &prompts, promise), None);
    }
}
