//! Everyone in a table: the strategies and the baselines, with what they chose and what came of it.

use std::sync::Arc;

use rayon::prelude::*;

use super::{
    baselines::{Baseline, Lesson, Predicted, baselines, oracle},
    bootstrap::Resamples,
    choices::{Choices, Picks, Tuned, family_picks, tune},
    families::Family,
    forecast::Forecast,
    metrics::{COUNT, Figure, Metrics, Yardstick, measure},
    outcomes::Outcomes,
    preference::{Order, Preference},
    replay::Replay,
    report::{Kind, Line, Part},
};

/// One line of a table.
pub struct Contender {
    /// The strategy or baseline.
    pub name: String,
    /// Which of them.
    pub kind: Kind,
    /// By seed, where chance matters.
    pub runs: Vec<Run>,
}

/// What was chosen with one seed.
pub struct Run {
    /// At every setting.
    pub choices: Choices,
    /// At settings that were tuned.
    pub tuned: Tuned,
    /// Without regard for cost.
    pub free: Picks,
    /// The order in which prompts go to the strong one of two models.
    order: Option<Order>,
}

/// Prompts that a task needs to be reported apart.
const SMALLEST_PART: usize = 50;
/// Tasks above which a set is not reported by task.
const MOST_PARTS: usize = 6;

impl Contender {
    /// Returns everyone: strategies, baselines, oracle.
    pub fn all(forecast: &Forecast, replay: &Replay<'_>, families: &[Family], lessons: &[Lesson]) -> Vec<Self> {
        let outcomes = replay.outcomes;
        let mut all: Vec<Self> = families.iter().map(|family| Self::strategy(family, forecast, replay)).collect();
        let embeddings: &[Arc<[f32]>] = &forecast.embeddings;
        all.extend(baselines(outcomes, embeddings, lessons).iter().map(|baseline| Self::baseline(baseline, outcomes)));
        let oracle = Baseline { name: "oracle", runs: vec![oracle(outcomes)] };
        all.push(Self { kind: Kind::Oracle, ..Self::baseline(&oracle, outcomes) });
        all
    }

    fn strategy(family: &Family, forecast: &Forecast, replay: &Replay<'_>) -> Self {
        let outcomes = replay.outcomes;
        let run = |order: u64| {
            let settings = family_picks(family, replay, order);
            let preference = outcomes.weak_and_strong().map(|(weak, strong)| match settings.as_slice() {
                // A strategy with a threshold: at how many settings a prompt goes to the strong model.
                [_, _, ..] if !family.weighs_quality => strong_calls(&settings, strong),
                _ => wins(&forecast.quality(), (weak, strong)),
            });
            Run::of(settings, preference, outcomes)
        };
        Self { name: family.name.clone(), kind: Kind::Strategy, runs: (0..family.orders).map(run).collect() }
    }

    fn baseline(baseline: &Baseline, outcomes: &Outcomes) -> Self {
        let run = |predicted: &Predicted| {
            let preference = outcomes.weak_and_strong().map(|pair| wins(&predicted.quality, pair));
            Run::of(predicted.picks(), preference, outcomes)
        };
        let runs = baseline.runs.par_iter().map(run).collect();
        Self { name: baseline.name.to_owned(), kind: Kind::Baseline, runs }
    }

    fn measure(&self, yardstick: &Yardstick, weights: &[f32], has_costs: bool) -> [f64; COUNT] {
        let mut sums = [0.0; COUNT];
        for run in &self.runs {
            let found = measure(&run.choices, &run.tuned, yardstick, weights, has_costs);
            sums.iter_mut().zip(found).for_each(|(sum, value)| *sum += value / self.runs.len() as f64);
        }
        sums
    }

    fn preference(&self, weights: &[f32]) -> Option<Preference<f64>> {
        let orders: Option<Vec<&Order>> = self.runs.iter().map(|run| run.order.as_ref()).collect();
        let found: Vec<Preference<f64>> = orders?.into_iter().map(|order| order.measure(weights)).collect();
        let mean = |of: fn(&Preference<f64>) -> f64| found.iter().map(of).sum::<f64>() / found.len().max(1) as f64;
        Some(Preference { apgr: mean(|of| of.apgr), cpt_50: mean(|of| of.cpt_50), cpt_80: mean(|of| of.cpt_80) })
    }
}

impl Run {
    fn of(settings: Vec<Picks>, preference: Option<Vec<f64>>, outcomes: &Outcomes) -> Self {
        let gains = outcomes.weak_and_strong().map(|(weak, strong)| {
            let at = |row: &super::outcomes::Row, model: usize| row.score.get(model).copied().unwrap_or(0.0);
            outcomes.rows.iter().map(|row| at(row, strong) - at(row, weak)).collect::<Vec<f64>>()
        });
        Self {
            choices: Choices::of(&settings, outcomes),
            tuned: tune(&settings, outcomes),
            order: preference.zip(gains).map(|(preference, gains)| Order::by(&preference, &gains)),
            free: settings.into_iter().next().unwrap_or_default(),
        }
    }
}

fn strong_calls(settings: &[Picks], strong: usize) -> Vec<f64> {
    let mut calls = vec![0.0; settings.first().map_or(0, Vec::len)];
    for picks in settings {
        calls.iter_mut().zip(picks).for_each(|(calls, pick)| *calls += f64::from(u8::from(*pick == strong)));
    }
    calls
}

fn wins(quality: &[Vec<f64>], (weak, strong): (usize, usize)) -> Vec<f64> {
    let at = |row: &Vec<f64>, model: usize| row.get(model).copied().unwrap_or(0.0);
    quality.iter().map(|row| at(row, strong) - at(row, weak)).collect()
}

/// Measures everyone on all reported prompts and on resamples of them.
pub fn lines(contenders: &[Contender], outcomes: &Outcomes, resamples: &Resamples) -> Vec<Line> {
    let best = outcomes.best_single();
    let Some(oracle) = contenders.last().and_then(|oracle| oracle.runs.first()) else { return Vec::new() };
    let measure = |weights: &[f32]| -> Vec<[f64; COUNT]> {
        let yardstick = Yardstick::of(&outcomes.singles(weights), best, &oracle.choices, weights);
        contenders.iter().map(|contender| contender.measure(&yardstick, weights, outcomes.has_costs)).collect()
    };
    let values = measure(&outcomes.reported());
    let samples = resamples.measure(measure);
    let line = |(index, contender): (usize, &Contender)| {
        let value = |of: &Vec<[f64; COUNT]>, line: usize, metric: usize| {
            of.get(line).and_then(|row| row.get(metric)).copied().unwrap_or(f64::NAN)
        };
        let figure = |metric: usize| {
            Figure::of(value(&values, index, metric), samples.iter().map(|sample| value(sample, index, metric)))
        };
        let lead = |of: &Vec<[f64; COUNT]>| value(of, index, 0) - value(of, 0, 0);
        Line {
            router: contender.name.clone(),
            kind: contender.kind,
            seeds: contender.runs.len(),
            metrics: Metrics::named(std::array::from_fn(figure)),
            aiq_over_first: Figure::of(lead(&values), samples.iter().map(lead)),
        }
    };
    contenders.iter().enumerate().map(line).collect()
}

/// Measures how two models are told apart: on the whole set, and by task where there are few and large ones.
pub fn parts(contenders: &[Contender], outcomes: &Outcomes, resamples: &Resamples) -> Vec<Part> {
    if outcomes.weak_and_strong().is_none() {
        return Vec::new();
    }
    let mut tasks: Vec<&str> = outcomes.rows.iter().map(|row| row.task.as_str()).collect();
    tasks.sort_unstable();
    tasks.dedup();
    let is_divided = (2..=MOST_PARTS).contains(&tasks.len());
    let tasks = tasks.into_iter().filter(|_| is_divided).map(Some);
    std::iter::once(None).chain(tasks).filter_map(|task| part(contenders, outcomes, resamples, task)).collect()
}

fn part(contenders: &[Contender], outcomes: &Outcomes, resamples: &Resamples, task: Option<&str>) -> Option<Part> {
    let is_in: Vec<f32> = outcomes
        .rows
        .iter()
        .zip(outcomes.reported())
        .map(|(row, weight)| if task.is_none_or(|task| task == row.task) { weight } else { 0.0 })
        .collect();
    let prompts = is_in.iter().filter(|weight| **weight > 0.0).count();
    if prompts < SMALLEST_PART && task.is_some() {
        return None;
    }
    let lines = contenders.iter().filter_map(|contender| {
        let value = contender.preference(&is_in)?;
        let samples = resamples.measure(|weights| {
            let weights: Vec<f32> = weights.iter().zip(&is_in).map(|(weight, is_in)| weight * is_in).collect();
            contender.preference(&weights)
        });
        let samples: Vec<Preference<f64>> = samples.into_iter().flatten().collect();
        Some((contender.name.clone(), Preference::with_intervals(value, &samples)))
    });
    Some(Part { task: task.unwrap_or("all").to_owned(), prompts, lines: lines.collect() })
}
