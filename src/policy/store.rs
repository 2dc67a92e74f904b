//! Where policies are kept, with every version they ever had.

#[cfg(test)]
mod contract;
mod file;
mod memory;

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use file::FileStore;
pub use memory::MemoryStore;

use super::diff::unified;
use crate::{config::Source, domain::PolicyName, error::Code};

/// One version of a policy, without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Counts up with every save and never starts again.
    pub version: u64,
    /// Who saved it.
    pub author: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub note: String,
}

/// Who changes a policy, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Who.
    pub author: String,
    /// Why.
    pub note: String,
}

/// What a save expects to replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Anything, or nothing.
    Any,
    /// Nothing: the policy is new.
    Absent,
    /// This version.
    Version(u64),
}

/// A policy's current text.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Its name.
    pub name: PolicyName,
    /// Its text, with the name under which people know the file.
    pub source: Source,
    /// The newest version in the history; 0 when there is none.
    pub version: u64,
    /// Whether the text differs from that version: somebody edited it by hand.
    pub is_edited: bool,
}

/// Somebody else saved in between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The policy.
    pub name: PolicyName,
    /// Its current version; 0 when there is none.
    pub version: u64,
    /// Its current text.
    pub current: String,
    /// The text that was to be saved.
    pub proposed: String,
    /// From the current text to the proposed one.
    pub diff: String,
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else saved in between.
    #[error("policy {} is at version {} by now", .0.name, .0.version)]
    Conflict(Box<Conflict>),
    /// There is no such policy.
    #[error("there is no policy {0}")]
    UnknownPolicy(PolicyName),
    /// There is no such version.
    #[error("policy {name} has no version {version}")]
    UnknownVersion {
        /// The policy.
        name: PolicyName,
        /// The version.
        version: u64,
    },
    /// The name cannot be the name of a file.
    #[error(
        "{0} cannot be the name of a policy: use letters, digits, \"-\", \"_\" and \".\", and begin with a letter or digit"
    )]
    BadName(PolicyName),
    /// A file cannot be read or written.
    #[error("{path} cannot be read or written")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl StoreError {
    /// Returns what went wrong, in one word.
    pub const fn code(&self) -> Code {
        match self {
            Self::Conflict(_) => Code::VersionConflict,
            Self::UnknownPolicy(_) | Self::UnknownVersion { .. } => Code::NotFound,
            Self::BadName(_) => Code::InvalidRequest,
            Self::Io { .. } => Code::Internal,
        }
    }
}

/// Keeps policies and their history. Calls block on the disk for as long as it takes to write two small files.
pub trait PolicyStore: Send + Sync {
    /// Returns every policy by name, as it stands now.
    ///
    /// # Errors
    /// The policies cannot be read.
    fn load(&self) -> Result<Vec<Loaded>, StoreError>;

    /// Saves a new version and makes it the current one.
    ///
    /// # Errors
    /// The current version is not the expected one, the name cannot be a file, or nothing can be written.
    fn save(&self, name: &PolicyName, text: &str, expected: Expected, change: Change) -> Result<Version, StoreError>;

    /// Returns every version of a policy, newest first.
    ///
    /// # Errors
    /// There is no such policy, or it cannot be read.
    fn history(&self, name: &PolicyName) -> Result<Vec<Version>, StoreError>;

    /// Returns the text of a version.
    ///
    /// # Errors
    /// There is no such policy or version, or it cannot be read.
    fn read(&self, name: &PolicyName, version: u64) -> Result<String, StoreError>;

    /// Saves the text of an earlier version again, as a new version.
    ///
    /// # Errors
    /// There is no such version, or saving failed.
    fn rollback(
        &self,
        name: &PolicyName,
        version: u64,
        expected: Expected,
        change: Change,
    ) -> Result<Version, StoreError> {
        let text = self.read(name, version)?;
        self.save(name, &text, expected, change)
    }
}

/// Checks what a save expects against what is there.
fn check_expected(
    name: &PolicyName,
    expected: Expected,
    current: Option<(u64, String)>,
    proposed: &str,
) -> Result<(), StoreError> {
    let version = current.as_ref().map_or(0, |(version, _)| *version);
    let fits = match expected {
        Expected::Any => true,
        Expected::Absent => current.is_none(),
        Expected::Version(expected) => expected == version,
    };
    if fits {
        return Ok(());
    }
    let current = current.map(|(_, text)| text).unwrap_or_default();
    let diff = unified(&current, proposed, (&format!("current (version {version})"), "proposed"));
    let proposed = proposed.to_owned();
    Err(StoreError::Conflict(Box::new(Conflict { name: name.clone(), version, current, proposed, diff })))
}
