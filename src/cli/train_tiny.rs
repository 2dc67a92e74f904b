//! `pointsman train-tiny`: the pair of tiny models that tests decode with.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::Args;
use pointsman::learning::tiny::{STEPS, TinySettings, measure::Measured, measure_family, train_family};

use super::{CliResult, train::Bars};

/// Arguments of `train-tiny`.
#[derive(Args)]
pub(crate) struct TrainTinyArgs {
    /// Folder to write: target and draft become folders in it
    #[arg(long, default_value = "tests/fixtures/tiny-family")]
    out: PathBuf,
    /// The same seed gives the same bytes on one machine
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Steps that each of the two takes
    #[arg(long, default_value_t = STEPS, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Train nothing: measure what lies in --out
    #[arg(long, conflicts_with = "steps")]
    measure: bool,
}

/// Trains and measures the pair.
pub(crate) fn run(args: &TrainTinyArgs) -> CliResult {
    let measured = if args.measure {
        measure_family(&args.out, args.seed)?
    } else {
        let bars = Bars::default();
        let settings = TinySettings { seed: args.seed, steps: args.steps };
        let measured = train_family(&args.out, settings, &bars)?;
        bars.finish();
        measured
    };
    print(&measured)?;
    Ok(ExitCode::SUCCESS)
}

fn print(measured: &Measured) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "| held-out questions | asked | target right | draft right |\n|---|---|---|---|")?;
    for (kind, [asked, target, draft]) in &measured.right {
        writeln!(out, "| {kind} | {asked} | {target} | {draft} |")?;
    }
    let (target, draft) = measured.accuracy();
    writeln!(out, "\nright: target {target:.3}, draft {draft:.3}")?;
    let Measured { agreed, tokens, .. } = measured;
    writeln!(out, "same greedy token: {agreed} of {tokens}, {:.3}", measured.agreement())
}
