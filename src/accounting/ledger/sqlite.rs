//! The SQLite side of writing: schema, migration, batches, deletion.

use std::{collections::BTreeMap, fs::OpenOptions, os::unix::fs::OpenOptionsExt, path::Path};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, params};
use serde::Serialize;

use super::LedgerError;
use crate::domain::{Attempt, AttemptOutcome, NanoUsd, RequestRecord, Tokens};

/// What SQLite said.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SqliteFault(#[from] rusqlite::Error);

/// Schema `n + 1` is reached by running entry `n`. Entries are only ever added.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE records (
        request TEXT PRIMARY KEY, decision TEXT NOT NULL, at_us INTEGER NOT NULL, tenant TEXT NOT NULL, key TEXT NOT NULL,
        endpoint TEXT NOT NULL, requested_model TEXT NOT NULL, is_streaming INTEGER NOT NULL,
        policy TEXT, policy_version INTEGER NOT NULL, reason TEXT, plan TEXT, ask TEXT, unscored TEXT, cache TEXT NOT NULL,
        answered_by TEXT,
        input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, cached_input_tokens INTEGER NOT NULL,
        reasoning_tokens INTEGER NOT NULL, is_estimated INTEGER NOT NULL,
        cost_nanos INTEGER NOT NULL, baseline_cost_nanos INTEGER, saved_nanos INTEGER NOT NULL,
        auth_ns INTEGER, parse_ns INTEGER, cache_ns INTEGER, score_ns INTEGER, decide_ns INTEGER, first_token_ns INTEGER,
        total_ns INTEGER NOT NULL, outcome TEXT NOT NULL, code TEXT
    );
    CREATE INDEX records_by_time ON records (at_us);
    CREATE TABLE attempts (
        request TEXT NOT NULL REFERENCES records ON DELETE CASCADE, position INTEGER NOT NULL,
        leg INTEGER NOT NULL, model TEXT NOT NULL, started_ns INTEGER NOT NULL, first_token_ns INTEGER, took_ns INTEGER NOT NULL,
        input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, cached_input_tokens INTEGER NOT NULL,
        reasoning_tokens INTEGER NOT NULL, is_estimated INTEGER NOT NULL,
        cost_nanos INTEGER NOT NULL, outcome TEXT NOT NULL, code TEXT,
        PRIMARY KEY (request, position)
    ) WITHOUT ROWID;
    CREATE TABLE spending (
        key TEXT NOT NULL, day TEXT NOT NULL, requests INTEGER NOT NULL, tokens INTEGER NOT NULL, cost_nanos INTEGER NOT NULL,
        PRIMARY KEY (key, day)
    ) WITHOUT ROWID;
    CREATE INDEX spending_by_day ON spending (day);
", "
    ALTER TABLE records ADD COLUMN propensity REAL NOT NULL DEFAULT 1;
    CREATE INDEX records_by_decision ON records (decision);
    CREATE TABLE feedback (
        decision TEXT NOT NULL, key TEXT NOT NULL, at_us INTEGER NOT NULL, score REAL NOT NULL, digest TEXT NOT NULL,
        correction TEXT, comment TEXT, PRIMARY KEY (decision, key)
    ) WITHOUT ROWID;
    CREATE INDEX feedback_by_time ON feedback (at_us);
    CREATE TABLE feedback_once (
        key TEXT NOT NULL, once TEXT NOT NULL, at_us INTEGER NOT NULL, decision TEXT NOT NULL, digest TEXT NOT NULL,
        has_texts INTEGER NOT NULL, PRIMARY KEY (key, once)
    ) WITHOUT ROWID;
    CREATE INDEX feedback_once_by_time ON feedback_once (at_us);
    CREATE TABLE prompts (decision TEXT PRIMARY KEY, at_us INTEGER NOT NULL, prompt TEXT NOT NULL) WITHOUT ROWID;
    CREATE INDEX prompts_by_time ON prompts (at_us);
", "
    ALTER TABLE attempts ADD COLUMN waited_ns INTEGER NOT NULL DEFAULT 0;
", "
    ALTER TABLE records ADD COLUMN verdicts TEXT;
"];

/// The newest schema.
const SCHEMA: u32 = MIGRATIONS.len() as u32;

/// The writing connection.
pub(super) struct Store {
    connection: Connection,
}

impl Store {
    /// Opens or creates the file (mode 0600) and brings its schema up to date.
    pub(super) fn open(path: &Path) -> Result<Self, LedgerError> {
        touch(path).map_err(|source| LedgerError::Unwritable { path: path.to_owned(), source })?;
        let prepared = Connection::open(path).map_err(SqliteFault::from).map_err(LedgerError::from).and_then(prepare);
        match prepared {
            Ok(connection) => Ok(Self { connection }),
            Err(LedgerError::Sqlite(source)) if source.is_damage() => {
                Err(LedgerError::Damaged { path: path.to_owned(), source })
            }
            Err(other) => Err(other),
        }
    }

    /// Returns the connection.
    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Writes records, their attempts and what they add to the spending, all or nothing. A request that is there already
    /// is left as it is.
    pub(super) fn insert(&mut self, records: &[RequestRecord]) -> Result<(), SqliteFault> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut spending: BTreeMap<(&str, Date), Spent> = BTreeMap::new();
        for record in records {
            let is_new = insert_record(&transaction, record)?;
            if !is_new {
                tracing::error!(request.id = %record.request, "a second record of {} was refused", record.request);
                continue;
            }
            for (position, attempt) in record.attempts.iter().enumerate() {
                insert_attempt(&transaction, record, position, attempt)?;
            }
            spending.entry((record.key.as_str(), day_of(record.at))).or_default().add(record);
        }
        for ((key, day), spent) in spending {
            add_spending(&transaction, key, day, spent)?;
        }
        Ok(transaction.commit()?)
    }

    /// Deletes at most `limit` records from before `oldest` with their attempts; returns how many.
    pub(super) fn delete_before(&mut self, oldest: Timestamp, limit: u32) -> Result<usize, SqliteFault> {
        let sql = "DELETE FROM records WHERE request IN (SELECT request FROM records WHERE at_us < ?1 LIMIT ?2)";
        Ok(self.connection.prepare_cached(sql)?.execute(params![oldest.as_microsecond(), limit])?)
    }
}

impl SqliteFault {
    fn is_damage(&self) -> bool {
        matches!(self.0.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
    }
}

fn touch(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}

fn prepare(mut connection: Connection) -> Result<Connection, LedgerError> {
    configure(&connection).map_err(SqliteFault::from)?;
    migrate(&mut connection)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // With a write-ahead log, `normal` survives a crash of the program; a power cut may lose the last batch, never the file.
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(())
}

/// Runs the missing migrations. The version is written even when it is current, so that an unwritable file fails at start.
fn migrate(connection: &mut Connection) -> Result<(), LedgerError> {
    let found = schema_of(connection)?;
    if found > SCHEMA {
        return Err(LedgerError::Newer { found, known: SCHEMA });
    }
    let run = |transaction: Transaction<'_>| {
        for migration in MIGRATIONS.iter().skip(found as usize) {
            transaction.execute_batch(migration)?;
        }
        transaction.pragma_update(None, "user_version", SCHEMA)?;
        transaction.commit()
    };
    let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    Ok(begun.and_then(run).map_err(SqliteFault::from)?)
}

fn schema_of(connection: &Connection) -> Result<u32, SqliteFault> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn insert_record(transaction: &Transaction<'_>, record: &RequestRecord) -> Result<bool, rusqlite::Error> {
    let sql = "INSERT INTO records VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
        ON CONFLICT (request) DO NOTHING";
    let (usage, times) = (&record.usage, &record.times);
    let inserted = transaction.prepare_cached(sql)?.execute(params![
        record.request.to_string(),
        record.decision.to_string(),
        record.at.as_microsecond(),
        record.tenant.as_str(),
        record.key.as_str(),
        name(&record.endpoint),
        record.requested_model,
        record.is_streaming,
        record.policy.as_ref().map(|policy| policy.as_str()),
        integer(record.policy_version),
        record.reason.as_ref().and_then(name),
        record.plan.as_ref().and_then(json),
        record.ask.as_ref().and_then(json),
        record.unscored.as_ref().and_then(name),
        name(&record.cache),
        record.answered_by.as_ref().map(|model| model.as_str()),
        integer(usage.input.0),
        integer(usage.output.0),
        integer(usage.cached_input.0),
        integer(usage.reasoning.0),
        usage.is_estimated,
        integer(record.cost.0),
        record.baseline_cost.map(|cost| integer(cost.0)),
        integer(record.saved.0),
        times.auth.map(nanos),
        times.parse.map(nanos),
        times.cache.map(nanos),
        times.score.map(nanos),
        times.decide.map(nanos),
        times.first_token.map(nanos),
        nanos(times.total),
        record.end.name(),
        record.end.code(),
        record.propensity.value(),
        Some(&record.verdicts).filter(|verdicts| !verdicts.is_empty()).and_then(json),
    ])?;
    Ok(inserted == 1)
}

fn insert_attempt(
    transaction: &Transaction<'_>,
    record: &RequestRecord,
    position: usize,
    attempt: &Attempt,
) -> Result<(), rusqlite::Error> {
    let sql = "INSERT INTO attempts VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";
    let (outcome, code) = attempt_end(&attempt.end);
    transaction.prepare_cached(sql)?.execute(params![
        record.request.to_string(),
        integer(position as u64),
        attempt.leg,
        attempt.model.as_str(),
        nanos(attempt.started),
        attempt.first_token.map(nanos),
        nanos(attempt.took),
        integer(attempt.usage.input.0),
        integer(attempt.usage.output.0),
        integer(attempt.usage.cached_input.0),
        integer(attempt.usage.reasoning.0),
        attempt.usage.is_estimated,
        integer(attempt.cost.0),
        outcome,
        code,
        nanos(attempt.waited),
    ])?;
    Ok(())
}

fn attempt_end(end: &AttemptOutcome) -> (&'static str, Option<&str>) {
    match end {
        AttemptOutcome::Ok => ("ok", None),
        AttemptOutcome::Failed { code } => ("failed", Some(code)),
        AttemptOutcome::Cancelled => ("cancelled", None),
    }
}

/// What the records of one batch add to one row of the spending.
#[derive(Default)]
struct Spent {
    requests: u64,
    tokens: Tokens,
    cost: NanoUsd,
}

impl Spent {
    fn add(&mut self, record: &RequestRecord) {
        self.requests += 1;
        self.tokens += record.usage.total();
        self.cost += record.cost;
    }
}

fn add_spending(transaction: &Transaction<'_>, key: &str, day: Date, spent: Spent) -> Result<(), rusqlite::Error> {
    let sql = "INSERT INTO spending VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (key, day) DO UPDATE
        SET requests = requests + ?3, tokens = tokens + ?4, cost_nanos = cost_nanos + ?5";
    let Spent { requests, tokens, cost } = spent;
    let values = params![key, day.to_string(), integer(requests), integer(tokens.0), integer(cost.0)];
    transaction.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

fn day_of(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// Returns the serde name of a plain enum variant.
fn name(value: &impl Serialize) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
}

fn json(value: &impl Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}

/// SQLite integers are signed; what does not fit is stored as the largest.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn nanos(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
