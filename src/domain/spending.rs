//! What a key has spent: the ledger sums it up, admission counts on from there.

use jiff::civil::Date;

use super::{ids::KeyId, money::NanoUsd, tokens::Tokens};

/// What one key used on one calendar day (UTC).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spending {
    /// The key.
    pub key: KeyId,
    /// The day on which the requests arrived.
    pub day: Date,
    /// Requests, refused ones included.
    pub requests: u64,
    /// Tokens, prompt and answer.
    pub tokens: Tokens,
    /// Cost.
    pub cost: NanoUsd,
}
