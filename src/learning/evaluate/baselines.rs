//! What needs no router, or knows everything: what a router has to beat.

use std::{collections::BTreeMap, sync::Arc};

use rand::Rng;

use super::{SEED, clusters::Clusters, families::weights, outcomes::Outcomes};
use crate::learning::{data::Record, encoder::stage_rng};

/// A training prompt as baselines see it.
#[derive(Clone, Debug)]
pub struct Lesson {
    /// The finest category.
    pub category: String,
    /// Bytes of the prompt.
    pub bytes: usize,
    /// The router's embedding of it.
    pub embedding: Arc<[f32]>,
    /// By model of the outcomes, where it ran.
    pub score: Vec<Option<f64>>,
    /// The same in USD.
    pub cost: Vec<Option<f64>>,
}

impl Lesson {
    /// Takes what a record tells of the models; `columns` are their places in the record's arrays.
    pub fn of(record: &Record, columns: &[Option<usize>], embedding: Arc<[f32]>) -> Self {
        let pick = |values: &[Option<f64>]| -> Vec<Option<f64>> {
            columns.iter().map(|column| values.get((*column)?).copied().flatten()).collect()
        };
        Self {
            category: record.category().to_owned(),
            bytes: record.prompt.len(),
            embedding,
            score: pick(&record.score),
            cost: pick(&record.cost),
        }
    }
}

/// Predicted qualities and costs; several runs where chance matters.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// Who predicts.
    pub name: &'static str,
    /// By seed.
    pub runs: Vec<Predicted>,
}

/// Predicted quality and cost in USD, `[prompt][model]`.
#[derive(Clone, Debug)]
pub struct Predicted {
    /// Quality.
    pub quality: Vec<Vec<f64>>,
    /// USD.
    pub cost: Vec<Vec<f64>>,
}

impl Predicted {
    /// Chooses `argmax quality - weight * cost` at every weight of the grid.
    pub fn picks(&self) -> Vec<Vec<usize>> {
        let all = self.cost.iter().flatten();
        let mean = all.clone().sum::<f64>() / all.count().max(1) as f64;
        weights(mean).into_iter().map(|weight| self.picks_at(weight)).collect()
    }

    fn picks_at(&self, weight: f64) -> Vec<usize> {
        let rows = self.quality.iter().zip(&self.cost);
        let best = |(quality, cost): (&Vec<f64>, &Vec<f64>)| {
            let utility = quality.iter().zip(cost).map(|(quality, cost)| (quality - weight * cost, *cost));
            // Of equals the cheaper, then the first.
            let order = |a: &(f64, f64), b: &(f64, f64)| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1));
            utility.enumerate().rev().max_by(|(_, a), (_, b)| order(a, b)).map_or(0, |(model, _)| model)
        };
        rows.map(best).collect()
    }
}

/// Shrinks a group's mean to the model's: this many prompts count half.
const SHRINKAGE: f64 = 20.0;
/// Runs of what depends on chance.
const SEEDS: u64 = 5;

/// Returns the oracle, which knows every score and cost.
pub fn oracle(outcomes: &Outcomes) -> Predicted {
    Predicted {
        quality: outcomes.rows.iter().map(|row| row.score.clone()).collect(),
        cost: outcomes.rows.iter().map(|row| row.cost.clone()).collect(),
    }
}

/// Returns every baseline but the oracle; those that learn need lessons.
pub fn baselines(outcomes: &Outcomes, embeddings: &[Arc<[f32]>], lessons: &[Lesson]) -> Vec<Baseline> {
    let costs = mean_costs(outcomes, lessons);
    let cost = || vec![costs.clone(); outcomes.rows.len()];
    let mut all = Vec::new();
    if !lessons.is_empty() {
        let grouped = |own: Vec<String>, learned: Vec<String>| Predicted {
            quality: by_group(outcomes.models.len(), lessons, &own, &learned),
            cost: cost(),
        };
        let categories = outcomes.rows.iter().map(|row| row.category.clone()).collect();
        let learned = lessons.iter().map(|lesson| lesson.category.clone()).collect();
        all.push(Baseline { name: "category mean", runs: vec![grouped(categories, learned)] });
        let lengths = outcomes.rows.iter().map(|row| length_bin(row.prompt.len())).collect();
        let learned = lessons.iter().map(|lesson| length_bin(lesson.bytes)).collect();
        all.push(Baseline { name: "prompt length", runs: vec![grouped(lengths, learned)] });
        let clustered = |seed: u64| {
            let clusters = Clusters::fit(lessons, SEED + seed);
            Predicted { quality: clusters.quality(lessons, embeddings, outcomes.models.len()), cost: cost() }
        };
        all.push(Baseline { name: "k-means", runs: (0..SEEDS).map(clustered).collect() });
    }
    all.push(Baseline { name: "random", runs: (0..SEEDS).map(|seed| random(outcomes, cost(), seed)).collect() });
    all
}

/// By model, from the lessons where there are any with costs, else from what is measured.
fn mean_costs(outcomes: &Outcomes, lessons: &[Lesson]) -> Vec<f64> {
    let own = outcomes.singles(&vec![1.0; outcomes.rows.len()]);
    let mean = |(model, (own, _)): (usize, (f64, f64))| {
        let paid: Vec<f64> = lessons.iter().filter_map(|lesson| lesson.cost.get(model).copied().flatten()).collect();
        if paid.is_empty() { own } else { paid.iter().sum::<f64>() / paid.len() as f64 }
    };
    own.into_iter().enumerate().map(mean).collect()
}

/// Half doublings: eighths of a doubling are too fine, doublings too coarse.
fn length_bin(bytes: usize) -> String {
    format!("{:.0}", 2.0 * (bytes.max(1) as f64).log2())
}

fn by_group(models: usize, lessons: &[Lesson], own: &[String], learned: &[String]) -> Vec<Vec<f64>> {
    let mut groups: BTreeMap<&str, Sums> = BTreeMap::new();
    let mut overall = Sums::new(models);
    for (lesson, key) in lessons.iter().zip(learned) {
        groups.entry(key).or_insert_with(|| Sums::new(models)).add(&lesson.score);
        overall.add(&lesson.score);
    }
    let means = overall.means();
    own.iter().map(|key| groups.get(key.as_str()).map_or_else(|| means.clone(), |group| group.shrunk(&means))).collect()
}

fn random(outcomes: &Outcomes, cost: Vec<Vec<f64>>, seed: u64) -> Predicted {
    let mut rng = stage_rng(SEED + seed, 8);
    let quality = outcomes.rows.iter().map(|row| row.score.iter().map(|_| rng.random_range(0.0..1.0)).collect());
    Predicted { quality: quality.collect(), cost }
}

/// Scores of each model, summed.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    by_model: Vec<(f64, f64)>,
}

impl Sums {
    pub(super) fn new(models: usize) -> Self {
        Self { by_model: vec![(0.0, 0.0); models] }
    }

    pub(super) fn add(&mut self, scores: &[Option<f64>]) {
        for (sum, score) in self.by_model.iter_mut().zip(scores) {
            if let Some(score) = score {
                *sum = (sum.0 + score, sum.1 + 1.0);
            }
        }
    }

    pub(super) fn means(&self) -> Vec<f64> {
        self.by_model.iter().map(|(sum, count)| sum / f64::max(*count, 1.0)).collect()
    }

    /// Returns the means, shrunk to others as if [`SHRINKAGE`] prompts had shown those.
    pub(super) fn shrunk(&self, to: &[f64]) -> Vec<f64> {
        let shrink = |((sum, count), mean): (&(f64, f64), &f64)| (sum + SHRINKAGE * mean) / (count + SHRINKAGE);
        self.by_model.iter().zip(to).map(shrink).collect()
    }
}
