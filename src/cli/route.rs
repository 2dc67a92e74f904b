//! `pointsman route`: what would be done with a prompt, and why.

use std::{
    io::{Read, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, ValueEnum};
use pointsman::{
    app::{App, Mode},
    config::Config,
    domain::{KeyId, KeyLimits, Preferences, Principal, Probability, RequestId, Tag, TenantId, ids::ParseNameError},
    gateway::RequestContext,
    routing::Explanation,
    wire::{chat::ChatCall, parse::Limits},
};
use serde_json::json;
use tokio::time::Instant;

use super::CliResult;

/// Arguments of `route`.
#[derive(Args)]
#[command(
    after_help = "Nothing is called: every configured model counts as ready. The JSON is what POST /admin/v1/explain \
                        returns."
)]
pub(crate) struct RouteArgs {
    /// The prompt, or `-` to read it from standard input
    prompt: String,
    /// What a request would name: `auto`, `auto:<policy>`, a model or an alias
    #[arg(long, short, default_value = "auto")]
    model: String,
    /// Configuration file [default: the embedded one]
    #[arg(long, short, value_name = "FILE", env = "POINTSMAN_CONFIG")]
    config: Option<PathBuf>,
    /// How much quality matters against cost and latency: 0 cheapest, 1 best
    #[arg(long)]
    quality: Option<f64>,
    /// A property that the model must have; may be repeated
    #[arg(long = "tag")]
    tags: Vec<String>,
    /// How to print the decision
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Prints the decision.
pub(crate) fn run(args: &RouteArgs) -> CliResult {
    let config = Config::load(args.config.as_deref())?;
    let limits = limits(&config);
    let app = App::compose(config, Mode::Explaining)?;
    let call = ChatCall::parse(body(&args.model, &prompt(args)?)?.into(), &limits)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let explained = runtime.block_on(app.gateway().explain(call, context(args)?));
    let explanation = explained.map_err(|refusal| refusal.message)?;
    print(&explanation, args.format)?;
    Ok(if explanation.plan.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns what a request's body may hold.
pub(super) fn limits(config: &Config) -> Limits {
    let limits = &config.server.limits;
    Limits { messages: limits.messages, choices: limits.choices, depth: limits.depth }
}

fn prompt(args: &RouteArgs) -> std::io::Result<String> {
    let mut prompt = args.prompt.clone();
    if prompt == "-" {
        prompt.clear();
        std::io::stdin().read_to_string(&mut prompt)?;
    }
    Ok(prompt)
}

/// Returns the body of a request that sends this prompt.
///
/// # Errors
/// Never for texts; serialisation can fail by its signature.
pub(super) fn body(model: &str, prompt: &str) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&json!({ "model": model, "messages": [{ "role": "user", "content": prompt }] }))
}

fn context(args: &RouteArgs) -> Result<RequestContext, Box<dyn std::error::Error>> {
    let preferences = Preferences {
        quality: args.quality.map(Probability::clamped),
        tags: args.tags.iter().cloned().map(Tag).collect(),
        ..Preferences::default()
    };
    Ok(RequestContext { preferences, ..nobody()? })
}

/// Returns the context of a request without key and without wishes.
///
/// # Errors
/// Never; names are parsed.
pub(super) fn nobody() -> Result<RequestContext, ParseNameError> {
    let principal = Principal {
        tenant: TenantId::parse("default")?,
        key: KeyId::parse("open")?,
        limits: KeyLimits::default(),
        policies: Vec::new(),
    };
    Ok(RequestContext {
        request: RequestId::fresh(),
        arrived: Instant::now(),
        auth: Duration::ZERO,
        parse: Duration::ZERO,
        principal,
        preferences: Preferences::default(),
    })
}

fn print(explanation: &Explanation, format: Format) -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout();
    match format {
        Format::Text => writeln!(out, "{explanation}")?,
        Format::Json => writeln!(out, "{}", explanation.to_json()?)?,
    }
    Ok(())
}
