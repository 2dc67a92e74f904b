//! Cost and quality: outcomes, choices, and the area under their hull.

use super::predictors::Predictions;
use crate::learning::data::{Meta, Record};

/// What became of every prompt with every model: complete rows only.
#[derive(Clone, Debug)]
pub struct Outcomes {
    /// Public names.
    pub models: Vec<String>,
    /// Prompts.
    pub prompts: Vec<String>,
    /// Category of each prompt.
    pub categories: Vec<String>,
    /// Columns of the records.
    pub columns: Vec<usize>,
    /// `[prompt][model]`.
    pub score: Vec<Vec<f64>>,
    /// USD, `[prompt][model]`; 0 where the set has no costs.
    pub cost: Vec<Vec<f64>>,
    /// Whether costs are known.
    pub has_costs: bool,
}

/// A model takes part if it ran on this share of the prompts, a prompt if all those models ran on it.
const COVERAGE: f64 = 0.9;

impl Outcomes {
    /// Takes the models that ran on most prompts, and, of sets with costs, those with costs.
    pub fn of(meta: &Meta, records: &[&Record], only: &[String]) -> Self {
        let has_costs = records.iter().any(|record| record.cost.iter().any(Option::is_some));
        let priced: Vec<&Record> =
            records.iter().copied().filter(|record| !has_costs || record.cost.iter().any(Option::is_some)).collect();
        let is_run = |record: &Record, column: usize| {
            let cost = record.cost.get(column).copied().flatten();
            record.score.get(column).copied().flatten().is_some() && (!has_costs || cost.is_some())
        };
        let mut columns: Vec<usize> = (0..meta.models.len()).collect();
        columns.retain(|column| {
            let runs = priced.iter().filter(|record| is_run(record, *column)).count();
            let name = meta.models.get(*column).map(|model| model.name()).unwrap_or_default();
            runs as f64 >= COVERAGE * priced.len() as f64 && (only.is_empty() || only.contains(&name))
        });
        let whole: Vec<&Record> =
            priced.into_iter().filter(|record| columns.iter().all(|column| is_run(record, *column))).collect();
        let pick = |values: &[Option<f64>]| -> Vec<f64> {
            columns.iter().map(|column| values.get(*column).copied().flatten().unwrap_or(0.0)).collect()
        };
        Self {
            models: columns.iter().filter_map(|column| meta.models.get(*column)).map(|model| model.name()).collect(),
            prompts: whole.iter().map(|record| record.prompt.clone()).collect(),
            categories: whole.iter().map(|record| record.category().to_owned()).collect(),
            score: whole.iter().map(|record| pick(&record.score)).collect(),
            cost: whole.iter().map(|record| pick(&record.cost)).collect(),
            columns,
            has_costs,
        }
    }

    /// Returns the number of prompts.
    pub fn prompts(&self) -> usize {
        self.prompts.len()
    }

    /// Returns the best single model and its mean score.
    pub fn best_single(&self) -> (String, f64) {
        let means = means(&self.score, &vec![1.0; self.prompts()]);
        let best = self.models.iter().cloned().zip(means).max_by(|a, b| a.1.total_cmp(&b.1));
        best.unwrap_or_default()
    }

    /// Returns the best single model's mean score on weighted prompts.
    pub fn best_quality(&self, weights: &[f64]) -> f64 {
        means(&self.score, weights).into_iter().fold(0.0, f64::max)
    }
}

fn means(rows: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let total: f64 = weights.iter().sum();
    let mut means = vec![0.0; rows.first().map_or(0, Vec::len)];
    for (row, weight) in rows.iter().zip(weights) {
        means.iter_mut().zip(row).for_each(|(mean, value)| *mean += weight * value / total);
    }
    means
}

/// What a router chose, for each lambda of the grid: cost and quality of each prompt.
#[derive(Clone, Debug)]
pub struct Choices {
    by_lambda: Vec<Vec<(f64, f64)>>,
}

/// Steps of the grid of lambda.
const LAMBDAS: usize = 60;

impl Choices {
    /// Chooses `argmax quality - lambda cost` at 0 and at a geometric grid of lambda, wide enough for all of quality to be worth
    /// nothing, and all of cost.
    pub fn of(predictions: &Predictions, outcomes: &Outcomes) -> Self {
        let mean =
            predictions.cost.iter().flatten().sum::<f64>() / predictions.cost.iter().flatten().count().max(1) as f64;
        let unit = if mean > 0.0 { 1.0 / mean } else { 0.0 };
        let lambda =
            |step: usize| if step == 0 { 0.0 } else { unit * 1e-4 * 1e8_f64.powf(step as f64 / LAMBDAS as f64) };
        let by_lambda = (0..=LAMBDAS).map(|step| choose(predictions, outcomes, lambda(step))).collect();
        Self { by_lambda }
    }

    /// Returns the mean quality where cost has no weight.
    pub fn quality_at_no_cost(&self, weights: &[f64]) -> f64 {
        self.by_lambda.first().map_or(0.0, |choices| mean_point(choices, weights).1)
    }
}

fn choose(predictions: &Predictions, outcomes: &Outcomes, lambda: f64) -> Vec<(f64, f64)> {
    let predicted = predictions.quality.iter().zip(&predictions.cost);
    let happened = outcomes.score.iter().zip(&outcomes.cost);
    let mut choices = Vec::with_capacity(outcomes.prompts());
    for ((quality, expected), (score, cost)) in predicted.zip(happened) {
        let utility = quality.iter().zip(expected).map(|(quality, cost)| quality - lambda * cost);
        let best = utility.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(model, _)| model);
        choices.push((cost.get(best).copied().unwrap_or(0.0), score.get(best).copied().unwrap_or(0.0)));
    }
    choices
}

fn mean_point(choices: &[(f64, f64)], weights: &[f64]) -> (f64, f64) {
    let total: f64 = weights.iter().sum();
    let mut point = (0.0, 0.0);
    for ((cost, quality), weight) in choices.iter().zip(weights) {
        point.0 += weight * cost / total;
        point.1 += weight * quality / total;
    }
    point
}

/// A non-decreasing upper hull of points of cost and quality.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    points: Vec<(f64, f64)>,
    /// Mean costs of the cheapest and the dearest single model; only singles have them.
    range: (f64, f64),
}

impl Curve {
    /// Returns the hull of the single models.
    pub fn of_singles(outcomes: &Outcomes, weights: &[f64]) -> Self {
        let points: Vec<(f64, f64)> =
            means(&outcomes.cost, weights).into_iter().zip(means(&outcomes.score, weights)).collect();
        let cheapest = points.iter().map(|point| point.0).fold(f64::INFINITY, f64::min);
        let dearest = points.iter().map(|point| point.0).fold(0.0, f64::max);
        Self { points: hull(points), range: (cheapest, dearest) }
    }

    /// Returns the hull of a router's operating points.
    pub fn of(choices: &Choices, weights: &[f64]) -> Self {
        let points = choices.by_lambda.iter().map(|choices| mean_point(choices, weights)).collect();
        Self { points: hull(points), range: (0.0, 0.0) }
    }

    /// Returns the mean height of `curve` over the range of these single models: its AIQ.
    pub fn area_of(&self, curve: &Self) -> f64 {
        const STEPS: u32 = 1_000;
        let (low, high) = self.range;
        let at = |step: u32| curve.height(low + (high - low) * (f64::from(step) + 0.5) / f64::from(STEPS));
        (0..STEPS).map(at).sum::<f64>() / f64::from(STEPS)
    }

    fn height(&self, cost: f64) -> f64 {
        let after = self.points.partition_point(|point| point.0 <= cost);
        match (after.checked_sub(1).and_then(|before| self.points.get(before)), self.points.get(after)) {
            (Some(left), Some(right)) => left.1 + (right.1 - left.1) * (cost - left.0) / (right.0 - left.0),
            (Some(last), None) => last.1,
            // Dearer than this cost at its cheapest: nothing can be had.
            (None, _) => 0.0,
        }
    }
}

/// Returns how far a router goes from the hull of singles to the oracle.
pub fn gap_closed(singles: &Curve, router: &Curve, oracle: &Curve) -> f64 {
    let (low, high) = (singles.area_of(singles), singles.area_of(oracle));
    (singles.area_of(router) - low) / (high - low)
}

/// Keeps the corners of the upper hull up to its highest point.
fn hull(mut points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    let mut corners: Vec<(f64, f64)> = Vec::new();
    for point in points {
        if corners.last().is_some_and(|last| point.1 <= last.1) {
            continue;
        }
        while let [.., a, b] = corners.as_slice() {
            let is_below = (b.1 - a.1) * (point.0 - a.0) <= (point.1 - a.1) * (b.0 - a.0);
            if !is_below {
                break;
            }
            corners.pop();
        }
        corners.push(point);
    }
    corners
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hull_leaves_out_what_lies_below_its_chords() {
        let corners = hull(vec![(1.0, 0.2), (2.0, 0.3), (3.0, 0.8), (4.0, 0.5)]);

        assert_eq!(corners, [(1.0, 0.2), (3.0, 0.8)]);
    }

    #[test]
    fn the_area_of_a_line_is_its_middle() {
        let singles = Curve { points: vec![(0.0, 0.0), (1.0, 1.0)], range: (0.0, 1.0) };

        assert!((singles.area_of(&singles) - 0.5).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn no_point_lies_above_its_hull(points in prop::collection::vec((0.0_f64..1.0, 0.0_f64..1.0), 1..20)) {
            let curve = Curve { points: hull(points.clone()), range: (0.0, 1.0) };

            for (cost, quality) in points {
                prop_assert!(curve.height(cost) >= quality - 1e-9);
            }
        }
    }
}
