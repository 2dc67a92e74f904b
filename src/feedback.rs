//! What the gateway's own graded traffic says of its models.
//!
//! [`Experience`] is the memory of strategies that learn while they serve: for each policy the latest lessons (which model
//! answered what, what the router had predicted, what the caller thought of it) and what follows from them. A strategy never
//! sees it: before a decision [`Experience::tell`] writes into each candidate's evidence what its lessons say of this prompt, so
//! that the decision stays pure and its record can replay it.
//!
//! ```text
//! POST /v1/feedback -> ledger -> Graded -> learn    (and at the start, every grade that the ledger still holds)
//! training prompts -> begin                             (once per policy and artifact)
//! ask -> tell -> Candidate.evidence.traffic -> Strategy::decide
//! ```
//!
//! # Invariants
//!
//! - Lessons count only for prompts that the same artifact scored: another artifact has other topics and other predictions.
//! - Memory is bounded: 4,096 lessons per policy.
//! - A grade that replaces another leaves nothing of it; what is told after a restart is what was told before, as far as the
//!   ledger still holds the grades.
//!
//! To add a way to learn: a variant of [`BanditAlgorithm`](crate::domain::BanditAlgorithm), a file beside [`counts`], an arm
//! in `posterior.rs`.

pub mod counts;
mod lesson;
pub mod linear;
mod posterior;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;

use self::{lesson::Lesson, posterior::Posterior};
use crate::domain::{Ask, Graded, Learner, ModelName, PolicyName, Topic};

/// Lessons per policy: with the usual discount of 0.999 the oldest of them count for a sixtieth.
const MOST_LESSONS: usize = 4_096;
/// Lessons that are dropped at once, because everything has to be summed up anew then.
const DROPPED: usize = MOST_LESSONS / 8;
/// Training prompts that a policy starts from: enough for the moments of a dozen topics.
const MOST_START_PROMPTS: usize = 512;

/// What every policy has learned. Clones of the `Arc` around it share it.
#[derive(Default)]
pub struct Experience {
    policies: Mutex<HashMap<PolicyName, Memory>>,
}

/// What the router predicts on prompts that it was trained on: what a policy knows before its first lesson.
#[derive(Clone, Debug, Default)]
pub struct Start {
    artifact: Arc<str>,
    prompts: Vec<StartPrompt>,
}

#[derive(Clone, Debug)]
struct StartPrompt {
    topics: Vec<Topic>,
    predicted: Vec<(ModelName, f64)>,
}

impl Start {
    /// Returns the start from the asks that training prompts would have been; a part of them where there are many.
    pub fn of(artifact: Arc<str>, asks: &[Ask]) -> Self {
        let step = asks.len().div_ceil(MOST_START_PROMPTS).max(1);
        let prompt = |ask: &Ask| StartPrompt {
            topics: lesson::topics(ask),
            predicted: ask
                .candidates
                .iter()
                .map(|one| (one.model.name.clone(), one.estimate.quality.value()))
                .collect(),
        };
        Self { artifact, prompts: asks.iter().step_by(step).map(prompt).collect() }
    }
}

/// The lessons of one policy, oldest first, and what followed from them when somebody last asked.
#[derive(Default)]
struct Memory {
    start: Start,
    lessons: VecDeque<Lesson>,
    fitted: Option<Fitted>,
}

struct Fitted {
    learner: Learner,
    artifact: Arc<str>,
    posterior: Posterior,
}

impl Experience {
    /// Takes in a grade. It teaches nothing when no policy chose the model that answered.
    pub fn learn(&self, graded: &Graded) {
        let Some((policy, lesson)) = Lesson::of(graded) else { return };
        self.policies.lock().entry(policy).or_default().learn(lesson);
    }

    /// Takes in the grade of an answer to an ask, in `[0, 1]`, for a policy that has no records.
    pub fn teach(&self, policy: &PolicyName, ask: &Ask, model: &ModelName, score: f64) {
        let Some(lesson) = Lesson::about(ask, model, score) else { return };
        self.policies.lock().entry(policy.clone()).or_default().learn(lesson);
    }

    /// Lets a policy start from training prompts of an artifact, unless it has already; `start` is asked for them once.
    pub fn begin(&self, policy: &PolicyName, artifact: &Arc<str>, start: impl FnOnce() -> Start) {
        let mut policies = self.policies.lock();
        let memory = policies.entry(policy.clone()).or_default();
        if memory.start.artifact != *artifact {
            memory.start = Start { artifact: Arc::clone(artifact), ..start() };
            memory.fitted = None;
        }
    }

    /// Writes into the evidence of every candidate what the policy's lessons say of it on this prompt.
    pub fn tell(&self, policy: &PolicyName, learner: Learner, ask: &mut Ask) {
        let mut policies = self.policies.lock();
        let posterior = policies.entry(policy.clone()).or_default().posterior(learner, &lesson::artifact(ask));
        let topics = lesson::topics(ask);
        for candidate in &mut ask.candidates {
            let predicted = candidate.estimate.quality.value();
            candidate.evidence.traffic = Some(posterior.observed(&topics, &candidate.model.name, predicted));
        }
    }
}

impl Memory {
    fn learn(&mut self, lesson: Lesson) {
        if let Some(before) = self.lessons.iter().position(|before| before.is_about_the_same(&lesson)) {
            self.lessons.remove(before);
            self.fitted = None;
        }
        if self.lessons.len() == MOST_LESSONS {
            self.lessons.drain(..DROPPED);
            self.fitted = None;
        }
        if let Some(fitted) = self.fitted.as_mut().filter(|fitted| fitted.artifact == lesson.artifact) {
            fitted.posterior.add(&lesson);
        }
        self.lessons.push_back(lesson);
    }

    fn posterior(&mut self, learner: Learner, artifact: &Arc<str>) -> &Posterior {
        let is_current = |fitted: &Fitted| fitted.learner == learner && fitted.artifact == *artifact;
        let fitted = match self.fitted.take().filter(is_current) {
            Some(fitted) => fitted,
            None => self.fit(learner, artifact),
        };
        &self.fitted.insert(fitted).posterior
    }

    fn fit(&self, learner: Learner, artifact: &Arc<str>) -> Fitted {
        let blank = Start::default();
        let start = if self.start.artifact == *artifact { &self.start } else { &blank };
        let mut posterior = Posterior::of(learner, start);
        for lesson in self.lessons.iter().filter(|lesson| lesson.artifact == *artifact) {
            posterior.add(lesson);
        }
        Fitted { learner, artifact: Arc::clone(artifact), posterior }
    }
}

#[cfg(test)]
mod tests;
