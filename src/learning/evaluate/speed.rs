//! How long scoring takes.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    learning::LearningError,
    scoring::{Artifact, Session, router::scores_of, text::MAX_TOKENS, tokens::Tokens},
};

/// Microseconds for one prompt on one thread: tokenising, the graph, the profiles.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Speed {
    /// What was scored, in words.
    pub prompt: String,
    /// Tokens of the prompt after the cut.
    pub tokens: usize,
    /// Median.
    pub p50_us: f64,
    /// 99 % quantile.
    pub p99_us: f64,
}

/// Rounds for a p99 that twenty of them lie above, or as many as there is time for.
const ROUNDS: usize = 2_000;
const MOST: Duration = Duration::from_secs(4);
/// Rounds that warm caches and are not counted.
const WARM_UP: usize = 20;

const SENTENCE: &str =
    "A freight train of 48 wagons leaves the harbour at 6:15, and the signaller (on duty since 4) sets points. ";

/// Returns a made-up English prompt of about `tokens` tokens, never more.
pub fn made_up(tokens: &Tokens, count: usize) -> String {
    let mut text = String::new();
    for word in SENTENCE.split_inclusive(' ').cycle().take(count) {
        text.push_str(word);
        if tokens.ids(&text).is_ok_and(|ids| ids.len() > count) {
            text.truncate(text.len() - word.len());
            break;
        }
    }
    text
}

/// Returns ten megabytes of made-up prompt.
pub fn huge() -> String {
    SENTENCE.repeat(10_000_000 / SENTENCE.len())
}

/// Times a prompt that is as long as prompts get.
///
/// # Errors
/// The graph fails.
pub fn measure(artifact: &Artifact, session: &mut dyn Session) -> Result<Speed, LearningError> {
    time(artifact, session, ("long", &SENTENCE.repeat(40)))
}

/// Times prompts of 16, 128 and 512 tokens and one of ten megabytes.
///
/// # Errors
/// The graph fails.
pub fn measure_all(artifact: &Artifact, session: &mut dyn Session) -> Result<Vec<Speed>, LearningError> {
    let lengths = [16, 128, MAX_TOKENS].map(|count| (format!("{count} tokens"), made_up(&artifact.tokens, count)));
    let prompts = lengths.into_iter().chain([("10 MB".to_owned(), huge())]);
    prompts.map(|(name, text)| time(artifact, session, (&name, &text))).collect()
}

fn time(artifact: &Artifact, session: &mut dyn Session, (name, text): (&str, &str)) -> Result<Speed, LearningError> {
    let failed = |error: &dyn std::fmt::Display| LearningError::Graph(error.to_string());
    let mut times = Vec::with_capacity(ROUNDS);
    let (mut tokens, begin) = (0, Instant::now());
    while times.len() < ROUNDS + WARM_UP && (begin.elapsed() < MOST || times.len() < 2 * WARM_UP) {
        let start = Instant::now();
        let ids = artifact.tokens.ids(text).map_err(|error| failed(&error))?;
        let outputs = session.run(&ids).map_err(|error| failed(&error))?;
        let scores = scores_of(artifact, outputs, Duration::ZERO);
        times.push(start.elapsed().as_secs_f64() * 1e6);
        tokens = ids.len();
        drop(scores);
    }
    let mut times = times.split_off(WARM_UP);
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or(0.0);
    Ok(Speed { prompt: name.to_owned(), tokens, p50_us: at(50), p99_us: at(99) })
}
