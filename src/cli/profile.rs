//! `pointsman profile`: what a model can do, learned from graded answers.

mod asking;
mod change;
mod cost;
mod subject;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use pointsman::{
    app,
    config::{Config, ModelSettings, RouterSettings},
    domain::{ModelFacts, ModelKind, NanoUsd},
    learning::{
        profiling::{Grade, Report, grades_of_sets, join, read_grades},
        read_sets,
    },
    runtime::{Clock, SystemClock},
    scoring::{
        Artifact, Live,
        folder::Folder,
        overlay::{Overlay, OverlayDocument},
    },
};
use serde::Serialize;

use self::change::{Change, choices};
use super::{CliResult, traffic};

/// Arguments of `profile`.
#[derive(Args)]
#[command(
    after_help = "The prompts are asked through the gateway, the model named directly and the caches off: in this process, or of a \
                  running gateway with --url. What was graded is kept as it comes; the same command goes on where it was stopped.\n\
                  The profile goes into the folder router.profiles of the configuration. A gateway with this configuration uses it \
                  from its next request on."
)]
pub(crate) struct ProfileArgs {
    /// A configured model or an alias of one
    model: String,
    /// Configuration file [default: the embedded one]
    #[arg(long, short, value_name = "FILE", env = "POINTSMAN_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    asking: asking::AskingArgs,
    /// Read grades instead of asking: JSON lines or CSV with prompt, model and score (0 to 1), or a folder of sets
    #[arg(long, value_name = "PATH")]
    from: Option<PathBuf>,
    /// Read the grades that callers sent to /v1/feedback, of prompts that were recorded
    #[arg(long, conflicts_with_all = ["from", "url", "limit"])]
    from_feedback: bool,
    /// How the report is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// What is said at the end.
#[derive(Serialize)]
struct Outcome {
    #[serde(flatten)]
    report: Report,
    policies: Vec<Change>,
    cost_usd: f64,
    file: PathBuf,
}

/// What everything below works on.
struct Ground {
    config: Config,
    model: ModelSettings,
    router: RouterSettings,
    artifact: Artifact,
}

impl Ground {
    fn of(args: &ProfileArgs) -> Result<Self, Box<dyn std::error::Error>> {
        let config = Config::load(args.config.as_deref())?;
        let model = find(&config, &args.model)?;
        let router =
            config.router.clone().ok_or("router.enabled is false in the configuration: there is nothing to fit for")?;
        let artifact = Artifact::read(&Folder::of(router.path.as_deref()))?;
        Ok(Self { config, model, router, artifact })
    }

    fn facts(&self) -> &ModelFacts {
        &self.model.facts
    }
}

/// Fits the profile, writes it and says what it changes.
pub(crate) fn run(args: &ProfileArgs) -> CliResult {
    let ground = Ground::of(args)?;
    app::prepare_process();
    app::block_on(profile(args, &ground))
}

async fn profile(args: &ProfileArgs, ground: &Ground) -> CliResult {
    let scorer = Live::load(&ground.router, &ground.config.data_dir, 1, Box::new(|_, _| {}))?.current();
    let (grades, cost, source) = match &args.from {
        Some(path) => (from_file(path, ground.facts())?, NanoUsd::ZERO, path.display().to_string()),
        None if args.from_feedback => (from_feedback(args, ground.facts())?, NanoUsd::ZERO, "feedback".to_owned()),
        None => match asking::ask(&args.asking, ground, &*scorer).await? {
            asking::Asked::All { grades, cost, source } => (grades, cost, source),
            asking::Asked::Stopped(code) => return Ok(code),
        },
    };
    let joined = join((&*scorer, &ground.artifact), ground.facts(), &grades).await?;
    let report = Report::of(&grades, &joined);
    let before = choices(ground, &grades).await?;
    let fitted = (SystemClock::default().now(), format!("{} graded answers: {source}", grades.len()));
    let document = OverlayDocument::new(&ground.artifact, joined.fitted.profile, fitted);
    let file = Overlay::new(ground.router.profiles.clone()).write(&document)?;
    let policies = change::between(before, choices(ground, &grades).await?);
    print(&Outcome { report, policies, cost_usd: cost.dollars(), file }, args.format)?;
    Ok(ExitCode::SUCCESS)
}

/// Finds a chat model that can be asked, by its name or an alias.
fn find(config: &Config, name: &str) -> Result<ModelSettings, String> {
    let name = config.aliases.get(name).map_or(name, String::as_str);
    let found = config.models.iter().find(|model| model.facts.name.as_str() == name);
    if let Some((_, variable)) = config.asleep.iter().find(|(model, _)| model.as_str() == name) {
        return Err(format!("model {name} is asleep: set {variable} in the environment"));
    }
    let Some(model) = found else {
        let names: Vec<&str> = config.models.iter().map(|model| model.facts.name.as_str()).collect();
        return Err(format!("there is no model {name:?} in the configuration; known: {}", names.join(", ")));
    };
    if model.facts.kind != ModelKind::Chat {
        return Err(format!("model {name} does not chat; only chat models have profiles"));
    }
    Ok(model.clone())
}

/// Reads the grades that a file or a folder of sets has of a model, under its name or its profile's.
fn from_file(path: &Path, facts: &ModelFacts) -> Result<Vec<Grade>, Box<dyn std::error::Error>> {
    let names = [facts.name.as_str(), facts.profile_name()];
    if path.is_dir() {
        let grades = grades_of_sets(&read_sets(path)?, &names);
        let none = || format!("no set in {} has grades of {} or {}", path.display(), names[0], names[1]);
        return if grades.is_empty() { Err(none().into()) } else { Ok(grades) };
    }
    let (grades, others) = read_grades(path, &names)?;
    if others > 0 {
        tell(&format!("{others} grades of other models are left out."));
    }
    Ok(grades)
}

/// Reads the grades that callers gave to answers of a model.
fn from_feedback(args: &ProfileArgs, facts: &ModelFacts) -> Result<Vec<Grade>, Box<dyn std::error::Error>> {
    let recorded = traffic::read(args.config.as_deref(), false)?;
    let grades = grades_of_sets(&[recorded.set], &[facts.name.as_str(), facts.profile_name()]);
    if grades.is_empty() {
        return Err(format!("nobody has graded a recorded answer of {}", facts.name).into());
    }
    Ok(grades)
}

fn print(outcome: &Outcome, format: Format) -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout();
    match format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(outcome)?)?,
        Format::Text => {
            writeln!(out, "{}\n", outcome.report)?;
            for change in &outcome.policies {
                writeln!(out, "{change}")?;
            }
            writeln!(out, "Cost: ${:.4}", outcome.cost_usd)?;
            writeln!(out, "Profile {} is written: {}", outcome.report.profile, outcome.file.display())?;
        }
    }
    Ok(())
}

/// Writes what is said beside the report.
#[expect(clippy::print_stderr, reason = "the command line speaks to people")]
fn tell(text: &str) {
    eprintln!("{text}");
}
