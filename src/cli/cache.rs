//! `pointsman cache`: how often the semantic cache answers, and how often wrongly.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand, ValueEnum};
use pointsman::{
    domain::SemanticRule,
    learning::{
        cache_evaluation::{Recipe, Replayed, Row, distinct, embed, make, markdown, measure, plot},
        data::read_sets,
    },
    scoring::{Artifact, folder::Folder, load::Runtime},
};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::CliResult;

type Failure = Box<dyn std::error::Error>;

/// Arguments of `cache`.
#[derive(Args)]
pub(crate) struct CacheArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Replay prompts with answer classes, and tell hits and errors
    Evaluate(EvaluateArgs),
    /// Make prompts with answer classes from data: paraphrases keep the class, twins have their own
    Make(MakeArgs),
}

#[derive(Args)]
#[command(
    after_help = "FILE has a JSON object a line: `prompt`, `class` (the same class means interchangeable answers), and \
                        optionally `kind` (original, paraphrase or twin)."
)]
struct EvaluateArgs {
    /// The prompts
    file: PathBuf,
    /// The router's folder; without it the one inside the program
    #[arg(long)]
    router: Option<PathBuf>,
    /// Largest share of wrong answers
    #[arg(long, default_value_t = SemanticRule::default().max_error)]
    max_error: f64,
    /// Share that is asked again however sure the cache is
    #[arg(long, default_value_t = SemanticRule::default().explore)]
    explore: f64,
    /// Prompts less similar than this are never near
    #[arg(long, default_value_t = SemanticRule::default().min_similarity)]
    min_similarity: f32,
    /// Seed of all chance
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Draw the hit rate over the error rate into this file, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value = "md")]
    format: Format,
}

#[derive(Args)]
struct MakeArgs {
    /// Prompts in the format of `train`: a set, or a folder of sets
    #[arg(long)]
    data: PathBuf,
    /// Where to write the prompts
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// Prompts taken, by chance
    #[arg(long, default_value_t = 5_000)]
    prompts: usize,
    /// Paraphrases of each, at most
    #[arg(long, default_value_t = 6)]
    paraphrases: usize,
    /// Twins of each, at most one of each kind
    #[arg(long, default_value_t = 2)]
    twins: usize,
    /// Seed of all chance
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Markdown
    Md,
    /// JSON
    Json,
}

#[derive(Serialize)]
struct Report<'a> {
    router: &'a str,
    max_error: f64,
    caches: &'a [Row],
}

/// Runs the subcommand.
pub(crate) fn run(args: &CacheArgs) -> CliResult {
    match &args.action {
        Action::Evaluate(args) => evaluate(args),
        Action::Make(args) => make_set(args),
    }
}

fn evaluate(args: &EvaluateArgs) -> CliResult {
    let prompts = read(&args.file)?;
    let artifact = Artifact::read(&Folder::of(args.router.as_deref()))?;
    let mut session = Runtime::Rten.sessions(&artifact.onnx, 1)?.pop().ok_or("no session")?;
    let embedded = embed((&artifact, &mut *session), &prompts)?;
    let rule = SemanticRule {
        max_error: args.max_error,
        explore: args.explore,
        min_similarity: args.min_similarity,
        ..SemanticRule::default()
    };
    let rows = measure(&embedded, &rule, args.seed);
    if let Some(path) = &args.plot {
        std::fs::write(path, plot(&rows, args.max_error)).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let report = Report { router: &artifact.document.name, max_error: args.max_error, caches: &rows };
    match args.format {
        Format::Md => write!(std::io::stdout(), "{}", markdown(&rows, args.max_error))?,
        Format::Json => writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<Vec<Replayed>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    // Prompts hold separators that count as line ends elsewhere.
    let lines = text.split('\n').enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = |(at, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| format!("{}:{}: {error}", path.display(), at + 1).into())
    };
    lines.map(read).collect()
}

fn make_set(args: &MakeArgs) -> CliResult {
    let mut prompts: Vec<String> = Vec::new();
    for set in read_sets(&args.data)? {
        prompts.extend(set.records.into_iter().map(|record| record.prompt).filter(|prompt| !prompt.trim().is_empty()));
    }
    prompts.sort();
    prompts.dedup();
    prompts.shuffle(&mut ChaCha8Rng::seed_from_u64(args.seed));
    let mut prompts = distinct(prompts);
    prompts.truncate(args.prompts);
    let recipe = Recipe { paraphrases: args.paraphrases, twins: args.twins, seed: args.seed };
    let mut lines = String::new();
    for replayed in make(&prompts, recipe) {
        lines.push_str(&serde_json::to_string(&replayed)?);
        lines.push('\n');
    }
    std::fs::write(&args.out, lines).map_err(|error| format!("{}: {error}", args.out.display()))?;
    Ok(ExitCode::SUCCESS)
}
