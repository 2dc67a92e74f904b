//! The caches as a file, so that a restart does not empty them.
//!
//! One JSON object a line: a head with the versions of everything that the rest depends on, the entries, and an end with the number
//! of lines and their hash. A file that ends early, was changed, or was written by a program that means something else by its keys
//! is not read at all. It is written beside and moved into place, readable by its owner only: it holds answers.

mod line;

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use blake3::Hasher;
use jiff::Timestamp;

use self::line::{Head, Line};
use super::{
    CachedAnswer, Held,
    semantic::{Saved, SavedPool},
};

/// Everything that is written.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Answers of the exact cache.
    pub exact: Vec<Held>,
    /// Entries of the semantic cache.
    pub semantic: Vec<Saved<Arc<CachedAnswer>>>,
    /// What the semantic cache has learned.
    pub pools: Vec<SavedPool>,
}

/// Why a file was not written or not read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It cannot be written or read.
    #[error("the cache's file {path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not whole, or not what was written.
    #[error("the cache's file {path} is damaged at line {line}: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// Another version wrote it.
    #[error("the cache's file {path} was written by a version that means something else by it")]
    Version {
        /// The file.
        path: PathBuf,
    },
}

/// Writes a file in place of the one that is there.
///
/// # Errors
/// It cannot be written; the one that was there stays.
pub fn write(path: &Path, snapshot: &Snapshot, now: Timestamp) -> Result<(), SnapshotError> {
    let failed = |source| SnapshotError::Io { path: path.to_owned(), source };
    let draft = path.with_extension("part");
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft).map_err(failed)?;
    let mut lines = Lines { out: BufWriter::new(file), hasher: Hasher::new(), count: 0 };
    lines.all(snapshot, now).map_err(failed)?;
    let file = lines.out.into_inner().map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    std::fs::rename(&draft, path).map_err(failed)
}

/// Reads a file; `None` when there is none. What has expired by now is left out.
///
/// # Errors
/// It cannot be read, is not whole, or another version wrote it; then nothing of it is used.
pub fn read(path: &Path, now: Timestamp) -> Result<Option<Snapshot>, SnapshotError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SnapshotError::Io { path: path.to_owned(), source }),
    };
    let mut reading = Reading { path, hasher: Hasher::new(), count: 0, snapshot: Snapshot::default() };
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(|source| SnapshotError::Io { path: path.to_owned(), source })?;
        if reading.take(&line, now)? {
            return Ok(Some(reading.snapshot));
        }
    }
    Err(reading.damaged("it ends early"))
}

struct Lines {
    out: BufWriter<File>,
    hasher: Hasher,
    count: usize,
}

impl Lines {
    fn all(&mut self, snapshot: &Snapshot, now: Timestamp) -> io::Result<()> {
        self.write(&Line::Head(Head::current()))?;
        for Held { answer, left } in &snapshot.exact {
            if let Some(line) = Line::exact(answer, expiry(now, *left)) {
                self.write(&line)?;
            }
        }
        for saved in &snapshot.semantic {
            if let Some(line) = Line::semantic(saved, expiry(now, saved.left)) {
                self.write(&line)?;
            }
        }
        for pool in &snapshot.pools {
            self.write(&Line::pool(pool))?;
        }
        let end = Line::End { lines: self.count, hash: self.hasher.finalize().to_hex().to_string() };
        self.write(&end)
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let text = serde_json::to_vec(line)?;
        self.hasher.update(&text);
        self.count += 1;
        self.out.write_all(&text)?;
        self.out.write_all(b"\n")
    }
}

fn expiry(now: Timestamp, left: Duration) -> Timestamp {
    let left = jiff::SignedDuration::try_from(left).unwrap_or(jiff::SignedDuration::MAX);
    now.checked_add(left).unwrap_or(Timestamp::MAX)
}

struct Reading<'p> {
    path: &'p Path,
    hasher: Hasher,
    count: usize,
    snapshot: Snapshot,
}

impl Reading<'_> {
    /// Takes one line; true when it was the last.
    fn take(&mut self, text: &[u8], now: Timestamp) -> Result<bool, SnapshotError> {
        let line: Line = serde_json::from_slice(text).map_err(|error| self.damaged(&error.to_string()))?;
        if self.count == 0 && !matches!(&line, Line::Head(head) if *head == Head::current()) {
            return Err(SnapshotError::Version { path: self.path.to_owned() });
        }
        if let Line::End { lines, hash } = &line {
            let is_whole = *lines == self.count && self.hasher.finalize().to_hex().as_str() == hash;
            return if is_whole { Ok(true) } else { Err(self.damaged("it is not what was written")) };
        }
        self.hasher.update(text);
        line.into_snapshot(&mut self.snapshot, now).ok_or_else(|| self.damaged("it is no entry"))?;
        self.count += 1;
        Ok(false)
    }

    fn damaged(&self, what: &str) -> SnapshotError {
        SnapshotError::Damaged { path: self.path.to_owned(), line: self.count + 1, what: what.to_owned() }
    }
}

#[cfg(test)]
mod tests;
