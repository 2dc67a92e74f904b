//! What a fresh answer teaches of a stored one that might have been served in its place.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::Meanings;
use crate::{
    cache::{
        CachedAnswer,
        semantic::{
            Nearby, Place, Probe,
            judge::{are_equal, may_agree, text_of},
        },
    },
    domain::Judge,
    gateway::{Gateway, judging::Pair},
    runtime::Tasks,
};

/// What the answer to a prompt teaches, once it is there.
pub(in crate::gateway) struct Lesson {
    pub(super) gateway: Weak<Gateway>,
    pub(super) meanings: Arc<Meanings>,
    pub(super) place: Place,
    pub(super) probe: Probe,
    pub(super) nearby: Option<Nearby<Arc<CachedAnswer>>>,
    pub(super) judge: Judge,
    pub(super) question: Arc<str>,
}

impl Lesson {
    /// Compares a fresh answer with the one that was not served, and keeps it if it says something else. What takes a model is
    /// done beside the requests.
    pub(in crate::gateway) fn learn(self, fresh: Arc<CachedAnswer>, ttl: Duration, tasks: &Tasks) {
        let Some(text) = text_of(&fresh.reply.body) else { return };
        let Some(nearby) = &self.nearby else { return self.keep(fresh, ttl) };
        let Some(stored) = text_of(&nearby.answer.reply.body) else { return };
        let is_same = match &self.judge {
            _ if are_equal(&text, &stored) => Some(true),
            Judge::Equality => Some(false),
            Judge::Embedding(_) if !may_agree(&text, &stored) => Some(false),
            Judge::Embedding(_) | Judge::Model { .. } => None,
        };
        if is_same.is_some() {
            return self.conclude(is_same, fresh, ttl);
        }
        tasks.spawn(async move {
            let pair = Pair { question: &self.question, one: &stored, other: &text };
            let judged = match self.gateway.upgrade() {
                Some(gateway) => gateway.judge(&self.judge, &self.place.policy, pair).await,
                None => None,
            };
            self.conclude(judged, fresh, ttl);
        });
    }

    /// Without a judgement nothing is learned.
    fn conclude(&self, is_same: Option<bool>, fresh: Arc<CachedAnswer>, ttl: Duration) {
        let Some(nearby) = &self.nearby else { return };
        let Some(is_same) = is_same else { return self.meanings.note_unjudged(&self.place) };
        self.meanings.learn(&self.place, nearby, is_same);
        if !is_same {
            self.keep(fresh, ttl);
        }
    }

    fn keep(&self, fresh: Arc<CachedAnswer>, ttl: Duration) {
        let bytes = fresh.bytes();
        self.meanings.put(&self.place, &self.probe, (fresh, bytes), ttl);
    }
}
