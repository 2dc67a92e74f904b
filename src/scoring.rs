//! The router model at run time: text in, [`Scores`] out.
//!
//! One forward pass of one small ONNX graph gives everything that a decision needs. The graph runs on ONNX Runtime where the
//! shared library is found, else on RTen, which is always there. Scoring has a deadline and never fails a request: the gateway
//! goes on with [`ScoresUnavailable`] and the policy's default plan.
//!
//! # From text to scores
//!
//! [`text`] cuts long prompts (head and tail, before tokenising), [`tokens`] turns them into ids, a [`Session`] runs the graph
//! and [`router`] turns its outputs, the artifact's [`profiles`] and [`familiarity`] into [`Scores`]. A prompt costs well under
//! half a millisecond, so scoring runs where it is asked for, on one of a few sessions. A graph that takes longer has threads of its own and a
//! queue in front of them, where batches form only of prompts that wait anyway. [`Live`] holds the artifact in use and swaps
//! in a newer one. [`mod@evidence`] finds graded training prompts near the one that was scored, where a strategy asks for them.
//!
//! # Several looks
//!
//! A policy that is `robust` has its prompts scored by [`views`]: whole and in parts, and the median counts.
//!
//! # The cut
//!
//! Prompts above 3 KB are cut to their first and last 1,536 bytes, where characters end, with a line break between; what is
//! left above the artifact's `max_tokens` (at most 512) to the first and last half of them. Ten megabytes cost what three
//! kilobytes cost.
//!
//! Models that an artifact does not know join by an [`overlay`] of profiles that were fitted here.
//!
//! # Invariants
//!
//! - An [`Artifact`] is whole or it is not loaded: every file is checked against its checksum, every shape and every number is
//!   checked, and the graph must reproduce `golden.jsonl` within its tolerance before it scores a prompt.
//! - A prompt of any size costs a bounded time; a panic inside an engine becomes [`ScoresUnavailable::Failed`].
//! - Engines are named in one file each: [`session_onnx`] and [`session_rten`]. To add one: a file, an [`Engine`], an arm in
//!   [`mod@load`], a line in the contract test.

pub mod artifact;
pub mod constant;
pub mod evidence;
pub mod familiarity;
pub mod folder;
#[cfg(test)]
mod languages;
pub mod live;
pub mod load;
pub mod onnx;
pub mod overlay;
pub mod profiles;
mod queue;
pub mod router;
pub mod session;
pub mod session_onnx;
pub mod session_rten;
pub mod text;
pub mod tokens;
pub mod views;
pub mod words;

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;

pub use self::{
    artifact::{Artifact, LoadError},
    constant::Constant,
    live::Live,
    session::{Outputs, Session, SessionError},
};
use crate::domain::{Evidence, Needs, PromptView, Scores, ScoresUnavailable, Tokens};

/// Which engine runs the graph, a closed set for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// ONNX Runtime.
    OnnxRuntime,
    /// RTen.
    Rten,
    /// No graph at all: the same scores for every prompt.
    Constant,
}

impl Engine {
    /// Returns the snake-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnnxRuntime => "onnxruntime",
            Self::Rten => "rten",
            Self::Constant => "constant",
        }
    }
}

/// A training prompt as the gateway would have seen it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Estimated tokens of the prompt.
    pub input_tokens: Tokens,
    /// Its scores.
    pub scores: Scores,
}

/// Scores prompts.
#[async_trait]
pub trait Scorer: Send + Sync {
    /// Scores one prompt within `deadline`.
    ///
    /// # Errors
    /// There are no scores; the reason is for metrics and for the record, the cause is logged here.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the prompt.
    async fn score(&self, prompt: &PromptView, deadline: Duration) -> Result<Scores, ScoresUnavailable>;

    /// Returns what graded training prompts near the one with these scores say, by profile and as far as it is needed. Empty
    /// when the artifact has no evidence, or when another artifact gave the scores.
    fn evidence(&self, _scores: &Scores, _needs: Needs) -> HashMap<Arc<str>, Evidence> {
        HashMap::new()
    }

    /// Returns scores of some training prompts: what to expect before there is traffic. Empty when the artifact keeps none.
    fn samples(&self) -> Vec<Sample> {
        Vec::new()
    }

    /// Returns the engine that runs the graph.
    fn engine(&self) -> Engine;

    /// Returns name and version of the artifact, for instance `static-v2`.
    fn artifact(&self) -> &str;

    /// Returns the checksum of the artifact, as it stands in [`Scores::artifact`].
    fn checksum(&self) -> &str;

    /// Reads the profiles that were fitted here again; those of the artifact itself never change.
    fn reload_profiles(&self) {}
}
