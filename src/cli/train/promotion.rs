//! From a trained artifact to the one in use, or not.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use pointsman::{
    config::{Config, Environment},
    learning::{
        data::Set,
        evaluate::forecast::Subject,
        promotion::{Comparison, compare, install},
    },
    scoring::{
        Artifact,
        folder::Folder,
        session_rten::{RtenGraph, RtenSession},
    },
};

use super::{Bars, CliResult};

/// Returns the folder of the artifact in use, where there is one to promote to.
pub(super) fn place(
    folder: Option<&Path>,
    config: Option<&Path>,
) -> Result<Option<PathBuf>, Box<dyn std::error::Error>> {
    let Some(file) = config else { return Ok(folder.map(Path::to_owned)) };
    let config = Config::load_file(file, &Environment::System)?;
    let path = config.router.and_then(|router| router.path);
    let missing = || format!("{} has no `router.path` to promote to; set it, or use --promote-to", file.display());
    Ok(Some(path.ok_or_else(missing)?))
}

/// Compares the artifacts, says how they compare, and replaces the one in use by the other unless that is worse.
pub(super) fn promote(sets: &[Set], (new, in_use): (&Path, &Path), force: bool, bars: &Bars) -> CliResult {
    let mut out = std::io::stdout();
    if in_use.exists() {
        let comparison = compared(sets, new, in_use, bars);
        bars.finish();
        match comparison {
            Ok(comparison) => {
                tell(&mut out, &comparison)?;
                if comparison.is_worse() && !force {
                    writeln!(out, "not promoted: {} stays as it was; --force promotes all the same", in_use.display())?;
                    return Ok(ExitCode::from(2));
                }
            }
            // What cannot be read any more cannot be compared with either; an operator decides.
            Err(error) if !force => return Err(error),
            Err(error) => writeln!(out, "not compared: {error}")?,
        }
    }
    install(new, in_use)?;
    writeln!(out, "promoted: {} is in use at {}", new.display(), in_use.display())?;
    Ok(ExitCode::SUCCESS)
}

fn compared(sets: &[Set], new: &Path, in_use: &Path, bars: &Bars) -> Result<Comparison, Box<dyn std::error::Error>> {
    let (new, in_use) = (open(new)?, open(in_use)?);
    let (mut new_session, mut session) = (session(&new)?, session(&in_use)?);
    let mut candidate = Subject { artifact: &new, session: &mut new_session };
    let mut present = Subject { artifact: &in_use, session: &mut session };
    Ok(compare(sets, &mut candidate, &mut present, bars)?)
}

fn open(folder: &Path) -> Result<Artifact, pointsman::scoring::LoadError> {
    Artifact::read(&Folder::Disk(folder.to_owned()))
}

fn session(artifact: &Artifact) -> Result<RtenSession, pointsman::scoring::SessionError> {
    Ok(RtenSession::new(RtenGraph::load(artifact.onnx.to_vec())?))
}

fn tell(out: &mut dyn Write, comparison: &Comparison) -> std::io::Result<()> {
    writeln!(out, "| set | prompts | in use, points | new, points |\n|---|---|---|---|")?;
    for trial in &comparison.trials {
        writeln!(out, "| {} | {} | {:.2} | {:.2} |", trial.set, trial.prompts, trial.in_use, trial.candidate)?;
    }
    let (difference, low, high) = comparison.difference;
    let worse = 100.0 * comparison.worse;
    writeln!(
        out,
        "\ndifference {difference:+.2} points (95 % interval {low:+.2} to {high:+.2}); worse in {worse:.0} % of the resamples"
    )?;
    if !comparison.lost.is_empty() {
        writeln!(out, "profiles that only the artifact in use has: {}", comparison.lost.join(", "))?;
    }
    Ok(())
}
