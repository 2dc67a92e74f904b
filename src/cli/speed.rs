//! `pointsman speed`: how long scoring a prompt takes on this machine.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::Args;
use pointsman::{
    learning::evaluate::speed::measure_all,
    scoring::{
        Artifact,
        folder::Folder,
        load::Runtime,
        session_onnx::{find_library, load_library},
    },
};

use super::{CliResult, models::Place};

/// Arguments of `speed`.
#[derive(Args)]
pub(crate) struct SpeedArgs {
    /// The router's folder; without it the one inside the program
    #[arg(long)]
    router: Option<PathBuf>,
    /// ONNX Runtime's library; without it the installed one
    #[arg(long)]
    onnxruntime: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Times both engines, or RTen alone where ONNX Runtime is not installed.
pub(crate) fn run(args: &SpeedArgs) -> CliResult {
    let artifact = Artifact::read(&Folder::of(args.router.as_deref()))?;
    let mut out = std::io::stdout();
    writeln!(out, "{}: one prompt on one thread, tokenising included\n", artifact.document.name)?;
    writeln!(out, "| engine | prompt | scored tokens | p50, ms | p99, ms |\n|---|---|---|---|---|")?;
    for runtime in runtimes(args)? {
        let mut session = runtime.sessions(&artifact.onnx, 1)?.pop().ok_or("no session")?;
        artifact.self_test(|ids| session.run(ids))?;
        for speed in measure_all(&artifact, &mut *session)? {
            let (p50, p99) = (speed.p50_us / 1e3, speed.p99_us / 1e3);
            let engine = runtime.engine().name();
            writeln!(out, "| {engine} | {} | {} | {p50:.3} | {p99:.3} |", speed.prompt, speed.tokens)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn runtimes(args: &SpeedArgs) -> Result<Vec<Runtime>, Box<dyn std::error::Error>> {
    let found = find_library(args.onnxruntime.as_deref(), &args.place.dir());
    let onnxruntime = match (found, &args.onnxruntime) {
        (Ok(path), _) => Some(Runtime::OnnxRuntime(load_library(&path)?)),
        (Err(error), Some(_)) => return Err(error.into()),
        (Err(_), None) => None,
    };
    Ok(onnxruntime.into_iter().chain([Runtime::Rten]).collect())
}
