//! Eight-bit weights with a scale per column, and products with activations that are quantised as they come (1712.05877).
//!
//! Weights are symmetric and use seven of the eight bits: on processors without VNNI the products of a byte and a signed byte
//! are added in pairs in 16 bits, which overflow with eight.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: indices are bounded by the shapes of their operands")]

use crate::learning::{
    builder::{Builder, Setting},
    matrix::Matrix,
};
use crate::scoring::onnx::{FLOAT, INT8};

/// Largest stored weight of a product.
const LARGEST: f32 = 63.0;
/// Largest stored entry of a table, which is looked up and not multiplied.
const LARGEST_LOOKED_UP: f32 = 127.0;

/// Quantises the tensor `name` to `<name>_bytes` with `<name>_scale` and `<name>_zero`.
pub fn activations(graph: &mut Builder, name: &str) {
    let (bytes, scale, zero) = (format!("{name}_bytes"), format!("{name}_scale"), format!("{name}_zero"));
    graph.node_with("DynamicQuantizeLinear", &[name], &[&bytes, &scale, &zero], []);
}

/// Adds the product of a tensor that [`activations`] has quantised with weights `[inputs, outputs]`.
pub fn product(graph: &mut Builder, (input, weights): (&str, &Matrix), output: &str) {
    let part = |part: &str| format!("{output}_{part}");
    let (bytes, scales) = columns(weights, LARGEST);
    let (stored, stored_zero, stored_scale) = (part("weights"), part("weights_zero"), part("weights_scale"));
    graph.constant(&stored, &[weights.rows, weights.columns], INT8, bytes);
    graph.constant(&stored_zero, &[], INT8, vec![0]);
    graph.tensor(&stored_scale, &[weights.columns], &scales);
    let (given, given_zero, given_scale) =
        (format!("{input}_bytes"), format!("{input}_zero"), format!("{input}_scale"));
    graph.node("MatMulInteger", &[&given, &stored, &given_zero, &stored_zero], &part("whole"));
    as_float(graph, &part("whole"), &part("float"));
    graph.node("Mul", &[&given_scale, &stored_scale], &part("scale"));
    graph.node("Mul", &[&part("float"), &part("scale")], output);
}

/// Adds the rows of a table of 8-bit rows, each with its own scale, that `index` asks for.
pub fn rows(graph: &mut Builder, name: &str, table: &Matrix, index: &str, output: &str) {
    let part = |part: &str| format!("{name}_{part}");
    let (columns, scales) = columns(&table.transposed(), LARGEST_LOOKED_UP);
    graph.constant(name, &[table.rows, table.columns], INT8, transposed(&columns, table.columns));
    graph.tensor(&part("scale"), &[table.rows, 1], &scales);
    graph.node_on_axis("Gather", &[name, index], &part("bytes"), 0);
    graph.node_on_axis("Gather", &[&part("scale"), index], &part("scales"), 0);
    as_float(graph, &part("bytes"), &part("float"));
    graph.node("Mul", &[&part("float"), &part("scales")], output);
}

fn as_float(graph: &mut Builder, input: &str, output: &str) {
    graph.node_with("Cast", &[input], &[output], [("to", Setting::Integer(i64::from(FLOAT)))]);
}

/// Returns the rounded weights, row by row as two's complement, and the scale of each column.
fn columns(weights: &Matrix, bound: f32) -> (Vec<u8>, Vec<f32>) {
    let mut largest = vec![0.0_f32; weights.columns];
    for row in weights.iter() {
        largest.iter_mut().zip(row).for_each(|(largest, weight)| *largest = largest.max(weight.abs()));
    }
    let scales: Vec<f32> = largest.iter().map(|largest| largest.max(1e-12) / bound).collect();
    let bytes = weights.iter().flat_map(|row| row.iter().zip(&scales));
    let bytes = bytes.map(|(weight, scale)| ((weight / scale).round() as i8).cast_unsigned());
    (bytes.collect(), scales)
}

fn transposed(bytes: &[u8], rows: usize) -> Vec<u8> {
    let columns = bytes.len() / rows.max(1);
    (0..bytes.len()).map(|index| bytes[(index % rows) * columns + index / rows]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounded_weights_times_their_scale_are_close_to_the_weights() {
        let weights = Matrix { rows: 2, columns: 3, data: vec![0.5, -2.0, 0.0, -0.25, 1.0, 0.0] };

        let (bytes, scales) = columns(&weights, LARGEST);

        for (index, weight) in weights.data.iter().enumerate() {
            let scale = scales[index % 3];
            let restored = f32::from(bytes[index].cast_signed()) * scale;
            assert!((restored - weight).abs() <= scale / 2.0, "{restored} {weight}");
        }
        assert_eq!(bytes[..2], [63, 63_u8.wrapping_neg()]);
    }

    #[test]
    fn rows_are_stored_as_rows() {
        assert_eq!(transposed(&[1, 2, 3, 4, 5, 6], 2), [1, 4, 2, 5, 3, 6]);
    }
}
