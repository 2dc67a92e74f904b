//! Profiles of models that the router does not know, for one run: fitted from training prompts, never shipped.

use std::sync::Arc;

use super::outcomes::Model;
use crate::{
    domain::Scores,
    learning::{
        abilities::{Ability, Outcome, fit_one},
        matrix::Matrix,
    },
    scoring::profiles::{Profile, Profiles},
};

/// Graded prompts that a profile needs; with fewer, the prior over the known models says more.
const FEWEST: usize = 30;
/// How strongly a profile is held to the mean profile, per entry of the latent: what training uses for domains.
const PRECISION: f64 = 4.0;

/// A training prompt's scores with what became of a model: quality and tokens of the answer.
pub type Graded<'a> = (&'a Scores, Option<f64>, Option<f64>);

/// Fits the profile of one model; `None` with too few graded prompts.
pub fn fit_profile(model: &Model, graded: &[Graded<'_>], known: &Profiles) -> Option<Profile> {
    let outcomes: Vec<(&Scores, f64)> =
        graded.iter().filter_map(|(scores, grade, _)| Some((*scores, (*grade)?))).collect();
    if outcomes.len() < FEWEST {
        return None;
    }
    let columns = known.mean.len();
    let data = outcomes.iter().flat_map(|(scores, _)| scores.latent.iter().copied()).collect();
    let latents = Matrix { rows: outcomes.len(), columns, data };
    let grades: Vec<Outcome> =
        outcomes.iter().enumerate().map(|(prompt, (_, score))| Outcome { prompt, score: *score }).collect();
    let biases = known.profiles.iter().map(|profile| f64::from(profile.bias)).sum::<f64>();
    let prior = Ability {
        vector: known.mean.iter().map(|weight| f64::from(*weight)).collect(),
        bias: biases / known.profiles.len().max(1) as f64,
    };
    let ability = fit_one(&latents, &grades, &prior, &vec![PRECISION; columns]);
    Some(Profile {
        name: Arc::from(model.name.as_str()),
        prompts: outcomes.len(),
        verbosity: verbosity(graded),
        bias: ability.bias as f32,
        vector: ability.vector.iter().map(|weight| *weight as f32).collect(),
    })
}

/// The geometric mean of answers' lengths over those that the router expects of the typical model.
fn verbosity(graded: &[Graded<'_>]) -> f64 {
    let relative = |(scores, _, tokens): &Graded<'_>| Some((*tokens)?.ln_1p() - scores.length.median.ln_1p());
    let logs: Vec<f64> = graded.iter().filter_map(relative).collect();
    if logs.is_empty() { 1.0 } else { (logs.iter().sum::<f64>() / logs.len() as f64).exp() }
}
