//! What a local model's speculative decoding is and does.

use serde::{Deserialize, Serialize};

/// The speculation of one model, over all its answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Speculation {
    /// `lookup`, or the draft model.
    pub draft: String,
    /// Whether answers are decoded with it.
    pub is_on: bool,
    /// Why.
    pub reason: String,
    /// Tokens per second of plain decoding, measured at load.
    pub plain_tokens_per_second: Option<f64>,
    /// Tokens per second with it, measured at load.
    pub speculative_tokens_per_second: Option<f64>,
    /// Tokens proposed.
    pub proposed: u64,
    /// Of them, tokens accepted.
    pub accepted: u64,
    /// Passes of the model that checked proposals.
    pub passes: u64,
    /// Tokens that came of those passes.
    pub tokens: u64,
    /// Tokens that were decoded one by one.
    pub plain_tokens: u64,
}

impl Speculation {
    /// Returns a speculation that is off.
    pub fn off(draft: String, reason: &str) -> Self {
        Self {
            draft,
            is_on: false,
            reason: reason.to_owned(),
            plain_tokens_per_second: None,
            speculative_tokens_per_second: None,
            proposed: 0,
            accepted: 0,
            passes: 0,
            tokens: 0,
            plain_tokens: 0,
        }
    }

    /// Returns lookup that is on and did nothing yet, of these speeds.
    #[cfg(test)]
    pub(crate) fn measured(plain: f64, speculative: f64) -> Self {
        Self {
            is_on: true,
            plain_tokens_per_second: Some(plain),
            speculative_tokens_per_second: Some(speculative),
            ..Self::off("lookup".to_owned(), "it is faster here")
        }
    }

    /// Returns by how much it sped decoding up in the measurement at load; `None` without one.
    pub fn speed_up(&self) -> Option<f64> {
        let plain = self.plain_tokens_per_second.filter(|plain| *plain > 0.0)?;
        Some(self.speculative_tokens_per_second? / plain)
    }

    /// Returns the tokens that each pass gave; `None` before the first.
    pub fn tokens_per_pass(&self) -> Option<f64> {
        (self.passes > 0).then(|| self.tokens as f64 / self.passes as f64)
    }

    /// Returns a line for people.
    pub fn words(&self) -> String {
        let state = if self.is_on { "on" } else { "off" };
        let mut words = format!("speculation with {}: {state}, {}", self.draft, self.reason);
        if let (Some(plain), Some(with)) = (self.plain_tokens_per_second, self.speculative_tokens_per_second) {
            words += &format!(" ({plain:.1} tokens per second plain, {with:.1} with it)");
        }
        if let Some(tokens) = self.tokens_per_pass() {
            let (accepted, proposed) = (self.accepted, self.proposed);
            words += &format!("; {accepted} of {proposed} proposals accepted, {tokens:.2} tokens per pass");
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_the_decision_and_its_figures() {
        let off = Speculation::off("lookup".to_owned(), "it is not faster here");
        let measured = Speculation::measured(40.0, 60.0);
        let measured = Speculation { proposed: 40, accepted: 30, passes: 10, tokens: 40, ..measured };

        assert_eq!(off.words(), "speculation with lookup: off, it is not faster here");
        assert_eq!((off.speed_up(), measured.speed_up()), (None, Some(1.5)));
        insta::assert_snapshot!(measured.words(), @"speculation with lookup: on, it is faster here (40.0 tokens per second plain, 60.0 with it); 30 of 40 proposals accepted, 4.00 tokens per pass");
    }
}
