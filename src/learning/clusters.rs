//! Spherical k-means: clusters of unit vectors by their cosine (Dhillon and Modha 2001).
#![expect(clippy::indexing_slicing, reason = "numeric kernels: rows, centers and their assignments are numbered alike")]

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::matrix::{Matrix, add_scaled, dot};

/// Rounds after which the centers hardly move any more.
const ROUNDS: usize = 10;

/// Returns the centers, of length 1, of at most `count` clusters of the chosen rows.
pub fn centers(rows: &Matrix, select: &[usize], count: usize, rng: &mut ChaCha8Rng) -> Matrix {
    let mut centers = seeds(rows, select, count.min(select.len()), rng);
    for _ in 0..ROUNDS {
        let assigned: Vec<usize> = select.par_iter().map(|index| nearest(&centers, rows.row(*index)).0).collect();
        let mut sums = Matrix::zeros(centers.rows, centers.columns);
        for (index, cluster) in select.iter().zip(&assigned) {
            add_scaled(sums.row_mut(*cluster), 1.0, rows.row(*index));
        }
        for cluster in 0..centers.rows {
            let norm = dot(sums.row(cluster), sums.row(cluster)).sqrt();
            // A cluster that lost all its rows stays where it is.
            if norm > 1e-6 {
                centers.row_mut(cluster).iter_mut().zip(sums.row(cluster)).for_each(|(to, sum)| *to = sum / norm);
            }
        }
    }
    centers
}

/// Returns the nearest center of a row of length 1, and the cosine to it.
pub fn nearest(centers: &Matrix, row: &[f32]) -> (usize, f32) {
    let cosines = centers.iter().map(|center| dot(center, row)).enumerate();
    cosines.fold((0, -2.0), |best, (index, cosine)| if cosine > best.1 { (index, cosine) } else { best })
}

/// Draws rows with a probability that rises with the distance to those drawn before (k-means++, Arthur and Vassilvitskii 2007).
fn seeds(rows: &Matrix, select: &[usize], count: usize, rng: &mut ChaCha8Rng) -> Matrix {
    let mut centers = Matrix::zeros(count, rows.columns);
    let mut distances = vec![1.0_f32; select.len()];
    for cluster in 0..count {
        let total: f64 = distances.iter().map(|distance| f64::from(*distance)).sum();
        let mut left = rng.random_range(0.0..1.0) * total;
        let drawn = distances.iter().position(|distance| {
            left -= f64::from(*distance);
            left <= 0.0
        });
        let chosen = select[drawn.unwrap_or(0)];
        centers.row_mut(cluster).copy_from_slice(rows.row(chosen));
        distances.par_iter_mut().zip(select).for_each(|(distance, index)| {
            *distance = distance.min((1.0 - dot(rows.row(chosen), rows.row(*index))).max(0.0));
        });
    }
    centers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learning::encoder::stage_rng;

    #[test]
    fn two_bundles_of_directions_are_told_apart() {
        let angle = |index: usize| if index < 50 { index as f32 * 0.004 } else { 1.5 + index as f32 * 0.001 };
        let data = (0..100).flat_map(|index| [angle(index).cos(), angle(index).sin()]).collect();
        let rows = Matrix { rows: 100, columns: 2, data };
        let select: Vec<usize> = (0..100).collect();

        let centers = centers(&rows, &select, 2, &mut stage_rng(1, 0));

        let cluster = |index: usize| nearest(&centers, rows.row(index)).0;
        assert!((1..50).all(|index| cluster(index) == cluster(0)));
        assert!((51..100).all(|index| cluster(index) == cluster(50)));
        assert_ne!(cluster(0), cluster(50));
    }
}
