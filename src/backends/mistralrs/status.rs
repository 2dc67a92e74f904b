//! How far a model is, and how it fares.

use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

use crate::domain::{Availability, EngineRoom, LoadStep, Probability, Speculation};

/// What a local model is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing: it loads at its first request.
    Asleep,
    /// Fetching its weights.
    Fetching,
    /// Unpacking and checking them.
    Unpacking,
    /// Converting them to a format that runs faster here, once.
    Converting,
    /// Reading them into memory.
    Loading,
    /// Making its first token.
    WarmingUp,
    /// Answering.
    Ready,
    /// It could not be loaded.
    Failed,
}

impl Phase {
    /// Returns the share of the way to readiness at which the phase begins and ends. Fetching takes most of the time where it
    /// happens at all.
    fn span(self) -> (f64, f64) {
        match self {
            Self::Asleep | Self::Failed => (0.0, 0.0),
            Self::Fetching => (0.0, 0.6),
            Self::Unpacking => (0.6, 0.7),
            Self::Converting => (0.7, 0.8),
            Self::Loading => (0.8, 0.95),
            Self::WarmingUp => (0.95, 1.0),
            Self::Ready => (1.0, 1.0),
        }
    }
}

/// A local model's state for `/readyz` and administrators.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LocalStatus {
    /// What it is doing.
    pub phase: Phase,
    /// How far it is on its way to readiness.
    pub progress: Probability,
    /// Why it failed.
    pub failure: Option<String>,
    /// How it fares.
    #[serde(flatten)]
    pub room: EngineRoom,
    /// Speculative decoding, where it is configured.
    pub speculation: Option<Speculation>,
}

#[derive(Clone, Debug)]
struct Point {
    phase: Phase,
    done: u64,
    total: u64,
    failure: Option<String>,
    loaded_in: Option<Duration>,
}

/// Where loading writes down how far it is.
#[derive(Debug)]
pub(super) struct Report {
    point: watch::Sender<Point>,
}

impl Default for Report {
    fn default() -> Self {
        let point = Point { phase: Phase::Asleep, done: 0, total: 0, failure: None, loaded_in: None };
        Self { point: watch::Sender::new(point) }
    }
}

impl Report {
    pub(super) fn enter(&self, phase: Phase) {
        self.point.send_modify(|point| (point.phase, point.done, point.total, point.failure) = (phase, 0, 0, None));
    }

    pub(super) fn expect(&self, total: u64) {
        self.point.send_modify(|point| point.total = total);
    }

    pub(super) fn advance(&self, done: u64) {
        self.point.send_modify(|point| point.done = done);
    }

    pub(super) fn ready(&self, loaded_in: Duration) {
        self.point.send_modify(|point| (point.phase, point.loaded_in) = (Phase::Ready, Some(loaded_in)));
    }

    pub(super) fn fail(&self, reason: String) {
        self.point.send_modify(|point| (point.phase, point.failure) = (Phase::Failed, Some(reason)));
    }

    pub(super) fn phase(&self) -> Phase {
        self.point.borrow().phase
    }

    /// Waits until the model is ready or has failed.
    pub(super) async fn settled(&self) {
        let mut receiver = self.point.subscribe();
        let is_settled = |point: &Point| matches!(point.phase, Phase::Ready | Phase::Failed);
        // The sender lives in `self`, so waiting cannot fail.
        drop(receiver.wait_for(is_settled).await);
    }

    pub(super) fn availability(&self) -> Availability {
        let point = self.point.borrow();
        match point.phase {
            // A model that loads at its first request must get one.
            Phase::Asleep | Phase::Ready => Availability::Ready,
            Phase::Failed => Availability::Failed { reason: point.failure.clone().unwrap_or_default() },
            Phase::Fetching => point.loading(LoadStep::Fetching),
            Phase::Unpacking => point.loading(LoadStep::Unpacking),
            Phase::Converting => point.loading(LoadStep::Converting),
            Phase::Loading => point.loading(LoadStep::Reading),
            Phase::WarmingUp => point.loading(LoadStep::WarmingUp),
        }
    }

    pub(super) fn loaded_in(&self) -> Option<Duration> {
        self.point.borrow().loaded_in
    }

    pub(super) fn status(&self, room: EngineRoom) -> LocalStatus {
        let point = self.point.borrow();
        LocalStatus {
            phase: point.phase,
            progress: point.progress(),
            failure: point.failure.clone(),
            room,
            speculation: None,
        }
    }
}

impl Point {
    fn loading(&self, step: LoadStep) -> Availability {
        Availability::Loading { step, progress: self.progress() }
    }

    fn progress(&self) -> Probability {
        let (begin, end) = self.phase.span();
        let share = if self.total == 0 { 0.0 } else { self.done.min(self.total) as f64 / self.total as f64 };
        Probability::clamped(begin + (end - begin) * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_goes_forward_through_the_phases() {
        let report = Report::default();
        let mut seen = vec![0.0];

        for phase in [Phase::Fetching, Phase::Unpacking, Phase::Converting, Phase::Loading, Phase::WarmingUp] {
            report.enter(phase);
            report.expect(10);
            report.advance(5);
            let Availability::Loading { progress, .. } = report.availability() else {
                panic!("not loading in {phase:?}")
            };
            seen.push(progress.value());
        }

        assert!(seen.is_sorted(), "{seen:?}");
    }

    #[test]
    fn a_failure_is_told_with_its_reason() {
        let report = Report::default();

        report.fail("no weights".to_owned());

        assert_eq!(report.availability(), Availability::Failed { reason: "no weights".to_owned() });
    }
}
