//! What models can do on which prompts: fitted log-odds, shrunk to the mean over the models.
//!
//! Item-response theory with features: the log-odds of a good answer are `bias_m + vector_m . latent(x)`. First one vector for
//! all models and a bias each (how hard is each domain, how able is each model), then each model's own vector by Newton's
//! method with that as its Gaussian prior: a domain where a model was never graded keeps the common difficulty. The prior's
//! precision of 4 on a domain weighs as much as 20 graded prompts at a success rate of 70 %.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: models and prompts are indexed by their own numbering")]

use rayon::prelude::*;

use super::matrix::{Matrix, Normal, dot};
use crate::scoring::profiles::sigmoid;

/// A graded answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Row of the latents.
    pub prompt: usize,
    /// Quality in `[0, 1]`.
    pub score: f64,
}

/// A model's fitted vector and bias, with the variances of their posterior.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ability {
    /// Weights on the latent.
    pub vector: Vec<f64>,
    /// Log-odds at a zero latent.
    pub bias: f64,
    /// By weight, the others being known: of a soft domain, that of its rate. (The variance with the others unknown would count
    /// the uncertainty of the bias once in each domain.)
    pub variance: Vec<f64>,
    /// Of the bias.
    pub bias_variance: f64,
}

impl Ability {
    /// Returns the ability that nothing is uncertain about.
    pub fn exactly(vector: Vec<f64>, bias: f64) -> Self {
        Self { variance: vec![0.0; vector.len()], vector, bias, bias_variance: 0.0 }
    }

    /// Returns the variance of the log-odds on a latent, its weights taken for independent.
    pub fn variance_of(&self, latent: &[f32]) -> f64 {
        let weights = latent.iter().zip(&self.variance).map(|(value, variance)| f64::from(*value).powi(2) * variance);
        weights.sum::<f64>() + self.bias_variance
    }

    /// Returns the log-odds on a latent.
    pub fn logit(&self, latent: &[f32]) -> f64 {
        self.bias + latent.iter().zip(&self.vector).map(|(value, weight)| f64::from(*value) * weight).sum::<f64>()
    }
}

/// How strongly vectors are held to their prior, per entry of the latent.
#[derive(Clone, Debug)]
pub struct Precision {
    /// Of the common vector to zero.
    pub common: Vec<f64>,
    /// Of each model's vector to the common one.
    pub own: Vec<f64>,
}

/// Precision of a model's bias to the bias it starts with; weak, a few prompts move it.
pub const BIAS_PRECISION: f64 = 0.5;
const NEWTON_STEPS: usize = 6;
/// Steps of one model's fit in all, shortened ones included.
const MOST_STEPS: usize = 40;
/// A step may make the loss worse by this share of it: rounding.
const SLACK: f64 = 1e-6;

/// Fits each model's own vector, held to what all share.
pub fn fit(latents: &Matrix, outcomes: &[Vec<Outcome>], precision: &Precision) -> Vec<Ability> {
    let (vector, biases) = fit_common(latents, outcomes, &precision.common);
    let models = outcomes.par_iter().zip(&biases);
    let fit = |(outcomes, bias): (&Vec<Outcome>, &f64)| {
        fit_one(latents, outcomes, &Ability::exactly(vector.clone(), *bias), &precision.own)
    };
    models.map(fit).collect()
}

/// Fits what all models share: one vector, and how able each model is with it.
pub fn fit_common(latents: &Matrix, outcomes: &[Vec<Outcome>], precision: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let mut vector = vec![0.0; latents.columns];
    let mut biases = vec![0.0; outcomes.len()];
    for _ in 0..2 * NEWTON_STEPS {
        let eases: Vec<f64> = latents.iter().map(|row| logit(&vector, row)).collect();
        biases.par_iter_mut().zip(outcomes).for_each(|(bias, outcomes)| *bias = fit_bias(*bias, outcomes, &eases));
        // Slopes and curvatures of all models at a prompt add up, so each prompt enters the system once.
        let mut slopes = vec![0.0; latents.rows];
        let mut curvatures = vec![0.0; latents.rows];
        for (bias, outcomes) in biases.iter().zip(outcomes) {
            for outcome in outcomes {
                let p = sigmoid(bias + eases[outcome.prompt]);
                slopes[outcome.prompt] += outcome.score - p;
                curvatures[outcome.prompt] += p * (1.0 - p);
            }
        }
        let mut system = Normal::new(latents.columns);
        for (index, row) in latents.iter().enumerate().filter(|(index, _)| curvatures[*index] > 0.0) {
            system.add(row, curvatures[index], slopes[index]);
        }
        for (index, precision) in precision.iter().enumerate() {
            system.add_diagonal(index, *precision, -precision * vector[index]);
        }
        vector.iter_mut().zip(system.solve()).for_each(|(weight, step)| *weight += step);
    }
    (vector, biases)
}

fn logit(vector: &[f64], row: &[f32]) -> f64 {
    row.iter().zip(vector).map(|(value, weight)| f64::from(*value) * weight).sum()
}

fn fit_bias(mut bias: f64, outcomes: &[Outcome], eases: &[f64]) -> f64 {
    let (mut slope, mut curvature) = (-BIAS_PRECISION * bias, BIAS_PRECISION);
    for outcome in outcomes {
        let p = sigmoid(bias + eases[outcome.prompt]);
        slope += outcome.score - p;
        curvature += p * (1.0 - p);
    }
    bias += slope / curvature;
    bias
}

/// Fits one model from its outcomes, starting from and held to `prior`: also how a new model joins.
pub fn fit_one(latents: &Matrix, outcomes: &[Outcome], prior: &Ability, precision: &[f64]) -> Ability {
    let start: Vec<f64> = prior.vector.iter().copied().chain([prior.bias]).collect();
    let mut weights = start.clone();
    let mut whole_steps = 0;
    for _ in 0..MOST_STEPS {
        let step = newton_system(latents, outcomes, (&weights, &start), precision).solve();
        let share = share_of(&step, &weights, |weights| loss(latents, outcomes, (weights, &start), precision));
        weights = moved(&weights, &step, share);
        whole_steps += usize::from(share == 1.0);
        if whole_steps == NEWTON_STEPS {
            break;
        }
    }
    let precisions = newton_system(latents, outcomes, (&weights, &start), precision).diagonal();
    let mut variance: Vec<f64> = precisions.into_iter().map(f64::recip).collect();
    let bias_variance = variance.pop().unwrap_or_default();
    let bias = weights.pop().unwrap_or(prior.bias);
    Ability { vector: weights, bias, variance, bias_variance }
}

/// Returns the longest of 1, 1/2, 1/4 and so on of a step that does not make the loss worse: where the prior is weak and all
/// answers of a domain are good or all bad, a whole step overshoots.
fn share_of(step: &[f64], weights: &[f64], loss: impl Fn(&[f64]) -> f64) -> f64 {
    let before = loss(weights);
    let mut share = 1.0;
    while share > 1e-3 && loss(&moved(weights, step, share)) > before + SLACK * before.abs() {
        share /= 2.0;
    }
    share
}

fn moved(weights: &[f64], step: &[f64], share: f64) -> Vec<f64> {
    weights.iter().zip(step).map(|(weight, step)| weight + share * step).collect()
}

/// The negative logarithm of the posterior, but for a constant.
fn loss(latents: &Matrix, outcomes: &[Outcome], (weights, start): (&[f64], &[f64]), precision: &[f64]) -> f64 {
    let (vector, bias) = weights.split_at(latents.columns);
    let answers = outcomes.iter().map(|outcome| {
        let z = logit(vector, latents.row(outcome.prompt)) + bias.first().copied().unwrap_or_default();
        z.max(0.0) + (-z.abs()).exp().ln_1p() - outcome.score * z
    });
    let held = weights.iter().zip(start).zip(precision.iter().chain([&BIAS_PRECISION]));
    answers.sum::<f64>()
        + held.map(|((weight, start), precision)| precision * (weight - start).powi(2) / 2.0).sum::<f64>()
}

/// The system whose solution is the next step from `weights`; its left side is the precision of the posterior there.
fn newton_system(
    latents: &Matrix,
    outcomes: &[Outcome],
    (weights, start): (&[f64], &[f64]),
    precision: &[f64],
) -> Normal {
    let width = latents.columns;
    let plain: Vec<f32> = weights.iter().map(|weight| *weight as f32).collect();
    let mut row = vec![1.0_f32; width + 1];
    let mut system = Normal::new(width + 1);
    for outcome in outcomes {
        row[..width].copy_from_slice(latents.row(outcome.prompt));
        let p = sigmoid(f64::from(dot(&row, &plain)));
        system.add(&row, p * (1.0 - p), outcome.score - p);
    }
    for (index, precision) in precision.iter().chain([&BIAS_PRECISION]).enumerate() {
        system.add_diagonal(index, *precision, -precision * (weights[index] - start[index]));
    }
    system
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two domains, the second one hard; a strong and a weak model, and one that is good at the hard domain only.
    fn scene() -> (Matrix, Vec<Vec<Outcome>>) {
        let data = (0..200).flat_map(|index| if index < 100 { [1.0, 0.0] } else { [0.0, 1.0] }).collect();
        let latents = Matrix { rows: 200, columns: 2, data };
        let rate = |easy: f64, hard: f64| {
            (0..200).map(|prompt| Outcome { prompt, score: if prompt < 100 { easy } else { hard } }).collect::<Vec<_>>()
        };
        (latents, vec![rate(0.95, 0.6), rate(0.7, 0.2), rate(0.3, 0.8)])
    }

    fn precision() -> Precision {
        Precision { common: vec![0.5; 2], own: vec![4.0; 2] }
    }

    #[test]
    fn fitted_success_rates_are_close_to_those_seen() {
        let (latents, outcomes) = scene();

        let fit = fit(&latents, &outcomes, &precision());

        assert!((sigmoid(fit[1].logit(&[1.0, 0.0])) - 0.7).abs() < 0.05);
        assert!((sigmoid(fit[2].logit(&[0.0, 1.0])) - 0.8).abs() < 0.08);
    }

    #[test]
    fn what_was_graded_little_is_uncertain() {
        let (latents, mut outcomes) = scene();
        outcomes[0].retain(|outcome| outcome.prompt < 105);

        let fit = fit(&latents, &outcomes, &precision());

        let (graded, ungraded) = (fit[0].variance_of(&[1.0, 0.0]), fit[0].variance_of(&[0.0, 1.0]));
        assert!(ungraded > graded && fit[0].variance_of(&[0.0, 1.0]) < 1.0, "{graded} {ungraded}");
    }

    #[test]
    fn an_ungraded_domain_keeps_the_common_difficulty() {
        let (latents, mut outcomes) = scene();
        outcomes[0].retain(|outcome| outcome.prompt < 100);
        outcomes[2] = outcomes[1].clone();

        let fit = fit(&latents, &outcomes, &precision());

        let (easy, hard) = (fit[0].logit(&[1.0, 0.0]), fit[0].logit(&[0.0, 1.0]));
        assert!(easy - hard > 1.0, "{easy} {hard}");
    }
}
