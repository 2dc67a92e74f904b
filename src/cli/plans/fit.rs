//! `pointsman plans fit`: a model of probe and agree from recorded answers.

use std::{collections::BTreeMap, io::Write, path::PathBuf, process::ExitCode};

use clap::Args;
use pointsman::learning::{
    evaluate::presets::expand,
    names::public_name,
    plans::{
        answers::{Answered, read},
        offer::{Offer, Wanted},
        promise::{PROMISE, Promise},
    },
};

use super::super::CliResult;

#[derive(Args)]
#[command(
    after_help = "The set needs answers (`pred` or `ans`), scores, costs and lengths of at least two models on the same prompts; \
                        `task` divides prompts into categories. What is expected was measured on five folds, each by what was \
                        fitted on the others; the file is fitted on all prompts."
)]
pub(crate) struct FitArgs {
    /// The set: a folder with meta.json and records.jsonl, packed as .zst or plain
    #[arg(long)]
    data: PathBuf,
    /// Choose members among these models only, by public name or preset (mmlu-pro-9, zeroeval-13)
    #[arg(long, value_delimiter = ',')]
    models: Vec<String>,
    /// What a model of the set is called in the gateway; may be given several times
    #[arg(long, value_name = "SET=GATEWAY", value_parser = parse_name)]
    name: Vec<(String, String)>,
    /// The model that a promise is against; the best single one by default
    #[arg(long)]
    against: Option<String>,
    /// Most quality that a promise loses in the mean
    #[arg(long, default_value_t = PROMISE.quality_loss, value_parser = parse_share)]
    quality_loss: f64,
    /// Probability with which it is kept
    #[arg(long, default_value_t = PROMISE.confidence, value_parser = parse_share)]
    confidence: f64,
    /// Where the model is written
    #[arg(long)]
    out: PathBuf,
}

fn parse_name(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((set, gateway)) if !set.is_empty() && !gateway.is_empty() => Ok((public_name(set), gateway.to_owned())),
        _ => Err("must be SET=GATEWAY, as in gpt-4o-2024-05-13=openai/gpt-4o".to_owned()),
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse().map_err(|_| "must be a number".to_owned())?;
    if 0.0 < share && share < 1.0 { Ok(share) } else { Err("must lie between 0 and 1".to_owned()) }
}

/// Fits, writes the file, and tells what may be expected.
pub(super) fn run(args: &FitArgs) -> CliResult {
    let sets = read(&args.data)?;
    let answered: Vec<Answered> = sets.iter().filter_map(|set| Answered::of(set, &expand(&args.models))).collect();
    let [set] = answered.as_slice() else {
        return Err(format!(
            "{} sets in {} have answers that can be compared; give the folder of one set, with --models that it has",
            answered.len(),
            args.data.display()
        )
        .into());
    };
    let promise = Promise { quality_loss: args.quality_loss, confidence: args.confidence };
    let names: BTreeMap<String, String> = args.name.iter().cloned().collect();
    if let Some(unknown) = names.keys().find(|name| !set.models.contains(name)) {
        return Err(format!("--name {unknown}=...: no such model; there are: {}", set.models.join(", ")).into());
    }
    let against = args.against.as_deref().map(public_name);
    let offer = Offer::of(set, &Wanted { names, against, promise })?;
    std::fs::write(&args.out, serde_json::to_vec(&offer.document)?)?;
    write!(std::io::stdout(), "{}", offer.markdown(promise))?;
    Ok(ExitCode::SUCCESS)
}
