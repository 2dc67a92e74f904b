//! What training sees of the sets: prompts, domains, outcomes.

use std::collections::BTreeMap;

use super::{
    abilities::Outcome,
    data::{HeldBack, Set},
    lengths::Answer,
};
use crate::domain::ModelTraits;

/// Domains of fewer prompts than this are joined with the rest of their set.
const SMALLEST_DOMAIN: usize = 40;

/// The prompts to learn from, with everything known of them.
#[derive(Clone, Debug, Default)]
pub struct Examples {
    /// Texts.
    pub prompts: Vec<String>,
    /// Domain of each prompt.
    pub labels: Vec<usize>,
    /// Names of the domains, `set/category`.
    pub domains: Vec<String>,
    /// Public names of the models, sorted.
    pub models: Vec<String>,
    /// What is known of each model besides its grades.
    pub traits: Vec<ModelTraits>,
    /// Graded answers by model.
    pub outcomes: Vec<Vec<Outcome>>,
    /// Lengths of answers.
    pub answers: Vec<Answer>,
    /// Sorted hashes of the prompts.
    pub seen: Vec<u64>,
    /// Sets of two models, with their numbers.
    pub pairs: Vec<(String, [usize; 2])>,
    /// The sets they come from, with their licences.
    pub sources: Vec<(String, String, usize)>,
}

impl Examples {
    /// Takes the open sets' prompts that are not held back.
    pub fn of(sets: &[Set], held_back: &HeldBack) -> Self {
        let open: Vec<&Set> = sets.iter().filter(|set| set.is_open()).collect();
        let mut models: Vec<String> =
            open.iter().flat_map(|set| set.meta.models.iter().map(|model| model.name())).collect();
        models.sort();
        models.dedup();
        let outcomes = vec![Vec::new(); models.len()];
        let traits = vec![ModelTraits::default(); models.len()];
        let mut examples = Self { models, traits, outcomes, ..Self::default() };
        for set in open {
            examples.take_models(set);
            examples.take(set, held_back);
        }
        examples.seen = examples.prompts.iter().map(|prompt| held_back.key(prompt)).collect();
        examples.seen.sort_unstable();
        examples.seen.dedup();
        examples
    }

    /// Sources differ in what they know of a model; the first that knows something is believed.
    fn take_models(&mut self, set: &Set) {
        for meta in &set.meta.models {
            let index = self.model(&meta.name());
            if let Some(known) = self.traits.get_mut(index) {
                known.output_dollars = known.output_dollars.or(meta.out_price);
                known.parameters_b = known.parameters_b.or(meta.params_b);
            }
        }
    }

    fn take(&mut self, set: &Set, held_back: &HeldBack) {
        let records: Vec<_> = set.records.iter().filter(|record| !held_back.holds(&record.prompt)).collect();
        let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
        records.iter().for_each(|record| *sizes.entry(record.category()).or_default() += 1);
        let mut labels: BTreeMap<&str, usize> = BTreeMap::new();
        for (category, size) in sizes {
            let name = if size < SMALLEST_DOMAIN { "rest" } else { category };
            labels.insert(category, self.domain(format!("{}/{name}", set.meta.name)));
        }
        let models: Vec<usize> = set.meta.models.iter().map(|model| self.model(&model.name())).collect();
        for record in &records {
            let prompt = self.prompts.len();
            self.prompts.push(record.prompt.clone());
            self.labels.push(labels.get(record.category()).copied().unwrap_or(0));
            self.take_answers(prompt, &models, record);
        }
        if let [first, second] = models.as_slice() {
            self.pairs.push((set.meta.name.clone(), [*first, *second]));
        }
        self.sources.push((set.meta.name.clone(), set.meta.license.clone(), records.len()));
    }

    fn take_answers(&mut self, prompt: usize, models: &[usize], record: &super::data::Record) {
        for (model, score) in models.iter().zip(&record.score) {
            if let (Some(score), Some(outcomes)) = (score, self.outcomes.get_mut(*model)) {
                outcomes.push(Outcome { prompt, score: *score });
            }
        }
        for (model, tokens) in models.iter().zip(&record.out_tok) {
            if let Some(tokens) = tokens {
                self.answers.push(Answer { prompt, model: *model, log_tokens: tokens.ln_1p() });
            }
        }
    }

    fn domain(&mut self, name: String) -> usize {
        let known = self.domains.iter().position(|domain| *domain == name);
        known.unwrap_or_else(|| {
            self.domains.push(name);
            self.domains.len() - 1
        })
    }

    fn model(&self, name: &str) -> usize {
        self.models.binary_search_by(|model| model.as_str().cmp(name)).unwrap_or(0)
    }
}
