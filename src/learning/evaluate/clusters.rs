//! K-means on the router's embedding, with each model's mean score in each cluster (Avengers, 2505.19797): the plain method.

use std::sync::Arc;

use rand::seq::index::sample;
use rayon::prelude::*;

use super::baselines::{Lesson, Sums};
use crate::learning::{
    encoder::stage_rng,
    matrix::{add_scaled, dot},
};

/// Centres of clusters, of length 1.
pub(super) struct Clusters {
    centres: Vec<Vec<f32>>,
}

/// Prompts per cluster to aim at, and how many clusters there may be.
const PROMPTS: usize = 60;
const CLUSTERS: (usize, usize) = (8, 64);
const ROUNDS: usize = 12;
/// Clusters whose means a prompt takes.
const NEAREST: usize = 3;

impl Clusters {
    /// Fits spherical k-means, started from prompts drawn by chance.
    pub(super) fn fit(lessons: &[Lesson], seed: u64) -> Self {
        let count = (lessons.len() / PROMPTS).clamp(CLUSTERS.0, CLUSTERS.1).min(lessons.len());
        let start = sample(&mut stage_rng(seed, 11), lessons.len(), count);
        let centres = start.iter().filter_map(|index| lessons.get(index)).map(|lesson| lesson.embedding.to_vec());
        let mut clusters = Self { centres: centres.collect() };
        for _ in 0..ROUNDS {
            clusters.move_centres(lessons);
        }
        clusters
    }

    fn move_centres(&mut self, lessons: &[Lesson]) {
        let own: Vec<Option<usize>> =
            lessons.par_iter().map(|lesson| self.nearest(&lesson.embedding).first().copied()).collect();
        for (index, centre) in self.centres.iter_mut().enumerate() {
            let mut sum = vec![0.0; centre.len()];
            let members = lessons.iter().zip(&own).filter(|(_, own)| **own == Some(index));
            members.for_each(|(lesson, _)| add_scaled(&mut sum, 1.0, &lesson.embedding));
            let norm = dot(&sum, &sum).sqrt();
            // An empty cluster stays where it is.
            if norm > 0.0 {
                sum.iter_mut().for_each(|value| *value /= norm);
                *centre = sum;
            }
        }
    }

    /// Returns the nearest clusters, the nearest first.
    fn nearest(&self, embedding: &[f32]) -> Vec<usize> {
        let mut near: Vec<(usize, f32)> =
            self.centres.iter().map(|centre| dot(centre, embedding)).enumerate().collect();
        near.sort_by(|a, b| b.1.total_cmp(&a.1));
        near.into_iter().take(NEAREST).map(|(index, _)| index).collect()
    }

    /// Returns each model's mean score over the nearest clusters of each prompt, `[prompt][model]`.
    pub(super) fn quality(&self, lessons: &[Lesson], prompts: &[Arc<[f32]>], models: usize) -> Vec<Vec<f64>> {
        let mut sums = vec![Sums::new(models); self.centres.len()];
        let mut overall = Sums::new(models);
        for lesson in lessons {
            overall.add(&lesson.score);
            let own = self.nearest(&lesson.embedding).first().and_then(|index| sums.get_mut(*index));
            own.into_iter().for_each(|sums| sums.add(&lesson.score));
        }
        let means = overall.means();
        let by_cluster: Vec<Vec<f64>> = sums.iter().map(|sums| sums.shrunk(&means)).collect();
        let predict = |embedding: &Arc<[f32]>| {
            let near = self.nearest(embedding);
            let mut quality = vec![0.0; models];
            for means in near.iter().filter_map(|index| by_cluster.get(*index)) {
                quality.iter_mut().zip(means).for_each(|(sum, mean)| *sum += mean / near.len() as f64);
            }
            quality
        };
        prompts.par_iter().map(predict).collect()
    }
}
