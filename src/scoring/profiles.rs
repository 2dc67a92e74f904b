//! What models can do: `profiles.json`.
//!
//! A profile is a vector and a bias; predicted quality is `sigmoid(vector . latent + bias)`. The first entries of `latent` are
//! soft domains that add up to one, so the vector's first entries are the model's log-odds in each domain relative to its
//! bias, and the product is a mixture over domains on the logit side; the rest weighs what makes single prompts hard. Vectors
//! are stored calibrated: a calibration `a z + b` of the logit is already multiplied in.

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::domain::{Probability, Quality};

/// The document `profiles.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profiles {
    /// What each entry of the vectors weighs, in the order of `latent`.
    pub latent: Vec<String>,
    /// Where a new model starts before it has graded prompts: the mean over the profiles.
    pub mean: Vec<f32>,
    /// One per model.
    pub profiles: Vec<Profile>,
}

/// What one model can do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The model's public name.
    pub name: Arc<str>,
    /// Graded prompts behind it.
    pub prompts: usize,
    /// Answer length relative to the typical model's.
    pub verbosity: f64,
    /// Log-odds at a zero latent.
    pub bias: f32,
    /// Weights on `latent`.
    pub vector: Vec<f32>,
}

impl Profile {
    /// Checks it against a latent of this width.
    ///
    /// # Errors
    /// It has another width, or a number that is not finite; says which.
    pub fn check(&self, width: usize) -> Result<(), String> {
        if self.vector.len() != width {
            return Err(format!("{} has {} weights, latent has {width}", self.name, self.vector.len()));
        }
        let are_finite = self.vector.iter().chain([&self.bias]).all(|number| number.is_finite());
        if !are_finite || !self.verbosity.is_finite() {
            return Err(format!("{} has a weight that is not finite", self.name));
        }
        Ok(())
    }

    /// Returns the predicted probability of a good answer.
    pub fn quality(&self, latent: &[f32]) -> f64 {
        let dot: f32 = self.vector.iter().zip(latent).map(|(weight, value)| weight * value).sum();
        sigmoid(f64::from(dot + self.bias))
    }
}

impl Profiles {
    /// Returns these profiles and further ones, which take the place of those of the same name.
    pub fn with(&self, further: Vec<Profile>) -> Self {
        let mut all = self.clone();
        all.profiles.retain(|profile| further.iter().all(|newer| newer.name != profile.name));
        all.profiles.extend(further);
        all
    }

    /// Returns the predicted quality of every profile, and their mean as the prior of models without one.
    pub fn qualities(&self, latent: &[f32]) -> (HashMap<Arc<str>, Quality>, Probability) {
        let mut qualities = HashMap::with_capacity(self.profiles.len());
        let mut total = 0.0;
        for profile in &self.profiles {
            let mean = profile.quality(latent);
            total += mean;
            let quality = Quality { mean: Probability::clamped(mean), spread: 0.0, verbosity: profile.verbosity };
            qualities.insert(Arc::clone(&profile.name), quality);
        }
        (qualities, Probability::clamped(total / self.profiles.len().max(1) as f64))
    }
}

/// Returns `1 / (1 + exp(-z))`.
pub fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}
