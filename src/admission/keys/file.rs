//! The file of keys: JSON, mode 0600, replaced as a whole.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::secret::{Hasher, KeyHash, MakeKeyError};
use crate::domain::{KeyId, KeyLimits, PolicyName, TenantId};

const SCHEMA_VERSION: u32 = 1;

/// Why the file of keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// It cannot be read.
    #[error("cannot read the file of keys {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// It cannot be written.
    #[error("cannot write the file of keys {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// It is something else.
    #[error("{path} is no file of keys: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was found, without any value of the file.
        reason: String,
    },
    /// The system has no random numbers.
    #[error("cannot make a key: {0}")]
    Random(String),
}

/// What a new key is for.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Who pays and who may see what.
    pub tenant: TenantId,
    /// A name for people.
    pub name: String,
    /// When it ends; `None` means never.
    pub expires: Option<Timestamp>,
    /// What it may use up.
    pub limits: KeyLimits,
    /// Policies it may use; empty means everything.
    pub policies: Vec<PolicyName>,
}

/// What may be known of a key: everything but its text and its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    /// Names it in records and on the command line.
    pub id: KeyId,
    /// Who pays and who may see what.
    pub tenant: TenantId,
    /// A name for people.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends; `None` means never.
    pub expires: Option<Timestamp>,
    /// When it was taken back; `None` means that it was not.
    pub revoked: Option<Timestamp>,
    /// What it may use up.
    pub limits: KeyLimits,
    /// Policies it may use; empty means everything.
    pub policies: Vec<PolicyName>,
}

/// One key in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    #[serde(flatten)]
    pub(super) info: KeyInfo,
    pub(super) hash: KeyHash,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    schema_version: u32,
    pub(super) pepper: Hasher,
    pub(super) keys: Vec<Entry>,
}

impl Document {
    /// Reads the file; a missing one is an empty document with a fresh pepper.
    pub(super) fn load(path: &Path) -> Result<Self, KeyStoreError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Self::empty(),
            Err(source) => return Err(KeyStoreError::Read { path: path.to_owned(), source }),
        };
        let malformed = |reason: String| KeyStoreError::Malformed { path: path.to_owned(), reason };
        // The cause may quote the file, which holds the pepper: only its place is told.
        let document: Self =
            serde_json::from_str(&text).map_err(|e| malformed(format!("fault at {}:{}", e.line(), e.column())))?;
        if document.schema_version != SCHEMA_VERSION {
            return Err(malformed(format!("schema_version {} is not {SCHEMA_VERSION}", document.schema_version)));
        }
        Ok(document)
    }

    fn empty() -> Result<Self, KeyStoreError> {
        let pepper = Hasher::fresh().map_err(|error| KeyStoreError::Random(error.to_string()))?;
        Ok(Self { schema_version: SCHEMA_VERSION, pepper, keys: Vec::new() })
    }

    /// Adds a key.
    pub(super) fn add(&mut self, new: NewKey, now: Timestamp) -> Result<(KeyInfo, SecretString), KeyStoreError> {
        let (id, hash, text) = self.unused_key().map_err(|error| KeyStoreError::Random(error.to_string()))?;
        let NewKey { tenant, name, expires, limits, policies } = new;
        let info = KeyInfo { id, tenant, name, created: now, expires, revoked: None, limits, policies };
        self.keys.push(Entry { info: info.clone(), hash });
        Ok((info, text))
    }

    /// Takes a key back; a second time changes nothing.
    pub(super) fn revoke(&mut self, key: &KeyId, now: Timestamp) -> Option<KeyInfo> {
        let entry = self.keys.iter_mut().find(|entry| entry.info.id == *key)?;
        entry.info.revoked.get_or_insert(now);
        Some(entry.info.clone())
    }

    fn unused_key(&self) -> Result<(KeyId, KeyHash, SecretString), MakeKeyError> {
        loop {
            let made = self.pepper.make_key()?;
            if self.keys.iter().all(|entry| entry.info.id != made.0) {
                return Ok(made);
            }
        }
    }

    /// Replaces the file in one step: a reader sees the old one or the new one, also after a power cut.
    fn save(&self, path: &Path) -> std::io::Result<()> {
        let fresh = beside(path, ".new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(serde_json::to_string_pretty(self)?.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)?;
        folder_of(path).map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

/// Reads the file, changes it and writes it back, while no other process does the same.
pub(super) fn change<T>(
    path: &Path,
    edit: impl FnOnce(&mut Document) -> Result<T, KeyStoreError>,
) -> Result<T, KeyStoreError> {
    let unwritable = |source| KeyStoreError::Write { path: path.to_owned(), source };
    let lock = lock_of(path).map_err(unwritable)?;
    let mut document = Document::load(path)?;
    let result = edit(&mut document)?;
    document.save(path).map_err(unwritable)?;
    drop(lock);
    Ok(result)
}

/// Holds other processes off until it is dropped.
fn lock_of(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = folder_of(path) {
        std::fs::create_dir_all(folder)?;
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(beside(path, ".lock"))?;
    file.lock()?;
    Ok(file)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn folder_of(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| !folder.as_os_str().is_empty())
}

/// Tells one state of the file from another.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamp(Option<(std::time::SystemTime, u64, u64)>);

impl Stamp {
    /// Returns the stamp of the file now; a missing file has one too.
    pub(super) fn of(path: &Path) -> Self {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(path).ok();
        Self(metadata.and_then(|found| Some((found.modified().ok()?, found.len(), found.ino()))))
    }
}
