//! Embeddings requests and answers.

use super::raw::RawObject;

/// An embeddings request.
#[derive(Clone, Debug)]
pub struct EmbeddingsCall {
    /// The body as it came.
    pub body: RawObject,
    /// `model`.
    pub model: String,
    /// `input` as texts; `None` when it is token ids, which only a provider can read.
    pub input: Option<Vec<String>>,
    /// `encoding_format` is `base64`.
    pub wants_base64: bool,
    /// `dimensions`.
    pub dimensions: Option<usize>,
}
