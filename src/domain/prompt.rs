//! What the router model sees of a request.

use std::sync::Arc;

use super::tokens::Tokens;

/// The text that is scored. It is never logged and never stored with a record.
#[derive(Clone)]
pub struct PromptView {
    /// The last user turn.
    pub text: Arc<str>,
    /// Estimated tokens of the whole request, system prompt and history included.
    pub input_tokens: Tokens,
    /// Number of messages.
    pub turns: usize,
}

impl std::fmt::Debug for PromptView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PromptView").field("bytes", &self.text.len()).field("turns", &self.turns).finish()
    }
}
