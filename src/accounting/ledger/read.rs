//! The SQLite side of reading, for budgets, the admin API and tests.

use std::{path::Path, time::Duration};

use jiff::{Timestamp, civil::Date};
use rusqlite::{Connection, OpenFlags, Row, params};
use serde::de::{DeserializeOwned, IntoDeserializer, value::Error as ValueError};

use super::{LedgerError, SqliteFault};
use crate::domain::{
    Attempt, AttemptOutcome, DecisionId, Graded, KeyId, NanoUsd, Outcome, Probability, RequestId, RequestRecord,
    Spending, StageTimes, Tokens, Usage,
};

/// A recorded prompt with its request and what callers said of the answer. It has no `Debug`: prompts belong into no log.
pub struct Recorded {
    /// The text that the router saw.
    pub prompt: String,
    /// The request.
    pub record: RequestRecord,
    /// The mean of the grades, `[0, 1]`; `None` without any.
    pub score: Option<f64>,
    /// The latest corrected answer.
    pub correction: Option<String>,
}

/// Reads a ledger, beside its writer.
pub struct LedgerReader {
    connection: Connection,
}

impl LedgerReader {
    /// Opens a ledger for reading.
    ///
    /// # Errors
    /// The file does not exist or cannot be read.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(SqliteFault::from)?;
        connection.busy_timeout(Duration::from_secs(5)).map_err(SqliteFault::from)?;
        Ok(Self { connection })
    }

    /// Returns one record; `None` when there is none of this request.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn record(&self, request: RequestId) -> Result<Option<RequestRecord>, LedgerError> {
        let found = self.records("WHERE request = ?1", &[&request.to_string()])?;
        Ok(found.into_iter().next())
    }

    /// Returns at most `limit` records that arrived at or after `from` and before `to`, oldest first.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn records_between(
        &self,
        from: Timestamp,
        to: Timestamp,
        limit: u32,
    ) -> Result<Vec<RequestRecord>, LedgerError> {
        let clause = "WHERE at_us >= ?1 AND at_us < ?2 ORDER BY at_us, request LIMIT ?3";
        self.records(clause, &[&from.as_microsecond(), &to.as_microsecond(), &limit])
    }

    /// Returns what every key used on each day from `first` on.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn spending_since(&self, first: Date) -> Result<Vec<Spending>, LedgerError> {
        let sql = "SELECT key, day, requests, tokens, cost_nanos FROM spending WHERE day >= ?1 ORDER BY day, key";
        let mut statement = self.connection.prepare_cached(sql).map_err(SqliteFault::from)?;
        let mut rows = statement.query(params![first.to_string()]).map_err(SqliteFault::from)?;
        let mut spending = Vec::new();
        while let Some(row) = rows.next().map_err(SqliteFault::from)? {
            spending.push(spending_of(row)?);
        }
        Ok(spending)
    }

    /// Returns at most the `limit` newest grades with their requests, oldest first.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn grades(&self, limit: u32) -> Result<Vec<Graded>, LedgerError> {
        let sql = "SELECT records.*, feedback.key AS grader, feedback.score AS grade
            FROM feedback JOIN records ON records.decision = feedback.decision ORDER BY feedback.at_us DESC LIMIT ?1";
        let mut statement = self.connection.prepare_cached(sql).map_err(SqliteFault::from)?;
        let mut rows = statement.query(params![limit]).map_err(SqliteFault::from)?;
        let mut grades = Vec::new();
        while let Some(row) = rows.next().map_err(SqliteFault::from)? {
            let record = Box::new(whole_record(&self.connection, row)?);
            let score = Probability::clamped(get(row, "grade")?);
            grades.push(Graded { record, key: named(row, "grader")?, score });
        }
        grades.reverse();
        Ok(grades)
    }

    /// Hands every recorded prompt to `each`, oldest first.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn recorded(&self, mut each: impl FnMut(Recorded)) -> Result<(), LedgerError> {
        let sql = "SELECT records.*, prompts.prompt AS recorded_prompt,
            (SELECT AVG(score) FROM feedback WHERE decision = records.decision) AS grade,
            (SELECT correction FROM feedback WHERE decision = records.decision AND correction IS NOT NULL
                ORDER BY at_us DESC LIMIT 1) AS corrected
            FROM prompts JOIN records ON records.decision = prompts.decision ORDER BY prompts.at_us, prompts.decision";
        let mut statement = self.connection.prepare(sql).map_err(SqliteFault::from)?;
        let mut rows = statement.query([]).map_err(SqliteFault::from)?;
        while let Some(row) = rows.next().map_err(SqliteFault::from)? {
            each(Recorded {
                prompt: get(row, "recorded_prompt")?,
                record: whole_record(&self.connection, row)?,
                score: get(row, "grade")?,
                correction: get(row, "corrected")?,
            });
        }
        Ok(())
    }

    fn records(&self, clause: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Vec<RequestRecord>, LedgerError> {
        records(&self.connection, clause, values)
    }
}

/// Returns the records that a clause selects.
pub(super) fn records(
    connection: &Connection,
    clause: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Result<Vec<RequestRecord>, LedgerError> {
    let sql = format!("SELECT * FROM records {clause}");
    let mut statement = connection.prepare_cached(&sql).map_err(SqliteFault::from)?;
    let mut rows = statement.query(values).map_err(SqliteFault::from)?;
    let mut records = Vec::new();
    while let Some(row) = rows.next().map_err(SqliteFault::from)? {
        records.push(whole_record(connection, row)?);
    }
    Ok(records)
}

/// Returns the record of a row that holds every column of `records`.
pub(super) fn whole_record(connection: &Connection, row: &Row<'_>) -> Result<RequestRecord, LedgerError> {
    record_of(row, attempts(connection, &get::<String>(row, "request")?)?)
}

fn attempts(connection: &Connection, request: &str) -> Result<Vec<Attempt>, LedgerError> {
    let sql = "SELECT * FROM attempts WHERE request = ?1 ORDER BY position";
    let mut statement = connection.prepare_cached(sql).map_err(SqliteFault::from)?;
    let mut rows = statement.query(params![request]).map_err(SqliteFault::from)?;
    let mut attempts = Vec::new();
    while let Some(row) = rows.next().map_err(SqliteFault::from)? {
        attempts.push(attempt_of(row)?);
    }
    Ok(attempts)
}

fn record_of(row: &Row<'_>, attempts: Vec<Attempt>) -> Result<RequestRecord, LedgerError> {
    Ok(RequestRecord {
        request: identifier(row, "request", RequestId::parse)?,
        decision: identifier(row, "decision", DecisionId::parse)?,
        at: identifier_of(row, "at_us", |us: i64| Timestamp::from_microsecond(us).ok())?,
        tenant: named(row, "tenant")?,
        key: named(row, "key")?,
        endpoint: named(row, "endpoint")?,
        requested_model: get(row, "requested_model")?,
        is_streaming: get(row, "is_streaming")?,
        policy: named_or_none(row, "policy")?,
        policy_version: number(row, "policy_version")?,
        reason: named_or_none(row, "reason")?,
        plan: document(row, "plan")?,
        propensity: Probability::clamped(get(row, "propensity")?),
        ask: document(row, "ask")?,
        unscored: named_or_none(row, "unscored")?,
        cache: named(row, "cache")?,
        attempts,
        verdicts: document(row, "verdicts")?.unwrap_or_default(),
        answered_by: named_or_none(row, "answered_by")?,
        usage: usage_of(row)?,
        cost: NanoUsd(number(row, "cost_nanos")?),
        baseline_cost: get::<Option<i64>>(row, "baseline_cost_nanos")?.map(|nanos| NanoUsd(unsigned(nanos))),
        saved: NanoUsd(number(row, "saved_nanos")?),
        times: times_of(row)?,
        end: outcome_of(row)?,
    })
}

fn times_of(row: &Row<'_>) -> Result<StageTimes, LedgerError> {
    Ok(StageTimes {
        auth: duration_or_none(row, "auth_ns")?,
        parse: duration_or_none(row, "parse_ns")?,
        cache: duration_or_none(row, "cache_ns")?,
        score: duration_or_none(row, "score_ns")?,
        decide: duration_or_none(row, "decide_ns")?,
        first_token: duration_or_none(row, "first_token_ns")?,
        total: Duration::from_nanos(number(row, "total_ns")?),
    })
}

fn usage_of(row: &Row<'_>) -> Result<Usage, LedgerError> {
    Ok(Usage {
        input: Tokens(number(row, "input_tokens")?),
        output: Tokens(number(row, "output_tokens")?),
        cached_input: Tokens(number(row, "cached_input_tokens")?),
        reasoning: Tokens(number(row, "reasoning_tokens")?),
        is_estimated: get(row, "is_estimated")?,
    })
}

fn attempt_of(row: &Row<'_>) -> Result<Attempt, LedgerError> {
    Ok(Attempt {
        leg: get(row, "leg")?,
        model: named(row, "model")?,
        started: Duration::from_nanos(number(row, "started_ns")?),
        waited: Duration::from_nanos(number(row, "waited_ns")?),
        first_token: duration_or_none(row, "first_token_ns")?,
        took: Duration::from_nanos(number(row, "took_ns")?),
        usage: usage_of(row)?,
        cost: NanoUsd(number(row, "cost_nanos")?),
        end: attempt_end_of(row)?,
    })
}

fn outcome_of(row: &Row<'_>) -> Result<Outcome, LedgerError> {
    let code = get::<Option<String>>(row, "code")?.unwrap_or_default();
    let outcome: String = get(row, "outcome")?;
    match outcome.as_str() {
        "success" => Ok(Outcome::Success),
        "refused" => Ok(Outcome::Refused { code }),
        "failed" => Ok(Outcome::Failed { code }),
        "client_gone" => Ok(Outcome::ClientGone),
        "shutdown" => Ok(Outcome::Shutdown),
        _ => Err(LedgerError::Unreadable { column: "outcome", text: outcome }),
    }
}

fn attempt_end_of(row: &Row<'_>) -> Result<AttemptOutcome, LedgerError> {
    let code = get::<Option<String>>(row, "code")?.unwrap_or_default();
    let outcome: String = get(row, "outcome")?;
    match outcome.as_str() {
        "ok" => Ok(AttemptOutcome::Ok),
        "failed" => Ok(AttemptOutcome::Failed { code }),
        "cancelled" => Ok(AttemptOutcome::Cancelled),
        _ => Err(LedgerError::Unreadable { column: "outcome", text: outcome }),
    }
}

fn spending_of(row: &Row<'_>) -> Result<Spending, LedgerError> {
    Ok(Spending {
        key: named::<KeyId>(row, "key")?,
        day: identifier(row, "day", |text| text.parse().ok())?,
        requests: number(row, "requests")?,
        tokens: Tokens(number(row, "tokens")?),
        cost: NanoUsd(number(row, "cost_nanos")?),
    })
}

fn get<T: rusqlite::types::FromSql>(row: &Row<'_>, column: &'static str) -> Result<T, LedgerError> {
    Ok(row.get(column).map_err(SqliteFault::from)?)
}

fn number(row: &Row<'_>, column: &'static str) -> Result<u64, LedgerError> {
    Ok(unsigned(get(row, column)?))
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn duration_or_none(row: &Row<'_>, column: &'static str) -> Result<Option<Duration>, LedgerError> {
    Ok(get::<Option<i64>>(row, column)?.map(|nanos| Duration::from_nanos(unsigned(nanos))))
}

fn identifier<T>(row: &Row<'_>, column: &'static str, parse: fn(&str) -> Option<T>) -> Result<T, LedgerError> {
    identifier_of(row, column, |text: String| parse(&text))
}

fn identifier_of<S, T>(row: &Row<'_>, column: &'static str, parse: impl Fn(S) -> Option<T>) -> Result<T, LedgerError>
where
    S: rusqlite::types::FromSql + Clone + std::fmt::Display,
{
    let stored: S = get(row, column)?;
    parse(stored.clone()).ok_or_else(|| LedgerError::Unreadable { column, text: stored.to_string() })
}

/// Reads a name or a plain enum variant, both of which serde knows by their text.
fn named<T: DeserializeOwned>(row: &Row<'_>, column: &'static str) -> Result<T, LedgerError> {
    from_name(get(row, column)?, column)
}

fn named_or_none<T: DeserializeOwned>(row: &Row<'_>, column: &'static str) -> Result<Option<T>, LedgerError> {
    get::<Option<String>>(row, column)?.map(|text| from_name(text, column)).transpose()
}

fn from_name<T: DeserializeOwned>(text: String, column: &'static str) -> Result<T, LedgerError> {
    let read: Result<T, ValueError> = T::deserialize(text.as_str().into_deserializer());
    read.map_err(|_| LedgerError::Unreadable { column, text })
}

fn document<T: DeserializeOwned>(row: &Row<'_>, column: &'static str) -> Result<Option<T>, LedgerError> {
    let Some(text) = get::<Option<String>>(row, column)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|_| LedgerError::Unreadable { column, text })
}
