//! What may be used up: by a key, by a request, by one attempt.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::money::NanoUsd;

/// What a policy allows one request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Most a request may cost; no leg starts whose upper estimate exceeds what is left.
    pub max_cost: Option<NanoUsd>,
    /// Requests of this policy in flight at once, over all keys.
    pub max_concurrency: Option<u32>,
    /// Time from arrival to the last byte.
    pub total_timeout: Option<Duration>,
}

/// What a key may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyLimits {
    /// Requests per minute.
    pub requests_per_minute: Option<u32>,
    /// Tokens per minute, prompt and answer.
    pub tokens_per_minute: Option<u64>,
    /// Requests in flight at once.
    pub max_concurrency: Option<u32>,
    /// Spending per calendar day (UTC).
    pub daily_budget: Option<NanoUsd>,
    /// Spending per calendar month (UTC).
    pub monthly_budget: Option<NanoUsd>,
}

/// How long each phase of one attempt may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// Until the connection stands.
    pub connect: Duration,
    /// From sending the request to the first token (streams) or the head of the answer (whole replies).
    pub first_token: Duration,
    /// Between two events or chunks.
    pub idle: Duration,
    /// The whole attempt.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_token: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            total: Duration::from_secs(600),
        }
    }
}
