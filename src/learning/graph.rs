//! The ONNX graph of a static router, operation by operation.
//!
//! ```text
//! input_ids [b,s] ──Gather(table)── MatMul(mask) ── / length ──────────────┐ embedding [b,d]
//!              └────Gather(forms)── MatMul(mask) ── / tokens ──────────────┤
//! attention_mask [b,s] ── ReduceSum ── Log ────────────────────────────────┴ Concat = inputs
//! inputs ── MatMul + ── Softmax = domains ┐
//! inputs ── MatMul + = ease ──────────────┴ Concat = latent [b,k]
//! inputs, domains ── Concat ── MatMul + = output_tokens [b,2]
//! ```
//!
//! Only operations that ONNX Runtime and RTen compute alike in f32.

use super::{builder::Builder, encoder::Encoder, heads::Linear, matrix::Matrix};
use crate::scoring::{
    artifact::OutputWidths,
    session::{ATTENTION_MASK, INPUT_IDS},
};

/// What goes into the graph besides the encoder.
#[derive(Clone, Debug)]
pub struct Heads {
    /// Soft domains: logits.
    pub domains: Linear,
    /// How much easier or harder the prompt is than its domains.
    pub ease: Linear,
    /// Median and 90 % quantile of the log length, on inputs and domains.
    pub length: Linear,
}

impl Heads {
    /// Returns heads that say the same of every prompt, for an encoder of `inputs` entries that has none yet.
    pub fn silent(inputs: usize) -> Self {
        let linear = |outputs: usize, inputs: usize| Linear {
            weights: Matrix::zeros(outputs, inputs),
            bias: vec![0.0; outputs],
        };
        Self { domains: linear(1, inputs), ease: linear(1, inputs), length: linear(2, inputs + 1) }
    }

    /// Returns the widths of the graph's outputs beside an embedding of `embedding` entries.
    pub fn widths(&self, embedding: usize) -> OutputWidths {
        let latent = self.domains.bias.len() + self.ease.bias.len();
        OutputWidths { embedding, latent, output_tokens: self.length.bias.len() }
    }
}

/// Returns the graph as an ONNX file.
pub fn write(name: &str, encoder: &Encoder, heads: &Heads) -> Vec<u8> {
    let mut graph = Builder::default();
    graph.weights("table", &encoder.table);
    graph.weights("forms", &encoder.forms);
    graph.integers("axis_1", &[1]);
    pooled(&mut graph, "table", "sum");
    pooled(&mut graph, "forms", "form_sum");
    normalise(&mut graph);
    graph.node_keeping_axes("ReduceSum", &[ATTENTION_MASK, "axis_1"], "tokens");
    graph.node("Div", &["form_sum", "tokens"], "shares");
    graph.node("Log", &["tokens"], "log_tokens");
    graph.node_on_axis("Concat", &["embedding", "shares", "log_tokens"], "inputs", 1);
    attach(heads, &mut graph);
    graph.finish(name, heads.widths(encoder.table.columns))
}

/// Adds the heads on the tensor `inputs`, `[batch, inputs]`; gives `latent` and `output_tokens`.
pub fn attach(heads: &Heads, graph: &mut Builder) {
    graph.linear("domains", &heads.domains, "inputs", "domain_logits");
    graph.node_on_axis("Softmax", &["domain_logits"], "domains", 1);
    graph.linear("ease", &heads.ease, "inputs", "ease");
    graph.node_on_axis("Concat", &["domains", "ease"], "latent", 1);
    graph.node_on_axis("Concat", &["inputs", "domains"], "inputs_and_domains", 1);
    graph.linear("length", &heads.length, "inputs_and_domains", "output_tokens");
}

/// Adds `embedding`, the tensor `sum` at length 1; `axis_1` is there.
pub fn normalise(graph: &mut Builder) {
    graph.numbers("tiny", 1e-24);
    graph.node("Mul", &["sum", "sum"], "squares");
    graph.node_keeping_axes("ReduceSum", &["squares", "axis_1"], "square_sum");
    graph.node("Add", &["square_sum", "tiny"], "square_sum_safe");
    graph.node("Sqrt", &["square_sum_safe"], "length_of_sum");
    graph.node("Div", &["sum", "length_of_sum"], "embedding");
}

/// The masked sum of a table's rows over the tokens.
fn pooled(graph: &mut Builder, table: &str, out: &str) {
    let (rows, row, sum) = (format!("{table}_rows"), format!("{table}_mask"), format!("{table}_sum"));
    graph.node_on_axis("Gather", &[table, INPUT_IDS], &rows, 0);
    graph.node("Unsqueeze", &[ATTENTION_MASK, "axis_1"], &row);
    graph.node("MatMul", &[&row, &rows], &sum);
    graph.node("Squeeze", &[&sum, "axis_1"], out);
}
