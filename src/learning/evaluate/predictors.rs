//! What is compared: the router, and baselines that need none.

use std::collections::BTreeMap;

use rand::Rng;

use super::curve::Outcomes;
use crate::{
    learning::{LearningError, data::Record, encoder::stage_rng},
    scoring::{Artifact, Session},
};

/// Predicted quality and cost, `[prompt][model]`.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// Who predicts.
    pub name: String,
    /// Quality.
    pub quality: Vec<Vec<f64>>,
    /// USD.
    pub cost: Vec<Vec<f64>>,
}

/// Shrinks a group's mean to the model's: this many prompts count half.
const SHRINKAGE: f64 = 20.0;

impl Predictions {
    /// Returns what only an oracle knows.
    pub fn oracle(outcomes: &Outcomes) -> Self {
        Self { name: "oracle".to_owned(), quality: outcomes.score.clone(), cost: outcomes.cost.clone() }
    }
}

/// Returns the router first, then the baselines; those that learn do so from the set's own training records.
///
/// # Errors
/// The router's graph fails.
pub fn all(
    outcomes: &Outcomes,
    train: &[&Record],
    artifact: &Artifact,
    session: &mut dyn Session,
) -> Result<Vec<Predictions>, LearningError> {
    let cost = mean_costs(outcomes, train);
    let mut all = vec![router(outcomes, &cost, artifact, session)?];
    if !train.is_empty() {
        let keys = |text: &[&Record]| text.iter().map(|record| record.category().to_owned()).collect();
        all.push(by_group("category mean", outcomes, train, (outcomes.categories.clone(), keys(train)), &cost));
        let lengths = |prompts: &mut dyn Iterator<Item = usize>| prompts.map(length_bin).collect();
        let (own, learned) = (
            lengths(&mut outcomes.prompts.iter().map(String::len)),
            lengths(&mut train.iter().map(|record| record.prompt.len())),
        );
        all.push(by_group("prompt length", outcomes, train, (own, learned), &cost));
    }
    all.push(random(outcomes));
    all.push(Predictions::oracle(outcomes));
    Ok(all)
}

fn router(
    outcomes: &Outcomes,
    mean_cost: &[f64],
    artifact: &Artifact,
    session: &mut dyn Session,
) -> Result<Predictions, LearningError> {
    let failed = |error: &dyn std::fmt::Display| LearningError::Graph(error.to_string());
    let (mut quality, mut lengths) = (Vec::new(), Vec::new());
    for prompt in &outcomes.prompts {
        let ids = artifact.tokens.ids(prompt).map_err(|error| failed(&error))?;
        let outputs = session.run(&ids).map_err(|error| failed(&error))?;
        let (qualities, prior) = artifact.profiles.qualities(&outputs.latent);
        let of = |name: &String| qualities.get(name.as_str()).map_or(prior, |quality| quality.mean).value();
        quality.push(outcomes.models.iter().map(of).collect());
        lengths.push(f64::from(outputs.output_tokens.first().copied().unwrap_or(0.0)).exp());
    }
    // A model's cost rises with the expected length around its mean, half as fast: half of a cost is the prompt.
    let mean_length = lengths.iter().sum::<f64>() / lengths.len().max(1) as f64;
    let scaled = |length: &f64| mean_cost.iter().map(|cost| cost * (0.5 + 0.5 * length / mean_length)).collect();
    Ok(Predictions { name: artifact.document.name.clone(), quality, cost: lengths.iter().map(scaled).collect() })
}

fn mean_costs(outcomes: &Outcomes, train: &[&Record]) -> Vec<f64> {
    let mean = |costs: &mut dyn Iterator<Item = f64>| {
        let (sum, count) = costs.fold((0.0, 0.0), |(sum, count): (f64, f64), cost| (sum + cost, count + 1.0));
        if count > 0.0 { sum / count } else { 0.0 }
    };
    let columns = outcomes.columns.iter().enumerate();
    let costs = columns.map(|(model, column)| {
        if train.is_empty() {
            return mean(&mut outcomes.cost.iter().filter_map(|row| row.get(model).copied()));
        }
        mean(&mut train.iter().filter_map(|record| record.cost.get(*column).copied().flatten()))
    });
    costs.collect()
}

/// Eighths of a doubling are too fine and doublings too coarse: half doublings.
fn length_bin(bytes: usize) -> String {
    format!("{:.0}", 2.0 * (bytes.max(1) as f64).log2())
}

fn by_group(
    name: &str,
    outcomes: &Outcomes,
    train: &[&Record],
    (own, learned): (Vec<String>, Vec<String>),
    cost: &[f64],
) -> Predictions {
    let width = outcomes.columns.len();
    let mut groups: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    let mut overall = vec![(0.0, 0.0); width];
    for (record, key) in train.iter().zip(&learned) {
        let group = groups.entry(key).or_insert_with(|| vec![(0.0, 0.0); width]);
        for ((sums, total), column) in group.iter_mut().zip(&mut overall).zip(&outcomes.columns) {
            let Some(score) = record.score.get(*column).copied().flatten() else { continue };
            *sums = (sums.0 + score, sums.1 + 1.0);
            *total = (total.0 + score, total.1 + 1.0);
        }
    }
    let means: Vec<f64> = overall.iter().map(|(sum, count)| sum / f64::max(*count, 1.0)).collect();
    let predict = |key: &String| match groups.get(key.as_str()) {
        Some(group) => {
            let shrunk = |((sum, count), mean): (&(f64, f64), &f64)| (sum + SHRINKAGE * mean) / (count + SHRINKAGE);
            group.iter().zip(&means).map(shrunk).collect()
        }
        None => means.clone(),
    };
    Predictions {
        name: name.to_owned(),
        quality: own.iter().map(predict).collect(),
        cost: vec![cost.to_vec(); outcomes.prompts()],
    }
}

fn random(outcomes: &Outcomes) -> Predictions {
    let mut rng = stage_rng(super::SEED, 8);
    let row = |_| outcomes.models.iter().map(|_| rng.random_range(0.0..1.0)).collect();
    let mean = mean_costs(outcomes, &[]);
    let quality = (0..outcomes.prompts()).map(row).collect();
    Predictions { name: "random".to_owned(), quality, cost: vec![mean; outcomes.prompts()] }
}
