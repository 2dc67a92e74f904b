//! How log lines are filtered and written: to standard error, as text or JSON.

use std::{io::IsTerminal, panic::PanicHookInfo};

use tracing_subscriber::{EnvFilter, Layer, filter::ParseError, layer::SubscriberExt, util::SubscriberInitExt};

use super::traces::{self, TraceError};
use crate::config::{LogFormat, TelemetrySettings};

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter of the configuration is not one.
    #[error("`telemetry.log` is not a filter such as `info,pointsman=debug`: {0}")]
    Filter(#[from] ParseError),
    /// Traces cannot be exported.
    #[error(transparent)]
    Traces(#[from] TraceError),
    /// Something has set up logging already.
    #[error("logging was set up already")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Keeps logging alive; dropping it sends the last traces.
#[derive(Debug)]
pub struct Logging {
    _traces: traces::Export,
}

/// Sets up logs, traces and the panic hook for the whole process.
///
/// # Errors
/// The filter or the OTLP endpoint is unusable, or logging was set up before.
pub fn start(settings: &TelemetrySettings) -> Result<Logging, LogError> {
    let filter = EnvFilter::builder().parse(&settings.log)?;
    let export = traces::Export::start(settings.otlp.as_deref())?;
    tracing_subscriber::registry().with(export.layer()).with(lines(settings.format)).with(filter).try_init()?;
    std::panic::set_hook(Box::new(report_panic));
    Ok(Logging { _traces: export })
}

fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span>,
{
    let is_terminal = std::io::stderr().is_terminal();
    let layer = tracing_subscriber::fmt::layer().with_ansi(is_terminal).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
    }
}

// The message of a panic that was formatted may quote what it was working on, a prompt for instance; only messages that stand
// in the source are told.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("message withheld");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(panic.message = message, panic.place = place, "panic at {place}: {message}");
}
