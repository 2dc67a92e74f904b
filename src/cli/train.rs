//! `pointsman train`: a router artifact from data.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use pointsman::{
    learning::{
        Progress, TrainSettings,
        card::card,
        data::Set,
        evaluate::{Settings, evaluate, forecast::Subject},
        read_sets, train,
    },
    scoring::{
        Artifact,
        artifact::CARD_MD,
        folder::Folder,
        session_rten::{RtenGraph, RtenSession},
    },
};

use super::CliResult;

/// Arguments of `train`.
#[derive(Args)]
pub(crate) struct TrainArgs {
    /// Folder of sets: each with meta.json and records.jsonl.zst
    #[arg(long)]
    data: PathBuf,
    /// Folder to write, for instance routers/mine-v1; its name becomes the router's name
    #[arg(long)]
    out: PathBuf,
    /// The same seed and data give the same bytes
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Replace the folder if it is there
    #[arg(long)]
    force: bool,
}

/// Trains and writes the artifact.
#[expect(clippy::print_stderr, reason = "the command line speaks to people")]
pub(crate) fn run(args: &TrainArgs) -> CliResult {
    if args.out.exists() && !args.force {
        return Err(format!("{} exists; --force replaces it", args.out.display()).into());
    }
    let bars = Bars::default();
    let start = tokio::time::Instant::now();
    let sets = read_sets(&args.data)?;
    for set in sets.iter().filter(|set| !set.is_open()) {
        eprintln!("not trained on: {} (licence: {})", set.meta.name, set.meta.license);
    }
    train(&sets, &args.out, TrainSettings::seeded(args.seed), &bars)?;
    write_card(&sets, &args.out, &bars)?;
    bars.finish();
    eprintln!("wrote {} in {:.1} s", args.out.display(), start.elapsed().as_secs_f64());
    Ok(ExitCode::SUCCESS)
}

/// Measures the artifact on what was held back and writes its card with its charts.
fn write_card(sets: &[Set], out: &Path, bars: &Bars) -> Result<(), Box<dyn std::error::Error>> {
    let artifact = Artifact::read(&Folder::Disk(out.to_owned()))?;
    let mut session = RtenSession::new(RtenGraph::load(artifact.onnx.to_vec())?);
    let settings = Settings { paraphrases: true, ..Settings::default() };
    let mut reports = Vec::new();
    for set in sets {
        let mut subject = Subject { artifact: &artifact, session: &mut session };
        let evaluated = evaluate(set, &mut subject, &settings, bars)?;
        reports.extend(evaluated.map(|evaluated| evaluated.report));
    }
    let plots = super::evaluate::write_plots(&out.join(PLOTS), &reports)?;
    let plots: Vec<String> = plots.iter().map(|file| format!("{PLOTS}/{file}")).collect();
    std::fs::write(out.join(CARD_MD), card(&artifact, sets, &reports, &plots))?;
    Ok(())
}

/// Where the card's charts lie in the artifact's folder.
const PLOTS: &str = "plots";

/// A bar for each stage.
#[derive(Default)]
pub(crate) struct Bars {
    current: Mutex<Option<ProgressBar>>,
}

impl Bars {
    /// Ends the last bar.
    pub(crate) fn finish(&self) {
        if let Some(bar) = self.current.lock().take() {
            bar.finish();
        }
    }
}

impl Progress for Bars {
    fn begin(&self, stage: &'static str, steps: u64) {
        self.finish();
        let style = ProgressStyle::with_template("{msg:<18} {bar:30} {pos}/{len} {elapsed}");
        let bar = ProgressBar::new(steps).with_message(stage);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
        *self.current.lock() = Some(bar);
    }

    fn step(&self) {
        if let Some(bar) = &*self.current.lock() {
            bar.inc(1);
        }
    }
}
