//! The scorer: an artifact and its sessions.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::{
    Engine, Sample, Scorer,
    artifact::Artifact,
    evidence::TrainingEvidence,
    overlay::Overlay,
    profiles::Profiles,
    queue::{Queue, QueueError},
    session::{Outputs, Session, SessionError},
    tokens::TokensError,
};
use crate::domain::{Evidence, Familiarity, Length, Needs, PromptView, Scores, ScoresUnavailable};

/// Where the graph runs.
enum Place {
    /// On the thread that asks, on one of these sessions.
    Here(Vec<Mutex<Box<dyn Session>>>),
    /// On threads of its own.
    Queue(Queue),
}

/// A loaded router model.
pub struct Router {
    artifact: Artifact,
    /// Those of the artifact and of the overlay.
    profiles: ArcSwap<Profiles>,
    overlay: Option<Overlay>,
    engine: Engine,
    place: Place,
    next: AtomicUsize,
    has_failed: AtomicBool,
}

#[derive(Debug, thiserror::Error)]
enum ScoreError {
    #[error("no session came free in time")]
    Full,
    #[error(transparent)]
    Tokens(#[from] TokensError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("the graph gave a number that is not finite")]
    NotFinite,
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("its turn did not come in time")]
    Late,
}

impl Router {
    /// Returns a scorer that runs the graph where it is asked; `sessions` is not empty.
    pub fn new(artifact: Artifact, engine: Engine, sessions: Vec<Box<dyn Session>>) -> Self {
        Self::at(Place::Here(sessions.into_iter().map(Mutex::new).collect()), artifact, engine)
    }

    /// Adds the profiles of an overlay, now and whenever they are read again.
    #[must_use]
    pub fn with_overlay(mut self, overlay: Overlay) -> Self {
        self.overlay = Some(overlay);
        self.reload_profiles();
        self
    }

    /// Returns a scorer that runs a heavy graph on threads of its own, one per session.
    pub fn queued(artifact: Artifact, engine: Engine, sessions: Vec<Box<dyn Session>>) -> Self {
        Self::at(Place::Queue(Queue::start(sessions)), artifact, engine)
    }

    fn at(place: Place, artifact: Artifact, engine: Engine) -> Self {
        let (profiles, next) = (ArcSwap::from_pointee(artifact.profiles.clone()), AtomicUsize::new(0));
        Self { artifact, profiles, overlay: None, engine, place, next, has_failed: AtomicBool::new(false) }
    }

    async fn try_score(&self, text: &str, start: Instant, deadline: Duration) -> Result<Scores, ScoreError> {
        let ids = guarded(|| Ok(self.artifact.tokens.ids(text)?))?;
        let outputs = match &self.place {
            Place::Here(pool) => guarded(|| Ok(self.session(pool, deadline)?.run(&ids)?))?,
            Place::Queue(queue) => {
                tokio::time::timeout(deadline, queue.run(ids)).await.map_err(|_| ScoreError::Late)??
            }
        };
        if !is_finite(&outputs) {
            return Err(ScoreError::NotFinite);
        }
        guarded(|| Ok(scores_with(&self.artifact, &self.profiles.load(), outputs, start.elapsed())))
    }

    /// Returns a free session, or waits for one: the holder needs it for a fraction of a millisecond.
    fn session<'a>(
        &self,
        pool: &'a [Mutex<Box<dyn Session>>],
        deadline: Duration,
    ) -> Result<MutexGuard<'a, Box<dyn Session>>, ScoreError> {
        if let Some(free) = pool.iter().find_map(Mutex::try_lock) {
            return Ok(free);
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % pool.len().max(1);
        let session = pool.get(turn).ok_or(ScoreError::Full)?;
        session.try_lock_for(deadline).ok_or(ScoreError::Full)
    }

    /// Logs the first failure as an error; one broken model must not flood the log.
    fn report(&self, error: &ScoreError) -> ScoresUnavailable {
        match error {
            ScoreError::Full | ScoreError::Queue(QueueError::Full) => return ScoresUnavailable::Full,
            ScoreError::Late => return ScoresUnavailable::Late,
            _ => {}
        }
        if self.has_failed.swap(true, Ordering::Relaxed) {
            tracing::debug!(error = %error, "router model failed again");
        } else {
            tracing::error!(error = %error, router.artifact = self.artifact(), router.engine = self.engine.name(),
                "router model failed; routing goes on without scores, further failures are logged at debug");
        }
        ScoresUnavailable::Failed
    }
}

/// Runs what calls into an engine or a tokenizer; a panic there becomes an error.
fn guarded<T>(run: impl FnOnce() -> Result<T, ScoreError>) -> Result<T, ScoreError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(Err(ScoreError::Session(SessionError::Panicked)))
}

/// Returns what the artifact makes of the graph's outputs: the same in the gateway and where a router is measured.
pub fn scores_of(artifact: &Artifact, outputs: Outputs, took: Duration) -> Scores {
    scores_with(artifact, &artifact.profiles, outputs, took)
}

/// Returns the same by other profiles than the artifact's own.
fn scores_with(artifact: &Artifact, profiles: &Profiles, outputs: Outputs, took: Duration) -> Scores {
    let (quality, prior) = profiles.qualities(&outputs.latent);
    let surroundings = profiles.surroundings.as_ref();
    let familiarity = surroundings.map_or(Familiarity::UNKNOWN, |near| near.familiarity(&outputs.embedding));
    let topics = profiles.topics(&outputs.latent);
    let length = length_of(&outputs.output_tokens);
    Scores {
        embedding: outputs.embedding.into(),
        latent: outputs.latent.into(),
        length,
        quality,
        prior,
        familiarity,
        topics,
        conformal: profiles.conformal.clone(),
        artifact: Arc::clone(&artifact.checksum),
        took,
    }
}

/// Expected lengths are what the graph says, within what any model can write.
fn length_of(log_tokens: &[f32]) -> Length {
    const LONGEST: f64 = 1e6;
    let tokens = |log: Option<&f32>| (f64::from(log.copied().unwrap_or(0.0)).exp() - 1.0).clamp(1.0, LONGEST);
    let median = tokens(log_tokens.first());
    Length { median, upper: tokens(log_tokens.get(1)).max(median) }
}

fn is_finite(outputs: &Outputs) -> bool {
    [&outputs.embedding, &outputs.latent, &outputs.output_tokens].iter().all(|row| row.iter().all(|x| x.is_finite()))
}

#[async_trait]
impl Scorer for Router {
    async fn score(&self, prompt: &PromptView, deadline: Duration) -> Result<Scores, ScoresUnavailable> {
        let start = Instant::now();
        let outcome = self.try_score(&prompt.text, start, deadline).await;
        let scores = outcome.map_err(|error| self.report(&error))?;
        if scores.took > deadline {
            return Err(ScoresUnavailable::Late);
        }
        Ok(scores)
    }

    fn evidence(&self, scores: &Scores, needs: Needs) -> HashMap<Arc<str>, Evidence> {
        let is_needed = needs.clusters || needs.neighbours;
        let is_own = *scores.artifact == *self.artifact.checksum;
        let evidence = self.artifact.evidence.as_ref().filter(|_| is_needed && is_own);
        evidence.map(|evidence| evidence.near(&scores.embedding, needs)).unwrap_or_default()
    }

    fn samples(&self) -> Vec<Sample> {
        let profiles = self.profiles.load();
        let samples = self.artifact.evidence.iter().flat_map(TrainingEvidence::samples);
        let scored = |(input_tokens, outputs)| Sample {
            input_tokens,
            scores: scores_with(&self.artifact, &profiles, outputs, Duration::ZERO),
        };
        samples.map(scored).collect()
    }

    fn engine(&self) -> Engine {
        self.engine
    }

    fn artifact(&self) -> &str {
        &self.artifact.document.name
    }

    fn checksum(&self) -> &str {
        &self.artifact.checksum
    }

    fn reload_profiles(&self) {
        if let Some(overlay) = &self.overlay {
            self.profiles.store(Arc::new(self.artifact.profiles.with(overlay.profiles_for(&self.artifact))));
        }
    }
}
