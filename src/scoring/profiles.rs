//! What models can do: `profiles.json`.
//!
//! A profile is a vector and a bias; predicted quality is `sigmoid(vector . latent + bias)`. The first entries of `latent` are
//! soft domains that add up to one, so the vector's first entries are the model's log-odds in each domain relative to its
//! bias, and the product is a mixture over domains on the logit side; the rest weighs what makes single prompts hard. Vectors
//! are stored calibrated: a calibration `a z + b` of the logit is already multiplied in.
//!
//! Beside each weight stands its variance. To first order the variance of a predicted quality `p` is
//! `(p (1 - p))^2 (sum of latent_i^2 variance_i + bias_variance)`: wide where a model was graded little.

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::familiarity::Surroundings;
use crate::domain::{Conformal, Prior, Probability, Quality, Topic};

/// The document `profiles.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profiles {
    /// What each entry of the vectors weighs, in the order of `latent`; soft domains are named `set/category`.
    pub latent: Vec<String>,
    /// The vector that a new model starts with: what is hard for the models known.
    pub mean: Vec<f32>,
    /// What a model is taken for before it is graded; without it, for the mean of those known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newcomer: Option<Newcomer>,
    /// Which soft domains make up each subject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<Subject>,
    /// Where the training data lie; without it nothing is known of a prompt's familiarity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surroundings: Option<Surroundings>,
    /// How far predictions were off on outcomes that they were made without, by model and soft domain, in units of spread and
    /// sampling error; without it there are no conformal bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conformal: Option<Arc<Conformal>>,
    /// One per model.
    pub profiles: Vec<Profile>,
}

/// What one model can do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Its variance.
    #[serde(default)]
    pub bias_variance: f32,
    /// Weights on `latent`.
    pub vector: Vec<f32>,
    /// Their variances; empty means that they are taken for exact.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variance: Vec<f32>,
}

/// Log-odds of a model without a profile: `bias + mean . latent` and, for what is known of the model, a slope each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Newcomer {
    /// Log-odds of the average known model at a zero latent.
    pub bias: f32,
    /// Per `ln(1 + US dollars per million tokens of answer)`.
    pub price: Slope,
    /// Per `ln(billions of parameters)`.
    pub size: Slope,
    /// Per `ln(context window in thousand tokens)`.
    pub context: Slope,
    /// Standard deviation of the log-odds, from leaving out one known model at a time.
    pub spread: f32,
    /// How strongly a new profile's weights are held to `mean`: the inverse variances of their priors.
    pub precision: Vec<f32>,
}

/// An effect above or below the known models' mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slope {
    /// Log-odds per unit.
    pub weight: f32,
    /// The known models' mean.
    pub center: f32,
}

/// A subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Its name, for instance `math`.
    pub name: Arc<str>,
    /// Its soft domains: places in `latent`.
    pub domains: Vec<usize>,
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
        if !self.variance.is_empty() && self.variance.len() != width {
            return Err(format!("{} has {} variances, latent has {width}", self.name, self.variance.len()));
        }
        let numbers = self.vector.iter().chain(&self.variance).chain([&self.bias, &self.bias_variance]);
        if !all_finite(numbers) || !self.verbosity.is_finite() {
            return Err(format!("{} has a weight that is not finite", self.name));
        }
        Ok(())
    }

    /// Returns the log-odds of a good answer.
    pub fn logit(&self, latent: &[f32]) -> f64 {
        f64::from(dot(&self.vector, latent) + self.bias)
    }

    /// Returns the predicted probability of a good answer.
    pub fn quality(&self, latent: &[f32]) -> f64 {
        sigmoid(self.logit(latent))
    }

    /// Returns the standard deviation of [`Profile::quality`], in `[0, 0.5]`.
    pub fn spread(&self, latent: &[f32]) -> f64 {
        let p = self.quality(latent);
        let weights: f32 = self.variance.iter().zip(latent).map(|(variance, value)| variance * value * value).sum();
        let variance = f64::from(weights + self.bias_variance);
        (p * (1.0 - p) * variance.max(0.0).sqrt()).min(0.5)
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

    /// Returns the predicted quality of every profile, and the prior of models without one.
    pub fn qualities(&self, latent: &[f32]) -> (HashMap<Arc<str>, Quality>, Prior) {
        let mut qualities = HashMap::with_capacity(self.profiles.len());
        let mut total = 0.0;
        for profile in &self.profiles {
            let mean = profile.quality(latent);
            total += mean;
            let spread = profile.spread(latent);
            let quality = Quality { mean: Probability::clamped(mean), spread, verbosity: profile.verbosity };
            qualities.insert(Arc::clone(&profile.name), quality);
        }
        let mean = total / self.profiles.len().max(1) as f64;
        (qualities, self.prior(latent, mean))
    }

    fn prior(&self, latent: &[f32], mean: f64) -> Prior {
        /// Spread of the quality of a model of which nothing else is known.
        const UNKNOWN: f64 = 0.25;
        match &self.newcomer {
            Some(newcomer) => newcomer.prior(f64::from(dot(&self.mean, latent))),
            None => Prior::flat(Probability::clamped(mean), UNKNOWN),
        }
    }

    /// Returns what a prompt is about, the largest share first; domains without a subject count as `other`.
    pub fn topics(&self, latent: &[f32]) -> Vec<Topic> {
        let share = |subject: &Subject| {
            let domains = subject.domains.iter().filter_map(|domain| latent.get(*domain));
            Probability::clamped(f64::from(domains.sum::<f32>()))
        };
        let mut topics: Vec<Topic> = self
            .topics
            .iter()
            .map(|subject| Topic { name: Arc::clone(&subject.name), share: share(subject) })
            .collect();
        topics.sort_by(|a, b| b.share.value().total_cmp(&a.share.value()));
        topics
    }

    /// Returns the first thing that is wrong with the numbers, for a latent of this width.
    pub fn fault(&self, width: usize) -> Option<String> {
        let profiles = self.profiles.iter().find_map(|profile| profile.check(width).err());
        let subjects = self.topics.iter().find(|subject| subject.domains.iter().any(|domain| *domain >= width));
        let subject = subjects.map(|subject| format!("topic {} names a domain beyond the latent", subject.name));
        profiles.or(subject).or_else(|| self.newcomer.as_ref().and_then(|newcomer| newcomer.fault(width, &self.mean)))
    }
}

impl Newcomer {
    fn prior(&self, ease: f64) -> Prior {
        let logit = f64::from(self.bias) + ease;
        let p = sigmoid(logit);
        Prior {
            logit,
            price: f64::from(self.price.weight),
            price_center: f64::from(self.price.center),
            size: f64::from(self.size.weight),
            size_center: f64::from(self.size.center),
            context: f64::from(self.context.weight),
            context_center: f64::from(self.context.center),
            spread: (p * (1.0 - p) * f64::from(self.spread)).min(0.5),
        }
    }

    fn fault(&self, width: usize, mean: &[f32]) -> Option<String> {
        if self.precision.len() != width || mean.len() != width {
            return Some(format!("newcomer needs {width} precisions and mean {width} weights"));
        }
        let slopes = [self.price, self.size, self.context].into_iter().flat_map(|slope| [slope.weight, slope.center]);
        let numbers: Vec<f32> = slopes.chain([self.bias, self.spread]).collect();
        let is_finite = all_finite(self.precision.iter().chain(mean).chain(&numbers));
        (!is_finite).then(|| "newcomer has a number that is not finite".to_owned())
    }
}

fn all_finite<'a>(numbers: impl IntoIterator<Item = &'a f32>) -> bool {
    numbers.into_iter().all(|number| number.is_finite())
}

fn dot(weights: &[f32], values: &[f32]) -> f32 {
    weights.iter().zip(values).map(|(weight, value)| weight * value).sum()
}

/// Returns `1 / (1 + exp(-z))`.
pub fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(bias_variance: f32) -> Profile {
        Profile {
            name: "one".into(),
            prompts: 10,
            verbosity: 1.0,
            bias: 0.0,
            bias_variance,
            vector: vec![1.0, -1.0],
            variance: vec![0.0, 4.0],
        }
    }

    #[test]
    fn the_spread_is_wide_where_the_weight_is_uncertain() {
        let profile = profile(0.01);

        let (known, unknown) = (profile.spread(&[1.0, 0.0]), profile.spread(&[0.0, 1.0]));

        assert!(known < 0.03 && unknown > 0.3, "{known} {unknown}");
    }

    #[test]
    fn topics_add_up_their_domains_and_the_largest_comes_first() {
        let subject = |name: &str, domains: &[usize]| Subject { name: name.into(), domains: domains.to_vec() };
        let profiles = Profiles {
            latent: vec!["a/law".to_owned(), "a/algebra".to_owned(), "b/math".to_owned()],
            mean: vec![0.0; 3],
            newcomer: None,
            topics: vec![subject("law", &[0]), subject("math", &[1, 2])],
            surroundings: None,
            conformal: None,
            profiles: Vec::new(),
        };

        let topics = profiles.topics(&[0.4, 0.35, 0.25]);

        let shares: Vec<_> = topics.iter().map(|topic| (&*topic.name, topic.share.value())).collect();
        assert!(matches!(shares.as_slice(), [("math", most), ("law", _)] if (most - 0.6).abs() < 1e-6), "{shares:?}");
    }

    #[test]
    fn a_newcomer_s_spread_is_that_of_its_log_odds() {
        let slope = Slope::default();
        let newcomer = Newcomer {
            bias: 0.0,
            price: Slope { weight: 1.0, center: 1.0 },
            size: slope,
            context: slope,
            spread: 0.8,
            precision: Vec::new(),
        };

        let prior = newcomer.prior(0.0);

        assert!((prior.spread - 0.2).abs() < 1e-6 && prior.logit.abs() < 1e-9);
    }
}
