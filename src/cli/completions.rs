//! `pointsman completions`: completion scripts.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, CliResult};

/// Arguments of `completions`.
#[derive(Args)]
pub(crate) struct CompletionsArgs {
    /// The shell to complete for
    shell: Shell,
}

/// Prints the script.
#[expect(clippy::unnecessary_wraps, reason = "every subcommand has this shape")]
pub(crate) fn run(args: &CompletionsArgs) -> CliResult {
    clap_complete::generate(args.shell, &mut Cli::command(), "pointsman", &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}
