//! Who is on a committee: the best single model, and then whoever adds most to what one who knows every score could make of them;
//! where nobody adds anything to that, whoever adds most to its independent voices, for answers are also there to confirm others.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: models are numbered by the set")]

use super::{
    answers::Row,
    channels::effective,
    trial::{best, singles},
};
use crate::learning::evaluate::curve::Curve;

/// How many weights of a dollar there are.
pub const RATES: usize = 16;
/// How many settings plans are measured at: those weights, and one between every two of them.
pub const SETTINGS: usize = 2 * RATES - 1;

/// What the cost of the best single model weighs against a right answer; each step is about 1.6 times the one before.
const WEIGHTS: [f64; RATES] =
    [0.0, 0.004, 0.007, 0.012, 0.02, 0.033, 0.055, 0.09, 0.14, 0.22, 0.35, 0.55, 0.9, 1.5, 3.0, 8.0];

/// Gains in quality below this are none.
const LEAST_GAIN: f64 = 1e-9;

/// Returns weights of a dollar, in right answers, from none to so much that the cheapest answers are best.
pub fn rates(rows: &[&Row]) -> Vec<f64> {
    let singles = singles(rows);
    let dear = singles.get(best(&singles)).map_or(1.0, |single| single.0).max(f64::MIN_POSITIVE);
    WEIGHTS.iter().map(|weight| weight / dear).collect()
}

/// Returns the weights that plans are measured at.
pub fn settings(rates: &[f64]) -> Vec<f64> {
    let between = rates.windows(2).map(|ends| ends.iter().sum::<f64>() / 2.0);
    let mut settings: Vec<f64> = rates.iter().copied().chain(between).collect();
    settings.sort_by(f64::total_cmp);
    settings
}

/// Returns up to `size` models, greedily, the best single one first.
pub fn choose(rows: &[&Row], size: usize) -> Vec<usize> {
    let (singles, rates) = (singles(rows), rates(rows));
    let mut committee = vec![best(&singles)];
    while committee.len() < size.min(singles.len()) {
        let reached = worth(rows, &committee, (&singles, &rates));
        let with = |model: usize| [committee.as_slice(), &[model]].concat();
        let others: Vec<usize> = (0..singles.len()).filter(|model| !committee.contains(model)).collect();
        let top = |of: &dyn Fn(usize) -> f64| {
            let tried = others.iter().map(|model| (*model, of(*model)));
            tried.fold((0, f64::NEG_INFINITY), |best, next| if next.1 > best.1 { next } else { best })
        };
        let (useful, more) = top(&|model| worth(rows, &with(model), (&singles, &rates)));
        let diverse = || top(&|model| effective(rows, &with(model))).0;
        committee.push(if more > reached + LEAST_GAIN { useful } else { diverse() });
    }
    committee
}

/// Returns the area under the hull of the oracle that may only ask these models.
fn worth(rows: &[&Row], models: &[usize], (singles, rates): (&[(f64, f64)], &[f64])) -> f64 {
    let own: Vec<(f64, f64)> = models.iter().map(|model| singles[*model]).collect();
    let mut points: Vec<(f64, f64)> = rates.iter().map(|weight| oracle(rows, models, *weight)).collect();
    points.extend(own);
    let costs = || singles.iter().map(|single| single.0);
    let range = (costs().fold(f64::INFINITY, f64::min), costs().fold(0.0, f64::max));
    Curve::hull(points).mean_height(range)
}

fn oracle(rows: &[&Row], models: &[usize], weight: f64) -> (f64, f64) {
    let mut sum = (0.0, 0.0);
    for row in rows {
        let utility = |model: &usize| row.score[*model] - weight * row.cost[*model];
        let best = models.iter().max_by(|a, b| utility(a).total_cmp(&utility(b)));
        if let Some(model) = best {
            sum = (sum.0 + row.cost[*model], sum.1 + row.score[*model]);
        }
    }
    (sum.0 / rows.len() as f64, sum.1 / rows.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learning::plans::trial::tests::made_up;

    #[test]
    fn the_best_comes_first_then_who_is_useful_then_who_is_no_echo() {
        let set = made_up(300);
        let rows: Vec<&Row> = set.rows.iter().collect();

        // The dear one is always right. Of the cheap ones, which are right together, one spares its cost; the second is there to
        // confirm the first, which the echo of that cannot.
        let committee = choose(&rows, 3);
        assert_eq!(committee[0], 3);
        assert!(committee.contains(&1), "{committee:?}");
        assert_eq!(choose(&rows, 1), [3]);
    }

    #[test]
    fn settings_are_the_rates_with_one_between_every_two() {
        let settings = settings(&[0.0, 1.0, 3.0]);

        assert_eq!(settings, [0.0, 0.5, 1.0, 2.0, 3.0]);
        assert_eq!(self::settings(&[1.0; RATES]).len(), SETTINGS);
    }
}
