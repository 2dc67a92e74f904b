//! Writes ONNX graphs by the contract of router models.

use prost::Message;

use super::{heads::Linear, matrix::Matrix};
use crate::scoring::{
    artifact::OutputWidths,
    onnx::{
        AttributeProto, Dimension, DimensionProto, FLOAT, GraphProto, INT64, ModelProto, NodeProto, OperatorSetProto,
        TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
    },
    session::{ATTENTION_MASK, INPUT_IDS, OUTPUTS},
};

/// The operator set that graphs are written in: the first with layer normalisation as one operation.
const OPERATOR_SET: i64 = 17;

/// A setting of an operation.
#[derive(Clone, Debug)]
pub enum Setting {
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f32),
    /// Whole numbers.
    Integers(Vec<i64>),
}

impl Setting {
    /// Returns the setting under its name; kinds are those of `AttributeProto.AttributeType`.
    fn named(self, name: &str) -> AttributeProto {
        let empty = AttributeProto { name: name.to_owned(), ..AttributeProto::default() };
        match self {
            Self::Number(f) => AttributeProto { f, kind: 1, ..empty },
            Self::Integer(i) => AttributeProto { i, kind: 2, ..empty },
            Self::Integers(ints) => AttributeProto { ints, kind: 7, ..empty },
        }
    }
}

/// A graph that is being written, operation by operation in the order of execution.
#[derive(Default)]
pub struct Builder {
    graph: GraphProto,
}

impl Builder {
    /// Adds an operation without settings.
    pub fn node(&mut self, kind: &str, inputs: &[&str], output: &str) {
        self.node_with(kind, inputs, &[output], []);
    }

    /// Adds an operation along an axis.
    pub fn node_on_axis(&mut self, kind: &str, inputs: &[&str], output: &str, axis: i64) {
        self.node_with(kind, inputs, &[output], [("axis", Setting::Integer(axis))]);
    }

    /// Adds a reduction that keeps the reduced axes with size 1.
    pub fn node_keeping_axes(&mut self, kind: &str, inputs: &[&str], output: &str) {
        self.node_with(kind, inputs, &[output], [("keepdims", Setting::Integer(1))]);
    }

    /// Adds an operation with settings; it is named after its first output.
    pub fn node_with<const N: usize>(
        &mut self,
        kind: &str,
        inputs: &[&str],
        outputs: &[&str],
        settings: [(&str, Setting); N],
    ) {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        self.graph.node.push(NodeProto {
            input: owned(inputs),
            output: owned(outputs),
            name: format!("make_{}", outputs.first().copied().unwrap_or_default()),
            op_type: kind.to_owned(),
            attribute: settings.into_iter().map(|(name, setting)| setting.named(name)).collect(),
        });
    }

    /// Adds `weights . input + bias`.
    pub fn linear(&mut self, name: &str, linear: &Linear, input: &str, output: &str) {
        let (weights, bias, product) = (format!("{name}_weights"), format!("{name}_bias"), format!("{name}_product"));
        self.weights(&weights, &linear.weights.transposed());
        self.tensor(&bias, &[1, linear.bias.len()], &linear.bias);
        self.node("MatMul", &[input, &weights], &product);
        self.node("Add", &[&product, &bias], output);
    }

    /// Adds a matrix.
    pub fn weights(&mut self, name: &str, matrix: &Matrix) {
        self.tensor(name, &[matrix.rows, matrix.columns], &matrix.data);
    }

    /// Adds one number.
    pub fn numbers(&mut self, name: &str, number: f32) {
        self.tensor(name, &[1], &[number]);
    }

    /// Adds a tensor of numbers.
    pub fn tensor(&mut self, name: &str, dims: &[usize], numbers: &[f32]) {
        let raw_data = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.constant(name, dims, FLOAT, raw_data);
    }

    /// Adds a list of whole numbers.
    pub fn integers(&mut self, name: &str, integers: &[i64]) {
        let raw_data = integers.iter().flat_map(|integer| integer.to_le_bytes()).collect();
        self.constant(name, &[integers.len()], INT64, raw_data);
    }

    /// Adds a tensor of any type, its little-endian bytes as they are.
    pub fn constant(&mut self, name: &str, dims: &[usize], data_type: i32, raw_data: Vec<u8>) {
        let dims = dims.iter().map(|dim| *dim as i64).collect();
        self.graph.initializer.push(TensorProto { dims, data_type, name: name.to_owned(), raw_data });
    }

    /// Returns the graph as an ONNX file, with the inputs and outputs of every router model.
    pub fn finish(mut self, name: &str, widths: OutputWidths) -> Vec<u8> {
        let by_prompt = |width: usize| [Dimension::Name("batch".to_owned()), Dimension::Size(width as i64)];
        let by_token = || [Dimension::Name("batch".to_owned()), Dimension::Name("seq".to_owned())];
        let outputs = OUTPUTS.into_iter().zip([widths.embedding, widths.latent, widths.output_tokens]);
        self.graph.name = name.to_owned();
        self.graph.input = vec![value(INPUT_IDS, INT64, by_token()), value(ATTENTION_MASK, FLOAT, by_token())];
        self.graph.output = outputs.map(|(name, width)| value(name, FLOAT, by_prompt(width))).collect();
        let model = ModelProto {
            ir_version: 8,
            producer_name: "pointsman".to_owned(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSetProto { domain: String::new(), version: OPERATOR_SET }],
        };
        model.encode_to_vec()
    }
}

fn value(name: &str, elem_type: i32, shape: [Dimension; 2]) -> ValueInfoProto {
    let dim = shape.into_iter().map(|value| DimensionProto { value: Some(value) }).collect();
    let tensor = TensorTypeProto { elem_type, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: name.to_owned(), kind: Some(TypeProto { tensor: Some(tensor) }) }
}
