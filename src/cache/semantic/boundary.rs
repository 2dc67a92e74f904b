//! Whether a near answer is served or the question is asked again, so that the share of wrong answers stays bounded.
//!
//! After vCache ("Verified Semantic Prompt Caching", arXiv 2502.03771, section 4): if a stored answer is right with probability
//! at least `alpha`, and it is served with probability `1 - tau` and asked again otherwise, then a served answer is wrong with
//! probability at most `(1 - tau)(1 - alpha)`. [`serving`] chooses the smallest `tau` that keeps this at `max_error`. As in the
//! paper, `alpha` is `(1 - epsilon)` times a bound that holds with probability `1 - epsilon`.
//!
//! The bound comes from labels that asking again gave, and there are two of them:
//! - the entry's own ([`Labels`]): a logistic curve of rightness over similarity, fitted to the entry's labels, taken at the
//!   lower end of its confidence interval (the paper's);
//! - those of all entries of a tenant under one policy ([`Pool`]), ours: rightness does not fall with similarity, so the share
//!   of right labels among the pairs up to this similar is no larger than the rightness here, and Clopper and Pearson bound it
//!   from below. It counts for entries without a wrong label of their own only, and is learned from those only. A single entry
//!   would need hundreds of labels of its own before it could be served under a bound of 1 %.

mod logistic;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Chances of being wrong about the bound that are tried, each with the normal quantile that leaves it above.
const EPSILONS: [(f64, f64); 5] = [(0.0005, 3.291), (0.001, 3.090), (0.002, 2.878), (0.005, 2.576), (0.01, 2.326)];

/// Labels that an entry keeps: the newest.
const OWN: usize = 64;
/// Labels that a pool keeps: the newest. Older ones say little of models that have changed since.
const POOLED: usize = 8_192;
/// Fewest labels of an entry that a curve is fitted to, the paper's number.
const FEWEST: usize = 6;
/// Smallest window of a pool; each further one is twice as wide.
const WINDOW: usize = 128;
/// Chance of being wrong about the bound of a pool.
const EPSILON: f64 = 0.001;
/// A window with more wrong labels is passed over: its bound would be too low to serve by, and takes long to find.
const MOST_WRONG: usize = 48;

/// What asking again showed of a near answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// Similarity of the two prompts.
    pub similarity: f32,
    /// Whether the stored answer was right.
    pub is_right: bool,
}

/// The labels of one entry.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    newest: VecDeque<Label>,
    has_wrong: bool,
}

impl Labels {
    /// Adds a label.
    pub fn add(&mut self, label: Label) {
        if self.newest.len() == OWN {
            self.newest.pop_front();
        }
        self.newest.push_back(label);
        self.has_wrong = self.newest.iter().any(|label| !label.is_right);
    }

    /// Returns the labels that are kept, the oldest first.
    pub fn newest(&self) -> impl Iterator<Item = Label> {
        self.newest.iter().copied()
    }

    /// Returns whether no kept label says that the entry was wrong.
    pub fn is_clean(&self) -> bool {
        !self.has_wrong
    }

    /// Returns how many of the kept labels say that it was right, and how many that it was wrong.
    pub fn counts(&self) -> (usize, usize) {
        let right = self.newest.iter().filter(|label| label.is_right).count();
        (right, self.newest.len() - right)
    }

    /// Returns a probability that the entry is right at this similarity at least, by its own labels.
    fn rightness(&self, similarity: f32) -> f64 {
        if self.newest.len() < FEWEST {
            return 0.0;
        }
        let curve = logistic::fit(self.newest.iter());
        let bound = |(epsilon, quantile)| (1.0 - epsilon) * curve.lower(similarity, quantile);
        EPSILONS.into_iter().map(bound).fold(0.0, f64::max)
    }
}

/// The labels of many entries.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    newest: VecDeque<Label>,
    /// Similarities of the same, in order.
    all: Vec<f32>,
    /// Similarities of the wrong ones, in order.
    wrong: Vec<f32>,
    /// When something was added last; the cache forgets pools that learn nothing any more.
    pub(super) used: u64,
}

/// What a label takes in a pool.
pub(super) const LABEL_BYTES: usize = size_of::<Label>() + 2 * size_of::<f32>();

impl Pool {
    /// Adds a label of an entry that was clean before it.
    pub fn add(&mut self, label: Label) {
        if self.newest.len() == POOLED
            && let Some(oldest) = self.newest.pop_front()
        {
            remove(&mut self.all, oldest.similarity);
            if !oldest.is_right {
                remove(&mut self.wrong, oldest.similarity);
            }
        }
        self.newest.push_back(label);
        insert(&mut self.all, label.similarity);
        if !label.is_right {
            insert(&mut self.wrong, label.similarity);
        }
    }

    /// Returns the number of labels that are kept.
    pub fn len(&self) -> usize {
        self.newest.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.newest.is_empty()
    }

    /// Returns the labels that are kept, the oldest first.
    pub fn newest(&self) -> impl Iterator<Item = Label> {
        self.newest.iter().copied()
    }

    /// Returns a probability that a clean entry is right at this similarity at least.
    fn rightness(&self, similarity: f32) -> f64 {
        let end = self.all.partition_point(|label| *label <= similarity);
        let wrong_end = self.wrong.partition_point(|label| *label <= similarity);
        let doubling =
            std::iter::successors(Some(WINDOW), |width| width.checked_mul(2)).take_while(|width| *width < end);
        let widths: Vec<usize> = doubling.chain([end]).collect();
        // Each window may be wrong about its bound.
        let each = EPSILON / widths.len() as f64;
        let bound = |width: &usize| {
            let lowest = self.all.get(end - width).copied().unwrap_or(f32::MAX);
            let wrong = wrong_end - self.wrong.partition_point(|label| *label < lowest);
            if wrong > MOST_WRONG { 0.0 } else { 1.0 - upper_share(wrong as u32, *width as u32, each) }
        };
        (1.0 - EPSILON) * widths.iter().map(bound).fold(0.0, f64::max)
    }
}

fn insert(sorted: &mut Vec<f32>, value: f32) {
    let at = sorted.partition_point(|held| *held <= value);
    sorted.insert(at, value);
}

fn remove(sorted: &mut Vec<f32>, value: f32) {
    let at = sorted.partition_point(|held| *held < value);
    if sorted.get(at) == Some(&value) {
        sorted.remove(at);
    }
}

/// Returns the probability with which a near answer is served.
///
/// `explore_floor` is the share that is asked again however sure everything looks, so that a change is noticed.
pub fn serving(similarity: f32, (own, pool): (&Labels, &Pool), max_error: f64, explore_floor: f64) -> f64 {
    let own_says = own.rightness(similarity);
    let rightness = if own.is_clean() { own_says.max(pool.rightness(similarity)) } else { own_says };
    let wrongness = 1.0 - rightness;
    let most = 1.0 - explore_floor.clamp(0.0, 1.0);
    if wrongness <= max_error { most } else { (max_error / wrongness).min(most) }
}

/// Returns the upper end of the one-sided Clopper-Pearson interval of a share: the largest share under which `count` or fewer
/// of `total` still happens with probability `epsilon`.
pub fn upper_share(count: u32, total: u32, epsilon: f64) -> f64 {
    if total == 0 || count >= total {
        return 1.0;
    }
    let (mut low, mut high) = (f64::from(count) / f64::from(total), 1.0);
    // To a billionth.
    for _ in 0..30 {
        let middle = f64::midpoint(low, high);
        if at_most(count, total, middle) > epsilon { low = middle } else { high = middle }
    }
    high
}

/// Returns the probability of `count` or fewer of `total`, each with probability `share`.
fn at_most(count: u32, total: u32, share: f64) -> f64 {
    let odds = (share / (1.0 - share)).ln();
    let mut log_term = f64::from(total) * (-share).ln_1p();
    let mut sum = log_term.exp();
    for drawn in 0..count {
        log_term += (f64::from(total - drawn) / f64::from(drawn + 1)).ln() + odds;
        sum += log_term.exp();
    }
    sum
}

#[cfg(test)]
mod tests;
