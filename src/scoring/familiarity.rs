//! How near a prompt lies to what a router model was trained on.
//!
//! The training prompts' embeddings are summed up by a few centers. A prompt's distance is that to its nearest center,
//! `1 - max cosine`; how unusual it is follows from the distances of training prompts to centers that were found without them.

use serde::{Deserialize, Serialize};

use crate::domain::{Familiarity, Probability};

/// Where the training data lie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Surroundings {
    /// Unit vectors, each as long as the embedding.
    pub centers: Vec<Vec<f32>>,
    /// Quantiles of the distances of held-back training prompts, evenly spaced from the smallest to the largest.
    pub distances: Vec<f32>,
    /// Prompts that are less typical than this lie outside.
    pub limit: f32,
}

impl Surroundings {
    /// Returns the distance of an embedding of length 1 to its nearest center, in `[0, 2]`.
    pub fn distance(&self, embedding: &[f32]) -> f32 {
        let cosine = |center: &Vec<f32>| center.iter().zip(embedding).map(|(a, b)| a * b).sum::<f32>();
        1.0 - self.centers.iter().map(cosine).fold(-1.0, f32::max)
    }

    /// Returns how familiar an embedding of length 1 is.
    pub fn familiarity(&self, embedding: &[f32]) -> Familiarity {
        let distance = self.distance(embedding);
        let nearer = self.distances.partition_point(|known| *known < distance);
        let typicality = 1.0 - nearer as f64 / self.distances.len().max(1) as f64;
        Familiarity { typicality: Probability::clamped(typicality), is_outside: typicality < f64::from(self.limit) }
    }

    /// Returns the first thing that is wrong with the numbers, for an embedding of this width.
    pub fn fault(&self, width: usize) -> Option<String> {
        if let Some(center) = self.centers.iter().find(|center| center.len() != width) {
            return Some(format!("a center has {} entries, embedding has {width}", center.len()));
        }
        let mut numbers = self.centers.iter().flatten().chain(&self.distances).chain([&self.limit]);
        if !numbers.all(|number| number.is_finite()) {
            return Some("surroundings have a number that is not finite".to_owned());
        }
        (!self.distances.is_sorted()).then(|| "the distances of the surroundings must rise".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beyond_all_training_prompts_is_outside() {
        let surroundings = Surroundings {
            centers: vec![vec![1.0, 0.0]],
            distances: (0..100).map(|step| step as f32 / 200.0).collect(),
            limit: 0.01,
        };

        let (near, middle, far) = (
            surroundings.familiarity(&[1.0, 0.0]),
            surroundings.familiarity(&[0.75, 0.661]),
            surroundings.familiarity(&[-1.0, 0.0]),
        );

        assert_eq!((near.typicality.value(), near.is_outside), (1.0, false));
        assert!((middle.typicality.value() - 0.5).abs() < 0.02 && !middle.is_outside);
        assert_eq!((far.typicality.value(), far.is_outside), (0.0, true));
    }
}
