//! Prompts that were recorded for training, each beside the record of its request.

use jiff::Timestamp;
use rusqlite::params;

use super::{SqliteFault, entry::Prompt, sqlite::Store};

impl Store {
    /// Keeps prompts.
    pub(super) fn keep_prompts(&mut self, prompts: &[Prompt]) -> Result<(), SqliteFault> {
        let transaction = self.connection().transaction()?;
        for prompt in prompts {
            let values = params![prompt.decision.to_string(), prompt.at.as_microsecond(), prompt.text];
            transaction.prepare_cached("INSERT OR IGNORE INTO prompts VALUES (?, ?, ?)")?.execute(values)?;
        }
        Ok(transaction.commit()?)
    }

    /// Deletes at most `limit` prompts from before `oldest`, and of the others the oldest beyond `most`; returns how many.
    pub(super) fn forget_prompts(&mut self, oldest: Timestamp, most: u64, limit: u32) -> Result<usize, SqliteFault> {
        let old = "DELETE FROM prompts WHERE decision IN (SELECT decision FROM prompts WHERE at_us < ?1 LIMIT ?2)";
        let beyond = "DELETE FROM prompts WHERE decision IN
            (SELECT decision FROM prompts ORDER BY at_us DESC LIMIT ?2 OFFSET ?1)";
        let connection = self.connection();
        let deleted = connection.execute(old, params![oldest.as_microsecond(), limit])?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        Ok(deleted + connection.execute(beyond, params![most, limit])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DecisionId;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn old_prompts_and_those_beyond_the_most_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&folder.path().join("ledger")).unwrap();
        let prompt = |seconds| Prompt { decision: DecisionId::fresh(), at: at(seconds), text: seconds.to_string() };
        store.keep_prompts(&(0..10).map(prompt).collect::<Vec<_>>()).unwrap();

        let deleted = store.forget_prompts(at(4), 5, 100).unwrap();

        let mut statement = store.connection().prepare("SELECT prompt FROM prompts ORDER BY at_us").unwrap();
        let left: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!((deleted, left), (5, ["5", "6", "7", "8", "9"].map(str::to_owned).to_vec()));
    }
}
