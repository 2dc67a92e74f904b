//! One runnable copy of the graph.

/// The graph's input of token ids, `[batch, seq]` i64.
pub const INPUT_IDS: &str = "input_ids";
/// The graph's input of weights, `[batch, seq]` f32: 1 for a token, 0 for padding.
pub const ATTENTION_MASK: &str = "attention_mask";
/// The graph's outputs, in the order of [`Outputs`].
pub const OUTPUTS: [&str; 3] = ["embedding", "latent", "output_tokens"];

/// What the graph says of one prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs {
    /// L2-normalised, shape `[d]`.
    pub embedding: Vec<f32>,
    /// What the prompt asks of a model, shape `[k]`.
    pub latent: Vec<f32>,
    /// Median and 90 % quantile of `ln(1 + answer tokens)`, shape `[2]`.
    pub output_tokens: Vec<f32>,
}

/// Why a graph did not load or did not run.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// ONNX Runtime's library is not there.
    #[error("found no ONNX Runtime library in {searched}; `pointsman runtime install` fetches one")]
    NoLibrary {
        /// Where it was looked for.
        searched: String,
    },
    /// The engine refused the library, the graph or the inputs.
    #[error("{engine} could not {action}: {message}")]
    Engine {
        /// Which engine.
        engine: &'static str,
        /// What it was asked to do.
        action: &'static str,
        /// What it said.
        message: String,
    },
    /// The graph lacks an input or output of the contract.
    #[error("the graph has no node named `{0}`")]
    MissingNode(&'static str),
    /// An output is not what the contract says.
    #[error("output `{0}` is not a matrix of f32 with one row per prompt")]
    BadOutput(&'static str),
}

/// One runnable copy of the graph.
pub trait Session: Send {
    /// Runs the graph on one prompt; `ids` is not empty.
    ///
    /// # Errors
    /// The engine failed or its outputs are not those of the contract.
    fn run(&mut self, ids: &[u32]) -> Result<Outputs, SessionError>;
}
