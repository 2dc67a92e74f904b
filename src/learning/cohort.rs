//! The profiles of all models that the training data grade, and what a model that they do not grade starts from.

use rayon::prelude::*;

use super::{
    abilities::{self, Ability, Outcome, Precision},
    calibration::{HeldOut, Platt, conformal, held_out, inflation, log_loss},
    examples::Examples,
    matrix::Matrix,
    newcomers, profiles, surroundings, topics,
};
use crate::scoring::profiles::{Newcomer, Profile, Profiles};

/// What the profiles are fitted on.
#[derive(Clone, Copy, Debug)]
pub struct Cohort<'a> {
    /// Prompts, models, outcomes.
    pub examples: &'a Examples,
    /// Names of the latent's entries.
    pub names: &'a [String],
    /// Latents from heads that did not see the prompt, one a row.
    pub latents: &'a Matrix,
    /// Embeddings of length 1, one a row.
    pub embeddings: &'a Matrix,
    /// Answer length by model, relative to the typical one.
    pub verbosity: &'a [f64],
    /// Everything by chance comes from it.
    pub seed: u64,
}

/// Precision of a domain's common difficulty and of a model's own deviation from it.
pub const DOMAIN_PRECISION: (f64, f64) = (0.5, 2.0);
/// Models differ in how far they deviate: factors of the own precision, from which held-out predictions choose.
const FREEDOMS: [f64; 3] = [0.25, 1.0, 4.0];
/// The same for the loading on a trait of spread 1. Models share most of what makes single prompts hard: where each has a
/// loading of its own, differences between models are mostly noise, and the best of many is chosen for its noise.
const TRAIT_PRECISION: (f64, f64) = (1.0, 300.0);
/// The same for what a set of two models says of which of them answers better: that is theirs alone.
const PREFERENCE_PRECISION: (f64, f64) = (10.0, 10.0);
/// Parts that outcomes are held back in, for calibration.
const FOLDS: usize = 5;

impl Cohort<'_> {
    /// Fits and calibrates all profiles.
    pub fn fit(&self) -> Profiles {
        let precision = self.precision();
        let (common, biases) = abilities::fit_common(self.latents, &self.examples.outcomes, &precision.common);
        let starts = biases.iter().map(|bias| Ability::exactly(common.clone(), *bias));
        let starts: Vec<Ability> = starts.collect();
        let fitted: Vec<(Vec<HeldOut>, Ability)> = starts
            .par_iter()
            .zip(&self.examples.outcomes)
            .map(|(start, outcomes)| self.fit_model(start, outcomes, &precision.own))
            .collect();
        let (held_out, abilities): (Vec<_>, Vec<_>) = fitted.into_iter().unzip();
        let inflation = inflation(&held_out, &self.examples.labels);
        Profiles {
            latent: self.names.to_vec(),
            mean: common.iter().map(|weight| *weight as f32).collect(),
            newcomer: Some(self.newcomer(&biases, &precision.own)),
            topics: topics::subjects(self.domains()),
            surroundings: Some(surroundings::fit(self.embeddings, self.seed)),
            conformal: Some(conformal(&held_out, &self.examples.labels, inflation).into()),
            profiles: self.profiles(abilities.into_iter().map(|ability| widen(ability, inflation))),
        }
    }

    /// Returns a model's calibrated ability, and its calibrated predictions of outcomes that they were made without.
    fn fit_model(&self, start: &Ability, outcomes: &[Outcome], own: &[f64]) -> (Vec<HeldOut>, Ability) {
        let attempt = |freedom: &f64| {
            let precision: Vec<f64> = own.iter().map(|precision| precision * freedom).collect();
            let held_out = held_out(self.latents, outcomes, (start, &precision), FOLDS);
            (log_loss(&held_out), held_out, precision)
        };
        let best = FREEDOMS.iter().map(attempt).min_by(|a, b| a.0.total_cmp(&b.0));
        let (_, held_out, precision) = best.unwrap_or_default();
        let platt = Platt::fit(&held_out.iter().map(|one| (one.logit, one.score)).collect::<Vec<_>>());
        let ability = platt.apply(&abilities::fit_one(self.latents, outcomes, start, &precision));
        (held_out.into_iter().map(|one| platt.apply_to(one)).collect(), ability)
    }

    fn domains(&self) -> &[String] {
        &self.examples.domains
    }

    fn precision(&self) -> Precision {
        let mut precision = Precision { common: Vec::new(), own: Vec::new() };
        for (index, name) in self.names.iter().enumerate() {
            let (common, own) = match index.checked_sub(self.domains().len()) {
                None => DOMAIN_PRECISION,
                Some(_) => {
                    let (common, own) =
                        if name.starts_with("preference") { PREFERENCE_PRECISION } else { TRAIT_PRECISION };
                    let spread = self.mean_square(index).max(1e-6);
                    (common * spread, own * spread)
                }
            };
            precision.common.push(common);
            precision.own.push(own);
        }
        precision
    }

    /// Of an entry of the latents, over the prompts where it says something.
    fn mean_square(&self, column: usize) -> f64 {
        let values = self.latents.iter().filter_map(|row| row.get(column)).map(|value| f64::from(*value));
        let (sum, count) = values
            .filter(|value| value.abs() > 1e-3)
            .fold((0.0, 0.0), |(sum, count): (f64, f64), value| (sum + value * value, count + 1.0));
        sum / f64::max(count, 1.0)
    }

    fn newcomer(&self, biases: &[f64], own: &[f64]) -> Newcomer {
        let graded = self.examples.outcomes.iter().map(|outcomes| !outcomes.is_empty());
        let known = self.examples.traits.iter().copied().zip(biases.iter().copied()).zip(graded);
        let known: Vec<newcomers::Known> = known.filter(|(_, is_graded)| *is_graded).map(|(known, _)| known).collect();
        newcomers::fit(&known, own)
    }

    fn profiles(&self, abilities: impl Iterator<Item = Ability>) -> Vec<Profile> {
        let examples = self.examples;
        let models = examples.models.iter().zip(&examples.outcomes).zip(self.verbosity).zip(abilities);
        models
            .filter(|(((_, outcomes), _), _)| !outcomes.is_empty())
            .map(|(((name, outcomes), verbosity), ability)| {
                profiles::profile(name, outcomes.len(), *verbosity, &ability)
            })
            .collect()
    }
}

fn widen(ability: Ability, inflation: f64) -> Ability {
    Ability {
        variance: ability.variance.iter().map(|variance| variance * inflation).collect(),
        bias_variance: ability.bias_variance * inflation,
        ..ability
    }
}
