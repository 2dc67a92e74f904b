//! The Pareto front: whoever nobody beats.

use crate::domain::{Candidate, Estimate};

/// Returns whether no other candidate is at least as good in quality, cost and latency and better in one. Quadratic in the
/// number of candidates when asked of each.
pub(super) fn is_on_front(candidate: &Candidate, among: &[&Candidate]) -> bool {
    !among.iter().any(|other| dominates(&other.estimate, &candidate.estimate))
}

fn dominates(one: &Estimate, other: &Estimate) -> bool {
    let is_as_good = one.quality >= other.quality && one.cost <= other.cost && one.latency <= other.latency;
    let is_better = one.quality > other.quality || one.cost < other.cost || one.latency < other.latency;
    is_as_good && is_better
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::samples::expected;

    #[test]
    fn a_model_that_is_worse_in_one_way_and_better_in_none_is_off_the_front() {
        let good = expected("good", 0.9, 100, 1_000);
        let dear = expected("dear", 0.9, 200, 1_000);
        let fast = expected("fast", 0.2, 100, 100);
        let all = [&good, &dear, &fast];

        let on_front: Vec<bool> = all.iter().map(|candidate| is_on_front(candidate, &all)).collect();

        assert_eq!(on_front, [true, false, true]);
    }

    #[test]
    fn equals_do_not_push_each_other_off() {
        let (one, other) = (expected("one", 0.5, 10, 10), expected("other", 0.5, 10, 10));

        assert!(is_on_front(&one, &[&one, &other]) && is_on_front(&other, &[&one, &other]));
    }
}
