//! Probe and agree on a set, each prompt by what was fitted and chosen on others.
//!
//! Of each fold's other prompts one half fits posteriors for every pair and triple of cheap models, the other says which probes
//! have the largest area under cost and quality, and at which weight of cost the plan is as good as the best single model, or best
//! for [`SHARE`] of its cost. Posteriors are then fitted again on both.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: folds, probes and models are numbered by the set")]

use rayon::prelude::*;

use super::{
    agreement::{Agreement, is_unanimous, outcome, vote},
    answers::{Answered, Row},
    folds,
};
use crate::learning::evaluate::curve::Curve;

/// Cost and score, one per prompt.
pub type Points = Vec<(f32, f32)>;

/// A plan for a share of the cost of the best single model: the goal of the card.
pub const SHARE: f64 = 0.3;

/// Probes come from this many models, the best of those that are cheap.
const MOST_CHEAP: usize = 8;
/// Cheap is what costs at most this share of the best single model.
const CHEAP: f64 = 0.25;
/// What the cost of the best single model weighs against a right answer.
const WEIGHTS: [f64; 16] =
    [0.0, 0.01, 0.02, 0.035, 0.05, 0.07, 0.1, 0.14, 0.2, 0.3, 0.45, 0.7, 1.0, 1.5, 3.0, f64::MAX];

/// What came of a set under one division into folds.
#[derive(Clone, Debug)]
pub struct Trial {
    /// By weight of cost.
    pub points: Vec<Points>,
    /// At the cheapest weight that was as good as the best single model elsewhere.
    pub parity: Points,
    /// At the best weight that cost at most [`SHARE`] of the best single model elsewhere.
    pub share: Points,
    /// The probes vote, and nobody else is asked.
    pub vote: Points,
    /// Where the probes agree their answer, else the best single model's.
    pub cascade: Points,
    /// By fold, numbers of models.
    pub probes: Vec<Vec<usize>>,
}

impl Trial {
    /// Runs it; `None` if no two models are cheap, or the set is too small to divide.
    pub fn run(set: &Answered, seed: u64) -> Option<Self> {
        let blank = vec![(0.0, 0.0); set.rows.len()];
        let mut trial = Self {
            points: vec![blank.clone(); WEIGHTS.len()],
            parity: blank.clone(),
            share: blank.clone(),
            vote: blank.clone(),
            cascade: blank,
            probes: Vec::new(),
        };
        for (own, others) in folds(set.rows.len(), seed) {
            let others: Vec<&Row> = others.iter().map(|row| &set.rows[*row]).collect();
            let plan = Plan::chosen(&others)?;
            own.iter().for_each(|row| trial.book(*row, &set.rows[*row], &plan));
            trial.probes.push(plan.probes);
        }
        Some(trial)
    }

    fn book(&mut self, index: usize, row: &Row, plan: &Plan) {
        let at = |weight: f64| plan.agreement.outcome(row, plan.agreement.choose(row, weight));
        for (points, weight) in self.points.iter_mut().zip(&plan.weights) {
            points[index] = at(*weight);
        }
        self.parity[index] = at(plan.parity);
        self.share[index] = at(plan.share);
        let voted = vote(&plan.probes, row);
        self.vote[index] = outcome(&plan.probes, row, voted);
        let accepted = if is_unanimous(&plan.probes, row) { voted } else { plan.best };
        self.cascade[index] = outcome(&plan.probes, row, accepted);
    }
}

/// Probes, and mean cost and score by weight of cost.
type Tried = (Vec<usize>, Vec<(f64, f64)>);

/// What was fitted and chosen on some prompts for others.
struct Plan {
    probes: Vec<usize>,
    agreement: Agreement,
    weights: Vec<f64>,
    parity: f64,
    share: f64,
    best: usize,
}

impl Plan {
    fn chosen(rows: &[&Row]) -> Option<Self> {
        let (fits, judges): (Vec<_>, Vec<_>) = rows.iter().enumerate().partition(|(index, _)| index % 2 == 0);
        let [fits, judges] = [fits, judges].map(|part| part.into_iter().map(|(_, row)| *row).collect::<Vec<&Row>>());
        let singles = singles(rows);
        let best = best(&singles);
        let weights: Vec<f64> = WEIGHTS.iter().map(|weight| (weight / singles[best].0).min(f64::MAX)).collect();
        let tried: Vec<Tried> = sets_of(&cheap(&singles, best))
            .into_par_iter()
            .map(|probes| {
                let agreement = Agreement::fit(&probes, &fits);
                let points = weights.iter().map(|weight| mean_of(&agreement, &judges, *weight)).collect();
                (probes, points)
            })
            .collect();
        let judged = self::singles(&judges);
        let area = |points: &[(f64, f64)]| area(points, &judged);
        let (probes, points) = tried.into_iter().max_by(|a, b| area(&a.1).total_cmp(&area(&b.1)))?;
        let (cost, quality) = judged[best];
        let within = |is_allowed: &dyn Fn(&(f64, f64)) -> bool, value: &dyn Fn(&(f64, f64)) -> f64| {
            let allowed = points.iter().zip(&weights).filter(|(point, _)| is_allowed(point));
            allowed.max_by(|a, b| value(a.0).total_cmp(&value(b.0))).map(|(_, weight)| *weight)
        };
        let top = within(&|_| true, &|point| point.1).unwrap_or(0.0);
        Some(Self {
            agreement: Agreement::fit(&probes, rows),
            parity: within(&|point| point.1 >= quality, &|point| -point.0).unwrap_or(top),
            share: within(&|point| point.0 <= SHARE * cost, &|point| point.1).unwrap_or(f64::MAX),
            probes,
            weights,
            best,
        })
    }
}

/// Returns mean cost and score of each model.
pub fn singles(rows: &[&Row]) -> Vec<(f64, f64)> {
    let models = rows.first().map_or(0, |row| row.score.len());
    let mean = |of: &dyn Fn(&Row) -> f64| rows.iter().map(|row| of(row)).sum::<f64>() / rows.len() as f64;
    (0..models).map(|model| (mean(&|row| row.cost[model]), mean(&|row| row.score[model]))).collect()
}

/// Returns the number of the best single model; of equals the cheapest.
pub fn best(singles: &[(f64, f64)]) -> usize {
    let order = |a: &(f64, f64), b: &(f64, f64)| a.1.total_cmp(&b.1).then(b.0.total_cmp(&a.0));
    singles.iter().enumerate().max_by(|(_, a), (_, b)| order(a, b)).map_or(0, |(index, _)| index)
}

/// Returns the area under the hull of points and single models, between the cheapest and the dearest of these.
pub fn area(points: &[(f64, f64)], singles: &[(f64, f64)]) -> f64 {
    let costs = || singles.iter().map(|single| single.0);
    let range = (costs().fold(f64::INFINITY, f64::min), costs().fold(0.0, f64::max));
    Curve::hull(points.iter().chain(singles).copied()).mean_height(range)
}

fn cheap(singles: &[(f64, f64)], best: usize) -> Vec<usize> {
    let limit = CHEAP * singles[best].0;
    let mut cheap: Vec<usize> = (0..singles.len()).filter(|model| singles[*model].0 <= limit).collect();
    cheap.sort_by(|a, b| singles[*b].1.total_cmp(&singles[*a].1));
    cheap.truncate(MOST_CHEAP);
    cheap
}

/// Returns every pair and triple.
fn sets_of(members: &[usize]) -> Vec<Vec<usize>> {
    let mut sets = Vec::new();
    for (index, one) in members.iter().enumerate() {
        for (further, other) in members.iter().enumerate().skip(index + 1) {
            sets.push(vec![*one, *other]);
            sets.extend(members.iter().skip(further + 1).map(|third| vec![*one, *other, *third]));
        }
    }
    sets
}

fn mean_of(agreement: &Agreement, rows: &[&Row], weight: f64) -> (f64, f64) {
    let mut sum = (0.0, 0.0);
    for row in rows {
        let (cost, score) = agreement.outcome(row, agreement.choose(row, weight));
        sum = (sum.0 + f64::from(cost), sum.1 + f64::from(score));
    }
    (sum.0 / rows.len() as f64, sum.1 / rows.len() as f64)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Two probes that agree where they are right, an echo of the first, and a dear model that is right always.
    pub(in crate::learning::plans) fn made_up(prompts: usize) -> Answered {
        let row = |index: usize| {
            let is_easy = !index.is_multiple_of(3);
            let (right, wrong) = (Some(index as i64), Some(-1 - index as i64));
            let score = |is_right: bool| if is_right { 1.0 } else { 0.0 };
            Row {
                answer: if is_easy { vec![right; 4] } else { vec![wrong, Some(0), wrong, right] },
                score: vec![score(is_easy), score(is_easy), score(is_easy), 1.0],
                cost: vec![0.01, 0.01, 0.01, 1.0],
                tokens: vec![20.0; 4],
                input_tokens: 50.0,
                category: 0,
            }
        };
        let models = ["a", "b", "echo", "dear"].map(str::to_owned).to_vec();
        Answered {
            name: "made up".to_owned(),
            models,
            categories: vec!["questions".to_owned()],
            rows: (1..=prompts).map(row).collect(),
        }
    }

    fn mean(points: &Points) -> (f64, f64) {
        let sum = |of: fn(&(f32, f32)) -> f32| points.iter().map(|point| f64::from(of(point))).sum::<f64>();
        (sum(|point| point.0) / points.len() as f64, sum(|point| point.1) / points.len() as f64)
    }

    #[test]
    fn agreement_reaches_the_dear_model_for_a_third_of_its_cost_and_an_echo_is_no_probe() {
        let trial = Trial::run(&made_up(600), 1).unwrap();

        let (cost, quality) = mean(&trial.parity);
        assert!(quality == 1.0 && (0.3..0.4).contains(&cost), "{cost} {quality}");
        assert!(trial.probes.iter().all(|probes| probes.contains(&1)), "{:?}", trial.probes);
        assert_eq!(mean(&trial.cascade).1, 1.0);
        assert!((mean(&trial.vote).1 - 2.0 / 3.0).abs() < 0.01);
    }

    #[test]
    fn without_two_cheap_models_there_is_no_plan() {
        let mut set = made_up(60);
        set.rows.iter_mut().for_each(|row| row.cost = vec![0.01, 1.0, 1.0, 1.0]);

        assert!(Trial::run(&set, 1).is_none());
    }

    #[test]
    fn every_pair_and_triple_is_tried_once() {
        let mut sets = sets_of(&[4, 2, 7, 1]);
        sets.iter_mut().for_each(|set| set.sort_unstable());
        sets.sort();
        sets.dedup();

        assert_eq!(sets.len(), 6 + 4);
    }
}
