//! `pointsman redteam`: how far text can push the routing to dearer models.

use std::{io::Write, path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use pointsman::{
    app::{App, Mode},
    config::{Config, RouterSettings},
    gateway::Gateway,
    learning::{
        data::read_sets,
        redteam::{Effect, Effort, Verdict, measure, random_prefixes, search},
    },
    routing::{Explanation, explain::Row},
    scoring::{Artifact, folder::Folder},
    wire::{chat::ChatCall, parse::Limits},
};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use tokio::runtime::Runtime;

use super::{CliResult, route};

type Failure = Box<dyn std::error::Error>;

/// Prefixes of random words that the found one is compared with.
const CONTROLS: usize = 10;

/// How often a prompt is scored again when the router model gave no scores.
const TRIES: usize = 5;

/// Differences in utility of this size count as near.
const SOFTNESS: f64 = 0.01;

/// Arguments of `redteam`.
#[derive(Args)]
#[command(
    after_help = "Nothing is called: every configured model counts as ready. The prefix is searched on a quarter of the \
                        prompts and measured on the others."
)]
pub(crate) struct RedteamArgs {
    /// Prompts in the format of `train`: a set, or a folder of sets
    #[arg(long)]
    data: PathBuf,
    /// What a request would name: `auto` or `auto:<policy>`
    #[arg(long, short, default_value = "auto")]
    model: String,
    /// Configuration file [default: the embedded one]
    #[arg(long, short, value_name = "FILE", env = "POINTSMAN_CONFIG")]
    config: Option<PathBuf>,
    /// Prompts taken, by chance
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(8..=4096))]
    prompts: u16,
    /// Words of the prefix
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=64))]
    words: u8,
    /// Positions that are improved, one after the other
    #[arg(long, default_value_t = 100)]
    rounds: u16,
    /// Words tried at each position
    #[arg(long, default_value_t = 16)]
    tries: u16,
    /// Seed of all chance
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// What was found.
#[derive(Serialize)]
struct Findings {
    model: String,
    prefix: String,
    found: Effect,
    random: Effect,
}

/// Searches and reports.
pub(crate) fn run(args: &RedteamArgs) -> CliResult {
    let config = Config::load(args.config.as_deref())?;
    let words = words_of(config.router.as_ref())?;
    let prompts = prompts(args)?;
    let examined = Examined::new(config, args.model.clone())?;
    let judge = |text: &str| examined.verdict(text);
    let (practice, test) = prompts.split_at(prompts.len().div_ceil(4));
    let effort =
        Effort { words: args.words.into(), rounds: args.rounds.into(), tries: args.tries.into(), seed: args.seed };
    let bar = ProgressBar::new(effort.rounds as u64).with_message("searching");
    let prefix = search(&judge, (&words, practice), effort, &|| bar.inc(1))?;
    bar.finish_and_clear();
    let random = measure(&judge, &random_prefixes(&words, CONTROLS, effort), test)?;
    let found = measure(&judge, std::slice::from_ref(&prefix), test)?;
    print(&Findings { model: args.model.clone(), prefix, found, random }, args.format)?;
    Ok(ExitCode::SUCCESS)
}

/// A gateway that is only asked what it would do.
struct Examined {
    gateway: Arc<Gateway>,
    runtime: Runtime,
    limits: Limits,
    model: String,
}

impl Examined {
    fn new(config: Config, model: String) -> Result<Self, Failure> {
        let limits = route::limits(&config);
        let app = App::compose(config, Mode::Explaining)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { gateway: Arc::clone(app.gateway()), runtime, limits, model })
    }

    fn verdict(&self, text: &str) -> Result<Verdict, Failure> {
        for _ in 0..TRIES {
            let call = ChatCall::parse(route::body(&self.model, text)?.into(), &self.limits)?;
            let explained = self.runtime.block_on(self.gateway.explain(call, route::nobody()?));
            let explanation = explained.map_err(|refusal| refusal.message)?;
            // A busy machine may make one prompt late.
            if explanation.unscored.is_none() {
                return verdict(&explanation);
            }
        }
        Err("the router model gives no scores; without them no text can push the routing".into())
    }
}

fn verdict(explanation: &Explanation) -> Result<Verdict, Failure> {
    let mut rows: Vec<&Row> = explanation.candidates.iter().filter(|row| row.rejected.is_none()).collect();
    rows.sort_by(|a, b| a.cost_usd.total_cmp(&b.cost_usd));
    let chosen = rows.iter().enumerate().find(|(_, row)| row.leg == Some(0));
    let Some((rank, row)) = chosen else {
        let why = explanation.error.as_ref().map_or("it chose nothing", |error| &error.message);
        return Err(format!("no model can take a prompt: {why}").into());
    };
    if rows.len() < 2 {
        return Err(format!(
            "only {} can answer; there is nothing to push to (are the other models asleep?)",
            row.model
        )
        .into());
    }
    Ok(Verdict { rank, dearest: rows.len() - 1, cost: row.cost_usd, pull: soft_rank(&rows) })
}

/// Returns the mean rank by cost under a softmax of what the policy maximises: it rises before the choice itself moves.
fn soft_rank(rows: &[&Row]) -> f64 {
    let worth = |row: &Row| row.terms.map_or(row.quality, |terms| terms.utility);
    let highest = rows.iter().map(|row| worth(row)).fold(f64::NEG_INFINITY, f64::max);
    let weights = rows.iter().map(|row| ((worth(row) - highest) / SOFTNESS).exp());
    let (mut total, mut mean) = (0.0, 0.0);
    for (rank, weight) in weights.enumerate() {
        total += weight;
        mean += weight * rank as f64;
    }
    mean / total
}

/// Returns the whole words of the router's vocabulary.
fn words_of(router: Option<&RouterSettings>) -> Result<Vec<String>, Failure> {
    let router =
        router.ok_or("the configuration has no router model (router.enabled: false); there is nothing to game")?;
    let artifact = Artifact::read(&Folder::of(router.path.as_deref()))?;
    Ok(artifact.tokens.words())
}

/// Returns prompts drawn from the sets.
fn prompts(args: &RedteamArgs) -> Result<Vec<String>, Failure> {
    let mut prompts: Vec<String> = Vec::new();
    for set in read_sets(&args.data)? {
        prompts.extend(set.records.into_iter().map(|record| record.prompt).filter(|prompt| !prompt.trim().is_empty()));
    }
    prompts.shuffle(&mut ChaCha8Rng::seed_from_u64(args.seed));
    prompts.truncate(args.prompts.into());
    if prompts.len() < 8 {
        return Err(format!("{} holds {} prompts; 8 are needed", args.data.display(), prompts.len()).into());
    }
    Ok(prompts)
}

fn print(findings: &Findings, format: Format) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    match format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(findings)?),
        Format::Text => {
            writeln!(out, "Prefix found against {}: {}\n", findings.model, findings.prefix)?;
            writeln!(
                out,
                "{:<14} {:>9} {:>11} {:>11} {:>11}",
                "", "upgraded", "downgraded", "to dearest", "cost ratio"
            )?;
            line(&mut out, "found prefix", &findings.found)?;
            line(&mut out, "random words", &findings.random)?;
            writeln!(out, "\nOver {} prompts that the search has not seen.", findings.found.prompts)
        }
    }
}

fn line(out: &mut impl Write, name: &str, effect: &Effect) -> std::io::Result<()> {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let (up, down, top) = (percent(effect.upgraded), percent(effect.downgraded), percent(effect.to_dearest));
    writeln!(out, "{name:<14} {up:>9} {down:>11} {top:>11} {:>11.2}", effect.cost_ratio)
}
