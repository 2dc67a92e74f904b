//! Whether a vote of several models can beat the best single model for the same money.
//!
//! The budget rule of "Phase Transition for Budgeted Multi-Agent Synergy" (arXiv 2601.17311), for a flat vote whose members hear
//! nothing of each other: it can exactly when the exponent by which the vote's error falls with what it costs is greater than that
//! by which the error of single models does,
//!
//! ```text
//! s    = ln(mean error of the members / error of the vote)          / ln(cost of the vote / mean cost of the members)
//! beta = ln(mean error of the members / error of singles at its cost) / ln(the same)              synergy when s > beta
//! ```
//!
//! where singles at a cost are those on the hull of single models. What correlation of errors leaves of a majority is told beside
//! it: the majority of `n` voters that are right with probability `p` and correlation `rho` (beta-binomial).
#![expect(clippy::indexing_slicing, reason = "numeric kernels: models are numbered by the set")]

use rayon::prelude::*;
use serde::Serialize;

use super::{
    agreement::{outcome, vote},
    answers::{Answered, Row},
    channels::effective,
    trial::singles,
};
use crate::learning::evaluate::curve::Curve;

/// Votes are of this many: the fewest with a majority.
const VOTERS: usize = 3;
/// Votes that are told.
const TOLD: usize = 3;

/// Votes on one set.
#[derive(Clone, Debug, Serialize)]
pub struct SynergyReport {
    /// The set.
    pub set: String,
    /// Votes that were tried.
    pub tried: usize,
    /// Votes that beat the best single models of their cost, of those tried.
    pub winning: usize,
    /// The best by what half of the prompts say, measured on the other half.
    pub best: Vec<Synergy>,
}

/// A vote, and single models for the same money.
#[derive(Clone, Debug, Serialize)]
pub struct Synergy {
    /// Public names, the best first; it decides a tie.
    pub models: Vec<String>,
    /// Independent voices among them (K*).
    pub channels: f64,
    /// Mean correlation of their errors.
    pub correlation: f64,
    /// USD a prompt.
    pub cost: f64,
    /// Share that the vote gets right.
    pub vote: f64,
    /// Share that a majority of such voters would get right if all that tied them together was that correlation.
    pub majority: f64,
    /// Share that single models of that cost get right.
    pub single: f64,
    /// Exponent of the vote, `s`.
    pub organisation: f64,
    /// Exponent of single models, `beta`.
    pub scaling: f64,
}

impl Synergy {
    /// Returns whether the vote beats single models of its cost.
    pub fn holds(&self) -> bool {
        self.vote > self.single
    }
}

impl SynergyReport {
    /// Tries every vote of three; `None` where there are fewer models.
    pub(super) fn of(set: &Answered) -> Option<Self> {
        let (chooses, judges): (Vec<_>, Vec<_>) = set.rows.iter().enumerate().partition(|(index, _)| index % 2 == 0);
        let [chooses, judges] =
            [chooses, judges].map(|half| half.into_iter().map(|(_, row)| row).collect::<Vec<&Row>>());
        let sets = triples(set.models.len());
        let measure = |rows: &[&Row]| -> Vec<Synergy> {
            let (singles, hull) = (singles(rows), Curve::hull(singles(rows)));
            sets.par_iter().map(|members| measure(set, rows, (members, &singles, &hull))).collect()
        };
        let (chosen, judged) = (measure(&chooses), measure(&judges));
        let margin = |place: &usize| chosen[*place].vote - chosen[*place].single;
        let mut order: Vec<usize> = (0..sets.len()).collect();
        order.sort_by(|a, b| margin(b).total_cmp(&margin(a)));
        (!sets.is_empty() && !judges.is_empty()).then(|| Self {
            set: set.name.clone(),
            tried: sets.len(),
            winning: judged.iter().filter(|one| one.holds()).count(),
            best: order.into_iter().take(TOLD).map(|place| judged[place].clone()).collect(),
        })
    }

    /// Writes the report for people.
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "\n## {}: votes for the same money\n\nOf {} votes of three, {} beat single models of their cost. The best by one half of \
             the prompts, on the other half; a vote beats single models where s > beta.\n\n| voters | voices (K*) | correlation of \
             errors | vote, % | majority by correlation, % | single models of its cost, % | s | beta |\n|{}\n",
            self.set,
            self.tried,
            self.winning,
            "---|".repeat(8),
        );
        for one in &self.best {
            text += &format!(
                "| {} | {:.2} | {:.2} | {:.1} | {:.1} | {:.1} | {:.2} | {:.2} |\n",
                one.models.join(", "),
                one.channels,
                one.correlation,
                100.0 * one.vote,
                100.0 * one.majority,
                100.0 * one.single,
                one.organisation,
                one.scaling,
            );
        }
        text
    }
}

fn triples(models: usize) -> Vec<Vec<usize>> {
    let mut sets = Vec::new();
    for one in 0..models {
        for other in one + 1..models {
            sets.extend((other + 1..models).map(|third| vec![one, other, third]));
        }
    }
    sets
}

fn measure(set: &Answered, rows: &[&Row], (members, singles, hull): (&[usize], &[(f64, f64)], &Curve)) -> Synergy {
    let mut members = members.to_vec();
    members.sort_by(|a, b| singles[*b].1.total_cmp(&singles[*a].1));
    let count = rows.len().max(1) as f64;
    let sum = rows
        .iter()
        .map(|row| outcome(&members, row, vote(&members, row)))
        .fold((0.0, 0.0), |sum, point| (sum.0 + f64::from(point.0), sum.1 + f64::from(point.1)));
    let (cost, vote) = (sum.0 / count, sum.1 / count);
    let mean = |of: &dyn Fn(usize) -> f64| members.iter().map(|member| of(*member)).sum::<f64>() / VOTERS as f64;
    let (quality, each) = (mean(&|member| singles[member].1), mean(&|member| singles[member].0));
    let (single, correlation) = (hull.height(cost), correlation(rows, &members));
    let exponent = |reached: f64| ((1.0 - quality) / (1.0 - reached).max(1e-9)).ln() / (cost / each).ln();
    Synergy {
        models: members.iter().map(|member| set.models[*member].clone()).collect(),
        channels: effective(rows, &members),
        correlation,
        cost,
        vote,
        majority: majority(quality, correlation),
        single,
        organisation: exponent(vote),
        scaling: exponent(single),
    }
}

/// Returns the mean correlation of the scores of every two members; 0 where one of them is always as good.
fn correlation(rows: &[&Row], members: &[usize]) -> f64 {
    let count = rows.len().max(1) as f64;
    let mean = |of: &dyn Fn(&Row) -> f64| rows.iter().map(|row| of(row)).sum::<f64>() / count;
    let mut pairs = Vec::new();
    for (place, one) in members.iter().enumerate() {
        for other in &members[place + 1..] {
            let (a, b) = (mean(&|row| row.score[*one]), mean(&|row| row.score[*other]));
            let both = mean(&|row| (row.score[*one] - a) * (row.score[*other] - b));
            let spread = mean(&|row| (row.score[*one] - a).powi(2)) * mean(&|row| (row.score[*other] - b).powi(2));
            pairs.push(if spread > 0.0 { both / spread.sqrt() } else { 0.0 });
        }
    }
    pairs.iter().sum::<f64>() / pairs.len().max(1) as f64
}

/// Returns how often at least two of three are right, who are so with probability `p` and correlation `rho` (held to `[0, 1)`):
/// of a beta-binomial, `E[x^2 (3 - 2 x)]` with `x ~ Beta(p (1/rho - 1), (1 - p) (1/rho - 1))`.
fn majority(p: f64, rho: f64) -> f64 {
    let rho = rho.clamp(0.0, 1.0 - 1e-9);
    if rho < 1e-9 {
        return p * p * (3.0 - 2.0 * p);
    }
    let total = 1.0 / rho - 1.0;
    let alpha = p * total;
    let second = p * (alpha + 1.0) / (total + 1.0);
    let third = second * (alpha + 2.0) / (total + 2.0);
    3.0 * second - 2.0 * third
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learning::plans::trial::tests::made_up;

    #[test]
    fn a_majority_of_strangers_and_of_echoes_is_known() {
        assert!((majority(0.6, 0.0) - 0.648).abs() < 1e-12);
        assert!((majority(0.6, 1.0) - 0.6).abs() < 1e-6);
        // alpha = beta = 1/2: E[x^2] = 3/8, E[x^3] = 5/16.
        assert!((majority(0.5, 0.5) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_vote_of_models_that_are_right_together_is_worth_no_more_than_one_of_them() {
        let report = SynergyReport::of(&made_up(600)).unwrap();

        assert_eq!(report.tried, 4);
        let cheap = report.best.iter().find(|one| one.models == ["a", "b", "echo"]);
        if let Some(cheap) = cheap {
            assert!(!cheap.holds() && (cheap.correlation - 1.0).abs() < 1e-9, "{cheap:?}");
        }
        assert!(report.best.iter().all(|one| one.holds() == (one.organisation > one.scaling)), "{report:?}");
    }

    #[test]
    fn three_who_err_apart_beat_each_of_them() {
        let mut set = made_up(600);
        for (index, row) in set.rows.iter_mut().enumerate() {
            // Each of the first three is wrong on another third; the dear one is no better.
            row.score = (0..4).map(|model| if index % 3 == model % 3 { 0.0 } else { 1.0 }).collect();
            row.answer =
                (0..4).map(|model| if index % 3 == model % 3 { Some(-1 - model as i64) } else { Some(1) }).collect();
        }

        let report = SynergyReport::of(&set).unwrap();

        let vote = &report.best[0];
        assert!(vote.vote > 0.999 && vote.holds() && vote.correlation < -0.4, "{vote:?}");
        assert!(vote.channels > 1.5);
    }
}
