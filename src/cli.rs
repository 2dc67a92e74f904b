//! One file per subcommand: arguments, a call into the library, words for people.

mod banner;
mod cache;
mod check;
mod completions;
#[cfg(feature = "local")]
mod decoding;
#[cfg(feature = "local")]
mod engine;
mod evaluate;
mod keys;
mod models;
mod plans;
mod profile;
mod redteam;
mod route;
mod runtime;
mod serve;
mod speed;
mod traffic;
mod train;
#[cfg(feature = "local")]
mod train_tiny;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a subcommand returns; an error is printed with its causes and exits with 1.
pub(crate) type CliResult = Result<ExitCode, Box<dyn std::error::Error>>;

/// An LLM gateway that decides, for every prompt, which models answer and how.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the OpenAI API
    Serve(serve::ServeArgs),
    /// Show what would be done with a prompt, and why; nothing is called
    Route(route::RouteArgs),
    /// Serve a scene of three simulated models with prices; needs neither keys nor weights
    Demo(serve::DemoArgs),
    /// Check configuration and policies, and tell every fault at once
    Check(check::CheckArgs),
    /// Fetch, list, verify and remove the weights of local models
    Models(models::ModelsArgs),
    /// Fetch and list the runtime that runs the router model
    Runtime(runtime::RuntimeArgs),
    /// Measure how often the semantic cache answers, and how often wrongly
    Cache(cache::CacheArgs),
    /// Make, list and revoke API keys
    Keys(keys::KeysArgs),
    /// Print a completion script for your shell
    Completions(completions::CompletionsArgs),
    /// Learn what a model can do: ask it graded prompts, or read grades from a file
    Profile(profile::ProfileArgs),
    /// Measure a router on prompts that it did not see
    Evaluate(evaluate::EvaluateArgs),
    /// Measure plans of several calls on recorded answers
    Plans(plans::PlansArgs),
    /// Search for text that pushes the routing to dearer models, and measure how far it does
    Redteam(redteam::RedteamArgs),
    /// Time the scoring of a prompt on this machine
    Speed(speed::SpeedArgs),
    /// Write what was recorded of the traffic as data for training
    Traffic(traffic::TrafficArgs),
    /// Train a router model from outcomes of models on prompts
    Train(train::TrainArgs),
    /// Train the two tiny language models that tests decode with
    #[cfg(feature = "local")]
    TrainTiny(train_tiny::TrainTinyArgs),
    /// Run one local model for the gateway, which starts this by itself
    #[cfg(feature = "local")]
    #[command(hide = true)]
    Engine(engine::EngineArgs),
}

impl Cli {
    /// Runs the subcommand.
    pub(crate) fn run(self) -> ExitCode {
        let result = match self.command {
            Command::Serve(args) => serve::run(&args),
            Command::Route(args) => route::run(&args),
            Command::Demo(args) => serve::demo(&args),
            Command::Check(args) => check::run(&args),
            Command::Models(args) => models::run(&args),
            Command::Runtime(args) => runtime::run(&args),
            Command::Cache(args) => cache::run(&args),
            Command::Keys(args) => keys::run(&args),
            Command::Completions(args) => completions::run(&args),
            Command::Profile(args) => profile::run(&args),
            Command::Evaluate(args) => evaluate::run(&args),
            Command::Plans(args) => plans::run(&args),
            Command::Redteam(args) => redteam::run(&args),
            Command::Speed(args) => speed::run(&args),
            Command::Traffic(args) => traffic::run(&args),
            Command::Train(args) => train::run(&args),
            #[cfg(feature = "local")]
            Command::TrainTiny(args) => train_tiny::run(&args),
            #[cfg(feature = "local")]
            Command::Engine(args) => engine::run(&args),
        };
        result.unwrap_or_else(|error| if is_unread(&*error) { ExitCode::SUCCESS } else { report(&*error) })
    }
}

/// Returns whether whoever reads the output has had enough, as `head` does.
fn is_unread(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

#[expect(clippy::print_stderr, reason = "the command line speaks to people")]
fn report(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        eprintln!("  because: {inner}");
        cause = inner.source();
    }
    ExitCode::FAILURE
}
