//! What a model's own token probabilities say of its answer.

use serde::{Deserialize, Serialize};

use crate::wire::logprobs::TokenOdds;

/// How sure a model was of one token, read off its own distribution, before temperature, penalties and masks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenSignal {
    /// Natural logarithm of the drawn token's probability.
    pub logprob: f64,
    /// Entropy of the distribution in nats; `None` when only a part of the distribution is known.
    pub entropy: Option<f64>,
    /// Natural log-probability of the likeliest token minus that of the second; `None` when the second is not known.
    pub margin: Option<f64>,
}

impl From<TokenOdds> for TokenSignal {
    fn from(odds: TokenOdds) -> Self {
        Self { logprob: odds.logprob, entropy: None, margin: odds.margin }
    }
}
