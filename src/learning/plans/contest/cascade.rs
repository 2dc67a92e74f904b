//! A plain cascade (FrugalGPT, arXiv 2305.05176): models in a fixed order, each answer kept when its score reaches a threshold.
//!
//! The order is of two or three committee members from cheap to dear; for every weight of a dollar, order and thresholds are those
//! with the best utility on the prompts that it is fitted on.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: models are numbered by the set")]

use rayon::prelude::*;

use super::{Contender, scorers::Scorers};
use crate::learning::plans::{
    answers::{Answered, Row},
    committee::{choose, rates, settings},
    fitting::MEMBERS,
    priors::Priors,
};

/// Thresholds are these quantiles of the scores of each model's answers.
const QUANTILES: [f64; 10] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// Models in order, each with the score that its answer must reach; that of the last one is 0.
pub type Chain = Vec<(usize, f64)>;

/// A chain for every weight of a dollar.
pub struct Cascade {
    priors: Priors,
    scorers: Scorers,
    chains: Vec<Chain>,
}

impl Cascade {
    /// Fits it.
    pub fn fit(_: &Answered, rows: &[&Row]) -> Option<Box<dyn Contender>> {
        let priors = Priors::of(rows);
        let scorers = Scorers::fit(rows, &priors);
        let committee = choose(rows, MEMBERS);
        let chains = chains(rows, &scored(rows, &priors, &scorers), (&committee, &priors));
        Some(Box::new(Self { priors, scorers, chains }))
    }
}

impl Contender for Cascade {
    fn play(&self, row: &Row) -> Vec<(f32, f32)> {
        let expected = self.priors.expect(row);
        let score = |model: usize| self.scorers.score(row, &expected, model);
        self.chains.iter().map(|chain| follow(chain, row, score)).collect()
    }
}

/// Returns the score of every answer of every row that the priors counted.
pub fn scored(rows: &[&Row], priors: &Priors, scorers: &Scorers) -> Vec<Vec<f64>> {
    let of = |row: &&Row| {
        let expected = priors.expect_without(row);
        (0..row.score.len()).map(|model| scorers.score(row, &expected, model)).collect()
    };
    rows.iter().map(of).collect()
}

/// Returns cost and quality of a chain on a prompt.
pub fn follow(chain: &Chain, row: &Row, score: impl Fn(usize) -> f64) -> (f32, f32) {
    let mut cost = 0.0;
    for (model, threshold) in chain {
        cost += row.cost[*model];
        if score(*model) >= *threshold {
            return (cost as f32, row.score[*model] as f32);
        }
    }
    (cost as f32, chain.last().map_or(0.0, |(model, _)| row.score[*model]) as f32)
}

/// Returns the best chain for every weight of a dollar.
pub fn chains(rows: &[&Row], scores: &[Vec<f64>], (committee, priors): (&[usize], &Priors)) -> Vec<Chain> {
    let costs = priors.mean_costs();
    let mut order = committee.to_vec();
    order.sort_by(|a, b| costs[*a].total_cmp(&costs[*b]));
    let candidates = candidates(&order, scores);
    let tried: Vec<(f64, f64)> = candidates
        .par_iter()
        .map(|chain| {
            let mut sum = (0.0, 0.0);
            for (row, scores) in rows.iter().zip(scores) {
                let (cost, quality) = follow(chain, row, |model| scores[model]);
                sum = (sum.0 + f64::from(cost), sum.1 + f64::from(quality));
            }
            (sum.0 / rows.len() as f64, sum.1 / rows.len() as f64)
        })
        .collect();
    let best = |rate: &f64| {
        let utility = |place: &usize| tried[*place].1 - rate * tried[*place].0;
        let place = (0..tried.len()).max_by(|a, b| utility(a).total_cmp(&utility(b))).unwrap_or(0);
        candidates[place].clone()
    };
    settings(&rates(rows)).iter().map(best).collect()
}

/// Returns every chain of one to three of these models in their order, with every threshold.
fn candidates(order: &[usize], scores: &[Vec<f64>]) -> Vec<Chain> {
    let thresholds: Vec<Vec<f64>> = order.iter().map(|model| quantiles(scores, *model)).collect();
    let mut chains: Vec<Chain> = Vec::new();
    for (last, model) in order.iter().enumerate() {
        chains.push(vec![(*model, 0.0)]);
        for (second, before) in order.iter().enumerate().take(last) {
            for threshold in &thresholds[second] {
                chains.push(vec![(*before, *threshold), (*model, 0.0)]);
                for (first, start) in order.iter().enumerate().take(second) {
                    let with = |entry: &f64| vec![(*start, *entry), (*before, *threshold), (*model, 0.0)];
                    chains.extend(thresholds[first].iter().map(with));
                }
            }
        }
    }
    chains
}

fn quantiles(scores: &[Vec<f64>], model: usize) -> Vec<f64> {
    let mut values: Vec<f64> = scores.iter().map(|scores| scores[model]).collect();
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1) as f64;
    QUANTILES.iter().filter_map(|share| values.get((share * last).round() as usize).copied()).collect()
}
