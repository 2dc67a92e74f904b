//! Metrics, traces and the one log line per request.
//!
//! Every request ends in one [`RequestRecord`]; [`Telemetry::tell`] turns it into metrics and one `info` line. What no record
//! knows (how full a queue is, whether a breaker is open) rooms report through the setters of [`Telemetry`] when it changes.
//!
//! Two promises hold here. Nothing that a caller wrote is told: no prompt, no answer, no key, not even the `model` field of a
//! request unless it names something configured. And no label grows without bound: models, providers and policies come from
//! the configuration ([`labels::Labels`]), everything else is an enum; an unknown value is `other`.
//!
//! To add a metric: one row in [`metrics`], one line in `observe.rs` (from the record) or `state.rs` (from a setter).

pub mod labels;
mod line;
pub mod logs;
pub mod metrics;
mod observe;
mod state;
pub mod traces;

pub use labels::Labels;
pub use metrics::MetricsError;

use crate::{config::Config, domain::RequestRecord};

/// What the program tells the outside of itself.
#[derive(Debug)]
pub struct Telemetry {
    metrics: metrics::Metrics,
    labels: Labels,
}

impl Telemetry {
    /// Returns telemetry that knows the models, providers and policy names of the configuration.
    ///
    /// # Errors
    /// Two rows of the table of metrics contradict each other.
    pub fn new(config: &Config) -> Result<Self, MetricsError> {
        Self::with_labels(Labels::of(config))
    }

    /// Returns telemetry that knows the given names.
    ///
    /// # Errors
    /// Two rows of the table of metrics contradict each other.
    pub fn with_labels(labels: Labels) -> Result<Self, MetricsError> {
        let metrics = metrics::Metrics::new()?;
        metrics.build_info.at([env!("CARGO_PKG_VERSION"), features()]).set(1.0);
        Ok(Self { metrics, labels })
    }

    /// Books a finished request in the metrics and writes its log line.
    pub fn tell(&self, record: &RequestRecord) {
        observe::record(&self.metrics, &self.labels, record);
        line::write(&self.labels, record);
    }

    /// Returns all metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        self.metrics.render()
    }
}

const fn features() -> &'static str {
    match (cfg!(feature = "local"), cfg!(feature = "otel")) {
        (true, true) => "local,otel",
        (true, false) => "local",
        (false, true) => "otel",
        (false, false) => "none",
    }
}
