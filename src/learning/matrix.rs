//! Dense f32 matrices: what training needs and no more. Sums run in a fixed order, so results do not depend on the number of
//! threads.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: indices are bounded by the shapes of their operands")]

use rayon::prelude::*;

/// A row-major matrix.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Matrix {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Row after row.
    pub data: Vec<f32>,
}

impl Matrix {
    /// Returns a matrix of zeros.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self { rows, columns, data: vec![0.0; rows * columns] }
    }

    /// Returns a row.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.data[index * self.columns..(index + 1) * self.columns]
    }

    /// Returns a row to write to.
    pub fn row_mut(&mut self, index: usize) -> &mut [f32] {
        &mut self.data[index * self.columns..(index + 1) * self.columns]
    }

    /// Returns the rows.
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.data.chunks_exact(self.columns.max(1))
    }

    /// Returns the product with `other`.
    pub fn times(&self, other: &Self) -> Self {
        let mut product = Self::zeros(self.rows, other.columns);
        product.data.par_chunks_mut(other.columns.max(1)).enumerate().for_each(|(index, out)| {
            for (weight, row) in self.row(index).iter().zip(other.iter()) {
                add_scaled(out, *weight, row);
            }
        });
        product
    }

    /// Returns the transpose.
    pub fn transposed(&self) -> Self {
        let mut out = Self::zeros(self.columns, self.rows);
        for (index, row) in self.iter().enumerate() {
            for (column, value) in row.iter().enumerate() {
                out.data[column * self.rows + index] = *value;
            }
        }
        out
    }

    /// Makes the columns orthonormal (Gram-Schmidt, twice for accuracy); columns that vanish become zero.
    pub fn orthonormalised(&self) -> Self {
        let mut basis = self.transposed();
        for index in 0..basis.rows {
            let (done, rest) = basis.data.split_at_mut(index * basis.columns);
            let current = &mut rest[..self.rows];
            for _ in 0..2 {
                for earlier in done.chunks_exact(self.rows.max(1)) {
                    add_scaled(current, -dot(earlier, current), earlier);
                }
            }
            let norm = dot(current, current).sqrt();
            let scale = if norm > 1e-10 { 1.0 / norm } else { 0.0 };
            current.iter_mut().for_each(|value| *value *= scale);
        }
        basis.transposed()
    }
}

/// Adds `weight * row` to `out`.
pub fn add_scaled(out: &mut [f32], weight: f32, row: &[f32]) {
    for (sum, value) in out.iter_mut().zip(row) {
        *sum += weight * value;
    }
}

/// Returns the inner product, summed in eight lanes.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_lanes, a_rest) = a.as_chunks::<8>();
    let (b_lanes, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0_f32; 8];
    for (x, y) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f32>() + rest
}

/// A symmetric linear system `a x = b` that grows by weighted rows.
#[derive(Clone, Debug)]
pub struct Normal {
    size: usize,
    a: Vec<f64>,
    b: Vec<f64>,
}

impl Normal {
    /// Returns an empty system.
    pub fn new(size: usize) -> Self {
        Self { size, a: vec![0.0; size * size], b: vec![0.0; size] }
    }

    /// Adds `weight * row rowᵀ` to the left and `target * row` to the right side.
    pub fn add(&mut self, row: &[f32], weight: f64, target: f64) {
        for (i, x) in row.iter().enumerate() {
            let x = f64::from(*x);
            self.b[i] += target * x;
            let scaled = weight * x;
            // Only the lower half is kept.
            for (sum, y) in self.a[i * self.size..=i * self.size + i].iter_mut().zip(row) {
                *sum += scaled * f64::from(*y);
            }
        }
    }

    /// Adds to a diagonal entry and to the right side.
    pub fn add_diagonal(&mut self, index: usize, weight: f64, target: f64) {
        self.a[index * self.size + index] += weight;
        self.b[index] += target;
    }

    /// Returns the solution by Cholesky's method; directions without any weight get 0.
    pub fn solve(mut self) -> Vec<f64> {
        self.factor();
        let side = std::mem::take(&mut self.b);
        self.substitute(side)
    }

    /// Returns the solutions for other right sides than the one that has grown, as [`Normal::solve`].
    pub fn solve_for(mut self, sides: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
        self.factor();
        sides.into_iter().map(|side| self.substitute(side)).collect()
    }

    /// Returns the diagonal of the left side.
    pub fn diagonal(&self) -> Vec<f64> {
        (0..self.size).map(|index| self.a[index * self.size + index]).collect()
    }

    /// Replaces the lower half by its Cholesky factor.
    fn factor(&mut self) {
        let n = self.size;
        for j in 0..n {
            for i in j..n {
                let sum: f64 = (0..j).map(|k| self.a[i * n + k] * self.a[j * n + k]).sum();
                let value = self.a[i * n + j] - sum;
                let pivot = self.a[j * n + j];
                self.a[i * n + j] = match i == j {
                    true => value.max(0.0).sqrt(),
                    false if pivot > 1e-12 => value / pivot,
                    false => 0.0,
                };
            }
        }
    }

    fn substitute(&self, mut side: Vec<f64>) -> Vec<f64> {
        let n = self.size;
        for i in 0..n {
            let sum: f64 = (0..i).map(|k| self.a[i * n + k] * side[k]).sum();
            let pivot = self.a[i * n + i];
            side[i] = if pivot > 1e-12 { (side[i] - sum) / pivot } else { 0.0 };
        }
        for i in (0..n).rev() {
            let sum: f64 = (i + 1..n).map(|k| self.a[k * n + i] * side[k]).sum();
            let pivot = self.a[i * n + i];
            side[i] = if pivot > 1e-12 { (side[i] - sum) / pivot } else { 0.0 };
        }
        side
    }
}

/// Returns eigenvalues, largest first, and eigenvectors (as rows) of a symmetric matrix, by Jacobi's rotations.
pub fn eigen(symmetric: &Matrix) -> (Vec<f64>, Matrix) {
    let n = symmetric.rows;
    let mut a: Vec<f64> = symmetric.data.iter().map(|value| f64::from(*value)).collect();
    let mut vectors = vec![0.0_f64; n * n];
    (0..n).for_each(|i| vectors[i * n + i] = 1.0);
    for _ in 0..30 {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * n + j].powi(2)).sum();
        let total: f64 = a.iter().map(|value| value * value).sum();
        if off <= 1e-18 * total {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut vectors, n, (p, q));
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|x, y| a[y * n + y].total_cmp(&a[x * n + x]));
    let values = order.iter().map(|i| a[i * n + i]).collect();
    let rows = order.iter().flat_map(|i| vectors[i * n..(i + 1) * n].iter().map(|value| *value as f32)).collect();
    (values, Matrix { rows: n, columns: n, data: rows })
}

fn rotate(a: &mut [f64], vectors: &mut [f64], n: usize, (p, q): (usize, usize)) {
    let apq = a[p * n + q];
    if apq.abs() < 1e-300 {
        return;
    }
    let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
    let tangent = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
    let sine = tangent * cosine;
    for k in 0..n {
        let (x, y) = (a[k * n + p], a[k * n + q]);
        (a[k * n + p], a[k * n + q]) = (cosine * x - sine * y, sine * x + cosine * y);
    }
    for k in 0..n {
        let (x, y) = (a[p * n + k], a[q * n + k]);
        (a[p * n + k], a[q * n + k]) = (cosine * x - sine * y, sine * x + cosine * y);
        let (x, y) = (vectors[p * n + k], vectors[q * n + k]);
        (vectors[p * n + k], vectors[q * n + k]) = (cosine * x - sine * y, sine * x + cosine * y);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_system_with_a_known_answer_is_solved() {
        let mut system = Normal::new(2);
        system.add(&[1.0, 2.0], 1.0, 5.0);
        system.add(&[3.0, -1.0], 1.0, 1.0);

        let solution = system.solve();

        assert!((solution[0] - 1.0).abs() < 1e-9 && (solution[1] - 2.0).abs() < 1e-9, "{solution:?}");
    }

    #[test]
    fn other_right_sides_are_solved_by_the_same_left_one() {
        let mut system = Normal::new(2);
        system.add(&[1.0, 2.0], 1.0, 5.0);
        system.add(&[3.0, -1.0], 1.0, 1.0);

        // The left side is [[10, -1], [-1, 5]].
        let solutions = system.solve_for(vec![vec![9.0, 4.0], vec![-2.0, 10.0]]);

        for (solution, expected) in solutions.iter().zip([[1.0, 1.0], [0.0, 2.0]]) {
            assert!(solution.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-9));
        }
    }

    proptest! {
        #[test]
        fn eigenvectors_rebuild_their_matrix(values in prop::collection::vec(-2.0_f32..2.0, 16)) {
            let square = Matrix { rows: 4, columns: 4, data: values };
            let symmetric = square.transposed().times(&square);

            let (values, vectors) = eigen(&symmetric);

            for i in 0..4 {
                for j in 0..4 {
                    let rebuilt: f64 = (0..4)
                        .map(|k| values[k] * f64::from(vectors.row(k)[i]) * f64::from(vectors.row(k)[j]))
                        .sum();
                    prop_assert!((rebuilt - f64::from(symmetric.row(i)[j])).abs() < 1e-3);
                }
            }
        }
    }
}
