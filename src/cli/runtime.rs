//! `pointsman runtime`: the shared library that runs the router model.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use pointsman::artifacts::{
    Kind,
    catalogue::{self, ONNX_RUNTIME},
};

use super::{
    CliResult,
    models::{Place, install, list},
};

/// Arguments of `runtime`.
#[derive(Args)]
pub(crate) struct RuntimeArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    place: Place,
}

#[derive(Subcommand)]
enum Action {
    /// Fetch ONNX Runtime, checked against its pinned checksum; does nothing if it is there
    #[command(after_help = "Without ONNX Runtime the router model runs on RTen, which is built in and slower.\n\
        The file comes through your own pip (python3 -m pip download), so its mirror and proxy apply.")]
    Install,
    /// List the runtimes that can be fetched and what is there
    List,
}

/// Runs the subcommand.
pub(crate) fn run(args: &RuntimeArgs) -> CliResult {
    let store = args.place.store();
    match args.action {
        Action::Install => install(&store, catalogue::find(Kind::Runtime, ONNX_RUNTIME)?)?,
        Action::List => list(&store, Kind::Runtime)?,
    }
    Ok(ExitCode::SUCCESS)
}
