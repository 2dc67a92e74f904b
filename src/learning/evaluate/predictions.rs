//! One line per prompt: what was predicted and what was chosen.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{choices::Picks, contenders::Contender, forecast::Forecast, outcomes::Outcomes, parts::Fold};

/// A line of the file that `--predictions` writes.
#[derive(Clone, Debug, Serialize)]
pub struct Prediction {
    /// The prompt's name in its set.
    pub id: String,
    /// The set.
    pub set: String,
    /// Its task.
    pub task: String,
    /// Whether it tunes or is reported.
    pub fold: Fold,
    /// Predicted quality by model.
    pub quality: BTreeMap<String, f64>,
    /// Standard deviation of the predicted quality by model.
    pub spread: BTreeMap<String, f64>,
    /// Expected cost in USD by model.
    pub cost: BTreeMap<String, f64>,
    /// Expected tokens of the answer by model.
    pub output_tokens: BTreeMap<String, f64>,
    /// Share of training prompts that lie at least as far out.
    pub typicality: f64,
    /// Whether the prompt is marked as far from the training data.
    pub is_outside: bool,
    /// Chosen models by strategy or baseline, then by setting: `free` without regard for cost, `parity` at the cheapest
    /// setting that was as good as the best single model where it was tuned, `shipped` at the program's default policy.
    pub choices: BTreeMap<String, BTreeMap<&'static str, String>>,
}

/// Makes the lines of a set. `shipped` are picks at shipped settings by strategy.
pub fn predictions(
    set: &str,
    outcomes: &Outcomes,
    forecast: &Forecast,
    contenders: &[Contender],
    shipped: &[(&str, Picks)],
) -> Vec<Prediction> {
    let rows = outcomes.rows.iter().zip(&forecast.asks).enumerate();
    let name = |picks: &Picks, index: usize| {
        picks.get(index).and_then(|pick| outcomes.models.get(*pick)).map(|model| model.name.clone())
    };
    rows.map(|(index, (row, ask))| {
        let by_model = |of: &dyn Fn(&crate::domain::Estimate) -> f64| -> BTreeMap<String, f64> {
            let models = outcomes.models.iter().zip(&ask.candidates);
            models.map(|(model, candidate)| (model.name.clone(), of(&candidate.estimate))).collect()
        };
        let mut choices: BTreeMap<String, BTreeMap<&'static str, String>> = BTreeMap::new();
        for (contender, run) in contenders.iter().filter_map(|contender| Some((contender, contender.runs.first()?))) {
            let settings = [("free", &run.free), ("parity", &run.tuned.parity_picks)];
            let named = settings.into_iter().filter_map(|(setting, picks)| Some((setting, name(picks, index)?)));
            choices.insert(contender.name.clone(), named.collect());
        }
        for (strategy, picks) in shipped {
            let chosen = name(picks, index).map(|model| ("shipped", model));
            choices.entry((*strategy).to_owned()).or_default().extend(chosen);
        }
        Prediction {
            id: row.id.clone(),
            set: set.to_owned(),
            task: row.task.clone(),
            fold: row.fold,
            quality: by_model(&|estimate| estimate.quality.value()),
            spread: by_model(&|estimate| estimate.spread),
            cost: by_model(&|estimate| estimate.cost.dollars()),
            output_tokens: by_model(&|estimate| estimate.output_tokens),
            typicality: ask.signals.familiarity.typicality.value(),
            is_outside: ask.signals.familiarity.is_outside,
            choices,
        }
    })
    .collect()
}
