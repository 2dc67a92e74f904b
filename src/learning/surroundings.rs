//! Where the training data lie, so that a prompt far from them can be told.

use rayon::prelude::*;

use super::{
    calibration::part_of,
    clusters::{centers, nearest},
    encoder::stage_rng,
    matrix::Matrix,
};
use crate::scoring::familiarity::Surroundings;

/// Centers; more of them lower the distances of the held-back prompts by less than one percent of their range.
const CENTERS: usize = 64;
/// Parts that the training prompts are held back in.
const FOLDS: usize = 5;
/// Steps of the distances' quantiles.
const QUANTILES: usize = 400;
/// Prompts less typical than 99 of 100 training prompts are outside.
const LIMIT: f32 = 0.01;

/// Sums up unit embeddings, one a row.
pub fn fit(embeddings: &Matrix, seed: u64) -> Surroundings {
    let find = |fold: usize| {
        let select: Vec<usize> = (0..embeddings.rows).filter(|index| part_of(*index, FOLDS) != fold).collect();
        centers(embeddings, &select, CENTERS, &mut stage_rng(seed, 20))
    };
    let mut distances: Vec<f32> = (0..FOLDS)
        .into_par_iter()
        .flat_map_iter(|fold| {
            let centers = find(fold);
            let held_back = (0..embeddings.rows).filter(move |index| part_of(*index, FOLDS) == fold);
            held_back.map(move |index| 1.0 - nearest(&centers, embeddings.row(index)).1)
        })
        .collect();
    distances.sort_by(f32::total_cmp);
    let whole = find(FOLDS);
    let rounded = |row: &[f32]| row.iter().map(|value| (value * 1e4).round() / 1e4).collect();
    Surroundings { centers: whole.iter().map(rounded).collect(), distances: quantiles(&distances), limit: LIMIT }
}

fn quantiles(sorted: &[f32]) -> Vec<f32> {
    let last = sorted.len().saturating_sub(1);
    (0..=QUANTILES).filter_map(|step| sorted.get(last * step / QUANTILES)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_prompts_are_familiar_and_another_direction_is_not() {
        let angle = |index: usize| (index % 100) as f32 * 0.01;
        let data = (0..1_000).flat_map(|index| [angle(index).cos(), angle(index).sin(), 0.0]).collect();
        let embeddings = Matrix { rows: 1_000, columns: 3, data };

        let surroundings = fit(&embeddings, 1);

        assert!(surroundings.familiarity(embeddings.row(500)).typicality.value() > 0.005);
        assert!(surroundings.familiarity(&[0.0, 0.0, 1.0]).is_outside);
    }
}
