//! From grades to a profile.

use std::{sync::Arc, time::Duration};

use super::ProfilingError;
use crate::{
    domain::{ModelFacts, ModelTraits, Probability, PromptView, Quality, Scores, Tokens},
    learning::profiles::{self, Fitted, Graded},
    scoring::{Artifact, Scorer},
};

/// For scoring one prompt: far above what it takes.
const DEADLINE: Duration = Duration::from_secs(5);

/// Fewer graded answers than this say next to nothing beyond the prior.
const LEAST: usize = 30;

/// A graded answer of the model to some prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Grade {
    /// The prompt.
    pub prompt: String,
    /// What it is about, for the report.
    pub topic: Option<Arc<str>>,
    /// Quality in `[0, 1]`.
    pub score: f64,
    /// Tokens of the answer, if known.
    pub tokens: Option<f64>,
}

/// A fitted profile, and what it predicts.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The fit.
    pub fitted: Fitted,
    /// For each grade: what was predicted before, and what is predicted now.
    pub predictions: Vec<(Quality, Quality)>,
}

/// Fits the profile of a model. `scorer` runs the artifact and knows the profiles that are in use.
///
/// # Errors
/// There are too few grades, or the router does not score a prompt.
pub async fn join(
    (scorer, artifact): (&dyn Scorer, &Artifact),
    facts: &ModelFacts,
    grades: &[Grade],
) -> Result<Joined, ProfilingError> {
    if grades.len() < LEAST {
        return Err(ProfilingError::TooFew { graded: grades.len(), least: LEAST });
    }
    let (mut graded, mut before) = (Vec::with_capacity(grades.len()), Vec::with_capacity(grades.len()));
    for grade in grades {
        let scores = scorer.score(&view(&grade.prompt), DEADLINE).await.map_err(ProfilingError::Unscored)?;
        let tokens = grade.tokens.map(|tokens| (tokens, scores.length.median));
        before.push(predicted(&scores, facts));
        graded.push(Graded { latent: scores.latent.to_vec(), score: grade.score, tokens });
    }
    let about = ModelTraits::of(facts);
    let fitted = profiles::fit(facts.profile_name(), &graded, &about, &artifact.profiles);
    let fitted = fitted.ok_or(ProfilingError::Unfit)?;
    let predictions = graded.iter().zip(before).map(|(graded, before)| (before, now(&fitted, &graded.latent)));
    Ok(Joined { predictions: predictions.collect(), fitted })
}

fn view(prompt: &str) -> PromptView {
    PromptView { text: Arc::from(prompt), input_tokens: Tokens::estimate(prompt.len()), turns: 1 }
}

/// What the gateway expects of the model on a prompt.
fn predicted(scores: &Scores, facts: &ModelFacts) -> Quality {
    let prior = || Quality { mean: scores.prior.quality(facts), spread: scores.prior.spread, verbosity: 1.0 };
    scores.quality.get(facts.profile_name()).copied().unwrap_or_else(prior)
}

fn now(fitted: &Fitted, latent: &[f32]) -> Quality {
    let profile = &fitted.profile;
    let mean = Probability::clamped(profile.quality(latent));
    Quality { mean, spread: profile.spread(latent), verbosity: profile.verbosity }
}
