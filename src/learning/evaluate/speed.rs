//! How long scoring takes.

use tokio::time::Instant;

use crate::{
    learning::LearningError,
    scoring::{Artifact, Session, text::MAX_TOKENS},
};

/// Microseconds for one prompt on one thread: tokenising, the graph, the profiles.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Speed {
    /// Tokens of the prompt.
    pub tokens: usize,
    /// Median.
    pub p50_us: f64,
    /// 99 % quantile.
    pub p99_us: f64,
}

const ROUNDS: usize = 3_000;

/// Times a made-up English prompt that is as long as prompts get.
///
/// # Errors
/// The graph fails.
pub fn measure(artifact: &Artifact, session: &mut dyn Session) -> Result<Speed, LearningError> {
    let failed = |error: &dyn std::fmt::Display| LearningError::Graph(error.to_string());
    let sentence =
        "A freight train of 48 wagons leaves the harbour at 6:15, and the signaller (on duty since 4) sets points. ";
    let text = sentence.repeat(40);
    let mut times = Vec::with_capacity(ROUNDS);
    let mut tokens = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let ids = artifact.tokens.ids(&text).map_err(|error| failed(&error))?;
        let outputs = session.run(&ids).map_err(|error| failed(&error))?;
        let (qualities, _) = artifact.profiles.qualities(&outputs.latent);
        times.push(start.elapsed().as_secs_f64() * 1e6);
        tokens = ids.len().min(MAX_TOKENS);
        drop(qualities);
    }
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times.get(ROUNDS * share / 100).copied().unwrap_or(0.0);
    Ok(Speed { tokens, p50_us: at(50), p99_us: at(99) })
}
