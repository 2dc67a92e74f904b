//! What a model is taken for before anyone has graded it: a regression of the known models' ability on price, size and context.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: three facts everywhere")]

use super::matrix::Normal;
use crate::{
    domain::ModelTraits,
    scoring::profiles::{Newcomer, Slope},
};

/// Precision of a slope, in units of one model: what one model says.
const PRECISION: f64 = 2.0;
/// Facts of a model: price, size, context.
const FACTS: usize = 3;

/// A known model: what is known of it, and its log-odds relative to what is common to all.
pub type Known = (ModelTraits, f64);

/// Fits slopes to known models; a fact that is not known of a model counts as the mean.
pub fn fit(known: &[Known], precision: &[f64]) -> Newcomer {
    let centers = centers(known);
    let rows: Vec<([f64; FACTS], f64)> = known.iter().map(|(model, bias)| (above(model, &centers), *bias)).collect();
    let (weights, mean) = regression(&rows, None);
    let slope = |fact: usize| Slope { weight: weights[fact] as f32, center: centers[fact] as f32 };
    Newcomer {
        bias: mean as f32,
        price: slope(0),
        size: slope(1),
        context: slope(2),
        spread: left_out_error(&rows) as f32,
        precision: precision.iter().map(|precision| *precision as f32).collect(),
    }
}

fn facts(model: &ModelTraits) -> [Option<f64>; FACTS] {
    [model.price(), model.size(), model.context()]
}

fn centers(known: &[Known]) -> [f64; FACTS] {
    let mut centers = [0.0; FACTS];
    for (fact, center) in centers.iter_mut().enumerate() {
        let values: Vec<f64> = known.iter().filter_map(|(model, _)| facts(model)[fact]).collect();
        *center = values.iter().sum::<f64>() / values.len().max(1) as f64;
    }
    centers
}

fn above(model: &ModelTraits, centers: &[f64; FACTS]) -> [f64; FACTS] {
    let mut row = facts(model).map(|value| value.unwrap_or(f64::NAN));
    for (value, center) in row.iter_mut().zip(centers) {
        *value = if value.is_nan() { 0.0 } else { *value - center };
    }
    row
}

/// Returns slopes and mean, fitted without one model.
fn regression(rows: &[([f64; FACTS], f64)], left_out: Option<usize>) -> ([f64; FACTS], f64) {
    let used: Vec<_> =
        rows.iter().enumerate().filter(|(index, _)| Some(*index) != left_out).map(|(_, row)| row).collect();
    let mean = used.iter().map(|(_, bias)| bias).sum::<f64>() / used.len().max(1) as f64;
    let mut system = Normal::new(FACTS);
    for (row, bias) in used {
        system.add(&row.map(|value| value as f32), 1.0, bias - mean);
    }
    (0..FACTS).for_each(|fact| system.add_diagonal(fact, PRECISION, 0.0));
    let solution = system.solve();
    (std::array::from_fn(|fact| solution[fact]), mean)
}

fn left_out_error(rows: &[([f64; FACTS], f64)]) -> f64 {
    let squared = (0..rows.len()).map(|index| {
        let (weights, mean) = regression(rows, Some(index));
        let (row, bias) = &rows[index];
        let predicted = mean + row.iter().zip(weights).map(|(value, weight)| value * weight).sum::<f64>();
        (bias - predicted).powi(2)
    });
    (squared.sum::<f64>() / rows.len().max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dear_models_are_taken_for_better_ones_where_they_were() {
        let known =
            |dollars: f64, bias: f64| (ModelTraits { output_dollars: Some(dollars), ..ModelTraits::default() }, bias);
        let models: Vec<Known> = (0..20).map(|step| known(f64::from(step), f64::from(step).ln_1p() - 1.0)).collect();

        let newcomer = fit(&models, &[]);

        assert!(newcomer.price.weight > 0.7, "{newcomer:?}");
        assert_eq!((newcomer.size.weight, newcomer.context.weight), (0.0, 0.0));
        assert!(newcomer.spread < 0.3, "{newcomer:?}");
    }

    #[test]
    fn models_that_differ_for_no_known_reason_make_the_spread_wide() {
        let models: Vec<Known> =
            (0..20).map(|step| (ModelTraits::default(), if step % 2 == 0 { 1.0 } else { -1.0 })).collect();

        let newcomer = fit(&models, &[]);

        assert!((newcomer.spread - 1.0).abs() < 0.1 && newcomer.bias.abs() < 1e-6, "{newcomer:?}");
    }
}
