//! The ledger as it lies on disk.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Row};

/// One attempt as it was booked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BookedAttempt {
    pub(crate) model: String,
    pub(crate) outcome: String,
    pub(crate) code: Option<String>,
    pub(crate) tokens: (u64, u64),
    pub(crate) cost_nanos: u64,
}

/// One request as it was booked.
#[derive(Clone, Debug)]
pub(crate) struct Booked {
    pub(crate) request: String,
    pub(crate) requested_model: String,
    pub(crate) policy_version: u64,
    pub(crate) reason: Option<String>,
    pub(crate) plan: Option<String>,
    pub(crate) ask: Option<String>,
    pub(crate) unscored: Option<String>,
    pub(crate) cache: String,
    pub(crate) outcome: String,
    pub(crate) cost_nanos: u64,
    pub(crate) saved_nanos: u64,
    pub(crate) verdicts: Option<String>,
    pub(crate) attempts: Vec<BookedAttempt>,
}

/// Reads every record, oldest first.
pub(crate) fn read(file: &Path) -> Vec<Booked> {
    let Ok(connection) = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY) else { return Vec::new() };
    let query = "SELECT request, requested_model, policy_version, reason, plan, ask, unscored, cache, outcome,
        cost_nanos, saved_nanos, verdicts FROM records ORDER BY at_us, rowid";
    let Ok(mut statement) = connection.prepare(query) else { return Vec::new() };
    let records = statement.query_map([], booked).expect("the ledger can be read");
    records
        .map(|record| {
            let mut record = record.expect("a record");
            record.attempts = attempts(&connection, &record.request);
            record
        })
        .collect()
}

fn booked(row: &Row<'_>) -> rusqlite::Result<Booked> {
    Ok(Booked {
        request: row.get(0)?,
        requested_model: row.get(1)?,
        policy_version: row.get(2)?,
        reason: row.get(3)?,
        plan: row.get(4)?,
        ask: row.get(5)?,
        unscored: row.get(6)?,
        cache: row.get(7)?,
        outcome: row.get(8)?,
        cost_nanos: row.get(9)?,
        saved_nanos: row.get(10)?,
        verdicts: row.get(11)?,
        attempts: Vec::new(),
    })
}

fn attempts(connection: &Connection, request: &str) -> Vec<BookedAttempt> {
    let query = "SELECT model, outcome, code, input_tokens, output_tokens, cost_nanos FROM attempts
        WHERE request = ?1 ORDER BY position";
    let mut statement = connection.prepare(query).expect("a query");
    let attempts = statement.query_map([request], |row| {
        Ok(BookedAttempt {
            model: row.get(0)?,
            outcome: row.get(1)?,
            code: row.get(2)?,
            tokens: (row.get(3)?, row.get(4)?),
            cost_nanos: row.get(5)?,
        })
    });
    attempts.expect("attempts").map(|attempt| attempt.expect("an attempt")).collect()
}
