//! `pointsman evaluate`: how good a router is on prompts that it did not see.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};
use pointsman::{
    learning::{
        evaluate::{evaluate, report::markdown, speed::measure},
        read_sets,
    },
    scoring::{Artifact, folder::Folder, load::Runtime, session_onnx::load_library},
};

use super::CliResult;

/// How the report is written.
#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Markdown
    Md,
    /// JSON
    Json,
}

/// Arguments of `evaluate`.
#[derive(Args)]
pub(crate) struct EvaluateArgs {
    /// A set (folder or records file beside its meta.json), or a folder of sets
    #[arg(long)]
    data: PathBuf,
    /// The router's folder; without it the one inside the program
    #[arg(long)]
    router: Option<PathBuf>,
    /// Choose among these models only, by public name
    #[arg(long, value_delimiter = ',')]
    models: Vec<String>,
    /// Run on this ONNX Runtime library; without it on RTen
    #[arg(long)]
    onnxruntime: Option<PathBuf>,
    /// Time the scoring of a prompt of 512 tokens too
    #[arg(long)]
    speed: bool,
    /// How the report is written
    #[arg(long, value_enum, default_value = "md")]
    format: Format,
}

/// Measures and prints the report.
#[expect(clippy::print_stderr, reason = "the command line speaks to people")]
pub(crate) fn run(args: &EvaluateArgs) -> CliResult {
    let folder = Folder::of(args.router.as_deref());
    let artifact = Artifact::read(&folder)?;
    let runtime = match &args.onnxruntime {
        Some(path) => Runtime::OnnxRuntime(load_library(path)?),
        None => Runtime::Rten,
    };
    let mut session = runtime.sessions(&artifact.onnx, 1)?.pop().ok_or("no session")?;
    artifact.self_test(|ids| session.run(ids))?;
    let mut reports = Vec::new();
    for set in read_sets(&args.data)? {
        reports.extend(evaluate(&set, &artifact, &mut *session, &args.models)?);
    }
    if args.speed {
        let (engine, speed) = (runtime.engine().name(), measure(&artifact, &mut *session)?);
        eprintln!("{engine}, {} tokens: p50 {:.0} us, p99 {:.0} us", speed.tokens, speed.p50_us, speed.p99_us);
    }
    match args.format {
        Format::Md => writeln!(std::io::stdout(), "{}", markdown(&reports))?,
        Format::Json => writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&reports)?)?,
    }
    Ok(ExitCode::SUCCESS)
}
