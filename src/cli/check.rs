//! `pointsman check`: every fault of configuration and policies at once.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::{Args, ValueEnum};
use pointsman::{
    config::{Config, Environment, Faults, Source, config_schema, embedded},
    policy::{self, policy_schema},
    runtime::SystemClock,
};
use serde::Serialize;

use super::CliResult;

/// What the arguments ask for cannot be read.
const UNREADABLE: u8 = 2;

/// Arguments of `check`.
#[derive(Args)]
#[command(after_help = "\
Exit status: 0 no faults, 1 faults, 2 wrong usage or a file that cannot be read.

With --format json one object is printed:
  ok      whether there are no faults
  faults  list of {file, line, column, path, message, help, excerpt}: lines and
          columns count from 1, path is for instance \"models[2].prices.input\",
          help may be null, credentials in excerpts are masked
  notes   list of sentences about what is no fault, for instance sleeping models")]
pub(crate) struct CheckArgs {
    /// The configuration; without it the embedded defaults are checked
    #[arg(short, long, env = "POINTSMAN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// How the faults are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Print the JSON Schema of a document instead
    #[arg(long, value_enum, value_name = "DOCUMENT")]
    schema: Option<Document>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

#[derive(Clone, Copy, ValueEnum)]
enum Document {
    /// pointsman.yaml
    Config,
    /// A policy
    Policy,
}

/// What was found.
#[derive(Serialize)]
struct Findings {
    ok: bool,
    faults: Faults,
    notes: Vec<String>,
}

/// Checks, or prints a schema.
pub(crate) fn run(args: &CheckArgs) -> CliResult {
    if let Some(document) = args.schema {
        let schema = match document {
            Document::Config => config_schema(),
            Document::Policy => policy_schema(),
        };
        writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&schema)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let findings = match findings(args.config.as_deref()) {
        Ok(findings) => findings,
        Err(error) => {
            super::report(&*error);
            return Ok(ExitCode::from(UNREADABLE));
        }
    };
    match args.format {
        Format::Text => write_text(&mut std::io::stdout(), &findings)?,
        Format::Json => writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&findings)?)?,
    }
    Ok(if findings.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn findings(file: Option<&Path>) -> Result<Findings, Box<dyn std::error::Error>> {
    let source = match file {
        Some(path) => Source { name: path.display().to_string(), text: pointsman::config::load::read(path)? },
        None => Source {
            name: "embedded:pointsman.yaml".to_owned(),
            text: embedded::text("pointsman.yaml").unwrap_or_default(),
        },
    };
    let (config, mut faults) = Config::examine(&source, file.map(Path::to_owned), &Environment::System);
    let mut notes = Vec::new();
    if let Some(config) = config {
        // A folder that is not there is a fault of the configuration, told already.
        let has_policies = config.policies_dir.as_ref().is_none_or(|folder| folder.is_dir());
        notes.extend(sleepers(&config));
        if has_policies {
            let (more, about) = policy::examine(&config, Arc::new(SystemClock::default()))?;
            faults.0.extend(more.0);
            notes.extend(about);
        }
    }
    faults.sort();
    Ok(Findings { ok: faults.0.is_empty(), faults, notes })
}

/// Returns a sentence for each environment variable that would wake models.
fn sleepers(config: &Config) -> impl Iterator<Item = String> {
    let mut by_variable: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (model, variable) in config.asleep.iter().filter(|(_, variable)| !variable.is_empty()) {
        by_variable.entry(variable).or_default().push(model.as_str());
    }
    by_variable.into_iter().map(|(variable, models)| format!("asleep until {variable} is set: {}", models.join(", ")))
}

fn write_text(out: &mut impl Write, findings: &Findings) -> std::io::Result<()> {
    if findings.ok {
        writeln!(out, "no faults")?;
    } else {
        writeln!(out, "{}\n\n{} fault(s)", findings.faults, findings.faults.0.len())?;
    }
    for note in &findings.notes {
        writeln!(out, "note: {note}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_documents_have_no_fault() {
        assert_eq!(findings(None).unwrap().faults, Faults::default());
    }

    #[test]
    fn faults_of_configuration_and_policies_are_told_together() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("pointsman.yaml");
        std::fs::create_dir(folder.path().join("policies")).unwrap();
        std::fs::write(
            &config,
            "policies: policies\nserver: { listen: nowhere }\nmodels: [{ name: a, provider: gone }]\n",
        )
        .unwrap();
        let text = "candidates: [a, b]\nstrategy: { quality_cost: {} }\n";
        std::fs::write(folder.path().join("policies/default.yaml"), text).unwrap();

        let findings = findings(Some(&config)).unwrap();

        let told: Vec<_> = findings.faults.0.iter().map(|fault| fault.message.as_str()).collect();
        assert_eq!(told, ["\"nowhere\" is not an address", "unknown provider \"gone\"", "unknown model \"b\""]);
        assert!(!findings.ok && findings.notes.is_empty());
    }

    #[test]
    fn a_file_that_is_not_there_has_its_own_exit_status() {
        let args = CheckArgs { config: Some(PathBuf::from("/nowhere.yaml")), format: Format::Text, schema: None };

        assert_eq!(run(&args).unwrap(), ExitCode::from(2));
    }
}
