//! Traits of prompts beside their domain: what training asks wide heads to tell of how hard a prompt is, and for whom.
#![expect(
    clippy::indexing_slicing,
    reason = "numeric kernels: prompts, domains and models are indexed by their own numbering"
)]

use super::{
    abilities::{self, Outcome, Precision},
    examples::Examples,
    matrix::Matrix,
    wide::Targets,
};
use crate::scoring::profiles::sigmoid;

/// Variance of a prompt's ease around its domain's, in squared log-odds.
const EASE_VARIANCE: f64 = 2.0;
/// Precision of a domain's common difficulty and of a model's own deviation from it.
const DOMAIN_PRECISION: (f64, f64) = (0.5, 4.0);
/// Ridge penalties, on rows of [`presence`](super::presence); by cross-validation.
const EASE_RIDGE: f64 = 450.0;
/// See [`EASE_RIDGE`].
const PREFERENCE_RIDGE: f64 = 1000.0;
/// A set of fewer prompts than this teaches no trait of its own.
const SMALLEST_SET: usize = 500;

/// A trait.
#[derive(Clone, Debug)]
pub struct Trait {
    /// `ease`, `ease in <set>` or `preference in <set>`.
    pub name: String,
    /// The domains that it is about; elsewhere it is 0.
    pub about: Vec<bool>,
    /// What it was on the prompts.
    pub targets: Targets,
    /// Penalty of its ridge regression.
    pub penalty: f64,
}

/// Returns the traits: ease everywhere, ease within each large set, and in sets of two models how much better the second one
/// answered than the first.
pub fn traits(examples: &Examples) -> Vec<Trait> {
    let everywhere = vec![true; examples.domains.len()];
    let ease = eases(examples);
    let mut traits =
        vec![Trait { name: "ease".to_owned(), about: everywhere, targets: ease.clone(), penalty: EASE_RIDGE }];
    for (set, _, prompts) in &examples.sources {
        let about = domains_of(examples, set);
        if *prompts >= SMALLEST_SET {
            let targets = within(examples, &about, &ease);
            traits.push(Trait { name: format!("ease in {set}"), about: about.clone(), targets, penalty: EASE_RIDGE });
        }
        if let Some((_, [first, second])) = examples.pairs.iter().find(|(name, _)| name == set) {
            let targets = within(examples, &about, &preference(examples, *first, *second));
            let name = format!("preference in {set}");
            traits.push(Trait { name, about, targets, penalty: PREFERENCE_RIDGE });
        }
    }
    traits
}

fn domains_of(examples: &Examples, set: &str) -> Vec<bool> {
    examples.domains.iter().map(|domain| domain.split('/').next() == Some(set)).collect()
}

/// Leaves the targets of prompts of these domains.
fn within(examples: &Examples, about: &[bool], (targets, weights): &Targets) -> Targets {
    let inside = |label: &usize| if about[*label] { 1.0 } else { 0.0 };
    (targets.clone(), weights.iter().zip(&examples.labels).map(|(weight, label)| weight * inside(label)).collect())
}

/// How much better the second model answered than the first.
fn preference(examples: &Examples, first: usize, second: usize) -> Targets {
    let mut scores = [vec![None; examples.prompts.len()], vec![None; examples.prompts.len()]];
    for (scores, model) in scores.iter_mut().zip([first, second]) {
        examples.outcomes[model].iter().for_each(|outcome| scores[outcome.prompt] = Some(outcome.score));
    }
    let [first, second] = scores;
    let differences = first.into_iter().zip(second).map(|(first, second)| Some(second? - first?));
    differences.map(|difference| (difference.unwrap_or(0.0), if difference.is_some() { 1.0 } else { 0.0 })).unzip()
}

/// How much easier each prompt is than its domain and the models that answered it suggest: one Newton step from zero with a
/// Gaussian prior, and the weight of that estimate.
fn eases(examples: &Examples) -> Targets {
    let prompts = examples.prompts.len();
    let domains = examples.domains.len();
    let mut hard = Matrix::zeros(prompts, domains);
    examples.labels.iter().enumerate().for_each(|(index, label)| hard.row_mut(index)[*label] = 1.0);
    let common = vec![DOMAIN_PRECISION.0; domains];
    let fitted =
        abilities::fit(&hard, &examples.outcomes, &Precision { common, own: vec![DOMAIN_PRECISION.1; domains] });
    let mut slopes = vec![0.0; prompts];
    let mut curvatures = vec![0.0; prompts];
    for (ability, outcomes) in fitted.iter().zip(&examples.outcomes) {
        for Outcome { prompt, score } in outcomes {
            let p = sigmoid(ability.logit(hard.row(*prompt)));
            slopes[*prompt] += score - p;
            curvatures[*prompt] += p * (1.0 - p);
        }
    }
    let prior = 1.0 / EASE_VARIANCE;
    let targets = slopes.iter().zip(&curvatures).map(|(slope, curvature)| slope / (curvature + prior));
    let weights = curvatures.iter().map(|curvature| curvature / (curvature + prior));
    (targets.collect(), weights.collect())
}
