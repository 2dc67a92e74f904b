//! The lines of a cache's file.

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Snapshot;
use crate::{
    cache::{
        CacheKey, CachedAnswer, Held, Provenance, key,
        semantic::{Saved, SavedPool, boundary::Label, marks::Marks},
    },
    domain::{ModelName, NanoUsd, PolicyName, Tag, TenantId, Usage, WholeReply},
};

/// Counts up when a line would be read otherwise.
const FORMAT: u32 = 1;

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Head(Head),
    Exact(Entry),
    Semantic { entry: Entry, partition: String, embedding: String, marks: Marks, labels: Vec<Label> },
    Pool { key: String, labels: Vec<Label> },
    End { lines: usize, hash: String },
}

/// What the other lines depend on.
#[derive(PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    format: u32,
    keys: String,
    marks: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Entry {
    key: String,
    tenant: TenantId,
    policy: Option<PolicyName>,
    tags: Vec<Tag>,
    stored: Timestamp,
    expires: Timestamp,
    model: ModelName,
    usage: Usage,
    cost: NanoUsd,
    body: String,
}

impl Head {
    pub(super) fn current() -> Self {
        Self { format: FORMAT, keys: key::CONTEXT.to_owned(), marks: Marks::kind() }
    }
}

impl Line {
    /// Returns the line of an answer; `None` when it is not text.
    pub(super) fn exact(answer: &CachedAnswer, expires: Timestamp) -> Option<Self> {
        Some(Self::Exact(Entry::of(answer, expires)?))
    }

    pub(super) fn semantic(saved: &Saved<Arc<CachedAnswer>>, expires: Timestamp) -> Option<Self> {
        let bytes: Vec<u8> = saved.embedding.iter().flat_map(|value| value.to_le_bytes()).collect();
        Some(Self::Semantic {
            entry: Entry::of(&saved.answer, expires)?,
            partition: saved.partition.to_string(),
            embedding: BASE64_STANDARD.encode(bytes),
            marks: (*saved.marks).clone(),
            labels: saved.labels.clone(),
        })
    }

    pub(super) fn pool((key, labels): &SavedPool) -> Self {
        Self::Pool { key: key.to_string(), labels: labels.clone() }
    }

    /// Adds what the line says, unless its time is over; `None` when it says nothing that can be read.
    pub(super) fn into_snapshot(self, snapshot: &mut Snapshot, now: Timestamp) -> Option<()> {
        match self {
            Self::Head(_) | Self::End { .. } => {}
            Self::Pool { key, labels } => snapshot.pools.push((CacheKey::parse(&key)?, labels)),
            Self::Exact(entry) => {
                let (answer, left) = entry.into_answer(now)?;
                if !left.is_zero() {
                    snapshot.exact.push(Held { answer, left });
                }
            }
            Self::Semantic { entry, partition, embedding, marks, labels } => {
                let (answer, left) = entry.into_answer(now)?;
                let (partition, marks) = (CacheKey::parse(&partition)?, Arc::new(marks));
                let embedding = vector(&BASE64_STANDARD.decode(embedding).ok()?);
                if !left.is_zero() {
                    snapshot.semantic.push(Saved { partition, embedding, marks, answer, labels, left });
                }
            }
        }
        Some(())
    }
}

fn vector(bytes: &[u8]) -> Arc<[f32]> {
    let (values, _) = bytes.as_chunks::<4>();
    values.iter().map(|value| f32::from_le_bytes(*value)).collect()
}

impl Entry {
    fn of(answer: &CachedAnswer, expires: Timestamp) -> Option<Self> {
        let Provenance { key, tenant, policy, tags, stored } = &answer.provenance;
        Some(Self {
            key: key.to_string(),
            tenant: tenant.clone(),
            policy: policy.clone(),
            tags: tags.clone(),
            stored: *stored,
            expires,
            model: answer.model.clone(),
            usage: answer.usage,
            cost: answer.cost,
            body: std::str::from_utf8(&answer.reply.body).ok()?.to_owned(),
        })
    }

    /// Returns the answer, and how long it may still be served.
    fn into_answer(self, now: Timestamp) -> Option<(Arc<CachedAnswer>, Duration)> {
        let Self { key, tenant, policy, tags, stored, expires, model, usage, cost, body } = self;
        let left = Duration::try_from(expires.duration_since(now)).unwrap_or(Duration::ZERO);
        let provenance = Provenance { key: CacheKey::parse(&key)?, tenant, policy, tags, stored };
        let reply = WholeReply::read(Bytes::from(body));
        Some((Arc::new(CachedAnswer { reply, model, usage, cost, provenance }), left))
    }
}
