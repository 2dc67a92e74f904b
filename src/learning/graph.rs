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

use prost::Message;

use super::{encoder::Encoder, heads::Linear, matrix::Matrix};
use crate::scoring::{
    onnx::{
        AttributeProto, Dimension, DimensionProto, FLOAT, GraphProto, INT64, ModelProto, NodeProto, OperatorSetProto,
        TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
    },
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

/// Returns the graph as an ONNX file.
pub fn write(name: &str, encoder: &Encoder, heads: &Heads) -> Vec<u8> {
    let mut graph = Builder::default();
    graph.weights("table", &encoder.table);
    graph.weights("forms", &encoder.forms);
    graph.integers("axis_1", &[1]);
    graph.numbers("tiny", 1e-24);
    pooled(&mut graph, "table", "sum");
    pooled(&mut graph, "forms", "form_sum");
    graph.node("Mul", &["sum", "sum"], "squares");
    graph.node_keeping_axes("ReduceSum", &["squares", "axis_1"], "square_sum");
    graph.node("Add", &["square_sum", "tiny"], "square_sum_safe");
    graph.node("Sqrt", &["square_sum_safe"], "length_of_sum");
    graph.node("Div", &["sum", "length_of_sum"], "embedding");
    graph.node_keeping_axes("ReduceSum", &[ATTENTION_MASK, "axis_1"], "tokens");
    graph.node("Div", &["form_sum", "tokens"], "shares");
    graph.node("Log", &["tokens"], "log_tokens");
    graph.node_on_axis("Concat", &["embedding", "shares", "log_tokens"], "inputs", 1);
    graph.linear("domains", &heads.domains, "inputs", "domain_logits");
    graph.node_on_axis("Softmax", &["domain_logits"], "domains", 1);
    graph.linear("ease", &heads.ease, "inputs", "ease");
    graph.node_on_axis("Concat", &["domains", "ease"], "latent", 1);
    graph.node_on_axis("Concat", &["inputs", "domains"], "inputs_and_domains", 1);
    graph.linear("length", &heads.length, "inputs_and_domains", "output_tokens");
    graph.finish(name, encoder, heads)
}

/// The masked sum of a table's rows over the tokens.
fn pooled(graph: &mut Builder, table: &str, out: &str) {
    let (rows, row, sum) = (format!("{table}_rows"), format!("{table}_mask"), format!("{table}_sum"));
    graph.node_on_axis("Gather", &[table, INPUT_IDS], &rows, 0);
    graph.node("Unsqueeze", &[ATTENTION_MASK, "axis_1"], &row);
    graph.node("MatMul", &[&row, &rows], &sum);
    graph.node("Squeeze", &[&sum, "axis_1"], out);
}

#[derive(Default)]
struct Builder {
    graph: GraphProto,
}

impl Builder {
    fn node(&mut self, kind: &str, inputs: &[&str], output: &str) {
        self.push(kind, inputs, output, None);
    }

    fn node_on_axis(&mut self, kind: &str, inputs: &[&str], output: &str, axis: i64) {
        self.push(kind, inputs, output, Some(("axis", axis)));
    }

    fn node_keeping_axes(&mut self, kind: &str, inputs: &[&str], output: &str) {
        self.push(kind, inputs, output, Some(("keepdims", 1)));
    }

    fn push(&mut self, kind: &str, inputs: &[&str], output: &str, setting: Option<(&str, i64)>) {
        const INTEGER: i32 = 2;
        let attribute = setting.map(|(name, i)| AttributeProto { name: name.to_owned(), i, kind: INTEGER });
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|input| (*input).to_owned()).collect(),
            output: vec![output.to_owned()],
            name: format!("make_{output}"),
            op_type: kind.to_owned(),
            attribute: attribute.into_iter().collect(),
        });
    }

    fn linear(&mut self, name: &str, linear: &Linear, input: &str, output: &str) {
        let (weights, bias, product) = (format!("{name}_weights"), format!("{name}_bias"), format!("{name}_product"));
        self.weights(&weights, &linear.weights.transposed());
        self.tensor(&bias, &[1, linear.bias.len()], &linear.bias);
        self.node("MatMul", &[input, &weights], &product);
        self.node("Add", &[&product, &bias], output);
    }

    fn weights(&mut self, name: &str, matrix: &Matrix) {
        self.tensor(name, &[matrix.rows, matrix.columns], &matrix.data);
    }

    fn numbers(&mut self, name: &str, number: f32) {
        self.tensor(name, &[1], &[number]);
    }

    fn tensor(&mut self, name: &str, dims: &[usize], numbers: &[f32]) {
        let raw_data = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.constant(name, dims, FLOAT, raw_data);
    }

    fn integers(&mut self, name: &str, integers: &[i64]) {
        let raw_data = integers.iter().flat_map(|integer| integer.to_le_bytes()).collect();
        self.constant(name, &[integers.len()], INT64, raw_data);
    }

    fn constant(&mut self, name: &str, dims: &[usize], data_type: i32, raw_data: Vec<u8>) {
        let dims = dims.iter().map(|dim| *dim as i64).collect();
        self.graph.initializer.push(TensorProto { dims, data_type, name: name.to_owned(), raw_data });
    }

    fn finish(mut self, name: &str, encoder: &Encoder, heads: &Heads) -> Vec<u8> {
        let by_prompt = |width: usize| [Dimension::Name("batch".to_owned()), Dimension::Size(width as i64)];
        let by_token = || [Dimension::Name("batch".to_owned()), Dimension::Name("seq".to_owned())];
        let latent = heads.domains.bias.len() + heads.ease.bias.len();
        self.graph.name = name.to_owned();
        self.graph.input = vec![value(INPUT_IDS, INT64, by_token()), value(ATTENTION_MASK, FLOAT, by_token())];
        self.graph.output = vec![
            value("embedding", FLOAT, by_prompt(encoder.table.columns)),
            value("latent", FLOAT, by_prompt(latent)),
            value("output_tokens", FLOAT, by_prompt(heads.length.bias.len())),
        ];
        let model = ModelProto {
            ir_version: 8,
            producer_name: "pointsman".to_owned(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSetProto { domain: String::new(), version: 13 }],
        };
        model.encode_to_vec()
    }
}

fn value(name: &str, elem_type: i32, shape: [Dimension; 2]) -> ValueInfoProto {
    let dim = shape.into_iter().map(|value| DimensionProto { value: Some(value) }).collect();
    let tensor = TensorTypeProto { elem_type, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: name.to_owned(), kind: Some(TypeProto { tensor: Some(tensor) }) }
}
