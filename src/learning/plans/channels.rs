//! How many independent voices a set of models has.
//!
//! `K* = exp(-sum of p ln p)` over the eigenvalues `p` of the matrix of agreement, divided by their sum ("Understanding Agent
//! Scaling via Diversity", 2026): models that always answer alike are one voice, models that never do as many as they are.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: members are indices of models")]

use super::answers::Row;
use crate::learning::matrix::{Matrix, eigen};

/// Returns K*, from 1 to the number of members. No answer agrees with nothing.
pub fn effective(rows: &[&Row], members: &[usize]) -> f64 {
    let (eigenvalues, _) = eigen(&agreement(rows, members));
    let total: f64 = eigenvalues.iter().map(|value| value.max(0.0)).sum();
    let shares = eigenvalues.iter().map(|value| value.max(0.0) / total).filter(|share| *share > 0.0);
    (-shares.map(|share| share * share.ln()).sum::<f64>()).exp()
}

/// Returns the share of prompts on which two members gave the same answer; 1 on the diagonal.
fn agreement(rows: &[&Row], members: &[usize]) -> Matrix {
    let mut matrix = Matrix::zeros(members.len(), members.len());
    for (i, one) in members.iter().enumerate() {
        for (j, other) in members.iter().enumerate() {
            let equal = |row: &&&Row| row.answer[*one].is_some() && row.answer[*one] == row.answer[*other];
            let share = rows.iter().filter(equal).count() as f32 / rows.len().max(1) as f32;
            matrix.row_mut(i)[j] = if i == j { 1.0 } else { share };
        }
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voices(answers: &[[i64; 3]], members: &[usize]) -> f64 {
        let rows = rows(answers);
        effective(&rows.iter().collect::<Vec<_>>(), members)
    }

    fn rows(answers: &[[i64; 3]]) -> Vec<Row> {
        let row = |answers: &[i64; 3]| Row {
            answer: answers.iter().map(|answer| (*answer >= 0).then_some(*answer)).collect(),
            score: vec![0.0; 3],
            cost: vec![0.0; 3],
            tokens: vec![0.0; 3],
            input_tokens: 0.0,
            category: 0,
        };
        answers.iter().map(row).collect()
    }

    #[test]
    fn echoes_are_one_voice_and_strangers_are_three() {
        assert!((voices(&[[1, 1, 1], [2, 2, 2]], &[0, 1, 2]) - 1.0).abs() < 1e-3);
        assert!((voices(&[[1, 2, 3], [3, 1, 2]], &[0, 1, 2]) - 3.0).abs() < 1e-3);
        // Who does not answer agrees with nobody, not even with others who do not.
        assert!((voices(&[[-1, -1, -1]], &[0, 1, 2]) - 3.0).abs() < 1e-3);
    }

    #[test]
    fn two_that_agree_half_of_the_time_are_worked_out_by_hand() {
        // Eigenvalues 1.5 and 0.5, shares 3/4 and 1/4: exp(0.75 ln(4/3) + 0.25 ln 4) = 1.7548.
        let found = voices(&[[1, 1, 0], [1, 2, 0]], &[0, 1]);

        assert!((found - 1.7548).abs() < 1e-3, "{found}");
    }
}
