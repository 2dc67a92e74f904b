//! How often the semantic cache answers, and how often wrongly: prompts with answer classes are asked one after the other, of the
//! cache that bounds its error and of caches that serve whatever is nearer than a fixed threshold.
//!
//! Two prompts of one class may share an answer, two of different classes may not. [`make`] makes such prompts from real ones:
//! paraphrases keep the class, twins (one number, name, negation or unit changed) are a class of their own.

mod make;
mod report;
pub mod twins;

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use rand::Rng;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub use self::{
    make::{Recipe, distinct, make},
    report::{markdown, plot},
};
use crate::{
    cache::{
        CacheKey,
        semantic::{Place, Probe, SemanticCache, Verdict, boundary::upper_share, marks::Marks, neighbours::Neighbours},
    },
    domain::SemanticRule,
    learning::{LearningError, encoder::stage_rng},
    runtime::{SharedClock, TestClock},
    scoring::{Artifact, Session, router::scores_of},
};

/// Thresholds that the bounded cache is compared with.
pub const THRESHOLDS: [f32; 14] =
    [0.8, 0.85, 0.9, 0.92, 0.94, 0.96, 0.97, 0.98, 0.99, 0.995, 0.999, 0.9999, 0.99999, 0.999_999];

/// One prompt to replay; one line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// What is asked.
    pub prompt: String,
    /// Prompts of the same class may share an answer.
    pub class: String,
    /// How it was made.
    #[serde(default)]
    pub kind: Kind,
}

/// How a prompt was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// As it was found.
    #[default]
    Original,
    /// In other words, with the same answer.
    Paraphrase,
    /// With one word changed, and with another answer.
    Twin,
}

/// A prompt with its embedding, its class as a number.
#[derive(Clone, Debug)]
pub struct Embedded {
    probe: Probe,
    class: usize,
    kind: Kind,
}

/// What one cache did with all prompts.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// `bounded`, or `above <threshold>`.
    pub cache: String,
    /// Prompts.
    pub requests: u32,
    /// Answered from the cache.
    pub hits: u32,
    /// Of those, with an answer of another class.
    pub wrong: u32,
    /// Twins among the prompts.
    pub twins: u32,
    /// Of those, answered wrongly from the cache.
    pub twins_wrong: u32,
    /// Bytes that an entry takes besides its answer.
    pub entry_bytes: f64,
    /// Microseconds for one lookup, in the mean.
    pub lookup_us: f64,
}

impl Row {
    /// Returns the share of prompts that were answered from the cache.
    pub fn hit_rate(&self) -> f64 {
        f64::from(self.hits) / f64::from(self.requests.max(1))
    }

    /// Returns the share of all prompts that were answered wrongly.
    pub fn error(&self) -> f64 {
        f64::from(self.wrong) / f64::from(self.requests.max(1))
    }

    /// Returns the 95 % interval of [`Self::error`], by Clopper and Pearson.
    pub fn interval(&self) -> (f64, f64) {
        let low = 1.0 - upper_share(self.requests.saturating_sub(self.wrong), self.requests, 0.025);
        (if self.wrong == 0 { 0.0 } else { low }, upper_share(self.wrong, self.requests, 0.025))
    }
}

/// Embeds every prompt by the router's own forward pass.
///
/// # Errors
/// The graph fails.
pub fn embed(
    (artifact, session): (&Artifact, &mut dyn Session),
    prompts: &[Replayed],
) -> Result<Vec<Embedded>, LearningError> {
    let failed = |error: &dyn std::fmt::Display| LearningError::Graph(error.to_string());
    let mut classes: HashMap<&str, usize> = HashMap::new();
    let mut embedded = Vec::with_capacity(prompts.len());
    for Replayed { prompt, class, kind } in prompts {
        let ids = artifact.tokens.ids(prompt).map_err(|error| failed(&error))?;
        let outputs = session.run(&ids).map_err(|error| failed(&error))?;
        let scores = scores_of(artifact, outputs, Duration::ZERO);
        let next = classes.len();
        let class = *classes.entry(class).or_insert(next);
        let probe = Probe { embedding: scores.embedding, marks: Arc::new(Marks::of(prompt)) };
        embedded.push(Embedded { probe, class, kind: *kind });
    }
    Ok(embedded)
}

/// Replays the prompts against the cache that bounds its error, and against every threshold.
pub fn measure(prompts: &[Embedded], rule: &SemanticRule, seed: u64) -> Vec<Row> {
    let bounded = bounded(prompts, rule, seed);
    std::iter::once(bounded).chain(THRESHOLDS.map(|threshold| fixed(prompts, threshold))).collect()
}

/// Returns the row with the most hits among those of fixed thresholds whose error is at most `max_error`.
pub fn best_fixed(rows: &[Row], max_error: f64) -> Option<&Row> {
    let fixed = rows.iter().skip(1).filter(|row| row.error() <= max_error);
    fixed.max_by_key(|row| row.hits)
}

fn bounded(prompts: &[Embedded], rule: &SemanticRule, seed: u64) -> Row {
    let clock: SharedClock = Arc::new(TestClock::at(Timestamp::UNIX_EPOCH));
    let cache = SemanticCache::new(usize::MAX, clock);
    let place = Place { partition: CacheKey([1; 32]), pool: CacheKey([1; 32]), policy: Arc::from("evaluation") };
    let mut rng = stage_rng(seed, 81);
    let mut row = Row::new("bounded", prompts);
    let mut time = Duration::ZERO;
    for prompt in prompts {
        let draw = rng.random_range(0.0..1.0);
        let begin = Instant::now();
        let verdict = cache.look_up(&place, &prompt.probe, rule, draw);
        time += begin.elapsed();
        let keeps = match &verdict {
            Verdict::Serve(nearby) => {
                row.note(prompt, nearby.answer);
                false
            }
            Verdict::Explore(nearby) => {
                let is_right = nearby.answer == prompt.class;
                cache.learn(&place, nearby, is_right);
                !is_right
            }
            Verdict::Apart(_) | Verdict::Nothing => true,
        };
        if keeps {
            cache.put(&place, &prompt.probe, (prompt.class, 0), Duration::MAX);
        }
    }
    let (bytes, entries) = cache.size();
    row.finish(bytes, entries, time)
}

fn fixed(prompts: &[Embedded], threshold: f32) -> Row {
    let (mut vectors, mut classes) = (Neighbours::default(), Vec::new());
    let mut row = Row::new(&format!("above {threshold}"), prompts);
    let mut time = Duration::ZERO;
    let mut bytes = 0;
    for prompt in prompts {
        let begin = Instant::now();
        let nearest = vectors.nearest(&prompt.probe.embedding, threshold, 1);
        time += begin.elapsed();
        match nearest.first().and_then(|near| classes.get(near.at)) {
            Some(class) => row.note(prompt, *class),
            None => {
                vectors.push(&prompt.probe.embedding);
                classes.push(prompt.class);
                bytes += size_of_val(&*prompt.probe.embedding);
            }
        }
    }
    row.finish(bytes, classes.len(), time)
}

impl Row {
    fn new(cache: &str, prompts: &[Embedded]) -> Self {
        let twins = prompts.iter().filter(|prompt| prompt.kind == Kind::Twin).count();
        Self {
            cache: cache.to_owned(),
            requests: prompts.len() as u32,
            hits: 0,
            wrong: 0,
            twins: twins as u32,
            twins_wrong: 0,
            entry_bytes: 0.0,
            lookup_us: 0.0,
        }
    }

    fn note(&mut self, prompt: &Embedded, class: usize) {
        let is_wrong = class != prompt.class;
        self.hits += 1;
        self.wrong += u32::from(is_wrong);
        self.twins_wrong += u32::from(is_wrong && prompt.kind == Kind::Twin);
    }

    fn finish(mut self, bytes: usize, entries: usize, time: Duration) -> Self {
        self.entry_bytes = bytes as f64 / entries.max(1) as f64;
        self.lookup_us = time.as_secs_f64() * 1e6 / f64::from(self.requests.max(1));
        self
    }
}

#[cfg(test)]
mod tests;
