//! `pointsman serve` and `pointsman demo`: the gateway.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use pointsman::{
    app::{self, App, Mode},
    config::{Config, Embedded, Environment},
    telemetry::logs,
};

use super::{CliResult, banner};

/// Arguments of `serve`.
#[derive(Args)]
#[command(
    after_help = "Signals: SIGTERM and SIGINT drain (a second one ends at once), SIGHUP reads keys and policies again.\n\
                        Without --config the embedded defaults serve: one local model, and every provider whose key is in \
                        the environment."
)]
pub(crate) struct ServeArgs {
    /// Configuration file [default: the embedded one]
    #[arg(long, short, value_name = "FILE", env = "POINTSMAN_CONFIG")]
    config: Option<PathBuf>,
}

/// Arguments of `demo`.
#[derive(Args)]
#[command(
    after_help = "Ask `model: \"auto\"` easy and hard questions and watch x-pointsman-model, -cost-usd and -cache; ask one twice \
                        with `temperature: 0`, and it comes from the cache.\nSavings: pointsman_cost_usd_total against \
                        pointsman_baseline_cost_usd_total (all to simulated/large), and \
                        pointsman_cache_saved_usd_total, in /metrics of the admin listener."
)]
pub(crate) struct DemoArgs {}

/// Serves until told to stop.
pub(crate) fn run(args: &ServeArgs) -> CliResult {
    serve(Config::load(args.config.as_deref())?)
}

/// Serves the demo: three simulated models with prices.
pub(crate) fn demo(_args: &DemoArgs) -> CliResult {
    serve(Config::embedded(Embedded::Demo, &Environment::System)?)
}

fn serve(config: Config) -> CliResult {
    let _logging = logs::start(&config.telemetry)?;
    app::prepare_process();
    app::block_on(async {
        let app = App::compose(config, Mode::Live)?;
        app::serve(app, banner::print).await
    })?;
    Ok(ExitCode::SUCCESS)
}
