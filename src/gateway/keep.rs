//! What of a running answer is kept for the cache.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;

use super::run::Run;
use crate::{
    cache::{CacheKey, CacheStore, CachedAnswer, is_storable},
    domain::{Event, WholeReply},
    runtime::Tasks,
    wire::{chat::ChatCall, replay::Accumulator},
};

/// Where an answer will be stored.
pub(super) struct Slot {
    pub(super) chat: Arc<ChatCall>,
    pub(super) cache: Arc<dyn CacheStore>,
    pub(super) key: CacheKey,
    pub(super) ttl: Duration,
    pub(super) entry_bytes: usize,
    pub(super) tasks: Tasks,
}

/// A streamed answer as it gathers; given up when it grows too large.
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

    /// Stores the answer, if it came whole and is good.
    pub(super) fn store(self, run: &Run) {
        if let Some(gathered) = self.gathered {
            self.slot.store(WholeReply::read(gathered.finish()), run);
        }
    }
}

impl Slot {
    /// Stores a whole answer, if it is good.
    pub(super) fn store(self, reply: WholeReply, run: &Run) {
        let Some(model) = run.model().cloned() else { return };
        if !is_storable(&self.chat, &reply) {
            return;
        }
        let answer = CachedAnswer { reply, model, usage: run.usage(), cost: run.cost() };
        let Self { cache, key, ttl, tasks, .. } = self;
        let mut put = async move { cache.put(key, Arc::new(answer), ttl).await }.boxed();
        // Nearly always done at once, so that the same request asked again right away is a hit.
        if put.as_mut().now_or_never().is_none() {
            tasks.spawn(put);
        }
    }
}
