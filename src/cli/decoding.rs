//! `pointsman models speed`: how fast a local model decodes on this machine, plainly and with proposals.

use std::{io::Write, path::PathBuf, process::ExitCode, sync::Arc};

use clap::Args;
use pointsman::{
    artifacts::Store,
    backends::mistralrs::{Local, Surveyed, WeightPlace, survey},
    config::{Config, ModelSource},
    runtime::SystemClock,
};

use super::CliResult;

/// Arguments of `models speed`.
#[derive(Args)]
pub(crate) struct DecodingArgs {
    /// A local model of the configuration
    model: String,
    /// What proposes: another local model of the configuration, or `lookup` in what is written
    #[arg(long, default_value = "lookup")]
    draft: String,
    /// Proposals at a time
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4, 8])]
    gamma: Vec<usize>,
    /// The configuration
    #[arg(short, long, env = "POINTSMAN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Loads the models, lets them write, and prints a table.
pub(crate) fn run(args: &DecodingArgs) -> CliResult {
    let config = Config::load(args.config.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let rows = runtime.block_on(async {
        let target = local(&config, &args.model)?;
        let draft = if args.draft == "lookup" { None } else { Some(local(&config, &args.draft)?) };
        target.settled().await;
        if let Some(draft) = &draft {
            draft.settled().await;
        }
        Ok::<_, Box<dyn std::error::Error>>(survey(&target, draft.as_deref(), &args.gamma).await?)
    })?;
    let mut out = std::io::stdout();
    writeln!(out, "{} with {}\n", args.model, args.draft)?;
    writeln!(out, "| gamma | tokens per second | speed-up | accepted | tokens per pass |\n|---|---|---|---|---|")?;
    let plain = rows.first().map_or(0.0, |row| row.tokens_per_second);
    for row in &rows {
        writeln!(out, "{}", line(row, plain))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn local(config: &Config, name: &str) -> Result<Arc<Local>, Box<dyn std::error::Error>> {
    let model = config.models.iter().find(|model| model.facts.name.as_str() == name);
    let model = model.ok_or_else(|| format!("the configuration has no model \"{name}\""))?;
    let ModelSource::Local(settings) = &model.source else {
        return Err(format!("the model \"{name}\" is not local").into());
    };
    let place = WeightPlace { store: Store::new(&config.data_dir), may_fetch: false };
    // The survey measures by itself.
    let settings = pointsman::config::LocalSettings { preload: true, speculate: None, ..(**settings).clone() };
    Ok(Local::start(model.facts.name.clone(), settings, place, Arc::new(SystemClock::default())))
}

fn line(row: &Surveyed, plain: f64) -> String {
    let speed_up = row.tokens_per_second / plain;
    let accepted = if row.proposed == 0 { 0.0 } else { row.accepted as f64 / row.proposed as f64 };
    match row.tokens_per_pass {
        None => format!("| {} | {:.1} | {speed_up:.2} | | |", row.gamma, row.tokens_per_second),
        Some(tokens) => {
            format!("| {} | {:.1} | {speed_up:.2} | {accepted:.2} | {tokens:.2} |", row.gamma, row.tokens_per_second)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_was_gained() {
        let plain = Surveyed { gamma: 0, tokens_per_second: 40.0, proposed: 0, accepted: 0, tokens_per_pass: None };
        let fast =
            Surveyed { gamma: 4, tokens_per_second: 60.0, proposed: 40, accepted: 30, tokens_per_pass: Some(4.0) };

        assert_eq!(line(&plain, 40.0), "| 0 | 40.0 | 1.00 | | |");
        assert_eq!(line(&fast, 40.0), "| 4 | 60.0 | 1.50 | 0.75 | 4.00 |");
    }
}
