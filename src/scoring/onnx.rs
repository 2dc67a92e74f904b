//! The part of the ONNX format that router models use: written by training, checked at load.
//!
//! Field numbers are those of `onnx.proto` (IR version 8); fields that are not listed are skipped when reading.

use prost::Message;

/// `TensorProto.DataType.FLOAT`.
pub const FLOAT: i32 = 1;
/// `TensorProto.DataType.INT8`.
pub const INT8: i32 = 3;
/// `TensorProto.DataType.INT64`.
pub const INT64: i32 = 7;

/// A model file.
#[derive(Clone, PartialEq, Message)]
pub struct ModelProto {
    /// 8.
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    /// Who wrote it.
    #[prost(string, tag = "2")]
    pub producer_name: String,
    /// The graph.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    /// The operator set.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetProto>,
}

/// An operator set.
#[derive(Clone, PartialEq, Message)]
pub struct OperatorSetProto {
    /// Empty for ONNX's own.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// Its version.
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// A graph.
#[derive(Clone, PartialEq, Message)]
pub struct GraphProto {
    /// In the order of execution.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Weights.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    /// Inputs.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    /// Outputs.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
}

/// An operation.
#[derive(Clone, PartialEq, Message)]
pub struct NodeProto {
    /// Names of what goes in.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// Names of what comes out.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// Its name.
    #[prost(string, tag = "3")]
    pub name: String,
    /// Which operation.
    #[prost(string, tag = "4")]
    pub op_type: String,
    /// Its settings.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
}

/// A setting of an operation.
#[derive(Clone, PartialEq, Message)]
pub struct AttributeProto {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value, where that is a number.
    #[prost(float, tag = "2")]
    pub f: f32,
    /// Its value, where that is a whole number.
    #[prost(int64, tag = "3")]
    pub i: i64,
    /// Its value, where that is a list of whole numbers.
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
    /// Which of them: 1, 2 or 7.
    #[prost(int32, tag = "20")]
    pub kind: i32,
}

/// A constant.
#[derive(Clone, PartialEq, Message)]
pub struct TensorProto {
    /// Its shape.
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    /// [`FLOAT`] or [`INT64`].
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    /// Its name.
    #[prost(string, tag = "8")]
    pub name: String,
    /// Little-endian numbers.
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
}

/// An input or output.
#[derive(Clone, PartialEq, Message)]
pub struct ValueInfoProto {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its type.
    #[prost(message, optional, tag = "2")]
    pub kind: Option<TypeProto>,
}

/// A type; only tensors are used.
#[derive(Clone, PartialEq, Message)]
pub struct TypeProto {
    /// A tensor.
    #[prost(message, optional, tag = "1")]
    pub tensor: Option<TensorTypeProto>,
}

/// The type of a tensor.
#[derive(Clone, PartialEq, Message)]
pub struct TensorTypeProto {
    /// [`FLOAT`] or [`INT64`].
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    /// Its shape.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

/// A shape.
#[derive(Clone, PartialEq, Message)]
pub struct TensorShapeProto {
    /// One per axis.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<DimensionProto>,
}

/// The size of an axis: a number or a name.
#[derive(Clone, PartialEq, Message)]
pub struct DimensionProto {
    /// Which of the two.
    #[prost(oneof = "Dimension", tags = "1, 2")]
    pub value: Option<Dimension>,
}

/// The size of an axis.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Dimension {
    /// Fixed.
    #[prost(int64, tag = "1")]
    Size(i64),
    /// Given at run time.
    #[prost(string, tag = "2")]
    Name(String),
}

/// Why a graph is refused before an engine sees it.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// It is no ONNX file, or was cut.
    #[error("not an ONNX model: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// It has no graph.
    #[error("the model has no graph")]
    NoGraph,
    /// A weight's bytes do not fill its shape.
    #[error("tensor `{name}` has {bytes} bytes, its shape needs {expected}")]
    Shape {
        /// The tensor.
        name: String,
        /// What it has.
        bytes: usize,
        /// What it needs.
        expected: usize,
    },
    /// A weight is NaN or infinite.
    #[error("tensor `{0}` has a number that is not finite")]
    NotFinite(String),
}

/// Checks that the bytes are a model whose weights fill their shapes and are finite.
///
/// # Errors
/// They are not.
pub fn check(bytes: &[u8]) -> Result<ModelProto, OnnxError> {
    let model = ModelProto::decode(bytes)?;
    let graph = model.graph.as_ref().ok_or(OnnxError::NoGraph)?;
    for tensor in graph.initializer.iter().filter(|tensor| tensor.data_type == FLOAT) {
        check_floats(tensor)?;
    }
    Ok(model)
}

fn check_floats(tensor: &TensorProto) -> Result<(), OnnxError> {
    let count = tensor.dims.iter().try_fold(4_usize, |bytes, dim| bytes.checked_mul(usize::try_from(*dim).ok()?));
    let expected = count.unwrap_or(usize::MAX);
    if tensor.raw_data.len() != expected {
        return Err(OnnxError::Shape { name: tensor.name.clone(), bytes: tensor.raw_data.len(), expected });
    }
    let (numbers, _) = tensor.raw_data.as_chunks::<4>();
    if numbers.iter().any(|number| !f32::from_le_bytes(*number).is_finite()) {
        return Err(OnnxError::NotFinite(tensor.name.clone()));
    }
    Ok(())
}
