//! `pointsman evaluate`: how good a router is on prompts that it did not see.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::{Args, ValueEnum};
use pointsman::{
    config::Source,
    domain::PolicyName,
    learning::{
        data::Set,
        evaluate::{
            Evaluated, Settings, evaluate,
            families::NamedPolicy,
            forecast::{Subject, facts},
            outcomes::described,
            parts::Fit,
            plots::plots,
            predictions::Prediction,
            presets::expand,
            prices::PriceTable,
            report::{Report, SetReport, markdown::markdown},
            speed::measure,
        },
        read_sets,
    },
    policy::{Catalogue, compile},
    scoring::{Artifact, folder::Folder, load::Runtime, session_onnx::load_library},
};

use super::{CliResult, train::Bars};

type Failure = Box<dyn std::error::Error>;

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
#[command(
    after_help = "Data are folders with meta.json and records.jsonl, packed as .zst or plain. Prompts that the router was \
                        trained on are left out. Records without a split count as test; `train` records are only learned from. \
                        With `val` and `test` records, settings are chosen on val and reported on test; otherwise each half of \
                        the prompts is reported with the settings chosen on the other half."
)]
pub(crate) struct EvaluateArgs {
    /// A set (folder or records file beside its meta.json), or a folder of sets; may be given several times
    #[arg(long, required = true, num_args = 1..)]
    data: Vec<PathBuf>,
    /// The router's folder; without it the one inside the program
    #[arg(long)]
    router: Option<PathBuf>,
    /// Choose among these models only, by public name or preset (mmlu-pro-9)
    #[arg(long, alias = "subset", value_delimiter = ',')]
    models: Vec<String>,
    /// From where baselines learn, and profiles of models that the router does not know or of tests that it was not trained on:
    /// `train` (the set's own training records), `none`, or a folder of sets
    #[arg(long, default_value = "train", value_name = "train|none|FOLDER")]
    fit: String,
    /// A policy to measure as it is, beside the strategies; its models are those of the set, by public name
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
    /// Prices in place of the sets': comma-separated values with `model`, `in_usd_per_m` and `out_usd_per_m`
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Resamples of every bootstrap
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// Write a line per prompt with what was predicted and what each strategy chose
    #[arg(long, value_name = "FILE")]
    predictions: Option<PathBuf>,
    /// Draw cost over quality, reliability and scoring time into this folder, as SVG
    #[arg(long, value_name = "FOLDER")]
    plots: Option<PathBuf>,
    /// Say every prompt in other words too, and tell how many choices stay
    #[arg(long)]
    paraphrase: bool,
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
    let sets = read_all(&args.data)?;
    let settings = settings(args)?;
    let artifact = Artifact::read(&Folder::of(args.router.as_deref()))?;
    let runtime = match &args.onnxruntime {
        Some(path) => Runtime::OnnxRuntime(load_library(path)?),
        None => Runtime::Rten,
    };
    let mut session = runtime.sessions(&artifact.onnx, 1)?.pop().ok_or("no session")?;
    artifact.self_test(|ids| session.run(ids))?;
    let mut subject = Subject { artifact: &artifact, session: &mut *session };
    let found = measure_sets(&sets, &mut subject, &settings, &args.policy)?;
    if args.speed {
        let (engine, speed) = (runtime.engine().name(), measure(&artifact, &mut *session)?);
        eprintln!("{engine}, {} tokens: p50 {:.0} us, p99 {:.0} us", speed.tokens, speed.p50_us, speed.p99_us);
    }
    let (sets, predictions): (Vec<_>, Vec<_>) =
        found.into_iter().map(|evaluated| (evaluated.report, evaluated.predictions)).unzip();
    if let Some(path) = &args.predictions {
        write_predictions(path, predictions.iter().flatten())?;
    }
    if let Some(folder) = &args.plots {
        write_plots(folder, &sets)?;
    }
    let report = Report {
        router: artifact.document.name.clone(),
        artifact: artifact.checksum.to_string(),
        prices: told(settings.prices.as_ref()),
        rounds: settings.rounds,
        sets,
    };
    match args.format {
        Format::Md => writeln!(std::io::stdout(), "{}", markdown(&report))?,
        Format::Json => writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn read_all(paths: &[PathBuf]) -> Result<Vec<Set>, Failure> {
    let mut sets = Vec::new();
    for path in paths {
        sets.extend(read_sets(path)?);
    }
    Ok(sets)
}

fn settings(args: &EvaluateArgs) -> Result<Settings, Failure> {
    let fit = match args.fit.as_str() {
        "train" => Fit::Own,
        "none" => Fit::Nothing,
        folder => Fit::From(read_sets(Path::new(folder))?),
    };
    let prices = args.prices.as_deref().map(PriceTable::read).transpose()?;
    Ok(Settings {
        only: expand(&args.models),
        fit,
        prices,
        rounds: args.rounds as usize,
        paraphrases: args.paraphrase,
        policies: Vec::new(),
    })
}

#[expect(clippy::print_stderr, reason = "the command line speaks to people")]
fn measure_sets(
    sets: &[Set],
    subject: &mut Subject<'_>,
    settings: &Settings,
    policies: &[PathBuf],
) -> Result<Vec<Evaluated>, Failure> {
    let mut found = Vec::new();
    for set in sets {
        let policies: Result<_, Failure> = policies.iter().map(|file| policy(file, set)).collect();
        let settings = &Settings { policies: policies?, ..settings.clone() };
        let bars = Bars::default();
        match evaluate(set, subject, settings, &bars)? {
            Some(evaluated) => found.push(evaluated),
            None => eprintln!("{}: no prompt that the router did not see has scores of two models", set.meta.name),
        }
        bars.finish();
    }
    if found.is_empty() {
        return Err("there is nothing to measure; check --data and --models".into());
    }
    Ok(found)
}

/// Compiles a policy against the models of a set.
fn policy(file: &Path, set: &Set) -> Result<NamedPolicy, Failure> {
    let models = set.meta.models.iter().enumerate().map(|(column, model)| facts(&described(model, column, None)));
    let models: Result<Vec<_>, _> = models.map(|facts| facts.map(Arc::new)).collect();
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let source = Source { name: file.display().to_string(), text };
    let compiled = compile(&source, (PolicyName::parse(&name)?, 1), &Catalogue::of_models(models?));
    let policy = compiled.map_err(|faults| format!("{faults}\n(the models are those of the set {})", set.meta.name))?;
    Ok(NamedPolicy { name: name.into_owned(), candidates: policy.candidates, strategy: policy.strategy })
}

fn told(prices: Option<&PriceTable>) -> String {
    let Some(table) = prices else { return "those of the sets".to_owned() };
    format!("{} (sha256 {}), and those of the sets for models that it lacks", table.source, table.checksum)
}

/// Writes every chart and returns the names of the files.
pub(super) fn write_plots(folder: &Path, sets: &[SetReport]) -> Result<Vec<String>, Failure> {
    let fails = |error: std::io::Error| format!("cannot write to {}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(fails)?;
    let mut files = Vec::new();
    for plot in plots(sets) {
        std::fs::write(folder.join(&plot.file), &plot.svg).map_err(fails)?;
        files.push(plot.file);
    }
    Ok(files)
}

fn write_predictions<'a>(path: &Path, lines: impl Iterator<Item = &'a Prediction>) -> Result<(), Failure> {
    let fails = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).map_err(fails)?);
    for line in lines {
        serde_json::to_writer(&mut file, line)?;
        file.write_all(b"\n").map_err(fails)?;
    }
    file.flush().map_err(fails)?;
    Ok(())
}
