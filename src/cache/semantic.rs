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
#[cfg(feature = "ann")]
mod graph;
pub mod judge;
pub mod marks;
pub mod neighbours;
mod saved;
mod tally;
mod vectors;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;

use self::{
    boundary::{LABEL_BYTES, Label, Labels, Pool, serving},
    marks::Marks,
    neighbours::dot,
    vectors::Vectors,
};
pub use self::{
    saved::{Saved, SavedPool},
    tally::{ErrorShare, Tally},
};
use super::CacheKey;
use crate::{domain::SemanticRule, runtime::SharedClock};

/// Nearest entries that are looked at before a lookup gives up: twins of a prompt may be nearer than its paraphrase.
const CANDIDATES: usize = 8;
/// What an entry takes besides its vector, marks and answer: places in maps, counters, labels, and room that is left in each; as
/// `cargo bench --bench cache_memory` measured it.
const ENTRY_OVERHEAD: usize = 1408;
/// Share of the limit that labels may take: one part of so many, beside the entries' own.
const POOLS: usize = 16;
/// Share of the entries that go when the limit is reached, so that room is not made for each entry anew.
const EVICTED: usize = 32;

/// Where a prompt may find its like.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Everything of the request but the part that is matched by meaning, with tenant and router model.
    pub partition: CacheKey,
    /// Whose labels count together: a tenant under one policy and its version.
    pub pool: CacheKey,
    /// The policy that asks; its error is told by this name.
    pub policy: Arc<str>,
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
    /// This is near in meaning, and a word in it forbids that it answers.
    Apart(Nearby<A>),
    /// Nothing is near.
    Nothing,
}

/// An entry as the cache holds it.
#[derive(Clone, Debug)]
pub struct Kept<A> {
    /// What it answers.
    pub answer: A,
    /// Bytes that it takes.
    pub bytes: usize,
    /// How long it may still be served.
    pub left: Duration,
    /// What asking again showed: how often it was right, and how often wrong.
    pub labels: (usize, usize),
}

/// The cache.
pub struct SemanticCache<A> {
    state: Mutex<State<A>>,
    limit_bytes: usize,
    clock: SharedClock,
}

struct State<A> {
    /// Entries that are compared with each other.
    partitions: HashMap<CacheKey, Vectors>,
    entries: HashMap<u64, Entry<A>>,
    /// Entries by when they were used last.
    by_use: BTreeMap<u64, u64>,
    pools: HashMap<CacheKey, Pool>,
    /// Labels in all pools.
    pooled: usize,
    bytes: usize,
    ticks: u64,
    /// Counts up with everything that a file of it would have to know.
    changes: u64,
    tallies: BTreeMap<Arc<str>, Tally>,
}

/// Entries near a prompt, each with its similarity: the first that may answer it, and the first that may not.
#[derive(Default)]
struct Nearest {
    fitting: Option<(u64, f32)>,
    apart: Option<(u64, f32)>,
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
            pooled: 0,
            bytes: 0,
            ticks: 0,
            changes: 0,
            tallies: BTreeMap::new(),
        };
        Self { state: Mutex::new(state), limit_bytes, clock }
    }

    /// Looks a prompt up; `draw` is uniform in `[0, 1)` and decides between serving and asking again.
    pub fn look_up(&self, place: &Place, probe: &Probe, rule: &SemanticRule, draw: f64) -> Verdict<A> {
        let mut state = self.state.lock();
        state.tally(place).bound = rule.max_error;
        let (entry, similarity) = match state.nearest(place, probe, rule, self.clock.elapsed()) {
            Nearest { fitting: Some(found), .. } => found,
            Nearest { apart, .. } => return state.apart(apart),
        };
        let Some((found, pool)) = state.touch(entry, place) else { return Verdict::Nothing };
        let serving = serving(similarity, (&found.labels, &pool), rule.max_error, rule.explore);
        let nearby = Nearby { entry, answer: found.answer.clone(), similarity, serving };
        if !pool.is_empty() {
            state.pools.insert(place.pool, pool);
        }
        if draw >= serving {
            return Verdict::Explore(nearby);
        }
        state.tally(place).note_served(serving);
        Verdict::Serve(nearby)
    }

    /// Learns whether the entry that was not served would have been right.
    pub fn learn(&self, place: &Place, nearby: &Nearby<A>, is_right: bool) {
        let mut state = self.state.lock();
        let label = Label { similarity: nearby.similarity, is_right };
        state.tally(place).note_label(nearby.serving, is_right);
        state.changes += 1;
        let Some(entry) = state.entries.get_mut(&nearby.entry) else { return };
        let was_clean = entry.labels.is_clean();
        entry.labels.add(label);
        if was_clean {
            state.add_to_pool(place.pool, label);
            state.forget_pools(self.limit_bytes / POOLS);
        }
    }

    /// Notes that nobody could tell whether the entry that was not served would have been right.
    pub fn note_unjudged(&self, place: &Place) {
        self.state.lock().tally(place).unjudged += 1;
    }

    /// Keeps an answer of `answer_bytes` for `ttl`; returns its entry, `None` when it is larger than the cache.
    pub fn put(&self, place: &Place, probe: &Probe, (answer, answer_bytes): (A, usize), ttl: Duration) -> Option<u64> {
        let bytes = answer_bytes + vectors::bytes(&probe.embedding) + probe.marks.bytes() + ENTRY_OVERHEAD;
        if bytes > self.limit_bytes {
            return None;
        }
        let mut state = self.state.lock();
        state.make_room(bytes, self.limit_bytes);
        let id = state.tick();
        state.partitions.entry(place.partition).or_default().push(id, &probe.embedding);
        state.bytes += bytes;
        state.changes += 1;
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
        Some(id)
    }

    /// Returns every entry whose answer `is_wanted` and has not expired, in no order. Lookups wait for no judgement.
    pub fn list(&self, is_wanted: impl Fn(&A) -> bool) -> Vec<Kept<A>> {
        self.all().into_iter().map(|(_, kept)| kept).filter(|kept| is_wanted(&kept.answer)).collect()
    }

    /// Returns the entries whose answers are wanted and whose prompts are most similar to a vector, the most similar first.
    /// Vectors of another router model have nothing to say; of the same length they are compared all the same.
    pub fn closest(&self, vector: &[f32], is_wanted: impl Fn(&A) -> bool, most: usize) -> Vec<(f32, Kept<A>)> {
        let similarities: HashMap<u64, f32> = {
            let state = self.state.lock();
            let vectors = state.partitions.values().flat_map(Vectors::iter);
            vectors.map(|(id, other)| (id, dot(vector, other))).collect()
        };
        let wanted = self.all().into_iter().filter(|(_, kept)| is_wanted(&kept.answer));
        let mut found: Vec<(f32, Kept<A>)> =
            wanted.filter_map(|(id, kept)| Some((*similarities.get(&id)?, kept))).collect();
        found.sort_by(|one, other| other.0.total_cmp(&one.0));
        found.truncate(most);
        found
    }

    /// Removes every entry whose answer is `unwanted`.
    pub fn evict(&self, unwanted: impl Fn(&A) -> bool) {
        let ids: Vec<u64> =
            self.all().into_iter().filter(|(_, kept)| unwanted(&kept.answer)).map(|(id, _)| id).collect();
        let mut state = self.state.lock();
        ids.into_iter().for_each(|id| state.remove(id));
    }

    fn all(&self) -> Vec<(u64, Kept<A>)> {
        let now = self.clock.elapsed();
        let state = self.state.lock();
        state.entries.iter().filter_map(|(id, entry)| Some((*id, entry.kept(now)?))).collect()
    }

    /// Returns the bytes and the entries held.
    pub fn size(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.bytes, state.entries.len())
    }

    /// Returns a number that changes whenever what is held does.
    pub fn changes(&self) -> u64 {
        self.state.lock().changes
    }

    /// Returns what it did so far, by policy.
    pub fn tallies(&self) -> BTreeMap<Arc<str>, Tally> {
        self.state.lock().tallies.clone()
    }
}

#[cfg(test)]
impl<A> SemanticCache<A> {
    /// Returns how many vectors a lookup in this place is compared with.
    fn compared(&self, place: &Place) -> usize {
        self.state.lock().partitions.get(&place.partition).map_or(0, Vectors::len)
    }
}

impl<A: Clone> Entry<A> {
    fn kept(&self, now: Duration) -> Option<Kept<A>> {
        let left = self.expires.checked_sub(now).filter(|left| !left.is_zero())?;
        Some(Kept { answer: self.answer.clone(), bytes: self.bytes, left, labels: self.labels.counts() })
    }
}

impl<A: Clone> State<A> {
    fn apart(&self, found: Option<(u64, f32)>) -> Verdict<A> {
        let entry = found.and_then(|(id, similarity)| Some((id, similarity, self.entries.get(&id)?)));
        match entry {
            Some((entry, similarity, held)) => {
                Verdict::Apart(Nearby { entry, answer: held.answer.clone(), similarity, serving: 0.0 })
            }
            None => Verdict::Nothing,
        }
    }
}

impl<A> State<A> {
    fn tally(&mut self, place: &Place) -> &mut Tally {
        self.tallies.entry(Arc::clone(&place.policy)).or_default()
    }

    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    fn nearest(&mut self, place: &Place, probe: &Probe, rule: &SemanticRule, now: Duration) -> Nearest {
        let mut nearest = Nearest::default();
        let Some(partition) = self.partitions.get(&place.partition) else { return nearest };
        for (id, similarity) in partition.nearest(&probe.embedding, rule.min_similarity, CANDIDATES) {
            let Some(entry) = self.entries.get(&id) else { continue };
            if entry.expires <= now {
                self.remove(id);
                continue;
            }
            let forbids = entry.marks.conflict(&probe.marks).is_some();
            let place = if forbids { &mut nearest.apart } else { &mut nearest.fitting };
            place.get_or_insert((id, similarity));
        }
        nearest
    }

    fn add_to_pool(&mut self, key: CacheKey, label: Label) {
        let now = self.tick();
        let pool = self.pools.entry(key).or_default();
        let before = pool.len();
        pool.add(label);
        pool.used = now;
        self.pooled += pool.len() - before;
    }

    /// Forgets the pools that have learned nothing for longest, until the others take no more than this.
    fn forget_pools(&mut self, limit_bytes: usize) {
        while self.pooled * LABEL_BYTES > limit_bytes && self.pools.len() > 1 {
            let oldest = self.pools.iter().min_by_key(|(_, pool)| pool.used).map(|(key, _)| *key);
            let Some(forgotten) = oldest.and_then(|key| self.pools.remove(&key)) else { return };
            self.pooled -= forgotten.len();
        }
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
        self.changes += 1;
        self.by_use.remove(&entry.used);
        self.bytes -= entry.bytes;
        let Some(partition) = self.partitions.get_mut(&entry.partition) else { return };
        partition.remove(id);
        if partition.is_empty() {
            self.partitions.remove(&entry.partition);
        }
    }
}

#[cfg(test)]
mod tests;
