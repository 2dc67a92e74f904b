//! API keys: who is asking.
//!
//! A key is shown once, when it is made, as `pm-<id>-<secret>`: twelve hexadecimal digits that name it, and 256 random bits.
//! The file holds a keyed BLAKE3 hash of the whole text and never the text. The hash's own key, the pepper, is drawn when
//! the file is made and stands in the same file: secrets of 256 random bits cannot be guessed from a hash, so the pepper has
//! only to make the hashes of two installations differ, and one file is easier to keep and to move than two.
//!
//! The file is looked at again when it has changed, at most once a second, or at once by [`KeyStore::reload`]. A changed file
//! that cannot be read leaves the keys as they were, and says so in the log once.

mod file;
mod secret;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use parking_lot::Mutex;
use secrecy::SecretString;

use self::{
    file::{Document, Entry, Stamp},
    secret::{Hasher, Presented},
};
use crate::{
    domain::{KeyId, KeyLimits, PolicyName, Principal, TenantId},
    error::Code,
    runtime::SharedClock,
};

pub use self::file::{KeyInfo, KeyStoreError, NewKey};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why a key was refused; displayed, it is a sentence for the caller. It never holds the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is none.
    #[error("No API key was sent; send it as `Authorization: Bearer pm-...`.")]
    Missing,
    /// It does not look like one.
    #[error("The API key is malformed; keys of this gateway look like `pm-...`.")]
    Malformed,
    /// There is no such key.
    #[error("The API key is not known here; check it, or ask for a new one.")]
    Unknown,
    /// It was taken back.
    #[error("The API key was revoked; ask for a new one.")]
    Revoked,
    /// Its time is over.
    #[error("The API key has expired; ask for a new one.")]
    Expired,
}

impl KeyError {
    /// Returns the class.
    pub fn code(self) -> Code {
        match self {
            Self::Missing => Code::MissingApiKey,
            Self::Malformed | Self::Unknown | Self::Revoked | Self::Expired => Code::InvalidApiKey,
        }
    }
}

/// The keys in the file.
pub struct KeyStore {
    path: PathBuf,
    is_required: bool,
    clock: SharedClock,
    keys: ArcSwap<Keys>,
    looked_ms: AtomicU64,
    /// Held by whoever reads the file; holds the stamp of the file that was read last, good or bad.
    reading: Mutex<Stamp>,
}

/// The keys of one reading of the file.
struct Keys {
    hasher: Hasher,
    entries: HashMap<KeyId, Entry>,
}

impl KeyStore {
    /// Opens the file of keys; a missing file has none.
    ///
    /// # Errors
    /// The file cannot be read or is no file of keys.
    pub fn open(path: PathBuf, is_required: bool, clock: SharedClock) -> Result<Self, KeyStoreError> {
        let stamp = Stamp::of(&path);
        let keys = ArcSwap::from_pointee(Keys::from(Document::load(&path)?));
        let looked_ms = AtomicU64::new(millis(clock.elapsed()));
        Ok(Self { path, is_required, clock, keys, looked_ms, reading: Mutex::new(stamp) })
    }

    /// Returns who is asking. `credential` is the value of the `authorization` header, with or without `Bearer`.
    ///
    /// Where keys are not required, a request without a valid key is let in as key `open` of tenant `default`, without
    /// limits; a valid key counts there too.
    ///
    /// # Errors
    /// The key is missing, malformed, unknown, revoked or expired.
    pub fn authenticate(&self, credential: Option<&str>) -> Result<Principal, KeyError> {
        self.look_again();
        match self.identify(credential) {
            Err(_) if !self.is_required => open_principal(),
            identified => identified,
        }
    }

    /// Reads the file again, whether or not it has changed.
    ///
    /// # Errors
    /// The file cannot be read; the keys stay as they were.
    pub fn reload(&self) -> Result<(), KeyStoreError> {
        let mut read = self.reading.lock();
        *read = Stamp::of(&self.path);
        self.keys.store(Arc::new(Keys::from(Document::load(&self.path)?)));
        Ok(())
    }

    /// Makes a key and writes it to the file; the text of the key is returned here and nowhere else.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn create(&self, new: NewKey) -> Result<(KeyInfo, SecretString), KeyStoreError> {
        let now = self.clock.now();
        let made = file::change(&self.path, |document| document.add(new, now))?;
        self.reload()?;
        Ok(made)
    }

    /// Takes a key back; it is refused from then on. Returns `None` when there is no such key.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn revoke(&self, key: &KeyId) -> Result<Option<KeyInfo>, KeyStoreError> {
        let now = self.clock.now();
        let revoked = file::change(&self.path, |document| Ok(document.revoke(key, now)))?;
        self.reload()?;
        Ok(revoked)
    }

    /// Returns every key without its hash, oldest first.
    pub fn list(&self) -> Vec<KeyInfo> {
        let mut keys: Vec<KeyInfo> = self.keys.load().entries.values().map(|entry| entry.info.clone()).collect();
        keys.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        keys
    }

    fn identify(&self, credential: Option<&str>) -> Result<Principal, KeyError> {
        let presented = Presented::parse(credential)?;
        let keys = self.keys.load();
        let hash = keys.hasher.hash(&presented);
        let entry = keys.entries.get(presented.id()).filter(|entry| entry.hash.is_same(&hash));
        let info = &entry.ok_or(KeyError::Unknown)?.info;
        check_validity(info, self.clock.now())?;
        Ok(Principal {
            tenant: info.tenant.clone(),
            key: info.id.clone(),
            limits: info.limits.clone(),
            policies: info.policies.clone(),
        })
    }

    /// Reads the file again if a second has passed and it has changed. One caller looks; the others go on.
    fn look_again(&self) {
        let (now, last) = (millis(self.clock.elapsed()), self.looked_ms.load(Ordering::Relaxed));
        if now.saturating_sub(last) < millis(LOOK_EVERY) {
            return;
        }
        let Some(mut read) = self.reading.try_lock() else { return };
        self.looked_ms.store(now, Ordering::Relaxed);
        let stamp = Stamp::of(&self.path);
        if stamp == *read {
            return;
        }
        *read = stamp;
        match Document::load(&self.path) {
            Ok(document) => self.keys.store(Arc::new(Keys::from(document))),
            Err(error) => tracing::error!(error = %error, "the changed file of keys cannot be used, the old keys stay"),
        }
    }
}

impl From<Document> for Keys {
    fn from(document: Document) -> Self {
        let hasher = document.pepper;
        let entries = document.keys.into_iter().map(|entry| (entry.info.id.clone(), entry)).collect();
        Self { hasher, entries }
    }
}

fn check_validity(info: &KeyInfo, now: Timestamp) -> Result<(), KeyError> {
    if info.revoked.is_some() {
        return Err(KeyError::Revoked);
    }
    if info.expires.is_some_and(|expires| expires <= now) {
        return Err(KeyError::Expired);
    }
    Ok(())
}

fn open_principal() -> Result<Principal, KeyError> {
    let tenant = TenantId::parse("default").map_err(|_| KeyError::Unknown)?;
    let key = KeyId::parse("open").map_err(|_| KeyError::Unknown)?;
    Ok(Principal { tenant, key, limits: KeyLimits::default(), policies: Vec::<PolicyName>::new() })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
