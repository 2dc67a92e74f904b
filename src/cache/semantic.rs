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
mod saved;
mod tally;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;

use self::{
    boundary::{Label, Labels, Pool, serving},
    marks::Marks,
    neighbours::{Neighbours, dot},
};
pub use self::{
    saved::{Saved, SavedPool},
    tally::{ErrorShare, Tally},
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
    partitions: HashMap<CacheKey, Partition>,
    entries: HashMap<u64, Entry<A>>,
    /// Entries by when they were used last.
    by_use: BTreeMap<u64, u64>,
    pools: HashMap<CacheKey, Pool>,
    bytes: usize,
    ticks: u64,
    /// Counts up with everything that a file of it would have to know.
    changes: u64,
    tallies: BTreeMap<Arc<str>, Tally>,
}

/// Entries that are compared with each other; `ids` and `vectors` have the same order.
#[derive(Default)]
struct Partition {
    vectors: Neighbours,
    ids: Vec<u64>,
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
        state.pools.insert(place.pool, pool);
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
            state.pools.entry(place.pool).or_default().add(label);
        }
    }

    /// Notes that nobody could tell whether the entry that was not served would have been right.
    pub fn note_unjudged(&self, place: &Place) {
        self.state.lock().tally(place).unjudged += 1;
    }

    /// Keeps an answer of `answer_bytes` for `ttl`; returns its entry, `None` when it is larger than the cache.
    pub fn put(&self, place: &Place, probe: &Probe, (answer, answer_bytes): (A, usize), ttl: Duration) -> Option<u64> {
        let bytes = answer_bytes + size_of_val(&*probe.embedding) + probe.marks.bytes() + ENTRY_OVERHEAD;
        if bytes > self.limit_bytes {
            return None;
        }
        let mut state = self.state.lock();
        state.make_room(bytes, self.limit_bytes);
        let id = state.tick();
        let partition = state.partitions.entry(place.partition).or_default();
        partition.vectors.push(&probe.embedding);
        partition.ids.push(id);
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

    /// Returns every entry whose answer `is_wanted` and has not expired, in no order.
    pub fn list(&self, is_wanted: impl Fn(&A) -> bool) -> Vec<Kept<A>> {
        let now = self.clock.elapsed();
        let state = self.state.lock();
        state.entries.values().filter(|entry| is_wanted(&entry.answer)).filter_map(|entry| entry.kept(now)).collect()
    }

    /// Returns the entries whose answers are wanted and whose prompts are most similar to a vector, the most similar first.
    /// Vectors of another router model have nothing to say; of the same length they are compared all the same.
    pub fn closest(&self, vector: &[f32], is_wanted: impl Fn(&A) -> bool, most: usize) -> Vec<(f32, Kept<A>)> {
        let now = self.clock.elapsed();
        let state = self.state.lock();
        let vectors =
            state.partitions.values().flat_map(|partition| partition.ids.iter().zip(partition.vectors.iter()));
        let mut found: Vec<(f32, &Entry<A>)> = vectors
            .filter_map(|(id, other)| Some((dot(vector, other), state.entries.get(id)?)))
            .filter(|(_, entry)| is_wanted(&entry.answer))
            .collect();
        found.sort_by(|one, other| other.0.total_cmp(&one.0));
        found.into_iter().filter_map(|(similarity, entry)| Some((similarity, entry.kept(now)?))).take(most).collect()
    }

    /// Removes every entry whose answer is `unwanted`.
    pub fn evict(&self, unwanted: impl Fn(&A) -> bool) {
        let mut state = self.state.lock();
        let ids: Vec<u64> =
            state.entries.iter().filter(|(_, entry)| unwanted(&entry.answer)).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| state.remove(id));
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
        self.state.lock().partitions.get(&place.partition).map_or(0, |partition| partition.vectors.len())
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
        let found = partition.vectors.nearest(&probe.embedding, rule.min_similarity, CANDIDATES);
        let with_ids = found.into_iter().filter_map(|near| Some((*partition.ids.get(near.at)?, near.similarity)));
        let candidates: Vec<(u64, f32)> = with_ids.collect();
        for (id, similarity) in candidates {
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
