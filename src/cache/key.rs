//! The name of an answer.

mod canonical;

use std::collections::BTreeMap;

use blake3::Hasher;
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{
    domain::{Endpoint, KeyId, ModelName, PolicyName, Preferences, TenantId},
    wire::raw::RawObject,
};

/// Separates these keys from every other use of the hash. The version counts up whenever the same request would be written
/// down differently, so that no store answers with what an older program meant.
const CONTEXT: &str = "pointsman exact cache key, version 2";

/// Levels that the last message may be nested; plain text needs one.
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

/// Names one answer: version, tenant, policy or model, and everything of the request that changes the answer.
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
    },
    /// A model that the caller named.
    Model(&'a ModelName),
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

impl CacheKey {
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

impl CacheKey {
    /// Returns the key of a request without the words of its last message; `None` also when that message is not plain text.
    ///
    /// Embeddings of two router models have nothing in common, so the `artifact` is part of it; so is the caller's API key
    /// where one is given.
    pub fn without_last_words(
        scope: &Scope<'_>,
        body: &RawObject,
        (artifact, key): (&str, Option<&KeyId>),
    ) -> Option<Self> {
        let mut written = Vec::with_capacity(body.bytes().len() + 256);
        canonical::write_text("without last words", &mut written);
        canonical::write_text(artifact, &mut written);
        canonical::write_text(key.map_or("", KeyId::as_str), &mut written);
        write_scope(scope, &mut written)?;
        let fields: BTreeMap<&str, &str> = body.fields().filter(|(name, _)| !IGNORED.contains(name)).collect();
        for (name, value) in fields {
            canonical::write_text(name, &mut written);
            if name == "messages" {
                write_messages(value, &mut written)?;
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

/// Writes every message, the last one without its content.
fn write_messages(raw: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut messages: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    let last = messages.pop()?;
    out.extend_from_slice(&(messages.len() as u64).to_le_bytes());
    for message in messages {
        canonical::write_value(message.get(), out)?;
    }
    let last = RawObject::parse(Bytes::copy_from_slice(last.get().as_bytes()), LAST_DEPTH).ok()?;
    last.get("content").filter(|content| content.starts_with('"'))?;
    let fields: BTreeMap<&str, &str> = last.fields().filter(|(name, _)| *name != "content").collect();
    for (name, value) in fields {
        canonical::write_text(name, out);
        canonical::write_value(value, out)?;
    }
    Some(())
}

fn write_scope(scope: &Scope<'_>, out: &mut Vec<u8>) -> Option<()> {
    canonical::write_text(scope.endpoint.operation(), out);
    canonical::write_text(scope.tenant.as_str(), out);
    match scope.target {
        Target::Policy { name, version } => {
            canonical::write_text("policy", out);
            canonical::write_text(name.as_str(), out);
            out.extend_from_slice(&version.to_le_bytes());
        }
        Target::Model(model) => {
            canonical::write_text("model", out);
            canonical::write_text(model.as_str(), out);
        }
    }
    let Preferences { quality, max_cost, max_latency, tags, scope: narrower, cache: _, explain: _ } = scope.preferences;
    let preferences = serde_json::to_string(&(quality, max_cost, max_latency, tags, narrower)).ok()?;
    canonical::write_text(&preferences, out);
    Some(())
}

#[cfg(test)]
mod tests;
