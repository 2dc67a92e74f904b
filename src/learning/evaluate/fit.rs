//! Profiles of models that the router does not know, for one run: fitted from training prompts, never shipped.

use super::outcomes::Model;
use crate::{
    domain::{ModelTraits, Scores},
    learning::profiles,
    scoring::profiles::{Profile, Profiles},
};

/// Graded prompts that a profile needs; with fewer, the prior over the known models says more.
const FEWEST: usize = 30;

/// A training prompt's scores with what became of a model: quality and tokens of the answer.
pub type Graded<'a> = (&'a Scores, Option<f64>, Option<f64>);

/// Fits the profile of one model; `None` with too few graded prompts.
pub fn fit_profile(model: &Model, graded: &[Graded<'_>], known: &Profiles) -> Option<Profile> {
    let one = |(scores, grade, tokens): &Graded<'_>| {
        Some(profiles::Graded {
            latent: scores.latent.to_vec(),
            score: (*grade)?,
            tokens: tokens.map(|tokens| (tokens, scores.length.median)),
        })
    };
    let graded: Vec<profiles::Graded> = graded.iter().filter_map(one).collect();
    if graded.len() < FEWEST {
        return None;
    }
    let about = ModelTraits {
        output_dollars: model.prices.map(|(_, output)| output),
        parameters_b: model.parameters_b,
        context_window: None,
    };
    profiles::fit(&model.name, &graded, &about, known).map(|fitted| fitted.profile)
}
