//! Measuring a router on prompts that it did not see, beside what needs no router.
//!
//! Every router in a table is a set of predicted qualities per prompt and model; each is turned into choices by the same rule,
//! `argmax quality - lambda cost` over a grid of lambda, and measured by the same curve. The oracle predicts the true scores.
//! Intervals are bootstrapped over prompts, with the same resamples for all routers, so that differences are paired.

pub mod curve;
pub mod predictors;
pub mod preference;
pub mod report;
pub mod speed;

use rand::Rng;

use self::{
    curve::{Choices, Curve, Outcomes, gap_closed},
    predictors::Predictions,
    preference::Preference,
};
use super::{
    LearningError,
    data::{Record, Set, Split},
    encoder::stage_rng,
};
use crate::scoring::{
    Artifact, Session,
    artifact::{prompt_hash, question_hash},
};

/// Resamples of a bootstrap.
const RESAMPLES: usize = 200;
/// Of the bootstrap; a table is the same each time it is made.
const SEED: u64 = 7;

/// A figure with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Figure {
    /// On all prompts.
    pub value: f64,
    /// 2.5 % quantile.
    pub low: f64,
    /// 97.5 % quantile.
    pub high: f64,
}

/// One router's line.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Line {
    /// The router or baseline.
    pub router: String,
    /// Area under the hull of cost and quality, in points.
    pub aiq: Figure,
    /// Share of the way from the hull of single models to the oracle, in percent.
    pub gap_closed: Figure,
    /// Quality at no regard for cost over the best single model, in percent.
    pub gain: Figure,
    /// Weak/strong routing; only for sets of two models.
    pub preference: Option<Preference>,
}

/// How true one model's predicted qualities are.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Calibration {
    /// The model.
    pub model: String,
    /// Mean score.
    pub score: f64,
    /// Expected calibration error, ten bins of equal size.
    pub ece: f64,
    /// Mean squared error.
    pub brier: f64,
}

/// Everything about one set.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SetReport {
    /// The set.
    pub set: String,
    /// Prompts that were measured.
    pub prompts: usize,
    /// Prompts left out because the router was trained on them.
    pub left_out: usize,
    /// Models that were chosen from.
    pub models: usize,
    /// Whether costs are known; without them only `gain` and `preference` mean something.
    pub has_costs: bool,
    /// Best single model and its mean score.
    pub best_single: (String, f64),
    /// Routers and baselines.
    pub lines: Vec<Line>,
    /// By model.
    pub calibration: Vec<Calibration>,
}

/// Measures `artifact` on one set; `session` runs its graph. `only` chooses among the set's models.
///
/// # Errors
/// The artifact's list of seen prompts is missing.
pub fn evaluate(
    set: &Set,
    artifact: &Artifact,
    session: &mut dyn Session,
    only: &[String],
) -> Result<Option<SetReport>, LearningError> {
    let seen = artifact.seen()?;
    let is_seen = |record: &Record| is_seen(&seen, &record.prompt);
    let held: Vec<&Record> = set.records.iter().filter(|record| record.split != Some(Split::Train)).collect();
    let asked: Vec<&Record> = if held.is_empty() { set.records.iter().collect() } else { held };
    let fresh: Vec<&Record> = asked.iter().copied().filter(|record| !is_seen(record)).collect();
    let left_out = asked.len() - fresh.len();
    let outcomes = Outcomes::of(&set.meta, &fresh, only);
    if outcomes.prompts() == 0 || outcomes.models.len() < 2 {
        return Ok(None);
    }
    let train: Vec<&Record> = set.records.iter().filter(|record| is_seen(record)).collect();
    let predictions = predictors::all(&outcomes, &train, artifact, session)?;
    let oracle = Choices::of(&Predictions::oracle(&outcomes), &outcomes);
    let lines = predictions.iter().map(|prediction| line(prediction, &outcomes, &oracle)).collect();
    let calibration = predictions.first().map(|router| calibration(router, &outcomes)).unwrap_or_default();
    Ok(Some(SetReport {
        set: set.meta.name.clone(),
        prompts: outcomes.prompts(),
        left_out,
        models: outcomes.models.len(),
        has_costs: outcomes.has_costs,
        best_single: outcomes.best_single(),
        lines,
        calibration,
    }))
}

/// Few-shot prompts end with the question, so a prompt counts as seen by its first line and by the first line of its last block.
fn is_seen(seen: &[u64], prompt: &str) -> bool {
    let last = prompt.trim_end().rsplit("\n\n").next().unwrap_or(prompt);
    let keys = [prompt, last].into_iter().flat_map(|text| [prompt_hash(text), question_hash(text)]);
    keys.into_iter().any(|key| seen.binary_search(&key).is_ok())
}

fn line(prediction: &Predictions, outcomes: &Outcomes, oracle: &Choices) -> Line {
    let choices = Choices::of(prediction, outcomes);
    let mut rng = stage_rng(SEED, 9);
    let whole = vec![1.0; outcomes.prompts()];
    let measure = |weights: &[f64]| {
        let (hull, router, best) =
            (Curve::of_singles(outcomes, weights), Curve::of(&choices, weights), Curve::of(oracle, weights));
        let gain = choices.quality_at_no_cost(weights) / outcomes.best_quality(weights) - 1.0;
        [100.0 * hull.area_of(&router), 100.0 * gap_closed(&hull, &router, &best), 100.0 * gain]
    };
    let value = measure(&whole);
    let mut samples: [Vec<f64>; 3] = Default::default();
    for _ in 0..RESAMPLES {
        let mut weights = vec![0.0; whole.len()];
        for _ in 0..whole.len() {
            let drawn = rng.random_range(0..whole.len());
            weights.get_mut(drawn).into_iter().for_each(|weight| *weight += 1.0);
        }
        samples.iter_mut().zip(measure(&weights)).for_each(|(sample, value)| sample.push(value));
    }
    let mut figures = value.into_iter().zip(samples).map(|(value, sample)| Figure::of(value, sample));
    let mut next = || figures.next().unwrap_or(Figure { value: f64::NAN, low: f64::NAN, high: f64::NAN });
    Line {
        router: prediction.name.clone(),
        aiq: next(),
        gap_closed: next(),
        gain: next(),
        preference: Preference::of(prediction, outcomes),
    }
}

impl Figure {
    fn of(value: f64, mut sample: Vec<f64>) -> Self {
        sample.sort_by(f64::total_cmp);
        let at =
            |share: f64| sample.get((share * (sample.len() - 1) as f64).round() as usize).copied().unwrap_or(value);
        Self { value, low: at(0.025), high: at(0.975) }
    }
}

fn calibration(router: &Predictions, outcomes: &Outcomes) -> Vec<Calibration> {
    let models = outcomes.models.iter().enumerate();
    let rows = models.map(|(model, name)| {
        let mut pairs: Vec<(f64, f64)> = router
            .quality
            .iter()
            .zip(&outcomes.score)
            .filter_map(|(predicted, scores)| Some((*predicted.get(model)?, *scores.get(model)?)))
            .collect();
        let count = pairs.len().max(1) as f64;
        let score = pairs.iter().map(|(_, score)| score).sum::<f64>() / count;
        let brier = pairs.iter().map(|(predicted, score)| (predicted - score).powi(2)).sum::<f64>() / count;
        Calibration { model: name.clone(), score, ece: expected_calibration_error(&mut pairs), brier }
    });
    rows.collect()
}

fn expected_calibration_error(pairs: &mut [(f64, f64)]) -> f64 {
    const BINS: usize = 10;
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let bins = pairs.chunks(pairs.len().div_ceil(BINS).max(1));
    let off: f64 = bins.map(|bin| bin.iter().map(|(predicted, score)| predicted - score).sum::<f64>().abs()).sum();
    off / pairs.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_true_prediction_has_no_calibration_error_and_a_false_one_its_offset() {
        let mut perfect: Vec<(f64, f64)> = (0..100).map(|index| (0.3, f64::from(u8::from(index % 10 < 3)))).collect();
        let mut too_high: Vec<(f64, f64)> = perfect.iter().map(|(_, score)| (0.5, *score)).collect();

        assert!(expected_calibration_error(&mut perfect) < 1e-9);
        assert!((expected_calibration_error(&mut too_high) - 0.2).abs() < 1e-9);
    }
}
