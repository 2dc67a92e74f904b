//! What became of prompts: complete rows of scores and costs of the models that are compared.

use std::collections::BTreeSet;

use super::{parts::Fold, prices::PriceTable};
use crate::{
    domain::Tokens,
    learning::data::{Meta, ModelMeta, Record},
};

/// Every prompt with what each model made of it.
#[derive(Clone, Debug)]
pub struct Outcomes {
    /// Who is chosen from.
    pub models: Vec<Model>,
    /// One per prompt.
    pub rows: Vec<Row>,
    /// Whether costs are known.
    pub has_costs: bool,
}

/// A model that is chosen from.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Its public name, the name of its profile.
    pub name: String,
    /// Its place in the arrays of the records.
    pub column: usize,
    /// USD per million tokens of prompt and of answer, if they are known.
    pub prices: Option<(f64, f64)>,
    /// Parameters in billions, if known.
    pub parameters_b: Option<f64>,
}

/// One prompt.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name in the set.
    pub id: String,
    /// What the router sees.
    pub prompt: String,
    /// Benchmark or category.
    pub task: String,
    /// The finest category.
    pub category: String,
    /// Tokens of the prompt; estimated from its bytes where the set does not say.
    pub input_tokens: f64,
    /// Whether it tunes or is reported.
    pub fold: Fold,
    /// By model, in `[0, 1]`.
    pub score: Vec<f64>,
    /// USD by model; 0 where the set has no costs.
    pub cost: Vec<f64>,
}

impl Row {
    /// Returns a prompt of which nothing is told but the prompt.
    pub fn unanswered(record: &Record) -> Self {
        Self {
            id: record.id.clone(),
            prompt: record.prompt.clone(),
            task: record.task.clone(),
            category: record.category().to_owned(),
            input_tokens: input_tokens(record),
            fold: Fold::Tune,
            score: Vec::new(),
            cost: Vec::new(),
        }
    }
}

/// A model that nobody asked for by name takes part if it ran on this share of the prompts; a prompt if all models ran on it.
const COVERAGE: f64 = 0.9;

impl Outcomes {
    /// Takes the models that ran on most prompts (or those of `only`, by public name) and the prompts that all of them ran on.
    /// Where some records have costs, those without are left out.
    pub fn of(meta: &Meta, records: &[(&Record, Fold)], only: &[String], table: Option<&PriceTable>) -> Self {
        let models: Vec<Model> =
            meta.models.iter().enumerate().map(|(column, model)| described(model, column, table)).collect();
        let cost = |record: &Record, model: &Model| cost(record, model, table.is_some());
        let has_costs = records.iter().any(|(record, _)| models.iter().any(|model| cost(record, model).is_some()));
        let is_run = |record: &Record, model: &Model| {
            score(record, model.column).is_some() && (!has_costs || cost(record, model).is_some())
        };
        let any_run = |record: &Record| models.iter().any(|model| is_run(record, model));
        let useful: Vec<(&Record, Fold)> = records.iter().copied().filter(|(record, _)| any_run(record)).collect();
        let mut names = BTreeSet::new();
        let mut chosen: Vec<Model> = models
            .iter()
            .filter(|model| {
                let runs = useful.iter().filter(|(record, _)| is_run(record, model)).count() as f64;
                let is_wanted = if only.is_empty() { runs >= COVERAGE * useful.len() as f64 } else { runs > 0.0 };
                is_wanted && (only.is_empty() || only.contains(&model.name))
            })
            .cloned()
            .collect();
        chosen.retain(|model| names.insert(model.name.clone()));
        let whole = useful.iter().filter(|(record, _)| chosen.iter().all(|model| is_run(record, model)));
        let rows = whole.map(|(record, fold)| Row {
            fold: *fold,
            score: chosen.iter().map(|model| score(record, model.column).unwrap_or(0.0)).collect(),
            cost: chosen.iter().map(|model| cost(record, model).unwrap_or(0.0)).collect(),
            ..Row::unanswered(record)
        });
        Self { rows: rows.collect(), models: chosen, has_costs }
    }

    /// Returns 1 for every prompt that is reported and 0 for those that only tune.
    pub fn reported(&self) -> Vec<f32> {
        self.rows.iter().map(|row| if row.fold == Fold::Tune { 0.0 } else { 1.0 }).collect()
    }

    /// Returns the mean cost and the mean score of each model, over weighted prompts.
    pub fn singles(&self, weights: &[f32]) -> Vec<(f64, f64)> {
        let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        let mut means = vec![(0.0, 0.0); self.models.len()];
        for (row, weight) in self.rows.iter().zip(weights).filter(|(_, weight)| **weight > 0.0) {
            let share = f64::from(*weight) / total;
            for (mean, (cost, score)) in means.iter_mut().zip(row.cost.iter().zip(&row.score)) {
                mean.0 += share * cost;
                mean.1 += share * score;
            }
        }
        means
    }

    /// Returns the number of the model of the highest mean score on what is reported; of equals the cheapest.
    pub fn best_single(&self) -> usize {
        let means = self.singles(&self.reported());
        let order = |a: &(f64, f64), b: &(f64, f64)| a.1.total_cmp(&b.1).then(b.0.total_cmp(&a.0));
        means.iter().enumerate().max_by(|(_, a), (_, b)| order(a, b)).map_or(0, |(index, _)| index)
    }

    /// Returns the two models as weak and strong, by what is reported; `None` if there are not two.
    pub fn weak_and_strong(&self) -> Option<(usize, usize)> {
        (self.models.len() == 2).then(|| if self.best_single() == 1 { (0, 1) } else { (1, 0) })
    }
}

/// Returns a model of a set, at the prices of a table if it has them.
pub fn described(model: &ModelMeta, column: usize, table: Option<&PriceTable>) -> Model {
    let name = model.name();
    let listed = model.in_price.zip(model.out_price);
    let prices = table.and_then(|table| table.of(&name)).or(listed);
    Model { name, column, prices, parameters_b: model.params_b }
}

fn score(record: &Record, column: usize) -> Option<f64> {
    record.score.get(column).copied().flatten()
}

/// What was recorded, unless other prices were asked for; then, or where nothing was recorded, prices times tokens.
fn cost(record: &Record, model: &Model, is_repriced: bool) -> Option<f64> {
    let recorded = record.cost.get(model.column).copied().flatten();
    let answer = record.out_tok.get(model.column).copied().flatten();
    let computed = model.prices.zip(record.in_tok).zip(answer);
    let computed = computed.map(|(((input, output), prompt), answer)| (input * prompt + output * answer) / 1e6);
    if is_repriced { computed.or(recorded) } else { recorded.or(computed) }
}

/// Returns the tokens of the prompt, as recorded or as the gateway estimates them.
pub fn input_tokens(record: &Record) -> f64 {
    record.in_tok.unwrap_or_else(|| Tokens::estimate(record.prompt.len()).0 as f64)
}
