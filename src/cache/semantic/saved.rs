//! What the cache knows, for a file, and back.

use std::{sync::Arc, time::Duration};

use super::{
    CacheKey, POOLS, Place, Probe, SemanticCache,
    boundary::{Label, Labels},
    marks::Marks,
};

/// An entry with everything that was learned of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved<A> {
    /// Where it is found.
    pub partition: CacheKey,
    /// The embedding of what was asked.
    pub embedding: Arc<[f32]>,
    /// What must be the same.
    pub marks: Arc<Marks>,
    /// What it answers.
    pub answer: A,
    /// What asking again showed, the oldest first.
    pub labels: Vec<Label>,
    /// How long it may still be served.
    pub left: Duration,
}

/// The labels that count for a tenant under one policy, the oldest first.
pub type SavedPool = (CacheKey, Vec<Label>);

impl<A: Clone> SemanticCache<A> {
    /// Returns every entry that has not expired. No lookup waits for more than one partition being copied.
    pub fn save(&self) -> Vec<Saved<A>> {
        let partitions: Vec<CacheKey> = self.state.lock().partitions.keys().copied().collect();
        partitions.into_iter().flat_map(|partition| self.save_partition(partition)).collect()
    }

    fn save_partition(&self, place: CacheKey) -> Vec<Saved<A>> {
        let now = self.clock.elapsed();
        let state = self.state.lock();
        let Some(partition) = state.partitions.get(&place) else { return Vec::new() };
        let saved = |(id, vector): (u64, &[f32])| {
            let entry = state.entries.get(&id)?;
            let left = entry.expires.checked_sub(now).filter(|left| !left.is_zero())?;
            Some(Saved {
                partition: place,
                embedding: Arc::from(vector),
                marks: Arc::clone(&entry.marks),
                answer: entry.answer.clone(),
                labels: entry.labels.newest().collect(),
                left,
            })
        };
        partition.iter().filter_map(saved).collect()
    }

    /// Returns the labels of every pool.
    pub fn save_pools(&self) -> Vec<SavedPool> {
        self.state.lock().pools.iter().map(|(pool, labels)| (*pool, labels.newest().collect())).collect()
    }

    /// Takes entries back, each with the bytes of its answer. What does not fit is forgotten as always.
    pub fn restore(&self, entries: impl IntoIterator<Item = (Saved<A>, usize)>) {
        for (saved, bytes) in entries {
            let place = Place { partition: saved.partition, pool: saved.partition, policy: Arc::from("") };
            let probe = Probe { embedding: saved.embedding, marks: saved.marks };
            if let Some(id) = self.put(&place, &probe, (saved.answer, bytes), saved.left) {
                let mut labels = Labels::default();
                saved.labels.into_iter().for_each(|label| labels.add(label));
                if let Some(entry) = self.state.lock().entries.get_mut(&id) {
                    entry.labels = labels;
                }
            }
        }
    }

    /// Takes pools back, beneath what was learned since.
    pub fn restore_pools(&self, pools: impl IntoIterator<Item = SavedPool>) {
        let mut state = self.state.lock();
        for (key, labels) in pools {
            labels.into_iter().for_each(|label| state.add_to_pool(key, label));
        }
        state.forget_pools(self.limit_bytes / POOLS);
    }
}
