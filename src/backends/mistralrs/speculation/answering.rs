//! The tokens of one answer, out of the logits of whole passes.

use std::sync::Arc;

use super::{
    super::{drawing::Drawing, sampler, vocabulary::Vocabulary},
    decode::Writing,
    proposer::Proposal,
};

/// Draws the tokens of one choice and tells of them.
pub(in super::super) struct Answering {
    vocabulary: Arc<Vocabulary>,
    drawing: Drawing,
}

impl Answering {
    /// Returns what draws by `drawing`.
    pub(in super::super) fn new(vocabulary: Arc<Vocabulary>, drawing: Drawing) -> Self {
        Self { vocabulary, drawing }
    }
}

impl Writing for Answering {
    fn begin(&mut self, prompt: &[u32]) -> bool {
        self.drawing.begin(&self.vocabulary, prompt)
    }

    fn next(&mut self, logits: Vec<f32>) -> Option<u32> {
        self.drawing.judge(&self.vocabulary, &logits, None)
    }

    fn judge(&mut self, logits: Vec<f32>, proposal: &Proposal) -> (Option<u32>, bool) {
        let proposed = sampler::Proposal { token: proposal.token, odds: proposal.odds.as_deref() };
        let token = self.drawing.judge(&self.vocabulary, &logits, Some(&proposed));
        (token, self.drawing.latest() == Some(proposal.token))
    }

    fn left(&self) -> u64 {
        self.drawing.left()
    }
}
