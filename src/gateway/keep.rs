//! What of a running answer is kept for the cache.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;

use super::near::Lesson;
use crate::{
    cache::{CacheStore, CachedAnswer, Provenance, is_storable},
    domain::{AttemptJournal, Event, ModelName, NanoUsd, Usage, WholeReply},
    runtime::{SharedClock, Tasks},
    wire::{chat::ChatCall, replay::Accumulator},
};

/// Where an answer will be stored.
pub(super) struct Slot {
    pub(super) chat: Arc<ChatCall>,
    pub(super) cache: Arc<dyn CacheStore>,
    /// What will be known of it; its time counts from when it is stored.
    pub(super) provenance: Provenance,
    pub(super) clock: SharedClock,
    pub(super) ttl: Duration,
    /// How long after that it may be served while it is asked for anew.
    pub(super) stale: Duration,
    /// Whether it is kept at all.
    pub(super) is_kept: bool,
    pub(super) entry_bytes: usize,
    pub(super) tasks: Tasks,
    /// Where the attempts behind the answer are booked.
    pub(super) journal: AttemptJournal,
    /// What it teaches of answers to the same in other words.
    pub(super) lesson: Option<Lesson>,
}

/// An answer as it gathers; given up when it grows too large.
pub(super) struct Keep {
    slot: Slot,
    gathered: Option<Accumulator>,
    bytes: usize,
}

impl Keep {
    /// Returns an empty one.
    pub(super) fn new(slot: Slot) -> Self {
        Self { slot, gathered: Some(Accumulator::default()), bytes: 0 }
    }

    /// Adds an event.
    pub(super) fn push(&mut self, event: &Event) {
        self.bytes += event.data.len();
        let Some(gathered) = &mut self.gathered else { return };
        if self.bytes > self.slot.entry_bytes || gathered.push(&event.data).is_err() {
            self.gathered = None;
        }
    }

    /// Returns what the answer cost.
    pub(super) fn cost(&self) -> NanoUsd {
        self.slot.journal.snapshot().iter().map(|attempt| attempt.cost).sum()
    }

    /// Stores what was gathered of a stream that ended well, if it is a good answer.
    pub(super) fn store(self, model: ModelName) {
        if let Some(gathered) = self.gathered {
            self.slot.store(WholeReply::read(gathered.finish()), model);
        }
    }

    /// Stores a whole answer, if it is a good one.
    pub(super) fn store_whole(self, reply: WholeReply, model: ModelName) {
        self.slot.store(reply, model);
    }
}

impl Slot {
    fn store(self, reply: WholeReply, model: ModelName) {
        if !self.is_kept || !is_storable(&self.chat, &reply) {
            return;
        }
        let attempts = self.journal.snapshot();
        let usage: Usage = attempts.iter().map(|attempt| attempt.usage).sum();
        let cost: NanoUsd = attempts.iter().map(|attempt| attempt.cost).sum();
        let Self { cache, provenance, clock, ttl, stale, tasks, lesson, .. } = self;
        let key = provenance.key;
        let provenance = Provenance { stored: clock.now(), ..provenance };
        // What came from a connection may hold on to much more than itself.
        let reply = WholeReply { body: Bytes::copy_from_slice(&reply.body), ..reply };
        let answer = Arc::new(CachedAnswer { reply, model, usage, cost, provenance });
        if let Some(lesson) = lesson {
            lesson.learn(Arc::clone(&answer), ttl, &tasks);
        }
        let mut put = async move { cache.put(key, answer, ttl.saturating_add(stale)).await }.boxed();
        // Nearly always done at once, so that the same request asked again right away is a hit.
        if put.as_mut().now_or_never().is_none() {
            tasks.spawn(put);
        }
    }
}
