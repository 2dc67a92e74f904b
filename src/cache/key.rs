//! The name of an answer.

mod canonical;

use std::{collections::BTreeMap, fmt};

use blake3::Hasher;
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{
    domain::{Endpoint, KeyId, ModelName, PolicyName, Preferences, TenantId},
    wire::raw::RawObject,
};

/// Separates these keys from every other use of the hash. The version counts up whenever the same request would be written
/// down differently, so that no store answers with what an older program meant.
pub(super) const CONTEXT: &str = "pointsman exact cache key, version 3";

/// Separates origins from keys.
const ORIGIN: &str = "pointsman origin of answers, version 1";

/// Levels that a message without its words may be nested; plain text needs one.
const LAST_DEPTH: usize = 16;

/// Top-level fields that do not change what is answered:
///
/// - `model`: replaced by the [`Target`], so that aliases of one model share their answers;
/// - `stream`, `stream_options`: how the answer travels, not what it says;
/// - `user`, `safety_identifier`, `metadata`, `store`, `prompt_cache_key`, `prompt_cache_retention`: for the provider's
///   books, logs and caches;
/// - `service_tier`: when it is answered and at what price, by the same model.
///
/// Every other field counts, known or not.
pub const IGNORED: &[&str] = &[
    "metadata",
    "model",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "user",
];

/// Names one answer: version, tenant, policy or model with its origin, and everything of the request that changes the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey(pub [u8; 32]);

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Whatever a policy chooses; a new version may choose differently.
    Policy {
        /// Its name.
        name: &'a PolicyName,
        /// Its version.
        version: u64,
        /// Its text and the models that it may choose from.
        origin: Origin,
    },
    /// A model that the caller named.
    Model {
        /// Its name.
        name: &'a ModelName,
        /// Which model that is.
        origin: Origin,
    },
}

/// What stands behind a name, hashed: names outlive what they name. Another deployment under the same name is another origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin([u8; 32]);

impl Origin {
    /// Returns the origin that these words describe, in this order.
    pub fn of<'w>(words: impl IntoIterator<Item = &'w str>) -> Self {
        let mut written = Vec::new();
        words.into_iter().for_each(|word| canonical::write_text(word, &mut written));
        Self(*Hasher::new_derive_key(ORIGIN).update(&written).finalize().as_bytes())
    }

    /// Returns the origin of what is made of several.
    pub fn joined(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut hasher = Hasher::new_derive_key(ORIGIN);
        for part in parts {
            hasher.update(&part.0);
        }
        Self(*hasher.finalize().as_bytes())
    }
}

/// What an answer depends on besides the request's body.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Which endpoint was called.
    pub endpoint: Endpoint,
    /// Who asks.
    pub tenant: &'a TenantId,
    /// Who answers.
    pub target: Target<'a>,
    /// What the caller prefers, because it moves the choice of the model.
    pub preferences: &'a Preferences,
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl CacheKey {
    /// Reads what [`fmt::Display`] writes: 64 hex digits; `None` when it is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self(*blake3::Hash::from_hex(text).ok()?.as_bytes()))
    }

    /// Returns the key of a request; `None` when it has no canonical form (nested deeper than 128 levels, half a surrogate
    /// pair, an exponent beyond 64 bits), which means that it is not cached.
    pub fn of(scope: &Scope<'_>, body: &RawObject) -> Option<Self> {
        let mut written = Vec::with_capacity(body.bytes().len() + 256);
        write_scope(scope, &mut written)?;
        // A map keeps the last of several fields of one name, and has them in order.
        let fields: BTreeMap<&str, &str> = body.fields().filter(|(name, _)| !IGNORED.contains(name)).collect();
        for (name, value) in fields {
            canonical::write_text(name, &mut written);
            canonical::write_value(value, &mut written)?;
        }
        Some(Self(*Hasher::new_derive_key(CONTEXT).update(&written).finalize().as_bytes()))
    }
}

/// What is matched by meaning, and so left out of a key.
#[derive(Clone, Copy, Debug)]
pub struct Matched<'a> {
    /// The router model that embeds it; embeddings of two models have nothing in common.
    pub artifact: &'a str,
    /// The caller's API key, where each has its own answers.
    pub key: Option<&'a KeyId>,
    /// How many messages at the end lose their words, at least 1.
    pub messages: usize,
}

impl CacheKey {
    /// Returns the key of a request without the words of its last messages; `None` also when those have no words. What stands
    /// beside words in a message, pictures for instance, counts.
    pub fn without_last_words(scope: &Scope<'_>, body: &RawObject, matched: &Matched<'_>) -> Option<Self> {
        let mut written = Vec::with_capacity(body.bytes().len() + 256);
        canonical::write_text("without last words", &mut written);
        canonical::write_text(matched.artifact, &mut written);
        canonical::write_text(matched.key.map_or("", KeyId::as_str), &mut written);
        write_scope(scope, &mut written)?;
        let fields: BTreeMap<&str, &str> = body.fields().filter(|(name, _)| !IGNORED.contains(name)).collect();
        for (name, value) in fields {
            canonical::write_text(name, &mut written);
            if name == "messages" {
                write_messages(value, matched.messages, &mut written)?;
            } else {
                canonical::write_value(value, &mut written)?;
            }
        }
        Some(Self(*Hasher::new_derive_key(CONTEXT).update(&written).finalize().as_bytes()))
    }

    /// Returns the key of everything that a scope answers.
    pub fn of_scope(scope: &Scope<'_>) -> Option<Self> {
        let mut written = Vec::with_capacity(256);
        canonical::write_text("scope", &mut written);
        write_scope(scope, &mut written)?;
        Some(Self(*Hasher::new_derive_key(CONTEXT).update(&written).finalize().as_bytes()))
    }
}

/// Writes every message, the last ones without their words.
fn write_messages(raw: &str, wordless: usize, out: &mut Vec<u8>) -> Option<()> {
    let messages: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    let equal = messages.len().checked_sub(wordless.max(1))?;
    for count in [messages.len(), equal] {
        out.extend_from_slice(&(count as u64).to_le_bytes());
    }
    for (at, message) in messages.into_iter().enumerate() {
        if at < equal {
            canonical::write_value(message.get(), out)?;
        } else {
            write_without_words(message.get(), "content", write_parts, out)?;
        }
    }
    Some(())
}

/// Writes an object; the field of that name, which must be there, is left out if it is text, and else written by `write_other`.
fn write_without_words(
    raw: &str,
    words: &str,
    write_other: fn(&str, &mut Vec<u8>) -> Option<()>,
    out: &mut Vec<u8>,
) -> Option<()> {
    let object = RawObject::parse(Bytes::copy_from_slice(raw.as_bytes()), LAST_DEPTH).ok()?;
    object.get(words)?;
    let fields: BTreeMap<&str, &str> = object.fields().collect();
    out.extend_from_slice(&(fields.len() as u64).to_le_bytes());
    for (name, value) in fields {
        canonical::write_text(name, out);
        if name != words {
            canonical::write_value(value, out)?;
        } else if !value.starts_with('"') {
            write_other(value, out)?;
        }
    }
    Some(())
}

/// Writes the parts of a content, texts without their words.
fn write_parts(raw: &str, out: &mut Vec<u8>) -> Option<()> {
    let parts: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    out.extend_from_slice(&(parts.len() as u64).to_le_bytes());
    for part in parts {
        if write_without_words(part.get(), "text", |_, _| None, &mut Vec::new()).is_some() {
            write_without_words(part.get(), "text", |_, _| None, out)?;
        } else {
            canonical::write_value(part.get(), out)?;
        }
    }
    Some(())
}

fn write_scope(scope: &Scope<'_>, out: &mut Vec<u8>) -> Option<()> {
    canonical::write_text(scope.endpoint.operation(), out);
    canonical::write_text(scope.tenant.as_str(), out);
    match scope.target {
        Target::Policy { name, version, origin } => {
            canonical::write_text("policy", out);
            canonical::write_text(name.as_str(), out);
            out.extend_from_slice(&version.to_le_bytes());
            out.extend_from_slice(&origin.0);
        }
        Target::Model { name, origin } => {
            canonical::write_text("model", out);
            canonical::write_text(name.as_str(), out);
            out.extend_from_slice(&origin.0);
        }
    }
    let Preferences { quality, max_cost, max_latency, tags, scope: narrower, cache: _, cache_tags: _, explain: _ } =
        scope.preferences;
    let preferences = serde_json::to_string(&(quality, max_cost, max_latency, tags, narrower)).ok()?;
    canonical::write_text(&preferences, out);
    Some(())
}

#[cfg(test)]
mod tests;
