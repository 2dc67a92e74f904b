//! Answers to prompts of the same meaning, served as far as their error is bounded.
//!
//! The key is the router's own embedding of the last user turn, so a lookup costs no second forward pass. Everything else of the
//! request must be equal: it is part of the [`Place`], as is the tenant. Of the nearest entries the first that no [`Marks`] forbid
//! counts; [`boundary`] then says with which probability its answer is served. Otherwise the question is asked again, and what
//! comes back is a label: was the stored answer right?
//!
//! # Invariants
//! - An entry is only ever seen under its own place, and a pool of labels only under its own tenant: neither answers nor timing
//!   depend on what other tenants asked.
//! - The bytes held stay at or under the limit; the entries that were used least recently go first.

pub mod boundary;
pub mod judge;
pub mod marks;
pub mod neighbours;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;

use self::{
    boundary::{Label, Labels, Pool, serving, upper_share},
    marks::Marks,
    neighbours::Neighbours,
};
use super::CacheKey;
use crate::{domain::SemanticRule, runtime::SharedClock};

/// Nearest entries that are looked at before a lookup gives up: twins of a prompt may be nearer than its paraphrase.
const CANDIDATES: usize = 8;
/// What an entry takes besides its vector, marks and answer: places in maps, counters, labels.
const ENTRY_OVERHEAD: usize = 512;
/// Share of the entries that go when the limit is reached, so that room is not made for each entry anew.
const EVICTED: usize = 32;

/// Where a prompt may find its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Everything of the request but the part that is matched by meaning, with tenant and router model.
    pub partition: CacheKey,
    /// Whose labels count together: a tenant under one policy and its version.
    pub pool: CacheKey,
}

/// The part that is matched by meaning.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The normalised embedding.
    pub embedding: Arc<[f32]>,
    /// What must be the same.
    pub marks: Arc<Marks>,
}

/// An entry that is near a prompt.
#[derive(Clone, Debug)]
pub struct Nearby<A> {
    /// The entry.
    pub entry: u64,
    /// What it answers.
    pub answer: A,
    /// How near it is.
    pub similarity: f32,
    /// The probability with which it would have been served.
    pub serving: f64,
}

/// What a lookup came to.
#[derive(Clone, Debug)]
pub enum Verdict<A> {
    /// This answers it.
    Serve(Nearby<A>),
    /// This might; ask, and tell whether it would have.
    Explore(Nearby<A>),
    /// Nothing is near.
    Nothing,
}

/// What the cache did so far, and what that says of its error.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Tally {
    /// Answers served.
    pub served: u64,
    /// Questions asked again whose stored answer was right.
    pub agreed: u64,
    /// Questions asked again whose stored answer was wrong.
    pub differed: u64,
    /// Expected number of wrong answers among those served: each wrong label stands for `serving / (1 - serving)` of them.
    pub expected_wrong: f64,
}

impl Tally {
    /// Returns the estimated share of wrong answers among all lookups that found something near, with the upper end of its
    /// 95 % interval.
    pub fn error(&self) -> (f64, f64) {
        let all = self.served + self.agreed + self.differed;
        if all == 0 {
            return (0.0, 1.0);
        }
        let total = u32::try_from(all).unwrap_or(u32::MAX);
        let wrong = self.expected_wrong.ceil().clamp(0.0, f64::from(total)) as u32;
        (self.expected_wrong / all as f64, upper_share(wrong, total, 0.025))
    }
}

/// The cache.
pub struct SemanticCache<A> {
    state: Mutex<State<A>>,
    limit_bytes: usize,
    clock: SharedClock,
}

struct State<A> {
    partitions: HashMap<CacheKey, Partition>,
    entries: HashMap<u64, Entry<A>>,
    /// Entries by when they were used last.
    by_use: BTreeMap<u64, u64>,
    pools: HashMap<CacheKey, Pool>,
    bytes: usize,
    ticks: u64,
    tally: Tally,
}

/// Entries that are compared with each other; `ids` and `vectors` have the same order.
#[derive(Default)]
struct Partition {
    vectors: Neighbours,
    ids: Vec<u64>,
}

struct Entry<A> {
    partition: CacheKey,
    marks: Arc<Marks>,
    answer: A,
    labels: Labels,
    bytes: usize,
    used: u64,
    expires: Duration,
}

impl<A: Clone> SemanticCache<A> {
    /// Returns an empty cache of at most `limit_bytes`.
    pub fn new(limit_bytes: usize, clock: SharedClock) -> Self {
        let state = State {
            partitions: HashMap::new(),
            entries: HashMap::new(),
            by_use: BTreeMap::new(),
            pools: HashMap::new(),
            bytes: 0,
            ticks: 0,
            tally: Tally::default(),
        };
        Self { state: Mutex::new(state), limit_bytes, clock }
    }

    /// Looks a prompt up; `draw` is uniform in `[0, 1)` and decides between serving and asking again.
    pub fn look_up(&self, place: &Place, probe: &Probe, rule: &SemanticRule, draw: f64) -> Verdict<A> {
        let mut state = self.state.lock();
        let Some((entry, similarity)) = state.nearest(place, probe, rule, self.clock.elapsed()) else {
            return Verdict::Nothing;
        };
        let Some((found, pool)) = state.touch(entry, place) else { return Verdict::Nothing };
        let serving = serving(similarity, (&found.labels, &pool), rule.max_error, rule.explore);
        let nearby = Nearby { entry, answer: found.answer.clone(), similarity, serving };
        state.pools.insert(place.pool, pool);
        if draw >= serving {
            return Verdict::Explore(nearby);
        }
        state.tally.served += 1;
        Verdict::Serve(nearby)
    }

    /// Learns whether the entry that was not served would have been right.
    pub fn learn(&self, place: &Place, nearby: &Nearby<A>, is_right: bool) {
        let mut state = self.state.lock();
        let label = Label { similarity: nearby.similarity, is_right };
        if is_right {
            state.tally.agreed += 1;
        } else {
            state.tally.differed += 1;
            state.tally.expected_wrong += nearby.serving / (1.0 - nearby.serving).max(f64::EPSILON);
        }
        let Some(entry) = state.entries.get_mut(&nearby.entry) else { return };
        let was_clean = entry.labels.is_clean();
        entry.labels.add(label);
        if was_clean {
            state.pools.entry(place.pool).or_default().add(label);
        }
    }

    /// Keeps an answer of `answer_bytes` for `ttl`.
    pub fn put(&self, place: &Place, probe: &Probe, (answer, answer_bytes): (A, usize), ttl: Duration) {
        let bytes = answer_bytes + size_of_val(&*probe.embedding) + probe.marks.bytes() + ENTRY_OVERHEAD;
        if bytes > self.limit_bytes {
            return;
        }
        let mut state = self.state.lock();
        state.make_room(bytes, self.limit_bytes);
        let id = state.tick();
        let partition = state.partitions.entry(place.partition).or_default();
        partition.vectors.push(&probe.embedding);
        partition.ids.push(id);
        state.bytes += bytes;
        state.by_use.insert(id, id);
        let expires = self.clock.elapsed().saturating_add(ttl);
        let entry = Entry {
            partition: place.partition,
            marks: Arc::clone(&probe.marks),
            answer,
            labels: Labels::default(),
            bytes,
            used: id,
            expires,
        };
        state.entries.insert(id, entry);
    }

    /// Removes every entry whose answer is `unwanted`; returns how many those were. With `is_dry` none is removed.
    pub fn evict(&self, unwanted: impl Fn(&A) -> bool, is_dry: bool) -> usize {
        let mut state = self.state.lock();
        let ids: Vec<u64> =
            state.entries.iter().filter(|(_, entry)| unwanted(&entry.answer)).map(|(id, _)| *id).collect();
        if !is_dry {
            ids.iter().for_each(|id| state.remove(*id));
        }
        ids.len()
    }

    /// Returns the bytes and the entries held.
    pub fn size(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.bytes, state.entries.len())
    }

    /// Returns what it did so far.
    pub fn tally(&self) -> Tally {
        self.state.lock().tally
    }
}

impl<A> State<A> {
    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    fn nearest(&mut self, place: &Place, probe: &Probe, rule: &SemanticRule, now: Duration) -> Option<(u64, f32)> {
        let partition = self.partitions.get(&place.partition)?;
        let found = partition.vectors.nearest(&probe.embedding, rule.min_similarity, CANDIDATES);
        let with_ids = found.into_iter().filter_map(|near| Some((*partition.ids.get(near.at)?, near.similarity)));
        let candidates: Vec<(u64, f32)> = with_ids.collect();
        let mut best = None;
        for (id, similarity) in candidates {
            let Some(entry) = self.entries.get(&id) else { continue };
            if entry.expires <= now {
                self.remove(id);
            } else if best.is_none() && entry.marks.conflict(&probe.marks).is_none() {
                best = Some((id, similarity));
            }
        }
        best
    }

    /// Notes that an entry is used, and takes out the pool that it is judged with.
    fn touch(&mut self, id: u64, place: &Place) -> Option<(&Entry<A>, Pool)> {
        let now = self.tick();
        let pool = self.pools.remove(&place.pool).unwrap_or_default();
        let entry = self.entries.get_mut(&id)?;
        self.by_use.remove(&entry.used);
        self.by_use.insert(now, id);
        entry.used = now;
        Some((entry, pool))
    }

    fn make_room(&mut self, bytes: usize, limit_bytes: usize) {
        if self.bytes + bytes <= limit_bytes {
            return;
        }
        let least = self.entries.len() / EVICTED;
        let mut evicted = 0;
        while self.bytes + bytes > limit_bytes || evicted < least {
            let Some((_, id)) = self.by_use.pop_first() else { return };
            self.remove(id);
            evicted += 1;
        }
    }

    fn remove(&mut self, id: u64) {
        let Some(entry) = self.entries.remove(&id) else { return };
        self.by_use.remove(&entry.used);
        self.bytes -= entry.bytes;
        let Some(partition) = self.partitions.get_mut(&entry.partition) else { return };
        if let Some(at) = partition.ids.iter().position(|held| *held == id) {
            partition.ids.swap_remove(at);
            partition.vectors.swap_remove(at);
        }
        if partition.ids.is_empty() {
            self.partitions.remove(&entry.partition);
        }
    }
}

#[cfg(test)]
mod tests;
