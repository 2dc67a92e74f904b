//! How long answers are: a head on the prompt, and each model's verbosity.
#![expect(
    clippy::indexing_slicing,
    reason = "numeric kernels: prompts, labels and models are indexed by their own numbering"
)]

use super::{
    heads::{Linear, ridge},
    matrix::Matrix,
};

/// Logarithm of one answer's length.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// Row of the inputs.
    pub prompt: usize,
    /// Number of the model.
    pub model: usize,
    /// `ln(1 + tokens)`.
    pub log_tokens: f64,
}

/// The fit.
#[derive(Clone, Debug)]
pub struct Lengths {
    /// Median and 90 % quantile of `ln(1 + tokens)` of the typical model, on inputs and soft domains.
    pub head: Linear,
    /// By model, relative to the typical one.
    pub verbosity: Vec<f64>,
}

/// Shrinks a domain's quantile to the one of all answers: a domain with this many answers counts half.
const HALF_WEIGHT: f64 = 200.0;
const RIDGE: f64 = 20.0;

/// Fits lengths as prompt effect plus model effect, then the prompt effect on inputs, then the 90 % quantile of what is left
/// by domain. `rows` hold inputs and, behind them, the soft domains; `domains` are their first labels.
pub fn fit(rows: &Matrix, answers: &[Answer], labels: &[usize], domains: usize, models: usize) -> Lengths {
    let (prompt_effects, model_effects) = two_way(rows.rows, models, answers);
    let mut weights = vec![0.0; rows.rows];
    answers.iter().for_each(|answer| weights[answer.prompt] = 1.0);
    let select: Vec<usize> = (0..rows.rows).filter(|index| weights[*index] > 0.0).collect();
    let mean = ridge(rows, &select, &prompt_effects, &weights, RIDGE);
    let left: Vec<(usize, f64)> = answers
        .iter()
        .map(|answer| {
            let expected = f64::from(mean.apply(rows.row(answer.prompt))[0]) + model_effects[answer.model];
            (labels[answer.prompt], answer.log_tokens - expected)
        })
        .collect();
    let medians = quantiles(&left, 0.5, domains);
    let uppers = quantiles(&left, 0.9, domains);
    let head = Linear { weights: with_domains(&mean, [&medians, &uppers], domains), bias: vec![mean.bias[0]; 2] };
    Lengths { head, verbosity: model_effects.iter().map(|effect| effect.exp()).collect() }
}

/// The mean's weights twice, the domains' quantiles added to the weights of the soft domains.
fn with_domains(mean: &Linear, quantiles: [&Vec<f64>; 2], domains: usize) -> Matrix {
    let columns = mean.weights.columns;
    let mut weights = Matrix::zeros(2, columns);
    for (index, quantiles) in quantiles.into_iter().enumerate() {
        let row = weights.row_mut(index);
        row.copy_from_slice(mean.weights.row(0));
        for (weight, quantile) in row[columns - domains..].iter_mut().zip(quantiles) {
            *weight += *quantile as f32;
        }
    }
    weights
}

fn two_way(prompts: usize, models: usize, answers: &[Answer]) -> (Vec<f64>, Vec<f64>) {
    let mut prompt_effects = vec![0.0; prompts];
    let mut model_effects = vec![0.0; models];
    for _ in 0..20 {
        let by_prompt = answers.iter().map(|answer| (answer.prompt, answer.log_tokens - model_effects[answer.model]));
        prompt_effects = means(prompts, by_prompt);
        let by_model = answers.iter().map(|answer| (answer.model, answer.log_tokens - prompt_effects[answer.prompt]));
        model_effects = means(models, by_model);
    }
    (prompt_effects, model_effects)
}

fn means(size: usize, values: impl Iterator<Item = (usize, f64)>) -> Vec<f64> {
    let mut sums = vec![(0.0, 0.0); size];
    values.for_each(|(index, value)| {
        sums[index].0 += value;
        sums[index].1 += 1.0;
    });
    sums.into_iter().map(|(sum, count): (f64, f64)| if count > 0.0 { sum / count } else { 0.0 }).collect()
}

fn quantiles(left: &[(usize, f64)], share: f64, domains: usize) -> Vec<f64> {
    let mut all: Vec<f64> = left.iter().map(|(_, value)| *value).collect();
    let overall = quantile(&mut all, share);
    let mut groups = vec![Vec::new(); domains];
    left.iter().for_each(|(domain, value)| groups[*domain].push(*value));
    let shrink = |mut group: Vec<f64>| {
        let weight = group.len() as f64 / (group.len() as f64 + HALF_WEIGHT);
        let own = if group.is_empty() { overall } else { quantile(&mut group, share) };
        weight * own + (1.0 - weight) * overall
    };
    groups.into_iter().map(shrink).collect()
}

fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = ((values.len().saturating_sub(1)) as f64 * share).round() as usize;
    values.get(index).copied().unwrap_or(0.0)
}
