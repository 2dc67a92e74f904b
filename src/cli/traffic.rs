//! `pointsman traffic`: what the gateway recorded of its own traffic.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use pointsman::{
    accounting::LedgerReader,
    config::Config,
    learning::{
        off_policy::{Estimated, Logged, doubly_robust, inverse_propensity},
        traffic::{Traffic, read_traffic, write_traffic},
    },
};

use super::CliResult;

/// Arguments of `traffic`.
#[derive(Args)]
pub(crate) struct TrafficArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Write recorded prompts with their grades as data for `train` and `evaluate`
    Export(ExportArgs),
}

#[derive(Args)]
struct ExportArgs {
    /// Folder to write: meta.json and records.jsonl
    #[arg(long)]
    out: PathBuf,
    /// The configuration that names the ledger; the embedded one if none is given
    #[arg(long, short, value_name = "FILE", env = "POINTSMAN_CONFIG")]
    config: Option<PathBuf>,
    /// Write prompts too that nobody graded
    #[arg(long)]
    ungraded: bool,
}

/// Runs the subcommand.
pub(crate) fn run(args: &TrafficArgs) -> CliResult {
    match &args.action {
        Action::Export(args) => export(args),
    }
}

#[expect(clippy::print_stderr, reason = "the command line speaks to people")]
fn export(args: &ExportArgs) -> CliResult {
    let traffic = read(args.config.as_deref(), args.ungraded)?;
    write_traffic(&traffic, &args.out)?;
    let (prompts, models) = (traffic.set.records.len(), traffic.set.meta.models.len());
    eprintln!("wrote {prompts} prompts and {models} models to {}", args.out.display());
    tell_estimates(&traffic);
    Ok(ExitCode::SUCCESS)
}

/// Reads the recorded traffic of a configuration's ledger.
pub(crate) fn read(
    config: Option<&std::path::Path>,
    with_ungraded: bool,
) -> Result<Traffic, Box<dyn std::error::Error>> {
    let config = Config::load(config)?;
    let ledger = config.accounting.ledger.ok_or("the configuration keeps no ledger; set accounting.enabled to true")?;
    if !ledger.exists() {
        return Err(
            format!("there is no ledger {}; a gateway of this configuration writes it", ledger.display()).into()
        );
    }
    let traffic = read_traffic(&LedgerReader::open(&ledger)?, with_ungraded)?;
    if traffic.set.records.is_empty() {
        let hint = "nothing was recorded and graded yet; set recording.enabled to true and send grades to /v1/feedback";
        return Err(hint.into());
    }
    Ok(traffic)
}

/// Tells what always choosing one model would have reached by the recorded propensities.
#[expect(clippy::print_stderr, reason = "the command line speaks to people")]
fn tell_estimates(traffic: &Traffic) {
    let logged: Vec<Logged> = traffic.logged.iter().flatten().cloned().collect();
    for model in &traffic.set.meta.models {
        let choices = vec![model.id.as_str(); logged.len()];
        let (ips, robust) = (inverse_propensity(&logged, &choices), doubly_robust(&logged, &choices));
        if let (Some(ips), Some(robust)) = (ips, robust) {
            eprintln!("always {}: grade {} by propensity, {} doubly robust", model.id, shown(ips), shown(robust));
        }
    }
}

fn shown(estimated: Estimated) -> String {
    format!("{:.3} +- {:.3}", estimated.mean, estimated.error)
}
