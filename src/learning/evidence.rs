//! Writes `evidence.bin`: what the graded prompts say of models in each cluster and one by one.
#![expect(
    clippy::indexing_slicing,
    reason = "numeric kernels: prompts and profiles are indexed by their own numbering"
)]

use std::collections::HashMap;

use prost::Message;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{LearningError, clusters, encoder::stage_rng, examples::Examples, export::Body, matrix::Matrix};
use crate::{
    domain,
    scoring::{
        Outputs, Session,
        evidence::{EvidenceDocument, Grade, SampleDocument, quantised},
        profiles::{Profile, Profiles},
        session_rten::{RtenGraph, RtenSession},
        tokens::Tokens,
    },
};

/// Clusters at most; Avengers and its followers use 16 to 64, and finer ones leave most models a few prompts each.
const MAX_CLUSTERS: usize = 64;
/// Training prompts per cluster at least, on average: as many as five times the prompts that a strategy shrinks by.
const PROMPTS_PER_CLUSTER: usize = 100;
/// Graded prompts that are kept to find neighbours among: they take 2 MB, and comparing with all of them 0.2 ms.
const MAX_PROMPTS: usize = 8_192;
/// Training prompts of which the graph's outputs are kept: a share found from them has a standard error of 3 %.
const SAMPLES: usize = 256;
/// The stage of the random numbers here.
const STAGE: u64 = 11;

/// What is learned from, as the finished router sees it.
struct Graded<'a> {
    examples: &'a Examples,
    outputs: Vec<Outputs>,
    grades: Vec<Vec<Grade>>,
    profiles: &'a Profiles,
}

/// Runs the graph on every training prompt and returns the bytes of `evidence.bin`.
///
/// # Errors
/// The graph or the tokenizer fails.
pub fn write(examples: &Examples, body: &Body, profiles: &Profiles, seed: u64) -> Result<Vec<u8>, LearningError> {
    let outputs = run_all(body, &examples.prompts)?;
    let graded = Graded { examples, outputs, grades: grades(examples, profiles), profiles };
    Ok(graded.document(&mut stage_rng(seed, STAGE)).encode_to_vec())
}

/// One session per stretch of prompts; the outputs come in the order of the prompts.
fn run_all(body: &Body, prompts: &[String]) -> Result<Vec<Outputs>, LearningError> {
    const STRETCH: usize = 512;
    let tokens = Tokens::parse(&body.tokenizer).map_err(|error| LearningError::Tokenizer(error.to_string()))?;
    let tokens = tokens.cut_to(body.max_tokens);
    let graph = RtenGraph::load(body.onnx.clone()).map_err(|error| LearningError::Graph(error.to_string()))?;
    let run = |stretch: &[String]| -> Result<Vec<Outputs>, LearningError> {
        let mut session = RtenSession::new(std::sync::Arc::clone(&graph));
        let run_one = |text: &String| {
            let ids = tokens.ids(text).map_err(|error| LearningError::Tokenizer(error.to_string()))?;
            session.run(&ids).map_err(|error| LearningError::Graph(error.to_string()))
        };
        stretch.iter().map(run_one).collect()
    };
    let stretches: Result<Vec<Vec<Outputs>>, LearningError> = prompts.par_chunks(STRETCH).map(run).collect();
    Ok(stretches?.into_iter().flatten().collect())
}

/// Returns the grades of each prompt, by profile; models without a profile are left out.
fn grades(examples: &Examples, profiles: &Profiles) -> Vec<Vec<Grade>> {
    let known: HashMap<&str, usize> =
        profiles.profiles.iter().enumerate().map(|(index, profile)| (&*profile.name, index)).collect();
    let mut grades = vec![Vec::new(); examples.prompts.len()];
    for (model, outcomes) in examples.models.iter().zip(&examples.outcomes) {
        let Some(profile) = known.get(model.as_str()) else { continue };
        for outcome in outcomes {
            grades[outcome.prompt].push(Grade { profile: *profile, score: outcome.score });
        }
    }
    grades
}

impl Graded<'_> {
    fn document(&self, rng: &mut ChaCha8Rng) -> EvidenceDocument {
        let mut document = EvidenceDocument {
            profiles: self.profiles.profiles.iter().map(|profile| profile.name.to_string()).collect(),
            overall: self.overall(),
            width: self.outputs.first().map_or(0, |outputs| outputs.embedding.len()) as u32,
            ..EvidenceDocument::default()
        };
        self.add_clusters(&mut document, rng);
        self.add_prompts(&mut document, rng);
        let samples = drawn(self.outputs.len(), SAMPLES, |_| 1.0, rng);
        document.samples = samples.into_iter().map(|prompt| self.sample(prompt)).collect();
        document
    }

    fn overall(&self) -> Vec<f32> {
        let mean = |profile: &Profile| {
            let qualities = self.outputs.iter().map(|outputs| profile.quality(&outputs.latent));
            (qualities.sum::<f64>() / self.outputs.len().max(1) as f64) as f32
        };
        self.profiles.profiles.iter().map(mean).collect()
    }

    fn add_clusters(&self, document: &mut EvidenceDocument, rng: &mut ChaCha8Rng) {
        let columns = document.width as usize;
        let data = self.outputs.iter().flat_map(|outputs| outputs.embedding.iter().copied()).collect();
        let rows = Matrix { rows: self.outputs.len(), columns, data };
        let count = (rows.rows / PROMPTS_PER_CLUSTER).clamp(1, MAX_CLUSTERS);
        let everyone: Vec<usize> = (0..rows.rows).collect();
        let centers = clusters::centers(&rows, &everyone, count, rng);
        let profiles = document.profiles.len();
        document.sums = vec![0.0; centers.rows * profiles];
        document.counts = document.sums.clone();
        for (grades, row) in self.grades.iter().zip(rows.iter()) {
            let (cluster, _) = clusters::nearest(&centers, row);
            for grade in grades {
                document.sums[cluster * profiles + grade.profile] += grade.score as f32;
                document.counts[cluster * profiles + grade.profile] += 1.0;
            }
        }
        document.centroids = centers.data;
    }

    /// Keeps the prompts that say most: the chance of one grows with the root of its number of grades, so that sets with few
    /// models stay in.
    fn add_prompts(&self, document: &mut EvidenceDocument, rng: &mut ChaCha8Rng) {
        let weight = |prompt: usize| (self.grades[prompt].len() as f64).sqrt();
        for prompt in drawn(self.outputs.len(), MAX_PROMPTS, weight, rng) {
            let (row, step) = quantised(&self.outputs[prompt].embedding);
            document.embeddings.extend(row.iter().map(|value| value.cast_unsigned()));
            document.scales.push(step);
            document.grades.extend(self.grades[prompt].iter().map(|grade| grade.packed()));
            document.ends.push(document.grades.len() as u32);
        }
    }

    fn sample(&self, prompt: usize) -> SampleDocument {
        let Outputs { embedding, latent, output_tokens } = self.outputs[prompt].clone();
        let input_tokens = domain::Tokens::estimate(self.examples.prompts[prompt].len()).0;
        SampleDocument { input_tokens, embedding, latent, output_tokens }
    }
}

/// Draws at most `most` of `count` without putting back, each with a chance by its weight, never one of weight 0 (Efraimidis and
/// Spirakis 2006), in ascending order.
fn drawn(count: usize, most: usize, weight: impl Fn(usize) -> f64, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut waiting: Vec<(f64, usize)> = (0..count)
        .map(|index| (-f64::ln(1.0 - rng.random_range(0.0..1.0)) / weight(index), index))
        .filter(|(time, _)| time.is_finite())
        .collect();
    waiting.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let mut indices: Vec<usize> = waiting.into_iter().take(most).map(|(_, index)| index).collect();
    indices.sort_unstable();
    indices
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{domain::Needs, learning::abilities::Outcome, scoring::evidence::TrainingEvidence};

    fn profiles(names: &[&str]) -> Profiles {
        let profile = |name: &&str| json!({"name": name, "prompts": 1, "verbosity": 1.0, "bias": 0.0, "vector": [0.0]});
        let profiles: Vec<serde_json::Value> = names.iter().map(profile).collect();
        serde_json::from_value(json!({"latent": ["all"], "mean": [0.0], "profiles": profiles})).unwrap()
    }

    /// Sums point one way, cities another; the calculator is right on sums only and `nameless` has no profile.
    fn graded(profiles: &Profiles) -> EvidenceDocument {
        let outcome = |prompt: usize| Outcome { prompt, score: if prompt.is_multiple_of(2) { 1.0 } else { 0.0 } };
        let examples = Examples {
            prompts: (0..400).map(|index| format!("prompt {index}")).collect(),
            models: vec!["calculator".into(), "nameless".into()],
            outcomes: vec![(0..400).map(outcome).collect(), vec![outcome(0)]],
            ..Examples::default()
        };
        let embedding = |index: usize| if index.is_multiple_of(2) { vec![1.0, 0.0] } else { vec![0.0, 1.0] };
        let output = |index| Outputs { embedding: embedding(index), latent: vec![0.0], output_tokens: vec![3.0, 4.0] };
        let (outputs, grades) = ((0..400).map(output).collect(), grades(&examples, profiles));
        Graded { examples: &examples, outputs, grades, profiles }.document(&mut stage_rng(7, STAGE))
    }

    #[test]
    fn what_is_written_says_what_was_graded() {
        let document = graded(&profiles(&["calculator"]));

        let evidence = TrainingEvidence::parse(&document.encode_to_vec(), 2, 1).unwrap();
        let near = evidence.near(&[1.0, 0.0], Needs { clusters: true, neighbours: true, ..Needs::SCORES });

        let calculator = &near["calculator"];
        assert_eq!(calculator.clusters[0].mean.value(), 1.0);
        assert_eq!(calculator.neighbours.unwrap().mean.value(), 1.0);
        assert_eq!(calculator.overall.unwrap().value(), 0.5);
        assert_eq!((near.len(), evidence.samples().count()), (1, SAMPLES));
    }

    #[test]
    fn every_grade_is_counted_in_one_cluster() {
        let document = graded(&profiles(&["calculator", "unheard"]));

        let total = |numbers: &[f32], profile: usize| numbers.iter().skip(profile).step_by(2).sum::<f32>();
        assert_eq!((total(&document.sums, 0), total(&document.counts, 0)), (200.0, 400.0));
        assert_eq!((total(&document.sums, 1), total(&document.counts, 1)), (0.0, 0.0));
    }

    #[test]
    fn a_draw_is_bounded_and_leaves_out_what_weighs_nothing() {
        let weight = |index: usize| if index < 50 { 0.0 } else { 1.0 };

        let few = drawn(100, 10, weight, &mut stage_rng(7, 0));
        let all = drawn(100, 1_000, weight, &mut stage_rng(7, 0));

        assert!(few.len() == 10 && few.is_sorted() && few.iter().all(|index| *index >= 50), "{few:?}");
        assert_eq!(all, (50..100).collect::<Vec<_>>());
    }
}
