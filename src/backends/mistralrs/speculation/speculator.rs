//! One model's speculation: the way in, and whether it pays.

use std::sync::{Arc, OnceLock};

use tokio::sync::{Mutex, oneshot};

use super::{
    super::{engine::EngineError, queue::Turn},
    calibrate::{Speeds, measure},
    counts::Counts,
    decode::Writing,
    order::{Aid, Order},
    pace::{Costs, Pace},
    passes::{Messages, Passes},
    worker::{Job, Worker},
};
use crate::{
    config::{Draft, SpeculateSettings, SpeculateWhen},
    domain::Speculation,
};

/// How much faster it must be to be worth its memory and its unevenness: less is within the noise of the measurement.
const LEAST_SPEED_UP: f64 = 1.05;

/// Decodes a model's answers with proposals.
pub(in super::super) struct Speculator {
    settings: SpeculateSettings,
    passes: Arc<Mutex<Passes>>,
    worker: Worker,
    costs: Arc<Costs>,
    counts: Arc<Counts>,
    verdict: OnceLock<Verdict>,
}

/// Whether a model speculates.
#[derive(Clone, Debug, PartialEq)]
struct Verdict {
    is_on: bool,
    reason: String,
    speeds: Option<Speeds>,
}

/// Returns what can be said before the model is loaded, or where it cannot speculate.
pub(in super::super) fn off(settings: &SpeculateSettings, reason: &str) -> Speculation {
    Speculation::off(name(&settings.draft), reason)
}

fn name(draft: &Draft) -> String {
    match draft {
        Draft::Lookup => "lookup".to_owned(),
        Draft::Model(name) => name.to_string(),
    }
}

impl Speculator {
    /// Returns the speculation of the model that `passes` are of.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(in super::super) fn start(passes: Arc<Mutex<Passes>>, settings: SpeculateSettings) -> std::io::Result<Self> {
        let worker = Worker::start(Arc::clone(&passes))?;
        let (costs, counts) = (Arc::default(), Arc::default());
        Ok(Self { settings, passes, worker, costs, counts, verdict: OnceLock::new() })
    }

    /// Decides whether to speculate, by a measurement with `aid` where the settings ask for one.
    pub(in super::super) async fn decide(&self, aid: Aid) {
        let verdict = match self.settings.when {
            SpeculateWhen::Always => {
                Verdict { is_on: true, reason: "the configuration says so".to_owned(), speeds: None }
            }
            SpeculateWhen::Never => {
                Verdict { is_on: false, reason: "the configuration says so".to_owned(), speeds: None }
            }
            SpeculateWhen::Pays => self.measured(aid).await,
        };
        // The first decision holds.
        drop(self.verdict.set(verdict));
    }

    async fn measured(&self, aid: Aid) -> Verdict {
        let mut passes = self.passes.lock().await;
        match measure(&mut passes, aid, self.pace(false), &self.costs).await {
            Ok(speeds) => {
                let is_on = speeds.speculative > LEAST_SPEED_UP * speeds.plain;
                let reason = if is_on { "it is faster here" } else { "it is not faster here" };
                Verdict { is_on, reason: reason.to_owned(), speeds: Some(speeds) }
            }
            Err(error) => Verdict { is_on: false, reason: format!("measuring failed: {error}"), speeds: None },
        }
    }

    /// Says why there is no speculation.
    pub(in super::super) fn refuse(&self, reason: String) {
        drop(self.verdict.set(Verdict { is_on: false, reason, speeds: None }));
    }

    /// Returns whether answers are decoded with proposals.
    pub(in super::super) fn is_on(&self) -> bool {
        self.verdict.get().is_some_and(|verdict| verdict.is_on)
    }

    /// Hands an answer over to be decoded. What `writing` says goes on while nobody reads it. The receiver tells why it broke
    /// off, if it does.
    ///
    /// # Errors
    /// The thread that decodes is gone.
    pub(in super::super) fn take(
        &self,
        messages: Messages,
        (writing, aid): (Box<dyn Writing>, Aid),
        has_seed: bool,
        turn: Turn,
    ) -> Result<oneshot::Receiver<EngineError>, EngineError> {
        let (costs, counts) = (Arc::clone(&self.costs), Arc::clone(&self.counts));
        let order = Order { writing, aid, pace: self.pace(has_seed), costs, counts };
        let (failure, failed) = oneshot::channel();
        self.worker.take(Job { messages, order, turn, failure })?;
        Ok(failed)
    }

    /// With a seed nothing adapts to what was measured, so that it gives the same text.
    fn pace(&self, has_seed: bool) -> Pace {
        let SpeculateSettings { gamma, adapts, when, .. } = self.settings;
        Pace::new(gamma, adapts && !has_seed, when == SpeculateWhen::Always)
    }

    /// Returns what the speculation is and does.
    pub(in super::super) fn status(&self) -> Speculation {
        let Some(verdict) = self.verdict.get() else { return off(&self.settings, "it is not yet measured") };
        let counted = self.counts.counted();
        Speculation {
            is_on: verdict.is_on,
            plain_tokens_per_second: verdict.speeds.map(|speeds| speeds.plain),
            speculative_tokens_per_second: verdict.speeds.map(|speeds| speeds.speculative),
            proposed: counted.proposed,
            accepted: counted.accepted,
            passes: counted.passes,
            tokens: counted.tokens,
            plain_tokens: counted.plain,
            ..off(&self.settings, &verdict.reason)
        }
    }
}
