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
    /// The engine panicked.
    #[error("the engine panicked")]
    Panicked,
    /// An output is not what the contract says.
    #[error("output `{0}` is not a matrix of f32 with one row per prompt")]
    BadOutput(&'static str),
}

/// One runnable copy of the graph.
pub trait Session: Send {
    /// Runs the graph on prompts at once, each the ids of one prompt and not empty; outputs come in the same order. A prompt's
    /// outputs do not depend on the others beyond rounding.
    ///
    /// # Errors
    /// The engine failed or its outputs are not those of the contract.
    fn run_batch(&mut self, prompts: &[&[u32]]) -> Result<Vec<Outputs>, SessionError>;

    /// Runs the graph on one prompt; `ids` is not empty.
    ///
    /// # Errors
    /// As for [`Session::run_batch`].
    fn run(&mut self, ids: &[u32]) -> Result<Outputs, SessionError> {
        let [embedding, ..] = OUTPUTS;
        self.run_batch(&[ids])?.pop().ok_or(SessionError::BadOutput(embedding))
    }
}

/// Prompts as the graph takes them: a row each, padded at the end to the longest.
pub(super) struct Rows<T> {
    /// Rows and columns.
    pub(super) shape: [usize; 2],
    /// Ids; padding is 0.
    pub(super) ids: Vec<T>,
    /// 1 for a token, 0 for padding.
    pub(super) mask: Vec<f32>,
}

impl<T: Default> Rows<T> {
    pub(super) fn of(prompts: &[&[u32]], convert: impl Fn(u32) -> T) -> Self {
        let longest = prompts.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let size = prompts.len() * longest;
        let (mut ids, mut mask) = (Vec::with_capacity(size), Vec::with_capacity(size));
        for prompt in prompts {
            ids.extend(prompt.iter().map(|id| convert(*id)));
            mask.resize(mask.len() + prompt.len(), 1.0);
            ids.resize_with(ids.len() + longest - prompt.len(), T::default);
            mask.resize(ids.len(), 0.0);
        }
        Self { shape: [prompts.len(), longest], ids, mask }
    }
}

/// Joins the three outputs of every prompt; each holds a row per prompt.
pub(super) fn outputs_of(count: usize, rows: [Vec<f32>; 3]) -> Vec<Outputs> {
    let [embedding, latent, output_tokens] = rows;
    let row = |values: &[f32], index: usize| {
        let width = values.len() / count.max(1);
        values.iter().skip(index * width).take(width).copied().collect()
    };
    let prompt = |index| Outputs {
        embedding: row(&embedding, index),
        latent: row(&latent, index),
        output_tokens: row(&output_tokens, index),
    };
    (0..count).map(prompt).collect()
}
