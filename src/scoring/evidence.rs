//! What the training data say of models near a prompt: the means of its clusters, the grades of its nearest prompts.
//!
//! `evidence.bin` is an optional file of an artifact. Clusters are those of Avengers (arXiv 2505.19797): k-means over the
//! embeddings of all training prompts, with every model's grades summed in each. Neighbours are looked for among a bounded
//! choice of training prompts, whose embeddings are kept as bytes. Nothing of this is worked out unless a strategy needs it.

pub mod document;

use std::{cmp::Ordering, collections::HashMap, sync::Arc};

pub use self::document::{EvidenceDocument, EvidenceError, Grade, NEIGHBOURS, SampleDocument};
use super::session::Outputs;
use crate::domain::{Evidence, Needs, Observed, Probability, Tokens};

/// Clusters that are heard at most; Avengers finds one to three to do best.
pub const MAX_CLUSTERS: usize = 3;

/// The evidence of an artifact, ready to be asked.
#[derive(Debug)]
pub struct TrainingEvidence {
    profiles: Vec<Arc<str>>,
    embeddings: Vec<i8>,
    document: EvidenceDocument,
}

/// Grades of one model, summed.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    sum: f64,
    weight: f64,
    squares: f64,
}

impl Tally {
    fn add(&mut self, score: f64, weight: f64) {
        self.sum += weight * score;
        self.weight += weight;
        self.squares += weight * weight;
    }

    /// The spread is that of the mean of so many grades that are right or wrong, with one more of each kind (Agresti and
    /// Coull 1998), so that three right answers are no certainty.
    fn observed(self) -> Observed {
        if self.weight <= 0.0 {
            return Observed { mean: Probability::clamped(0.5), weight: 0.0, spread: 0.5 };
        }
        let weight = self.weight * self.weight / self.squares;
        let mean = self.sum / self.weight;
        let cautious = (mean * weight + 1.0) / (weight + 2.0);
        let spread = (cautious * (1.0 - cautious) / (weight + 2.0)).sqrt();
        Observed { mean: Probability::clamped(mean), weight, spread }
    }
}

impl TrainingEvidence {
    /// Reads `evidence.bin` for a graph with these widths of embedding and latent.
    ///
    /// # Errors
    /// It is malformed or belongs to another graph.
    pub fn parse(bytes: &[u8], width: usize, latent: usize) -> Result<Self, EvidenceError> {
        let mut document = EvidenceDocument::parse(bytes, width, latent)?;
        let embeddings = std::mem::take(&mut document.embeddings).into_iter().map(u8::cast_signed).collect();
        let profiles = document.profiles.iter().map(|name| Arc::from(name.as_str())).collect();
        Ok(Self { profiles, embeddings, document })
    }

    /// Returns what is known near an embedding, by profile, as far as it is needed. `O(prompts * width)`.
    pub fn near(&self, embedding: &[f32], needs: Needs) -> HashMap<Arc<str>, Evidence> {
        let clusters = if needs.clusters { self.nearest_clusters(embedding) } else { Vec::new() };
        let neighbours = needs.neighbours.then(|| self.neighbours(embedding));
        let evidence = |(index, name): (usize, &Arc<str>)| {
            let evidence = Evidence {
                overall: self.document.overall.get(index).map(|mean| Probability::clamped(f64::from(*mean))),
                clusters: clusters.iter().map(|cluster| self.in_cluster(*cluster, index)).collect(),
                neighbours: neighbours.as_ref().and_then(|tallies| tallies.get(index)).map(|tally| tally.observed()),
                traffic: None,
            };
            (Arc::clone(name), evidence)
        };
        self.profiles.iter().enumerate().map(evidence).collect()
    }

    /// Returns what the graph gave for some training prompts, with the tokens of each.
    pub fn samples(&self) -> impl Iterator<Item = (Tokens, Outputs)> {
        self.document.samples.iter().map(|sample| {
            let (embedding, latent) = (sample.embedding.clone(), sample.latent.clone());
            (Tokens(sample.input_tokens), Outputs { embedding, latent, output_tokens: sample.output_tokens.clone() })
        })
    }

    fn nearest_clusters(&self, embedding: &[f32]) -> Vec<usize> {
        let closeness = |centroid: &[f32]| centroid.iter().zip(embedding).map(|(a, b)| a * b).sum::<f32>();
        let centroids = self.document.centroids.chunks_exact(embedding.len().max(1));
        let mut all: Vec<(f32, usize)> = centroids.map(closeness).zip(0..).collect();
        all.sort_by(closest_first);
        all.into_iter().take(MAX_CLUSTERS).map(|(_, cluster)| cluster).collect()
    }

    fn in_cluster(&self, cluster: usize, profile: usize) -> Observed {
        let at = cluster * self.profiles.len() + profile;
        let number = |numbers: &[f32]| numbers.get(at).map_or(0.0, |number| f64::from(*number));
        let (sum, count) = (number(&self.document.sums), number(&self.document.counts));
        Tally { sum, weight: count, squares: count }.observed()
    }

    /// Returns the grades of the nearest prompts by profile, each weighing as much as its cosine, those that point away
    /// nothing.
    fn neighbours(&self, embedding: &[f32]) -> Vec<Tally> {
        let mut tallies = vec![Tally::default(); self.profiles.len()];
        for (closeness, prompt) in self.nearest_prompts(embedding) {
            for grade in self.grades(prompt) {
                if let Some(tally) = tallies.get_mut(grade.profile) {
                    tally.add(grade.score, f64::from(closeness));
                }
            }
        }
        tallies
    }

    fn nearest_prompts(&self, embedding: &[f32]) -> Vec<(f32, usize)> {
        let (query, step) = quantised(embedding);
        let rows = self.embeddings.chunks_exact(embedding.len().max(1)).zip(&self.document.scales);
        let closeness = rows.map(|(row, scale)| product(&query, row) as f32 * scale * step);
        let mut all: Vec<(f32, usize)> = closeness.zip(0..).collect();
        if all.len() > NEIGHBOURS {
            all.select_nth_unstable_by(NEIGHBOURS, closest_first);
            all.truncate(NEIGHBOURS);
        }
        all.retain(|(closeness, _)| *closeness > 0.0);
        // Sums in a fixed order give the same bits whatever the selection did.
        all.sort_by(closest_first);
        all
    }

    fn grades(&self, prompt: usize) -> impl Iterator<Item = Grade> {
        let ends = &self.document.ends;
        let start = prompt.checked_sub(1).and_then(|before| ends.get(before)).map_or(0, |end| *end as usize);
        let end = ends.get(prompt).map_or(start, |end| *end as usize);
        self.document.grades.get(start..end).unwrap_or_default().iter().map(|packed| Grade::unpacked(*packed))
    }
}

fn closest_first((one, first): &(f32, usize), (other, second): &(f32, usize)) -> Ordering {
    other.total_cmp(one).then(first.cmp(second))
}

/// Returns a vector as signed bytes and what one step of them is worth; the largest entry becomes 127.
pub fn quantised(vector: &[f32]) -> (Vec<i8>, f32) {
    let largest = vector.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    if largest == 0.0 {
        return (vec![0; vector.len()], 0.0);
    }
    let step = largest / 127.0;
    (vector.iter().map(|value| (value / step).round() as i8).collect(), step)
}

/// Products of bytes are summed as whole numbers, so the order does not matter and the compiler may use wide instructions.
fn product(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(a, b)| i32::from(i16::from(*a) * i16::from(*b))).sum()
}

#[cfg(test)]
mod tests;
