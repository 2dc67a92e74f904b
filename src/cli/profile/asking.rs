//! Asking the probes: cost first, then a bar, then grades.

use std::{io::IsTerminal, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pointsman::{
    app::{App, Mode},
    domain::NanoUsd,
    learning::{
        probes::{Probe, ProbeSet, Sandbox},
        profiling::{AskError, Grade, GradedProbe, Journal, RunSettings, Subject, ask_all},
    },
    scoring::{Scorer, overlay::file_name},
};

use super::{
    Ground, cost,
    subject::{InProcess, Remote, Requests},
    tell,
};

/// As a shell says of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// How the probes are asked.
#[derive(Args)]
pub(super) struct AskingArgs {
    /// Ask a running gateway, for instance http://127.0.0.1:8080, instead of one in this process
    #[arg(long, value_name = "URL", conflicts_with = "from")]
    url: Option<String>,
    /// The API key for --url
    #[arg(long, value_name = "KEY", env = "POINTSMAN_API_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Agree to the cost without being asked
    #[arg(long, short)]
    yes: bool,
    /// Also ask for code, and run what the model wrote: in a process of its own with limits, which is no wall against malice
    #[arg(long)]
    allow_code: bool,
    /// Ask at most so many prompts, evenly over topics and levels
    #[arg(long, value_name = "NUMBER", conflicts_with = "from")]
    limit: Option<usize>,
    /// Prompts in flight at once
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// Longest answer, in tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 2048, value_parser = clap::value_parser!(u64).range(16..))]
    max_tokens: u64,
    /// Forget what an earlier run that was stopped has graded
    #[arg(long)]
    fresh: bool,
}

/// How asking ended.
pub(super) enum Asked {
    /// With grades.
    All { grades: Vec<Grade>, cost: NanoUsd, source: String },
    /// Early.
    Stopped(ExitCode),
}

/// Asks what has not been graded yet.
pub(super) async fn ask(
    args: &AskingArgs,
    ground: &Ground,
    scorer: &dyn Scorer,
) -> Result<Asked, Box<dyn std::error::Error>> {
    let set = ProbeSet::embedded()?;
    let probes = chosen(&set, args);
    let sandbox = if args.allow_code { Some(Sandbox::open()?) } else { None };
    let mut journal = open_journal(args, ground, &set)?;
    let open: Vec<&Probe> = probes.iter().copied().filter(|probe| !journal.has(probe)).collect();
    if open.len() < probes.len() {
        tell(&format!("{} answers of an earlier run are used again.", probes.len() - open.len()));
    }
    if !open.is_empty() {
        let estimate = cost::estimate(scorer, ground.facts(), &open, args.max_tokens).await;
        if !cost::confirm(&estimate, open.len(), args.yes)? {
            return Ok(Asked::Stopped(ExitCode::FAILURE));
        }
        if !ask_until_stopped(args, ground, (&open, sandbox.as_ref()), &mut journal).await? {
            return Ok(Asked::Stopped(ExitCode::from(INTERRUPTED)));
        }
    }
    let (grades, cost) = (grades(&probes, &journal), journal.cost());
    let kept = journal.finish()?;
    tell(&format!("The answers and their grades are kept in {}.", kept.display()));
    Ok(Asked::All { grades, cost, source: format!("probes {}", short(&set)) })
}

/// Probes that run code are left out unless that was allowed.
fn chosen<'a>(set: &'a ProbeSet, args: &AskingArgs) -> Vec<&'a Probe> {
    let mut probes = set.balanced(args.limit.unwrap_or(usize::MAX));
    let all = probes.len();
    if !args.allow_code {
        probes.retain(|probe| !probe.runs_code());
        tell(&format!(
            "{} prompts ask for code and are skipped; --allow-code asks them and runs the answers.",
            all - probes.len()
        ));
    }
    probes
}

fn open_journal(args: &AskingArgs, ground: &Ground, set: &ProbeSet) -> Result<Journal, Box<dyn std::error::Error>> {
    let name = file_name(ground.facts().name.as_str());
    let path: PathBuf = ground.config.data_dir.join("profiling").join(format!("{name}.jsonl"));
    if args.fresh && path.exists() {
        std::fs::remove_file(&path)?;
    }
    let place = args.url.as_deref().unwrap_or("this process");
    let run = format!("{} at {place}, probes {}, {} tokens", ground.facts().name, short(set), args.max_tokens);
    Ok(Journal::open(&path, &run)?)
}

fn short(set: &ProbeSet) -> &str {
    set.checksum.get(..8).unwrap_or_default()
}

/// Asks until all are asked, or until Ctrl-C; returns which.
async fn ask_until_stopped(
    args: &AskingArgs,
    ground: &Ground,
    (probes, sandbox): (&[&Probe], Option<&Sandbox>),
    journal: &mut Journal,
) -> Result<bool, Box<dyn std::error::Error>> {
    let requests = Requests::of(ground, args.max_tokens);
    let mut app = None;
    let subject: Box<dyn Subject> = match &args.url {
        Some(url) => Box::new(Remote::at(url, args.key.as_deref(), (ground, requests))?),
        None => {
            let live = app.insert(App::compose(ground.config.clone(), Mode::Live)?);
            Box::new(InProcess { gateway: Arc::clone(live.gateway()), requests })
        }
    };
    let settings = RunSettings { concurrency: usize::from(args.concurrency), ..RunSettings::default() };
    let mut bar = Bar::new(probes.len(), journal.cost());
    let path = journal.path().display().to_string();
    let asking = ask_all(&*subject, (probes, sandbox), &settings, journal, |outcome| bar.told(outcome));
    let is_done = tokio::select! {
        outcome = asking => outcome.map(|()| true),
        _ = tokio::signal::ctrl_c() => Ok(false),
    };
    bar.end();
    if let Some(app) = &app {
        app.close().await;
    }
    if matches!(is_done, Ok(false)) {
        tell(&format!("Stopped. What was graded is kept in {path}; the same command goes on from there."));
    }
    Ok(is_done?)
}

fn grades(probes: &[&Probe], journal: &Journal) -> Vec<Grade> {
    let graded = probes.iter().filter_map(|probe| Some((probe, journal.of(probe)?)));
    let grade = |(probe, graded): (&&Probe, &GradedProbe)| Grade {
        prompt: probe.prompt.clone(),
        topic: Some(Arc::clone(&probe.topic)),
        score: graded.score,
        tokens: Some(graded.output_tokens as f64),
    };
    graded.map(grade).collect()
}

/// How far it is, what it cost so far, and how good the answers are. Without a terminal, a line for every tenth.
struct Bar {
    bar: ProgressBar,
    is_terminal: bool,
    total: usize,
    asked: usize,
    graded: usize,
    good: f64,
    failed: usize,
    cost: NanoUsd,
}

impl Bar {
    fn new(total: usize, cost: NanoUsd) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let target = if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {elapsed}, {eta} left");
        let bar = ProgressBar::with_draw_target(Some(total as u64), target)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, is_terminal, total, asked: 0, graded: 0, good: 0.0, failed: 0, cost }
    }

    fn told(&mut self, outcome: Result<&GradedProbe, &AskError>) {
        self.asked += 1;
        match outcome {
            Ok(graded) => {
                self.graded += 1;
                self.good += graded.score;
                self.cost += graded.cost;
            }
            Err(error) => {
                self.failed += 1;
                self.bar.println(format!("no answer: {error}"));
            }
        }
        self.bar.set_message(self.words());
        self.bar.inc(1);
        let tenth = |asked: usize| asked * 10 / self.total.max(1);
        if !self.is_terminal && tenth(self.asked) > tenth(self.asked - 1) {
            tell(&format!("{} of {}: {}", self.asked, self.total, self.words()));
        }
    }

    fn words(&self) -> String {
        let share = 100.0 * self.good / self.graded.max(1) as f64;
        let failed = if self.failed > 0 { format!(", {} without an answer", self.failed) } else { String::new() };
        format!("${:.4}, {share:.0} % good{failed}", self.cost.dollars())
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
