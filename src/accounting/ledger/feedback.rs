//! Grades of answers: one per decision and key, the newest counts.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{LedgerError, SqliteFault, read::records, sqlite::Store};
use crate::{
    domain::{DecisionId, Feedback, Filed, Graded, RequestRecord},
    error::Code,
};

/// How long an `Idempotency-Key` is remembered: retries come within minutes, a queue that was down may take a night.
pub(super) const REMEMBERED: Duration = Duration::from_secs(86_400);

/// Why a grade was not kept.
#[derive(Debug, thiserror::Error)]
pub enum FeedbackError {
    /// The tenant has no such decision on record.
    #[error(
        "There is no decision {0} on record for this key's tenant; send what the header x-pointsman-decision-id of an \
         answer said, once the answer has ended."
    )]
    Unknown(DecisionId),
    /// The record of the decision is gone.
    #[error("The decision {decision} is older than the {days} days for which records are kept.")]
    Expired {
        /// Which.
        decision: DecisionId,
        /// How long records are kept.
        days: u64,
    },
    /// The `Idempotency-Key` belongs to another grade.
    #[error("This Idempotency-Key came before with another grade; send a new key with a new grade.")]
    Reused,
    /// The queue is full or the ledger is closing.
    #[error("The ledger cannot take the grade now; send it again.")]
    Busy,
    /// The disk refused.
    #[error("the grade could not be written")]
    Ledger(#[from] LedgerError),
}

impl FeedbackError {
    /// Returns the row of the table of codes.
    pub fn code(&self) -> Code {
        match self {
            Self::Unknown(_) | Self::Expired { .. } => Code::NotFound,
            Self::Reused => Code::IdempotencyKeyReused,
            Self::Busy => Code::Overloaded,
            Self::Ledger(_) => Code::Internal,
        }
    }
}

impl From<rusqlite::Error> for FeedbackError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Ledger(SqliteFault::from(error).into())
    }
}

impl Store {
    /// Keeps a grade, unless it is there already.
    pub(super) fn file(&mut self, feedback: &Feedback, now: Timestamp) -> Result<Filed, FeedbackError> {
        let transaction = self.connection().transaction_with_behavior(TransactionBehavior::Immediate)?;
        let record = graded(&transaction, feedback)?;
        let digest = digest(feedback);
        if let Some(filed) = remembered(&transaction, feedback, &digest)? {
            return Ok(filed);
        }
        let filed = match standing(&transaction, feedback, &digest)? {
            Some(filed) => filed,
            None => replace(&transaction, (feedback, record), &digest, now)?,
        };
        remember(&transaction, feedback, &digest, &filed)?;
        transaction.commit()?;
        Ok(filed)
    }

    /// Forgets at most `limit` grades from before `oldest`, the texts of grades from before `oldest_text`, and old idempotency
    /// keys.
    pub(super) fn forget_feedback(
        &mut self,
        (oldest, oldest_text): (Timestamp, Timestamp),
        now: Timestamp,
        limit: u32,
    ) -> Result<(), SqliteFault> {
        let old_keys = now.checked_sub(REMEMBERED).unwrap_or(Timestamp::MIN);
        let connection = self.connection();
        let grades = "DELETE FROM feedback WHERE (decision, key) IN
            (SELECT decision, key FROM feedback WHERE at_us < ?1 LIMIT ?2)";
        connection.execute(grades, params![oldest.as_microsecond(), limit])?;
        let texts = "UPDATE feedback SET correction = NULL, comment = NULL
            WHERE at_us < ?1 AND (correction IS NOT NULL OR comment IS NOT NULL)";
        connection.execute(texts, params![oldest_text.as_microsecond()])?;
        connection.execute("DELETE FROM feedback_once WHERE at_us < ?1", params![old_keys.as_microsecond()])?;
        Ok(())
    }
}

fn graded(connection: &Connection, feedback: &Feedback) -> Result<RequestRecord, FeedbackError> {
    let (decision, tenant) = (feedback.decision.to_string(), feedback.tenant.as_str());
    let found = records(connection, "WHERE decision = ?1 AND tenant = ?2", &[&decision, &tenant])?;
    found.into_iter().next().ok_or(FeedbackError::Unknown(feedback.decision))
}

/// Returns what came of the same `Idempotency-Key` before.
fn remembered(connection: &Connection, feedback: &Feedback, digest: &str) -> Result<Option<Filed>, FeedbackError> {
    let Some(once) = &feedback.once else { return Ok(None) };
    let sql = "SELECT at_us, has_texts, digest FROM feedback_once WHERE key = ?1 AND once = ?2";
    let before = connection.query_row(sql, params![feedback.key.as_str(), once], read_filed).optional()?;
    match before {
        Some((_, before)) if before != digest => Err(FeedbackError::Reused),
        before => Ok(before.map(|(filed, _)| filed)),
    }
}

/// Returns the grade that stands, if it is this one.
fn standing(connection: &Connection, feedback: &Feedback, digest: &str) -> Result<Option<Filed>, FeedbackError> {
    let sql = "SELECT at_us, correction IS NOT NULL OR comment IS NOT NULL, digest FROM feedback
        WHERE decision = ?1 AND key = ?2";
    let values = params![feedback.decision.to_string(), feedback.key.as_str()];
    let before = connection.query_row(sql, values, read_filed).optional()?;
    Ok(before.filter(|(_, before)| before == digest).map(|(filed, _)| filed))
}

fn read_filed(row: &rusqlite::Row<'_>) -> Result<(Filed, String), rusqlite::Error> {
    let at = Timestamp::from_microsecond(row.get(0)?).unwrap_or(Timestamp::UNIX_EPOCH);
    Ok((Filed { at, has_texts: row.get(1)?, news: None }, row.get(2)?))
}

fn replace(
    connection: &Connection,
    (feedback, record): (&Feedback, RequestRecord),
    digest: &str,
    now: Timestamp,
) -> Result<Filed, FeedbackError> {
    connection.prepare_cached("INSERT OR REPLACE INTO feedback VALUES (?,?,?,?,?,?,?)")?.execute(params![
        feedback.decision.to_string(),
        feedback.key.as_str(),
        now.as_microsecond(),
        feedback.score.value(),
        digest,
        feedback.correction,
        feedback.comment,
    ])?;
    let has_texts = feedback.correction.is_some() || feedback.comment.is_some();
    let news = Graded { record: Box::new(record), key: feedback.key.clone(), score: feedback.score };
    Ok(Filed { at: now, has_texts, news: Some(news) })
}

fn remember(connection: &Connection, feedback: &Feedback, digest: &str, filed: &Filed) -> Result<(), FeedbackError> {
    let Some(once) = &feedback.once else { return Ok(()) };
    connection.prepare_cached("INSERT OR IGNORE INTO feedback_once VALUES (?,?,?,?,?,?)")?.execute(params![
        feedback.key.as_str(),
        once,
        filed.at.as_microsecond(),
        feedback.decision.to_string(),
        digest,
        filed.has_texts,
    ])?;
    Ok(())
}

/// Returns what tells two grades apart; texts count, but cannot be read off it.
fn digest(feedback: &Feedback) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(feedback.decision.to_string().as_bytes()).update(&feedback.score.value().to_le_bytes());
    for text in [&feedback.correction, &feedback.comment] {
        let text = text.as_deref().map_or(String::new(), |text| format!("{}:{text}", text.len()));
        hasher.update(text.as_bytes()).update(&[0]);
    }
    hasher.finalize().to_hex().to_string()
}
