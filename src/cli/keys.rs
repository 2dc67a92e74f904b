//! `pointsman keys`: API keys.

use std::{io::Write, path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Args, Subcommand, ValueEnum};
use jiff::{Span, Timestamp, civil::Date, tz::TimeZone};
use pointsman::{
    admission::{KeyInfo, KeyStore, NewKey},
    config::Config,
    domain::{KeyId, KeyLimits, NanoUsd, PolicyName, TenantId},
    runtime::{Clock, SystemClock},
};
use secrecy::ExposeSecret;
use serde::Serialize;

use super::CliResult;

/// Arguments of `keys`.
#[derive(Args)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    action: Action,
    /// The configuration that names the file of keys; the embedded one if none is given
    #[arg(long, short, global = true, value_name = "FILE", env = "POINTSMAN_CONFIG")]
    config: Option<PathBuf>,
    /// The file of keys, instead of the one that the configuration names
    #[arg(long, global = true, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How the result is written
    #[arg(long, global = true, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
}

#[derive(Subcommand)]
enum Action {
    /// Make a key and print it, this once; a running gateway knows it within a second
    Create(CreateArgs),
    /// List all keys, without their secrets
    List,
    /// Take a key back; a running gateway refuses it within a second
    Revoke {
        /// The key's id from `pointsman keys list`
        #[arg(value_parser = KeyId::parse)]
        id: KeyId,
    },
}

#[derive(Args)]
struct CreateArgs {
    /// A name for people
    name: String,
    /// Who pays and who may see what: caches and records are kept apart by tenant
    #[arg(long, default_value = "default", value_parser = TenantId::parse)]
    tenant: TenantId,
    /// When the key ends: a date, a time, or a span from now such as 90d
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// A policy the key may use, once for each; then it may use no other, and name no model
    #[arg(long = "policy", value_name = "POLICY", value_parser = PolicyName::parse)]
    policies: Vec<PolicyName>,
    /// Requests per minute
    #[arg(long, value_name = "NUMBER")]
    requests_per_minute: Option<u32>,
    /// Tokens per minute, prompt and answer
    #[arg(long, value_name = "NUMBER")]
    tokens_per_minute: Option<u64>,
    /// Requests in flight at once
    #[arg(long, value_name = "NUMBER")]
    max_concurrency: Option<u32>,
    /// US dollars per calendar day (UTC)
    #[arg(long, value_name = "USD", value_parser = parse_dollars)]
    daily_budget: Option<NanoUsd>,
    /// US dollars per calendar month (UTC)
    #[arg(long, value_name = "USD", value_parser = parse_dollars)]
    monthly_budget: Option<NanoUsd>,
}

/// Runs the subcommand.
pub(crate) fn run(args: &KeysArgs) -> CliResult {
    let clock = Arc::new(SystemClock::default());
    let store = KeyStore::open(key_file(args)?, true, Arc::clone(&clock) as Arc<dyn Clock>)?;
    match &args.action {
        Action::Create(wanted) => create(&store, wanted, clock.now(), args.format)?,
        Action::List => list(&store, clock.now(), args.format)?,
        Action::Revoke { id } => return revoke(&store, id, args.format),
    }
    Ok(ExitCode::SUCCESS)
}

fn key_file(args: &KeysArgs) -> Result<PathBuf, Box<dyn std::error::Error>> {
    match &args.file {
        Some(file) => Ok(file.clone()),
        None => Ok(Config::load(args.config.as_deref())?.keys.file),
    }
}

fn create(
    store: &KeyStore,
    wanted: &CreateArgs,
    now: Timestamp,
    format: Format,
) -> Result<(), Box<dyn std::error::Error>> {
    let expires = wanted.expires.as_deref().map(|text| parse_expiry(text, now)).transpose()?;
    let limits = KeyLimits {
        requests_per_minute: wanted.requests_per_minute,
        tokens_per_minute: wanted.tokens_per_minute,
        max_concurrency: wanted.max_concurrency,
        daily_budget: wanted.daily_budget,
        monthly_budget: wanted.monthly_budget,
    };
    let (tenant, name, policies) = (wanted.tenant.clone(), wanted.name.clone(), wanted.policies.clone());
    let (info, key) = store.create(NewKey { tenant, name, expires, limits, policies })?;
    match format {
        Format::Json => {
            write_out(&serde_json::to_string_pretty(&Created { key: key.expose_secret(), info: (&info).into() })?)?;
        }
        Format::Table => {
            tell(&format!("Key {} for tenant {}. It is shown only now; keep it safe.", info.id, info.tenant));
            write_out(key.expose_secret())?;
        }
    }
    Ok(())
}

fn list(store: &KeyStore, now: Timestamp, format: Format) -> Result<(), Box<dyn std::error::Error>> {
    let keys = store.list();
    match format {
        Format::Json => {
            let views: Vec<KeyView<'_>> = keys.iter().map(KeyView::from).collect();
            write_out(&serde_json::to_string_pretty(&views)?)?;
        }
        Format::Table if keys.is_empty() => tell("There are no keys; `pointsman keys create <name>` makes one."),
        Format::Table => write_out(&table(&keys, now))?,
    }
    Ok(())
}

fn revoke(store: &KeyStore, id: &KeyId, format: Format) -> CliResult {
    let Some(info) = store.revoke(id)? else {
        tell(&format!("There is no key {id}; `pointsman keys list` shows all."));
        return Ok(ExitCode::FAILURE);
    };
    match format {
        Format::Json => write_out(&serde_json::to_string_pretty(&KeyView::from(&info))?)?,
        Format::Table => tell(&format!("Key {id} ({}) is revoked.", info.name)),
    }
    Ok(ExitCode::SUCCESS)
}

/// A key as programs read it: money in dollars.
#[derive(Serialize)]
struct KeyView<'a> {
    id: &'a KeyId,
    tenant: &'a TenantId,
    name: &'a str,
    created: Timestamp,
    expires: Option<Timestamp>,
    revoked: Option<Timestamp>,
    policies: &'a [PolicyName],
    requests_per_minute: Option<u32>,
    tokens_per_minute: Option<u64>,
    max_concurrency: Option<u32>,
    daily_budget_usd: Option<f64>,
    monthly_budget_usd: Option<f64>,
}

/// A fresh key, with its text.
#[derive(Serialize)]
struct Created<'a> {
    key: &'a str,
    #[serde(flatten)]
    info: KeyView<'a>,
}

impl<'a> From<&'a KeyInfo> for KeyView<'a> {
    fn from(info: &'a KeyInfo) -> Self {
        Self {
            id: &info.id,
            tenant: &info.tenant,
            name: &info.name,
            created: info.created,
            expires: info.expires,
            revoked: info.revoked,
            policies: &info.policies,
            requests_per_minute: info.limits.requests_per_minute,
            tokens_per_minute: info.limits.tokens_per_minute,
            max_concurrency: info.limits.max_concurrency,
            daily_budget_usd: info.limits.daily_budget.map(NanoUsd::dollars),
            monthly_budget_usd: info.limits.monthly_budget.map(NanoUsd::dollars),
        }
    }
}

fn table(keys: &[KeyInfo], now: Timestamp) -> String {
    let mut text = format!("{:<14}{:<16}{:<20}{:<12}{:<10}{}\n", "ID", "TENANT", "NAME", "CREATED", "STATE", "LIMITS");
    for key in keys {
        let created = key.created.strftime("%Y-%m-%d").to_string();
        let (tenant, name, state) = (key.tenant.as_str(), key.name.as_str(), state(key, now));
        text += &format!("{:<14}{tenant:<16}{name:<20}{created:<12}{state:<10}{}\n", key.id.as_str(), limits(key));
    }
    text.truncate(text.trim_end().len());
    text
}

fn state(key: &KeyInfo, now: Timestamp) -> &'static str {
    if key.revoked.is_some() {
        return "revoked";
    }
    if key.expires.is_some_and(|expires| expires <= now) { "expired" } else { "valid" }
}

fn limits(key: &KeyInfo) -> String {
    let limits = &key.limits;
    let policies: Vec<&str> = key.policies.iter().map(PolicyName::as_str).collect();
    let parts = [
        limits.requests_per_minute.map(|number| format!("{number} requests/min")),
        limits.tokens_per_minute.map(|number| format!("{number} tokens/min")),
        limits.max_concurrency.map(|number| format!("{number} at once")),
        limits.daily_budget.map(|money| format!("${}/day", money.dollars())),
        limits.monthly_budget.map(|money| format!("${}/month", money.dollars())),
        (!policies.is_empty()).then(|| format!("only {}", policies.join(", "))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

/// Why a date of expiry was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum ExpiryError {
    #[error("--expires {0:?} is neither a date (2026-12-31), a time (2026-12-31T18:00:00Z) nor a span (90d)")]
    Unreadable(String),
    #[error("--expires {0} is in the past")]
    Past(Timestamp),
}

/// Reads a time, a date (its first moment in UTC) or a span from now.
fn parse_expiry(text: &str, now: Timestamp) -> Result<Timestamp, ExpiryError> {
    let date = || Some(text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp());
    let span = || Some(now.to_zoned(TimeZone::UTC).checked_add(text.parse::<Span>().ok()?).ok()?.timestamp());
    let read = text.parse::<Timestamp>().ok().or_else(date).or_else(span);
    let expires = read.ok_or_else(|| ExpiryError::Unreadable(text.to_owned()))?;
    if expires <= now { Err(ExpiryError::Past(expires)) } else { Ok(expires) }
}

fn parse_dollars(text: &str) -> Result<NanoUsd, String> {
    match text.trim_start_matches('$').parse::<f64>() {
        Ok(dollars) if dollars.is_finite() && dollars >= 0.0 => Ok(NanoUsd::from_dollars(dollars)),
        _ => Err("expected US dollars, for instance 2.50".to_owned()),
    }
}

/// Writes what was asked for.
fn write_out(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{text}")
}

/// Writes what is said beside it.
#[expect(clippy::print_stderr, reason = "the command line speaks to people")]
fn tell(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn an_expiry_is_a_time_a_date_or_a_span() {
        let cases = [
            ("2026-03-02T00:00:00Z", "2026-03-02T00:00:00Z"),
            ("2026-12-31", "2026-12-31T00:00:00Z"),
            ("90d", "2026-05-30T12:00:00Z"),
            ("1 month", "2026-04-01T12:00:00Z"),
        ];

        for (text, expected) in cases {
            assert_eq!(parse_expiry(text, now()), Ok(expected.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn an_expiry_that_is_over_or_unreadable_is_refused() {
        assert!(matches!(parse_expiry("2026-03-01", now()), Err(ExpiryError::Past(_))));
        assert!(matches!(parse_expiry("soon", now()), Err(ExpiryError::Unreadable(_))));
    }

    #[test]
    fn budgets_are_dollars_and_never_negative() {
        assert_eq!(parse_dollars("$2.50"), Ok(NanoUsd(2_500_000_000)));
        assert!(parse_dollars("-1").is_err() && parse_dollars("NaN").is_err() && parse_dollars("much").is_err());
    }

    #[test]
    fn the_table_says_state_and_limits_of_each_key() {
        let key = KeyInfo {
            id: KeyId::parse("0a1b2c3d4e5f").unwrap(),
            tenant: TenantId::parse("acme").unwrap(),
            name: "build".to_owned(),
            created: now(),
            expires: Some(now()),
            revoked: None,
            limits: KeyLimits { daily_budget: Some(NanoUsd(2_500_000_000)), ..KeyLimits::default() },
            policies: vec![PolicyName::parse("cheap").unwrap()],
        };

        let text = table(&[key], now());

        insta::assert_snapshot!(text, @r"
        ID            TENANT          NAME                CREATED     STATE     LIMITS
        0a1b2c3d4e5f  acme            build               2026-03-01  expired   $2.5/day, only cheap
        ");
    }
}
