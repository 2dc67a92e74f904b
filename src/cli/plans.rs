//! `pointsman plans`: what plans of several calls would have reached on recorded answers, and fitting them to those.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand, ValueEnum};
use pointsman::learning::{
    evaluate::presets::expand,
    plans::{Settings, answers::read, contest::report::ContestReport, measure, report::markdown},
};

use super::CliResult;

mod fit;

/// Arguments of `plans`.
#[derive(Args)]
pub(crate) struct PlansArgs {
    #[command(subcommand)]
    command: PlansCommand,
}

#[derive(Subcommand)]
enum PlansCommand {
    /// Measure probe and agree where answers are recorded, and deferral tests where signals of two models are
    Evaluate(EvaluateArgs),
    /// Fit the model of `probe and agree` to a set, say what it costs to keep a promise with it, and write it to a file
    Fit(fit::FitArgs),
}

/// How the report is written.
#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Markdown
    Md,
    /// JSON
    Json,
}

#[derive(Args)]
#[command(
    after_help = "Data are folders with meta.json and records.jsonl, packed as .zst or plain. Answers are `pred` (a letter per \
                        model, - for none, ? for not asked) or `ans` (equal numbers are equal answers, -1 for none); signals are \
                        `avg_logp`, `avg_entropy` and `self_verify` of the first of two models. All records count, whatever their \
                        split: each is judged by what was fitted on others."
)]
struct EvaluateArgs {
    /// A set, or a folder of sets; may be given several times
    #[arg(long, required = true, num_args = 1..)]
    data: Vec<PathBuf>,
    /// Choose among these models only, by public name or preset (mmlu-pro-9, zeroeval-13)
    #[arg(long, value_delimiter = ',')]
    models: Vec<String>,
    /// Measure each task of a set as a set of its own
    #[arg(long)]
    by_task: bool,
    /// Divisions into folds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// Resamples of every bootstrap
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// Write charts of cost over quality into this folder
    #[arg(long)]
    plots: Option<PathBuf>,
    /// How the report is written
    #[arg(long, value_enum, default_value = "md")]
    format: Format,
}

/// Runs the command.
pub(crate) fn run(args: &PlansArgs) -> CliResult {
    match &args.command {
        PlansCommand::Evaluate(args) => evaluate(args),
        PlansCommand::Fit(args) => fit::run(args),
    }
}

fn evaluate(args: &EvaluateArgs) -> CliResult {
    let mut sets = Vec::new();
    for path in &args.data {
        sets.extend(read(path)?);
    }
    let settings =
        Settings { only: expand(&args.models), by_task: args.by_task, seeds: args.seeds, rounds: args.rounds as usize };
    let report = measure(&sets, &settings);
    if report.contests.is_empty() && report.probes.is_empty() && report.deferral.is_empty() {
        return Err(
            "no set has answers of cheap models to compare, or signals of two models; check --data and --models".into(),
        );
    }
    for plot in report.contests.iter().filter(|_| args.plots.is_some()).map(ContestReport::plot) {
        let folder = args.plots.clone().unwrap_or_default();
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(plot.file), plot.svg)?;
    }
    match args.format {
        Format::Md => write!(std::io::stdout(), "{}", markdown(&report))?,
        Format::Json => writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?,
    }
    Ok(ExitCode::SUCCESS)
}
