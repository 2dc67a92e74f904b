//! Resamples of prompts. Every router of a table is measured on the same ones, so differences between lines are paired.

use rand::Rng;
use rayon::prelude::*;

use crate::learning::encoder::stage_rng;

/// How often each prompt is drawn, by round.
#[derive(Clone, Debug)]
pub struct Resamples {
    rounds: Vec<Vec<f32>>,
}

impl Resamples {
    /// Draws as many prompts as have a weight, with replacement, in every round.
    pub fn draw(weights: &[f32], rounds: usize, seed: u64) -> Self {
        let drawable: Vec<usize> =
            weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0).map(|(index, _)| index).collect();
        let mut rng = stage_rng(seed, 9);
        let round = |_| {
            let mut counts = vec![0.0; weights.len()];
            for _ in 0..drawable.len() {
                let drawn = drawable.get(rng.random_range(0..drawable.len())).copied().unwrap_or(0);
                counts.get_mut(drawn).into_iter().for_each(|count| *count += 1.0);
            }
            counts
        };
        Self { rounds: if drawable.is_empty() { Vec::new() } else { (0..rounds).map(round).collect() } }
    }

    /// Measures every round, in the order of the rounds on any number of threads.
    pub fn measure<T: Send>(&self, of: impl Fn(&[f32]) -> T + Sync) -> Vec<T> {
        self.rounds.par_iter().map(|weights| of(weights)).collect()
    }
}
