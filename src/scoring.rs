//! The router model at run time: text in, [`Scores`] out.
//!
//! One forward pass of one small ONNX graph gives everything that a decision needs. The graph runs on ONNX Runtime where the
//! shared library is found, else on RTen, which is always there. Scoring has a deadline and never fails a request: the gateway
//! goes on with [`ScoresUnavailable`] and the policy's default plan.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::{PromptView, Scores, ScoresUnavailable};

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

    /// Returns the engine that runs the graph.
    fn engine(&self) -> Engine;

    /// Returns name and version of the artifact, for instance `static-v1`.
    fn artifact(&self) -> &str;
}
