//! A logistic curve of rightness over similarity, with how sure it is.

use super::Label;

/// Similarities are small numbers near 1; the curve's argument is `SCALE * (similarity - CENTRE)`.
const CENTRE: f64 = 0.9;
const SCALE: f64 = 10.0;
/// Precision of the prior on both parameters, a standard deviation of 5: weak, and enough that labels which are all right give a
/// finite curve.
const PRIOR: f64 = 1.0 / 25.0;
const ROUNDS: usize = 25;

/// `p(right) = sigmoid(offset + slope * x)`, with the covariance of its parameters (Laplace's approximation).
pub(super) struct Curve {
    offset: f64,
    slope: f64,
    covariance: [f64; 3],
}

impl Curve {
    /// Returns the lower end of the curve's interval, `quantile` standard deviations below it.
    pub(super) fn lower(&self, similarity: f32, quantile: f64) -> f64 {
        let x = argument(similarity);
        let [both, mixed, slopes] = self.covariance;
        let deviation = (both + 2.0 * mixed * x + slopes * x * x).max(0.0).sqrt();
        sigmoid(self.offset + self.slope * x - quantile * deviation)
    }
}

/// Fits by Newton's method to the maximum a posteriori.
pub(super) fn fit<'l>(labels: impl Iterator<Item = &'l Label> + Clone) -> Curve {
    let (mut offset, mut slope) = (0.0, 0.0);
    let mut hessian = [PRIOR, 0.0, PRIOR];
    for _ in 0..ROUNDS {
        let mut gradient = [-PRIOR * offset, -PRIOR * slope];
        hessian = [PRIOR, 0.0, PRIOR];
        for label in labels.clone() {
            let x = argument(label.similarity);
            let expected = sigmoid(offset + slope * x);
            let error = f64::from(u8::from(label.is_right)) - expected;
            let weight = expected * (1.0 - expected);
            gradient = [gradient[0] + error, gradient[1] + error * x];
            hessian = [hessian[0] + weight, hessian[1] + weight * x, hessian[2] + weight * x * x];
        }
        let [first, mixed, last] = hessian;
        let determinant = first * last - mixed * mixed;
        offset += (last * gradient[0] - mixed * gradient[1]) / determinant;
        slope += (first * gradient[1] - mixed * gradient[0]) / determinant;
    }
    let [first, mixed, last] = hessian;
    let determinant = first * last - mixed * mixed;
    Curve { offset, slope, covariance: [last / determinant, -mixed / determinant, first / determinant] }
}

fn argument(similarity: f32) -> f64 {
    SCALE * (f64::from(similarity) - CENTRE)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
