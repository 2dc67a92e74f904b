//! Where proposals come from.

use async_trait::async_trait;

use super::super::engine::EngineError;

/// A token that may come next.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Proposal {
    /// Its id in the target's vocabulary.
    pub(in super::super) token: u32,
    /// What it was drawn from: the probability of every token, by id; `None` when it was no draw but certain.
    pub(in super::super) odds: Option<Vec<f32>>,
}

/// Guesses how a text goes on, faster than the model that checks the guesses.
#[async_trait]
pub(in super::super) trait Proposer: Send {
    /// Returns whether there may be something to propose after `text`. It is asked for every token that is decoded plainly, so
    /// it answers at once; `text` grows from call to call and never shrinks.
    fn expects(&mut self, text: &[u32]) -> bool;

    /// Proposes at most `most` tokens to follow `text`; nothing when it has no guess.
    ///
    /// # Errors
    /// What it asks failed.
    async fn propose(&mut self, text: &[u32], most: usize) -> Result<Vec<Proposal>, EngineError>;
}
