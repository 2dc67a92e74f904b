//! `pointsman engine`: the process of one local model. The gateway starts it for models with `isolation: process`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use pointsman::{
    app,
    backends::isolated,
    config::{LogFormat, TelemetrySettings},
    telemetry::logs,
};

use super::CliResult;

/// Arguments of `engine`.
#[derive(Args)]
pub(crate) struct EngineArgs {
    /// What is logged
    #[arg(long)]
    log: String,
    /// How log lines look
    #[arg(long)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Serves the socket on standard input until it closes.
pub(crate) fn run(args: &EngineArgs) -> CliResult {
    let format = match args.format {
        Format::Text => LogFormat::Text,
        Format::Json => LogFormat::Json,
    };
    let _logging = logs::start(&TelemetrySettings { log: args.log.clone(), format, otlp: None })?;
    app::prepare_process();
    isolated::serve()?;
    Ok(ExitCode::SUCCESS)
}
