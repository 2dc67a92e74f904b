//! How a model that runs inside this process, or in a process of its own, fares.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The state of a local model beyond whether it can be asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EngineRoom {
    /// Requests that wait for their turn.
    pub waiting: usize,
    /// Requests that have it.
    pub running: usize,
    /// How long a foreground request would wait now.
    pub expected_wait: Duration,
    /// How long loading took; `None` before the first time.
    pub loaded_in: Option<Duration>,
    /// Memory that it holds: of its own process, or by how much this one grew while loading it; `None` while nothing is loaded.
    pub resident_bytes: Option<u64>,
    /// Times that an engine with work made no token for too long.
    pub stalls: u64,
    /// Times that an engine died.
    pub deaths: u64,
    /// Times that an engine was started again.
    pub restarts: u64,
    /// Whether too many deaths took it out until an administrator lets it try again.
    pub is_out: bool,
    /// The process that it runs in, where that is its own.
    pub process: Option<u32>,
    /// Tokens that it made together with other models.
    pub decoded: u64,
    /// Of them, tokens for which a gated pair took the large model's logits.
    pub interventions: u64,
}

/// What an administrator can have a local model do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineOrder {
    /// Load, if it is not loaded; a model that was taken out or failed to load tries again.
    Load,
    /// Give its memory back when those who use it are through; the next request loads it again.
    Unload,
}

impl EngineOrder {
    /// Returns the word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Unload => "unload",
        }
    }
}
