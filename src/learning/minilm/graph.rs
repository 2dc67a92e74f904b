//! The ONNX graph of the encoder (BERT, 1810.04805, section 3, without dropout), operation by operation.
//!
//! ```text
//! input_ids ── Gather(words) ── + positions ── LayerNorm = x
//! six times:  x ── attention of twelve heads ── + x ── LayerNorm ── GELU layer ── + ── LayerNorm = x
//! x ── MatMul(mask) ── / length = embedding
//! ```
//!
//! With 8-bit weights each product is `DynamicQuantizeLinear`, `MatMulInteger` and a scale per column, a pattern that ONNX
//! Runtime fuses; attention itself, norms and sums stay in f32.

use super::{WIDTH, quantise, weights::Weights};
use crate::{
    learning::{
        LearningError,
        builder::{Builder, Setting},
        graph::{Heads, attach, normalise},
        matrix::Matrix,
    },
    scoring::session::{ATTENTION_MASK, INPUT_IDS},
};

/// How weights are stored and multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// As published.
    F32,
    /// Eight bits, a scale per column; activations are quantised as they come. A quarter of the size.
    Int8,
}

impl Precision {
    /// Returns how far engines may differ on an output. Six layers of f32 sums differ by about 1e-5; eight-bit activations are
    /// rounded to a 255th of their range, and engines round them differently.
    pub const fn tolerance(self) -> f32 {
        match self {
            Self::F32 => 5e-4,
            Self::Int8 => 0.2,
        }
    }

    /// Returns the least cosine between an embedding and the published one. Plain weights reach 0.999999; eight-bit activations
    /// alone cost up to 0.012, a wrong operation far more.
    pub const fn least_cosine(self) -> f32 {
        match self {
            Self::F32 => 0.999,
            Self::Int8 => 0.98,
        }
    }
}

const HEADS: usize = 12;
const HEAD_WIDTH: usize = WIDTH / HEADS;
const WIDE: usize = 4 * WIDTH;
const EPSILON: f32 = 1e-12;
/// Added to the attention's logits of padding: far below every other, yet finite.
const MASKED: f32 = -1e4;

/// Returns the encoder with heads, on its embedding and the logarithm of the number of tokens, as an ONNX file.
///
/// # Errors
/// A tensor is missing or has another shape.
pub fn write(name: &str, weights: &Weights, heads: &Heads, precision: Precision) -> Result<Vec<u8>, LearningError> {
    let mut writer = Writer { graph: Builder::default(), weights, precision };
    writer.constants();
    writer.words()?;
    let layers = weights.layers();
    for layer in 0..layers {
        writer.attention(layer)?;
        writer.feed_forward(layer)?;
    }
    writer.pool(layers);
    let mut graph = writer.graph;
    graph.node_keeping_axes("ReduceSum", &[ATTENTION_MASK, "axis_1"], "tokens");
    graph.node("Log", &["tokens"], "log_tokens");
    graph.node_on_axis("Concat", &["embedding", "log_tokens"], "inputs", 1);
    attach(heads, &mut graph);
    Ok(graph.finish(name, heads.widths(WIDTH)))
}

struct Writer<'a> {
    graph: Builder,
    weights: &'a Weights,
    precision: Precision,
}

impl Writer<'_> {
    fn constants(&mut self) {
        let graph = &mut self.graph;
        graph.integers("axis_0", &[0]);
        graph.integers("axis_1", &[1]);
        graph.integers("axes_1_2", &[1, 2]);
        graph.integers("by_head", &[0, 0, HEADS as i64, HEAD_WIDTH as i64]);
        graph.integers("together", &[0, 0, WIDTH as i64]);
        graph.numbers("one", 1.0);
        graph.numbers("half", 0.5);
        graph.numbers("root_of_two", std::f32::consts::SQRT_2);
        graph.numbers("masked", MASKED);
        graph.node("Sub", &["one", ATTENTION_MASK], "padding");
        graph.node("Mul", &["padding", "masked"], "padding_logits");
        graph.node("Unsqueeze", &["padding_logits", "axes_1_2"], "mask_by_head");
    }

    /// Word, position and segment vectors; there is one segment.
    fn words(&mut self) -> Result<(), LearningError> {
        let words = self.weights.table("embeddings.word_embeddings.weight", WIDTH)?;
        let mut positions = self.weights.table("embeddings.position_embeddings.weight", WIDTH)?.clone();
        let segments = self.weights.get("embeddings.token_type_embeddings.weight", (2, WIDTH))?;
        for row in positions.data.chunks_exact_mut(WIDTH) {
            row.iter_mut().zip(segments.row(0)).for_each(|(value, segment)| *value += segment);
        }
        let graph = &mut self.graph;
        match self.precision {
            Precision::F32 => {
                graph.weights("words", words);
                graph.node_on_axis("Gather", &["words", INPUT_IDS], "word_rows", 0);
            }
            Precision::Int8 => quantise::rows(graph, "words", words, INPUT_IDS, "word_rows"),
        }
        graph.weights("positions", &positions);
        graph.node("Shape", &[INPUT_IDS], "shape");
        graph.node_on_axis("Gather", &["shape", "axis_1"], "length", 0);
        graph.node("Slice", &["positions", "axis_0", "length", "axis_0"], "position_rows");
        graph.node("Add", &["word_rows", "position_rows"], "placed");
        self.norm("embeddings.LayerNorm", "placed", "x0")
    }

    fn attention(&mut self, layer: usize) -> Result<(), LearningError> {
        let own = |name: &str| format!("{name}{layer}");
        let (x, weights) = (own("x"), format!("encoder.layer.{layer}.attention"));
        let input = self.input(&x);
        // The queries carry the scale of the logits, 1 / sqrt(head width).
        let scale = 1.0 / (HEAD_WIDTH as f32).sqrt();
        for (part, scale, order) in
            [("query", scale, [0, 2, 1, 3]), ("key", 1.0, [0, 2, 3, 1]), ("value", 1.0, [0, 2, 1, 3])]
        {
            let (flat, split, turned) = (own(&format!("{part}_flat")), own(&format!("{part}_split")), own(part));
            let map = self.map(&format!("{weights}.self.{part}"), (WIDTH, WIDTH), scale)?;
            self.linear(&map, &input, &flat);
            self.graph.node("Reshape", &[&flat, "by_head"], &split);
            self.transpose(&split, order, &turned);
        }
        let graph = &mut self.graph;
        graph.node("MatMul", &[&own("query"), &own("key")], &own("logits"));
        graph.node("Add", &[&own("logits"), "mask_by_head"], &own("masked_logits"));
        graph.node_on_axis("Softmax", &[&own("masked_logits")], &own("attention"), -1);
        graph.node("MatMul", &[&own("attention"), &own("value")], &own("seen_by_head"));
        self.transpose(&own("seen_by_head"), [0, 2, 1, 3], &own("seen_split"));
        self.graph.node("Reshape", &[&own("seen_split"), "together"], &own("seen"));
        let map = self.map(&format!("{weights}.output.dense"), (WIDTH, WIDTH), 1.0)?;
        let input = self.input(&own("seen"));
        self.linear(&map, &input, &own("attended"));
        self.graph.node("Add", &[&own("attended"), &x], &own("attended_sum"));
        self.norm(&format!("{weights}.output.LayerNorm"), &own("attended_sum"), &own("y"))
    }

    /// GELU (1606.08415) in its exact form, `x (1 + erf(x / sqrt 2)) / 2`.
    fn feed_forward(&mut self, layer: usize) -> Result<(), LearningError> {
        let own = |name: &str| format!("{name}{layer}");
        let weights = format!("encoder.layer.{layer}");
        let map = self.map(&format!("{weights}.intermediate.dense"), (WIDE, WIDTH), 1.0)?;
        let input = self.input(&own("y"));
        self.linear(&map, &input, &own("wide"));
        let graph = &mut self.graph;
        graph.node("Div", &[&own("wide"), "root_of_two"], &own("wide_scaled"));
        graph.node("Erf", &[&own("wide_scaled")], &own("wide_erf"));
        graph.node("Add", &[&own("wide_erf"), "one"], &own("wide_gate"));
        graph.node("Mul", &[&own("wide"), &own("wide_gate")], &own("wide_gated"));
        graph.node("Mul", &[&own("wide_gated"), "half"], &own("gelu"));
        let map = self.map(&format!("{weights}.output.dense"), (WIDTH, WIDE), 1.0)?;
        let input = self.input(&own("gelu"));
        self.linear(&map, &input, &own("narrow"));
        self.graph.node("Add", &[&own("narrow"), &own("y")], &own("narrow_sum"));
        self.norm(&format!("{weights}.output.LayerNorm"), &own("narrow_sum"), &format!("x{}", layer + 1))
    }

    /// The mean over the tokens, at length 1: the sum does as well.
    fn pool(&mut self, layers: usize) {
        let last = format!("x{layers}");
        self.graph.node("Unsqueeze", &[ATTENTION_MASK, "axis_1"], "mask_row");
        self.graph.node("MatMul", &["mask_row", &last], "sum_row");
        self.graph.node("Squeeze", &["sum_row", "axis_1"], "sum");
        normalise(&mut self.graph);
    }

    fn norm(&mut self, weights: &str, input: &str, output: &str) -> Result<(), LearningError> {
        let (gain, shift) = (format!("{output}_gain"), format!("{output}_shift"));
        for (part, name) in [("weight", &gain), ("bias", &shift)] {
            let tensor = self.weights.get(&format!("{weights}.{part}"), (1, WIDTH))?;
            self.graph.tensor(name, &[WIDTH], &tensor.data);
        }
        let settings = [("axis", Setting::Integer(-1)), ("epsilon", Setting::Number(EPSILON))];
        self.graph.node_with("LayerNormalization", &[input, &gain, &shift], &[output], settings);
        Ok(())
    }

    fn transpose(&mut self, input: &str, order: [i64; 4], output: &str) {
        let order = [("perm", Setting::Integers(order.to_vec()))];
        self.graph.node_with("Transpose", &[input], &[output], order);
    }

    /// Returns the tensors of a linear map of this shape, multiplied by `scale`, its weights as `[inputs, outputs]`.
    fn map(&self, name: &str, shape: (usize, usize), scale: f32) -> Result<Map, LearningError> {
        let mut weights = self.weights.get(&format!("{name}.weight"), shape)?.transposed();
        let mut bias = self.weights.get(&format!("{name}.bias"), (1, shape.0))?.data.clone();
        weights.data.iter_mut().chain(&mut bias).for_each(|value| *value *= scale);
        Ok(Map { weights, bias })
    }

    /// Prepares a tensor for [`Writer::linear`].
    fn input(&mut self, name: &str) -> String {
        if self.precision == Precision::Int8 {
            quantise::activations(&mut self.graph, name);
        }
        name.to_owned()
    }

    fn linear(&mut self, map: &Map, input: &str, output: &str) {
        let (weights, bias, product) =
            (format!("{output}_weights"), format!("{output}_bias"), format!("{output}_product"));
        self.graph.tensor(&bias, &[map.bias.len()], &map.bias);
        match self.precision {
            Precision::F32 => {
                self.graph.weights(&weights, &map.weights);
                self.graph.node("MatMul", &[input, &weights], &product);
            }
            Precision::Int8 => quantise::product(&mut self.graph, (input, &map.weights), &product),
        }
        self.graph.node("Add", &[&product, &bias], output);
    }
}

/// A linear map; weights are `[inputs, outputs]`.
struct Map {
    weights: Matrix,
    bias: Vec<f32>,
}
