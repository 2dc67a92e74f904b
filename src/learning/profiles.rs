//! One model's profile from its graded answers: how a model joins the ones that an artifact knows.
//!
//! The profile starts from what price, size and context make of the model ([`Newcomer`](crate::scoring::profiles::Newcomer)),
//! moves as far as the grades speak for it, and is then calibrated on predictions that were made without the answer.

use super::{
    abilities::{Ability, Outcome, fit_one},
    calibration::{HeldOut, Platt, held_out, log_loss},
    matrix::Matrix,
};
use crate::{
    domain::{ModelTraits, Prior},
    scoring::profiles::{Profile, Profiles, sigmoid},
};

/// A graded answer of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Graded {
    /// What the artifact makes of the prompt: [`Scores::latent`](crate::domain::Scores::latent).
    pub latent: Vec<f32>,
    /// Quality in `[0, 1]`.
    pub score: f64,
    /// Tokens of the answer, and the median that the artifact expects of the typical model for this prompt.
    pub tokens: Option<(f64, f64)>,
}

/// A profile, and how much it is worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// The profile; its vector is calibrated.
    pub profile: Profile,
    /// Mean squared error on answers that the fit did not see.
    pub brier: f64,
    /// The same of the prior: what would have been predicted without the profile.
    pub prior_brier: f64,
    /// Mean score.
    pub mean_score: f64,
}

/// Parts that the answers are held back in, for calibration.
const FOLDS: usize = 5;
/// Models differ in how far they deviate from what is common to all: factors of the weights' precision, from which predictions
/// of held-back answers choose. A model that can do one thing only needs the small ones.
const FREEDOMS: [f64; 6] = [4.0, 1.0, 0.25, 0.06, 0.015, 0.004];
/// How many answers an observed length must outweigh before a model counts as talkative.
const LENGTH_SHRINKAGE: f64 = 10.0;
/// Of a weight's prior, where the artifact does not say: what it says of a soft domain.
const PRECISION: f64 = 2.0;

/// Fits a profile by the name `name` that fits the other profiles of `known`; `None` without any graded answer, or where latents
/// are not as wide as the artifact's.
pub fn fit(name: &str, graded: &[Graded], about: &ModelTraits, known: &Profiles) -> Option<Fitted> {
    let width = known.latent.len();
    if graded.is_empty() || graded.iter().any(|one| one.latent.len() != width) {
        return None;
    }
    let data: Vec<f32> = graded.iter().flat_map(|one| one.latent.iter().copied()).collect();
    let latents = Matrix { rows: graded.len(), columns: width, data };
    let outcomes: Vec<Outcome> =
        graded.iter().enumerate().map(|(prompt, one)| Outcome { prompt, score: one.score }).collect();
    let (prior, stated) = (start(about, known), precision(known));
    let attempt = |freedom: &f64| {
        let precision: Vec<f64> = stated.iter().map(|precision| precision * freedom).collect();
        let held_out = held_out(&latents, &outcomes, (&prior, &precision), FOLDS);
        (log_loss(&held_out), held_out, precision)
    };
    let (_, held_out, precision) = FREEDOMS.iter().map(attempt).min_by(|a, b| a.0.total_cmp(&b.0))?;
    let pairs: Vec<(f64, f64)> = held_out.iter().map(|one| (one.logit, one.score)).collect();
    let platt = Platt::fit(&pairs);
    let ability = platt.apply(&fit_one(&latents, &outcomes, &prior, &precision));
    let priors = graded.iter().map(|one| (prior.logit(&one.latent), one.score));
    Some(Fitted {
        profile: profile(name, outcomes.len(), verbosity(graded), &ability),
        brier: brier(held_out.iter().map(|HeldOut { logit, score, .. }| (platt.slope * logit + platt.offset, *score))),
        prior_brier: brier(priors),
        mean_score: graded.iter().map(|one| one.score).sum::<f64>() / graded.len() as f64,
    })
}

/// Returns an ability in the numbers of `profiles.json`.
pub fn profile(name: &str, prompts: usize, verbosity: f64, ability: &Ability) -> Profile {
    Profile {
        name: name.into(),
        prompts,
        verbosity: (verbosity * 1e4).round() / 1e4,
        bias: short(ability.bias),
        bias_variance: short(ability.bias_variance),
        vector: ability.vector.iter().map(|weight| short(*weight)).collect(),
        variance: ability.variance.iter().map(|variance| short(*variance)).collect(),
    }
}

/// Five digits are more than a fit knows, and half as long in a file.
fn short(value: f64) -> f32 {
    format!("{value:.4e}").parse().unwrap_or(value as f32)
}

fn start(about: &ModelTraits, known: &Profiles) -> Ability {
    let vector = known.mean.iter().map(|weight| f64::from(*weight)).collect();
    let (_, prior) = known.qualities(&vec![0.0; known.latent.len()]);
    let spread = known.newcomer.as_ref().map_or(1.0, |newcomer| f64::from(newcomer.spread));
    let bias = logit_of(&prior, about);
    Ability { bias_variance: spread * spread, ..Ability::exactly(vector, bias) }
}

fn logit_of(prior: &Prior, about: &ModelTraits) -> f64 {
    let p = prior.quality_of(about).value().clamp(1e-6, 1.0 - 1e-6);
    (p / (1.0 - p)).ln()
}

fn precision(known: &Profiles) -> Vec<f64> {
    let stated = known.newcomer.as_ref().map(|newcomer| newcomer.precision.iter().map(|one| f64::from(*one)).collect());
    stated.unwrap_or_else(|| vec![PRECISION; known.latent.len()])
}

/// Returns `exp` of the mean log ratio of lengths, shrunk to 1.
fn verbosity(graded: &[Graded]) -> f64 {
    let logs: Vec<f64> = graded
        .iter()
        .filter_map(|one| one.tokens)
        .map(|(tokens, expected)| (tokens.max(0.0).ln_1p() - expected.max(0.0).ln_1p()).clamp(-3.0, 3.0))
        .collect();
    (logs.iter().sum::<f64>() / (logs.len() as f64 + LENGTH_SHRINKAGE)).exp()
}

fn brier(predictions: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (sum, count) = predictions.fold((0.0, 0.0), |(sum, count): (f64, f64), (logit, score)| {
        (sum + (sigmoid(logit) - score).powi(2), count + 1.0)
    });
    sum / count.max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scoring::profiles::{Newcomer, Slope};

    fn known() -> Profiles {
        let slope = Slope { weight: 0.5, center: 1.0 };
        Profiles {
            latent: vec!["set/sums".to_owned(), "set/cities".to_owned()],
            mean: vec![0.5, -0.5],
            newcomer: Some(Newcomer {
                bias: 0.2,
                price: slope,
                size: Slope::default(),
                context: Slope::default(),
                spread: 0.7,
                precision: vec![2.0; 2],
            }),
            topics: Vec::new(),
            surroundings: None,
            conformal: None,
            profiles: Vec::new(),
        }
    }

    fn graded(count: usize) -> Vec<Graded> {
        let one = |index: usize| {
            let is_sum = index.is_multiple_of(2);
            let is_good = if is_sum { !index.is_multiple_of(10) } else { index % 10 == 1 };
            Graded {
                latent: if is_sum { vec![1.0, 0.0] } else { vec![0.0, 1.0] },
                score: f64::from(u8::from(is_good)),
                tokens: Some((200.0, 100.0)),
            }
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn grades_make_a_profile_that_predicts_better_than_the_prior() {
        let fitted = fit("new", &graded(300), &ModelTraits::default(), &known()).unwrap();

        let profile = &fitted.profile;
        assert!((profile.quality(&[1.0, 0.0]) - 0.8).abs() < 0.05, "{fitted:?}");
        assert!((profile.quality(&[0.0, 1.0]) - 0.2).abs() < 0.05, "{fitted:?}");
        assert!(fitted.brier < fitted.prior_brier, "{fitted:?}");
        assert!((profile.verbosity - 2.0).abs() < 0.1, "{fitted:?}");
        assert_eq!(profile.prompts, 300);
    }

    #[test]
    fn a_model_that_can_do_one_thing_only_is_known_by_it() {
        // Half a dozen domains in every prompt, as a router sees them that was not trained on such prompts.
        let one = |index: usize| {
            let mut latent = vec![0.1; 6];
            latent[index % 6] = 0.5;
            Graded { latent, score: f64::from(u8::from(index.is_multiple_of(6))), tokens: None }
        };
        let graded: Vec<Graded> = (0..360).map(one).collect();
        let known = Profiles {
            latent: (0..6).map(|domain| format!("set/{domain}")).collect(),
            mean: vec![0.0; 6],
            newcomer: None,
            ..known()
        };

        let profile = fit("new", &graded, &ModelTraits::default(), &known).unwrap().profile;

        let qualities: Vec<f64> = graded[..6].iter().map(|one| profile.quality(&one.latent)).collect();
        assert!(qualities[0] > 0.9 && qualities[1..].iter().all(|quality| *quality < 0.1), "{qualities:?}");
    }

    #[test]
    fn few_grades_leave_a_wide_spread_around_the_prior() {
        let few = fit("new", &graded(4), &ModelTraits::default(), &known()).unwrap().profile;
        let many = fit("new", &graded(300), &ModelTraits::default(), &known()).unwrap().profile;

        assert!(few.spread(&[1.0, 0.0]) > 2.0 * many.spread(&[1.0, 0.0]));
        assert!((few.quality(&[1.0, 0.0]) - 0.67).abs() < 0.2);
    }

    #[test]
    fn latents_of_another_artifact_are_refused() {
        let mut graded = graded(10);
        graded[3].latent.push(1.0);

        assert_eq!(fit("new", &graded, &ModelTraits::default(), &known()), None);
    }
}
