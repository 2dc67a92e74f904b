//! The text of a key and its hash.

use std::fmt;

use rand::{TryRngCore, rngs::OsRng};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::KeyError;
use crate::domain::KeyId;

const PREFIX: &str = "pm-";
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;

/// A key as a caller sent it. It has no `Debug`.
pub(super) struct Presented<'a> {
    text: &'a str,
    id: KeyId,
}

impl<'a> Presented<'a> {
    /// Parses a credential: `Bearer pm-<id>-<secret>`, or the key alone.
    pub(super) fn parse(credential: Option<&'a str>) -> Result<Self, KeyError> {
        let credential = credential.map(str::trim).filter(|text| !text.is_empty()).ok_or(KeyError::Missing)?;
        let text = without_scheme(credential);
        let (id, secret) =
            text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')).ok_or(KeyError::Malformed)?;
        if !is_hex(id, ID_BYTES) || !is_hex(secret, SECRET_BYTES) {
            return Err(KeyError::Malformed);
        }
        let id = KeyId::parse(id).map_err(|_| KeyError::Malformed)?;
        Ok(Self { text, id })
    }

    /// Returns the part that names the key.
    pub(super) fn id(&self) -> &KeyId {
        &self.id
    }
}

fn without_scheme(credential: &str) -> &str {
    match credential.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => key.trim_start(),
        _ => credential,
    }
}

fn is_hex(text: &str, bytes: usize) -> bool {
    text.len() == 2 * bytes && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Makes hashes with an installation's pepper.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Hasher {
    pepper: [u8; 32],
}

impl Hasher {
    /// Returns a hasher with a fresh pepper.
    pub(super) fn fresh() -> Result<Self, rand::rand_core::OsError> {
        Ok(Self { pepper: random()? })
    }

    /// Returns the hash of a key.
    pub(super) fn hash(&self, presented: &Presented<'_>) -> KeyHash {
        KeyHash(blake3::keyed_hash(&self.pepper, presented.text.as_bytes()))
    }

    /// Makes a key: its name, its hash, and the text that is shown once.
    pub(super) fn make_key(&self) -> Result<(KeyId, KeyHash, SecretString), MakeKeyError> {
        let id = hex(&random::<ID_BYTES>()?);
        let text = format!("{PREFIX}{id}-{}", hex(&random::<SECRET_BYTES>()?));
        let presented = Presented::parse(Some(&text))?;
        let hash = self.hash(&presented);
        Ok((presented.id.clone(), hash, SecretString::from(text)))
    }
}

/// Why no key could be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum MakeKeyError {
    #[error("the system has no random numbers")]
    Random(#[from] rand::rand_core::OsError),
    #[error("a fresh key is not a key")]
    Malformed(#[from] KeyError),
}

/// The hash of a key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct KeyHash(blake3::Hash);

impl KeyHash {
    /// Compares in constant time.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl TryFrom<String> for KeyHash {
    type Error = blake3::HexError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        blake3::Hash::from_hex(text).map(Self)
    }
}

impl From<KeyHash> for String {
    fn from(hash: KeyHash) -> Self {
        hash.0.to_hex().to_string()
    }
}

impl TryFrom<String> for Hasher {
    type Error = blake3::HexError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        blake3::Hash::from_hex(text).map(|pepper| Self { pepper: pepper.into() })
    }
}

impl From<Hasher> for String {
    fn from(hasher: Hasher) -> Self {
        hex(&hasher.pepper)
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash")
    }
}

fn random<const N: usize>() -> Result<[u8; N], rand::rand_core::OsError> {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
