//! What a router chose for every prompt, at each of its settings, and what came of it.

use std::sync::Arc;

use rayon::prelude::*;

use super::{
    families::Family,
    outcomes::Outcomes,
    parts::Fold,
    replay::{Replay, has_memory},
};
use crate::{domain::Ask, routing::Strategy};

/// Models by number, one per prompt.
pub type Picks = Vec<usize>;

/// A router at all of its settings, the first of which has no regard for cost.
#[derive(Clone, Debug)]
pub struct Choices {
    points: Vec<Vec<(f32, f32)>>,
}

/// Settings chosen on the prompts that tune, with what came of them on the others.
#[derive(Clone, Debug)]
pub struct Tuned {
    /// The setting of the highest quality.
    pub best: Vec<(f32, f32)>,
    /// The cheapest setting that is as good as the best single model, or else the one of the highest quality.
    pub parity: Vec<(f32, f32)>,
    /// The setting of the highest arena score.
    pub arena: Vec<(f32, f32)>,
    /// The models that `parity` picked.
    pub parity_picks: Picks,
}

impl Choices {
    /// Looks up what came of picks.
    pub fn of(settings: &[Picks], outcomes: &Outcomes) -> Self {
        Self { points: settings.iter().map(|picks| happened(picks, outcomes)).collect() }
    }

    /// Returns the mean cost and quality of every setting over weighted prompts.
    pub fn means<'a>(&'a self, weights: &'a [f32]) -> impl Iterator<Item = (f64, f64)> + 'a {
        self.points.iter().map(|point| mean(point, weights))
    }

    /// Returns the mean quality without regard for cost.
    pub fn free_quality(&self, weights: &[f32]) -> f64 {
        self.points.first().map_or(0.0, |point| mean(point, weights).1)
    }
}

/// Returns what came of picks: cost and quality of each prompt.
pub fn happened(picks: &[usize], outcomes: &Outcomes) -> Vec<(f32, f32)> {
    let rows = picks.iter().zip(&outcomes.rows);
    let at = |values: &[f64], pick: usize| values.get(pick).copied().unwrap_or(0.0) as f32;
    rows.map(|(pick, row)| (at(&row.cost, *pick), at(&row.score, *pick))).collect()
}

/// Returns the weighted mean of cost and quality. Sums are in f64: weights are counts of draws.
pub fn mean(point: &[(f32, f32)], weights: &[f32]) -> (f64, f64) {
    let (mut cost, mut quality, mut total) = (0.0_f64, 0.0_f64, 0.0_f64);
    for ((own_cost, own_quality), weight) in point.iter().zip(weights) {
        let weight = f64::from(*weight);
        cost += weight * f64::from(*own_cost);
        quality += weight * f64::from(*own_quality);
        total += weight;
    }
    (cost / total, quality / total)
}

/// Returns what a strategy picks for every ask: the model of the plan's first leg.
pub fn picks(strategy: &dyn Strategy, asks: &[Ask]) -> Picks {
    let pick = |ask: &Ask| {
        let decision = strategy.decide(ask).ok()?;
        let leg = decision.plan.legs().next()?.model.clone();
        ask.candidates.iter().position(|candidate| candidate.model.name == leg)
    };
    asks.par_iter().map(|ask| pick(ask).unwrap_or(0)).collect()
}

/// Returns the picks of all settings of a family, with the prompts served in an order by `seed` where that matters.
pub fn family_picks(family: &Family, replay: &Replay<'_>, seed: u64) -> Vec<Picks> {
    let among = family.among.as_deref();
    let setting = |strategy: &Arc<dyn Strategy>| match among.is_some() || has_memory(&**strategy) {
        true => replay.picks(&**strategy, among, seed),
        false => picks(&**strategy, replay.asks),
    };
    family.points.par_iter().map(setting).collect()
}

/// Chooses settings where they may be chosen: of prompts that tune and are not reported, or on the other half.
pub fn tune(settings: &[Picks], outcomes: &Outcomes) -> Tuned {
    let choices = Choices::of(settings, outcomes);
    let is_apart = outcomes.rows.iter().any(|row| row.fold == Fold::Tune);
    let weights =
        |fold: Fold| -> Vec<f32> { outcomes.rows.iter().map(|row| if row.fold == fold { 1.0 } else { 0.0 }).collect() };
    let by_fold = match is_apart {
        true => vec![(None, Chosen::on(&choices, outcomes, &weights(Fold::Tune)))],
        false => vec![
            (Some(Fold::First), Chosen::on(&choices, outcomes, &weights(Fold::Second))),
            (Some(Fold::Second), Chosen::on(&choices, outcomes, &weights(Fold::First))),
        ],
    };
    let pick = |of: fn(&Chosen) -> usize| -> Picks {
        let rows = outcomes.rows.iter().enumerate();
        rows.map(|(index, row)| {
            let chosen = by_fold.iter().find(|(fold, _)| fold.is_none_or(|fold| fold == row.fold));
            let setting = chosen.map_or(0, |(_, chosen)| of(chosen));
            settings.get(setting).and_then(|picks| picks.get(index)).copied().unwrap_or(0)
        })
        .collect()
    };
    let parity_picks = pick(|chosen| chosen.parity);
    Tuned {
        best: happened(&pick(|chosen| chosen.best), outcomes),
        parity: happened(&parity_picks, outcomes),
        arena: happened(&pick(|chosen| chosen.arena), outcomes),
        parity_picks,
    }
}

/// Numbers of settings.
struct Chosen {
    best: usize,
    parity: usize,
    arena: usize,
}

impl Chosen {
    fn on(choices: &Choices, outcomes: &Outcomes, weights: &[f32]) -> Self {
        if weights.iter().all(|weight| *weight == 0.0) {
            return Self { best: 0, parity: 0, arena: 0 };
        }
        let best_single = outcomes.singles(weights).into_iter().map(|(_, score)| score).fold(0.0, f64::max);
        let points: Vec<(f64, f64)> = choices.means(weights).collect();
        let top = |of: &dyn Fn(&(f64, f64)) -> f64| {
            let values = points.iter().map(of).enumerate();
            // Of equals the first: the one with the least regard for cost.
            values.fold((0, f64::NEG_INFINITY), |best, next| if next.1 > best.1 { next } else { best }).0
        };
        let best = top(&|point| point.1);
        let is_as_good = |point: &(f64, f64)| if point.1 >= best_single { -point.0 } else { f64::NEG_INFINITY };
        let reaches = points.iter().any(|point| point.1 >= best_single);
        let parity = if reaches { top(&is_as_good) } else { best };
        Self { best, parity, arena: top(&|point| super::metrics::arena(point.1, point.0)) }
    }
}
