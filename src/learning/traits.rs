//! Traits of prompts beside their domain: what training asks wide heads to tell of how hard a prompt is, and for whom.
#![expect(
    clippy::indexing_slicing,
    reason = "numeric kernels: prompts, domains and models are indexed by their own numbering"
)]

use std::collections::HashSet;

use super::{
    abilities::{self, Outcome, Precision},
    examples::Examples,
    matrix::Matrix,
    wide::Targets,
};
use crate::scoring::{artifact::question_hash, profiles::sigmoid};

/// Variance of a prompt's ease around its domain's, in squared log-odds.
const EASE_VARIANCE: f64 = 2.0;
/// Precision of a domain's common difficulty and of a model's own deviation from it.
const DOMAIN_PRECISION: (f64, f64) = (0.5, 4.0);
/// Ridge penalties, on rows of [`presence`](super::presence); by cross-validation.
const EASE_RIDGE: f64 = 450.0;
/// See [`EASE_RIDGE`].
const PREFERENCE_RIDGE: f64 = 1000.0;
/// A set or domain of fewer prompts than this teaches no trait of its own.
const SMALLEST: usize = 500;
/// Domains that share this part of their questions are about the same.
const OVERLAP: f64 = 0.3;

/// A trait.
#[derive(Clone, Debug)]
pub struct Trait {
    /// `ease`, `ease in <set>`, `preference in <set>` or `preference in <set>, <category>`.
    pub name: String,
    /// The domains that it is about; elsewhere it is 0.
    pub about: Vec<bool>,
    /// What it was on the prompts.
    pub targets: Targets,
    /// Penalty of its ridge regression.
    pub penalty: f64,
}

/// Returns the traits: ease everywhere, ease within each large set, and in sets of two models how much better the second one
/// answered than the first, in the whole set and within its large domains.
pub fn traits(examples: &Examples) -> Vec<Trait> {
    let everywhere = vec![true; examples.domains.len()];
    let ease = eases(examples);
    let mut traits =
        vec![Trait { name: "ease".to_owned(), about: everywhere, targets: ease.clone(), penalty: EASE_RIDGE }];
    for (set, _, prompts) in &examples.sources {
        let about = domains_of(examples, set);
        if *prompts >= SMALLEST {
            let targets = within(examples, &about, &ease);
            traits.push(Trait { name: format!("ease in {set}"), about: about.clone(), targets, penalty: EASE_RIDGE });
        }
        if let Some((_, [first, second])) = examples.pairs.iter().find(|(name, _)| name == set) {
            let preference = preference(examples, *first, *second);
            traits.push(preference_in(examples, set, about.clone(), &preference));
            traits.extend(large_domains(examples, &about).into_iter().map(|domain| {
                let name = examples.domains[domain].replace('/', ", ");
                preference_in(examples, &name, same_questions(examples, domain), &preference)
            }));
        }
    }
    traits
}

fn preference_in(examples: &Examples, place: &str, about: Vec<bool>, preference: &Targets) -> Trait {
    let targets = within(examples, &about, preference);
    Trait { name: format!("preference in {place}"), about, targets, penalty: PREFERENCE_RIDGE }
}

/// Returns those of the domains that have prompts enough for a trait: what makes one model better in mathematics is not what
/// does so in law.
fn large_domains(examples: &Examples, among: &[bool]) -> Vec<usize> {
    let mut sizes = vec![0; examples.domains.len()];
    examples.labels.iter().for_each(|label| sizes[*label] += 1);
    (0..sizes.len()).filter(|domain| among[*domain] && sizes[*domain] >= SMALLEST).collect()
}

/// Returns a domain and those of other sets that hold the same questions: no text tells them apart.
fn same_questions(examples: &Examples, domain: usize) -> Vec<bool> {
    let mut questions = vec![HashSet::new(); examples.domains.len()];
    for (prompt, label) in examples.prompts.iter().zip(&examples.labels) {
        questions[*label].insert(question_hash(prompt));
    }
    let is_same = |other: &HashSet<u64>| {
        let shared = other.intersection(&questions[domain]).count();
        shared as f64 >= OVERLAP * other.len().max(1) as f64
    };
    questions.iter().map(is_same).collect()
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
