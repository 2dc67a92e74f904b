//! The ONNX graph of a static router, operation by operation.
//!
//! ```text
//! input_ids ── with the one before: hash ── slots [b,2s]: tokens, then pairs
//! slots, places ── ScatterElements ── GatherElements ── Equal = first [b,2s]: 1 where a slot occurs first
//! first ── MatMul(Gather(table)) ── / its length = embedding [b,d] ───────────┐
//! attention_mask ── MatMul(Gather(forms)) ── / tokens ────────────────────────┤
//! attention_mask ── ReduceSum ── Log ─────────────────────────────────────────┴ Concat = inputs
//! first ── MatMul(Gather(words)) ── / its length = word_scores
//! inputs ── MatMul + word_scores ── Split ┬ Softmax = domains ────────────────┐
//!                                         └ times share of its domains = traits ┴ Concat = latent [b,k]
//! inputs, domains ── Concat ── MatMul + = output_tokens [b,2]
//! ```
//!
//! Only operations that ONNX Runtime and RTen compute alike in f32. A slot's place is written by all its occurrences and read
//! back by all; one of them finds its own, which makes words distinct in linear time.

use super::{
    builder::Builder,
    encoder::Encoder,
    heads::Linear,
    matrix::Matrix,
    presence::{PAIR_HASH, PAIRS},
};
use crate::scoring::{
    artifact::OutputWidths,
    session::{ATTENTION_MASK, INPUT_IDS},
};

/// Keeps square roots and quotients of nothing finite.
pub const TINY: f32 = 1e-24;

/// What goes into the graph besides the encoder.
#[derive(Clone, Debug)]
pub struct Heads {
    /// Soft domains, as logits, and traits behind them, on the dense inputs.
    pub scores: Linear,
    /// What words and pairs add to the scores, [`Presence::table`](super::presence::Presence::table); `None` for encoders that
    /// give dense inputs only.
    pub words: Option<Matrix>,
    /// Names of the traits.
    pub traits: Vec<String>,
    /// Which domains each trait is about, `[domains, traits]`, 0 or 1.
    pub about: Matrix,
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
        Self {
            scores: linear(2, inputs),
            words: None,
            traits: vec!["ease".to_owned()],
            about: Matrix::zeros(1, 1),
            length: linear(2, inputs + 1),
        }
    }

    /// Returns the widths of the graph's outputs beside an embedding of `embedding` entries.
    pub fn widths(&self, embedding: usize) -> OutputWidths {
        OutputWidths { embedding, latent: self.scores.bias.len(), output_tokens: self.length.bias.len() }
    }
}

/// Returns the graph as an ONNX file.
pub fn write(name: &str, encoder: &Encoder, heads: &Heads) -> Vec<u8> {
    let mut graph = Builder::default();
    graph.weights("table", &encoder.table);
    graph.weights("forms", &encoder.forms);
    graph.integers("axis_1", &[1]);
    slots(&mut graph, encoder.table.rows);
    first_occurrences(&mut graph, encoder.table.rows + PAIRS + 1);
    pooled(&mut graph, "table", (INPUT_IDS, "first_tokens"), "sum");
    pooled(&mut graph, "forms", (INPUT_IDS, ATTENTION_MASK), "form_sum");
    normalise(&mut graph);
    graph.node_keeping_axes("ReduceSum", &[ATTENTION_MASK, "axis_1"], "tokens");
    graph.node("Div", &["form_sum", "tokens"], "shares");
    graph.node("Log", &["tokens"], "log_tokens");
    graph.node_on_axis("Concat", &["embedding", "shares", "log_tokens"], "inputs", 1);
    attach(heads, &mut graph);
    graph.finish(name, heads.widths(encoder.table.columns))
}

/// Adds `slots`, the [presence](super::presence) columns of each token and of its pair with the one before; padding has the
/// column behind them all.
fn slots(graph: &mut Builder, tokens: usize) {
    let [first, second, offset] = PAIR_HASH.map(i64::from);
    graph.integers("one_before", &[0, 1, 0, 0]);
    graph.integers("from_first", &[0]);
    graph.integers("to_last", &[-1]);
    graph.integers("hash_before", &[first]);
    graph.integers("hash_token", &[second]);
    graph.integers("hash_offset", &[offset]);
    graph.integers("pairs_size", &[PAIRS as i64]);
    graph.integers("pairs_begin", &[tokens as i64]);
    graph.integers("padding_slot", &[(tokens + PAIRS) as i64]);
    graph.numbers("half", 0.5);
    graph.node("Pad", &[INPUT_IDS, "one_before"], "moved");
    graph.node("Slice", &["moved", "from_first", "to_last", "axis_1"], "before");
    graph.node("Mul", &["before", "hash_before"], "hashed_before");
    graph.node("Mul", &[INPUT_IDS, "hash_token"], "hashed_token");
    graph.node("Add", &["hashed_before", "hashed_token"], "hashed_both");
    graph.node("Add", &["hashed_both", "hash_offset"], "hashed");
    graph.node("Mod", &["hashed", "pairs_size"], "bucket");
    graph.node("Add", &["bucket", "pairs_begin"], "pairs");
    graph.node_on_axis("Concat", &[INPUT_IDS, "pairs"], "unmasked_slots", 1);
    graph.node_on_axis("Concat", &[ATTENTION_MASK, ATTENTION_MASK], "slot_mask", 1);
    graph.node("Greater", &["slot_mask", "half"], "is_real");
    graph.node("Where", &["is_real", "unmasked_slots", "padding_slot"], "slots");
}

/// Adds `first`, 1 for one occurrence of each slot and 0 for its others and for padding, and its half for tokens.
fn first_occurrences(graph: &mut Builder, columns: usize) {
    const FLOAT: i64 = 1;
    graph.integers("columns", &[columns as i64]);
    graph.integers("two", &[2]);
    graph.node("CumSum", &["slot_mask", "axis_1"], "places");
    graph.node("Shape", &[INPUT_IDS], "shape");
    graph.node("Slice", &["shape", "from_first", "axis_1"], "batch");
    graph.node("Slice", &["shape", "axis_1", "two"], "length");
    graph.node_on_axis("Concat", &["batch", "columns"], "board_shape", 0);
    graph.node("ConstantOfShape", &["board_shape"], "board");
    graph.node_on_axis("ScatterElements", &["board", "slots", "places"], "written", 1);
    graph.node_on_axis("GatherElements", &["written", "slots"], "read", 1);
    graph.node("Equal", &["read", "places"], "is_own");
    graph.node_with("Cast", &["is_own"], &["own"], [("to", super::builder::Setting::Integer(FLOAT))]);
    graph.node("Mul", &["own", "slot_mask"], "first");
    graph.node("Slice", &["first", "from_first", "length", "axis_1"], "first_tokens");
}

/// Adds the heads on the tensor `inputs`, `[batch, inputs]`; gives `latent` and `output_tokens`.
pub fn attach(heads: &Heads, graph: &mut Builder) {
    let domains = heads.about.rows;
    let traits = heads.about.columns;
    graph.integers("scores_split", &[domains as i64, traits as i64]);
    let Some(words) = &heads.words else {
        graph.linear("scores", &heads.scores, "inputs", "scores");
        return outputs(heads, graph);
    };
    graph.linear("scores", &heads.scores, "inputs", "dense_scores");
    graph.weights("words", words);
    graph.integers("words_split", &[(domains + traits) as i64, 1]);
    pooled(graph, "words", ("slots", "first"), "word_sums");
    graph.node_with("Split", &["word_sums", "words_split"], &["word_sum", "word_squares"], AXIS_1);
    graph.node("Add", &["word_squares", "tiny"], "word_squares_safe");
    graph.node("Sqrt", &["word_squares_safe"], "word_length");
    graph.node("Div", &["word_sum", "word_length"], "word_scores");
    graph.node("Add", &["dense_scores", "word_scores"], "scores");
    outputs(heads, graph);
}

const AXIS_1: [(&str, super::builder::Setting); 1] = [("axis", super::builder::Setting::Integer(1))];

fn outputs(heads: &Heads, graph: &mut Builder) {
    graph.weights("about", &heads.about);
    graph.node_with("Split", &["scores", "scores_split"], &["domain_logits", "plain_traits"], AXIS_1);
    graph.node_on_axis("Softmax", &["domain_logits"], "domains", 1);
    graph.node("MatMul", &["domains", "about"], "trait_shares");
    graph.node("Mul", &["plain_traits", "trait_shares"], "traits");
    graph.node_on_axis("Concat", &["domains", "traits"], "latent", 1);
    graph.node_on_axis("Concat", &["inputs", "domains"], "inputs_and_domains", 1);
    graph.linear("length", &heads.length, "inputs_and_domains", "output_tokens");
}

/// Adds `embedding`, the tensor `sum` at length 1; `axis_1` is there.
pub fn normalise(graph: &mut Builder) {
    graph.numbers("tiny", TINY);
    graph.node("Mul", &["sum", "sum"], "squares");
    graph.node_keeping_axes("ReduceSum", &["squares", "axis_1"], "square_sum");
    graph.node("Add", &["square_sum", "tiny"], "square_sum_safe");
    graph.node("Sqrt", &["square_sum_safe"], "length_of_sum");
    graph.node("Div", &["sum", "length_of_sum"], "embedding");
}

/// The weighted sum of a table's rows at some indices.
fn pooled(graph: &mut Builder, table: &str, (indices, weights): (&str, &str), out: &str) {
    let (rows, row, sum) = (format!("{table}_rows"), format!("{table}_mask"), format!("{table}_sum"));
    graph.node_on_axis("Gather", &[table, indices], &rows, 0);
    graph.node("Unsqueeze", &[weights, "axis_1"], &row);
    graph.node("MatMul", &[&row, &rows], &sum);
    graph.node("Squeeze", &[&sum, "axis_1"], out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        learning::{
            encoder::{EMBEDDING, FORMS, INPUTS},
            heads::softmax,
            presence::{DENSE_SPREAD, Presence},
            wide::Wide,
        },
        scoring::{
            Session,
            session_rten::{RtenGraph, RtenSession},
        },
    };

    const TOKENS: usize = 6;

    /// Numbers between -0.5 and 0.5 without a pattern.
    fn numbers(rows: usize, columns: usize) -> Matrix {
        let number = |index: usize| (index * 7_919 % 1_009) as f32 / 1_009.0 - 0.5;
        Matrix { rows, columns, data: (0..rows * columns).map(number).collect() }
    }

    #[test]
    fn the_graph_says_of_a_prompt_what_training_says() {
        let prompts = [vec![3, 1, 3, 2], vec![5], vec![4, 4, 4, 1, 2, 3, 4, 4]];
        let encoder = Encoder { table: numbers(TOKENS, EMBEDDING), forms: numbers(TOKENS, FORMS.len()) };
        let presence = Presence::train(TOKENS, &prompts);
        let dense = encoder.encode_all(&prompts);
        let rows = presence.rows(&prompts, &dense);
        let wide = Wide { weights: numbers(presence.columns() + INPUTS, 3), bias: vec![0.1, -0.2, 0.3] };
        let (words, scores) = wide.split(presence.columns(), DENSE_SPREAD);
        let about = Matrix { rows: 2, columns: 1, data: vec![0.0, 1.0] };
        let length = Linear { weights: Matrix::zeros(2, INPUTS + 2), bias: vec![1.0, 2.0] };
        let words = Some(presence.table(&words));
        let heads = Heads { scores, words, traits: vec!["ease".to_owned()], about, length };
        let mut session = RtenSession::new(RtenGraph::load(write("tiny-v1", &encoder, &heads)).unwrap());

        for (index, ids) in prompts.iter().enumerate() {
            let outputs = session.run(ids).unwrap();

            let scores = wide.apply(rows.row(index));
            let domains = softmax(scores[..2].to_vec());
            let expected = [domains[0], domains[1], domains[1] * scores[2]];
            for (found, expected) in outputs.latent.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-4, "{:?} {expected:?}", outputs.latent);
            }
            for (found, expected) in outputs.embedding.iter().zip(dense.row(index)) {
                assert!((found - expected).abs() < 1e-5);
            }
        }
    }
}
