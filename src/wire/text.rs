//! Legacy text completion requests, passed through.

use super::raw::RawObject;

/// A text completion request.
#[derive(Clone, Debug)]
pub struct TextCompletionCall {
    /// The body as it came.
    pub body: RawObject,
    /// `model`.
    pub model: String,
    /// `stream`.
    pub is_streaming: bool,
    /// `stream_options.include_usage`.
    pub wants_usage: bool,
    /// Bytes of `prompt`, to estimate tokens.
    pub prompt_bytes: usize,
    /// `max_tokens`.
    pub max_tokens: Option<u64>,
}
