//! `pointsman train`: a router artifact from data.

mod promotion;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use pointsman::{
    artifacts::Console,
    learning::{
        Progress, TrainSettings, Work,
        card::{Measured, card},
        data::{Lessons, Set},
        evaluate::{Settings, evaluate, forecast::Subject, report::SetReport},
        minilm::{self, Minilm, Precision},
        read_sets, train_in,
    },
    scoring::{
        Artifact,
        artifact::CARD_MD,
        folder::Folder,
        load::Runtime,
        session_onnx::{find_library, load_library},
        session_rten::{RtenGraph, RtenSession},
    },
};

use super::{CliResult, models::Place};

/// Arguments of `train`.
#[derive(Args)]
#[command(
    after_help = "An interrupted training goes on where it ended when it is started again with the same arguments.\n\
        With --promote-to or --config the new artifact replaces the one in use if it is not worse on prompts that neither was\n\
        trained on; a running gateway picks it up by itself. The old one stays beside it as <folder>.previous."
)]
pub(crate) struct TrainArgs {
    /// Folder of sets: each with meta.json and records.jsonl.zst
    #[arg(long, required_unless_present = "traffic")]
    data: Option<PathBuf>,
    /// Learn from recorded traffic too: the configuration that names the ledger; the embedded one if none is given
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    traffic: Option<Option<PathBuf>>,
    /// Folder to write, for instance routers/mine-v1; its name becomes the router's name
    #[arg(long)]
    out: PathBuf,
    /// What turns a prompt into numbers
    #[arg(long, value_enum, default_value = "static")]
    encoder: Encoder,
    /// Store and multiply the encoder's weights with eight bits; for --encoder minilm
    #[arg(long, requires = "encoder")]
    int8: bool,
    #[command(flatten)]
    place: Place,
    /// The same seed and data give the same bytes
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Where finished stages are kept until the end [default: <OUT>.work]
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Folder of the artifact in use
    #[arg(long, value_name = "DIR")]
    promote_to: Option<PathBuf>,
    /// Configuration whose `router.path` is the artifact in use
    #[arg(long, value_name = "FILE", conflicts_with = "promote_to")]
    config: Option<PathBuf>,
    /// After measuring, learn again from all prompts, the held-back ones too; the card says so
    #[arg(long, conflicts_with_all = ["promote_to", "config"])]
    all: bool,
    /// Replace --out if it is there, and promote even what is worse
    #[arg(long)]
    force: bool,
}

impl TrainArgs {
    fn precision(&self) -> Precision {
        if self.int8 { Precision::Int8 } else { Precision::F32 }
    }
}

/// What turns a prompt into numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Encoder {
    /// A table of token vectors, made from the data: tens of microseconds a prompt
    Static,
    /// all-MiniLM-L6-v2, fetched once through pip: milliseconds a prompt
    Minilm,
}

/// Trains and writes the artifact.
#[expect(clippy::print_stderr, reason = "the command line speaks to people")]
pub(crate) fn run(args: &TrainArgs) -> CliResult {
    if args.out.exists() && !args.force {
        return Err(format!("{} exists; --force replaces it", args.out.display()).into());
    }
    if args.all && matches!(args.encoder, Encoder::Minilm) {
        return Err("--all is for --encoder static: the card of the other measures nothing".into());
    }
    // Found before an hour's work, not after it.
    let in_use = promotion::place(args.promote_to.as_deref(), args.config.as_deref())?;
    let bars = Bars::default();
    let start = tokio::time::Instant::now();
    let sets = all_sets(args)?;
    for set in sets.iter().filter(|set| !set.is_open()) {
        eprintln!("not trained on: {} (licence: {})", set.meta.name, set.meta.license);
    }
    let settings = TrainSettings::seeded(args.seed);
    let folder = args.work.clone().unwrap_or_else(|| args.out.with_extension("work"));
    let train = |lessons| train_once(args, &sets, TrainSettings { lessons, ..settings }, (&folder, &bars));
    let mut works = vec![train(Lessons::Training)?];
    match args.encoder {
        Encoder::Static => {
            let reports = measure(&sets, &args.out, &bars)?;
            let lessons = if args.all { Lessons::Everything } else { Lessons::Training };
            if args.all {
                works.push(train(lessons)?);
            }
            write_card(&sets, &args.out, &reports, lessons)?;
        }
        Encoder::Minilm => write_minilm_card(args, &sets)?,
    }
    bars.finish();
    works.iter().for_each(Work::clear);
    // Only an empty one goes: others may be at work there.
    drop(std::fs::remove_dir(&folder));
    eprintln!("wrote {} in {:.1} s", args.out.display(), start.elapsed().as_secs_f64());
    match in_use {
        Some(in_use) => promotion::promote(&sets, (&args.out, &in_use), args.force, &bars),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Trains, and returns where the finished stages are kept.
fn train_once(
    args: &TrainArgs,
    sets: &[Set],
    settings: TrainSettings,
    (folder, bars): (&Path, &Bars),
) -> Result<Work, Box<dyn std::error::Error>> {
    let work = Work::open(folder, &format!("{:?} {}", args.encoder, args.int8), sets, settings);
    match args.encoder {
        Encoder::Static => train_in(&work, sets, &args.out, settings, bars)?,
        Encoder::Minilm => train_minilm(args, sets, settings, (&work, bars))?,
    }
    Ok(work)
}

fn train_minilm(
    args: &TrainArgs,
    sets: &[Set],
    settings: TrainSettings,
    (work, bars): (&Work, &Bars),
) -> Result<(), Box<dyn std::error::Error>> {
    let minilm = Minilm::install(&args.place.store(), &Console::default())?;
    let library = find_library(None, &args.place.dir()).and_then(|path| load_library(&path));
    let runtime = library.map_or(Runtime::Rten, Runtime::OnnxRuntime);
    Ok(minilm::train((&minilm, args.precision(), &runtime), sets, &args.out, settings, (work, bars))?)
}

fn write_minilm_card(args: &TrainArgs, sets: &[Set]) -> Result<(), Box<dyn std::error::Error>> {
    let artifact = Artifact::read(&Folder::Disk(args.out.clone()))?;
    std::fs::write(args.out.join(CARD_MD), minilm::card::card(&artifact, args.precision(), sets))?;
    Ok(())
}

fn all_sets(args: &TrainArgs) -> Result<Vec<Set>, Box<dyn std::error::Error>> {
    let mut sets = args.data.as_deref().map(read_sets).transpose()?.unwrap_or_default();
    if let Some(config) = &args.traffic {
        sets.push(super::traffic::read(config.as_deref(), false)?.set);
    }
    Ok(sets)
}

/// Measures the artifact on what was held back.
fn measure(sets: &[Set], out: &Path, bars: &Bars) -> Result<Vec<SetReport>, Box<dyn std::error::Error>> {
    let artifact = Artifact::read(&Folder::Disk(out.to_owned()))?;
    let mut session = RtenSession::new(RtenGraph::load(artifact.onnx.to_vec())?);
    let settings = Settings { paraphrases: true, ..Settings::default() };
    let mut reports = Vec::new();
    for set in sets {
        let mut subject = Subject { artifact: &artifact, session: &mut session };
        let evaluated = evaluate(set, &mut subject, &settings, bars)?;
        reports.extend(evaluated.map(|evaluated| evaluated.report));
    }
    Ok(reports)
}

/// Writes the artifact's card with its charts.
fn write_card(
    sets: &[Set],
    out: &Path,
    reports: &[SetReport],
    lessons: Lessons,
) -> Result<(), Box<dyn std::error::Error>> {
    let artifact = Artifact::read(&Folder::Disk(out.to_owned()))?;
    let plots = super::evaluate::write_plots(&out.join(PLOTS), reports)?;
    let plots: Vec<String> = plots.iter().map(|file| format!("{PLOTS}/{file}")).collect();
    let measured = Measured { reports, plots: &plots, lessons };
    std::fs::write(out.join(CARD_MD), card(&artifact, sets, measured))?;
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
