//! A graph of vectors that finds nearly all of the nearest without looking at all (usearch, HNSW).

use std::collections::VecDeque;

use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

/// Room for vectors that is made at a time.
const ROOM: usize = 4_096;

/// Some vectors by their entries, and the entries that are still to come in.
pub(super) struct Graph {
    index: Index,
    awaited: VecDeque<u64>,
}

impl Graph {
    /// Returns a graph without vectors that awaits these entries; `None` when there can be none.
    pub(super) fn build(width: usize, awaited: impl Iterator<Item = u64>) -> Option<Self> {
        let options = IndexOptions {
            dimensions: width,
            metric: MetricKind::IP,
            quantization: ScalarKind::F32,
            ..IndexOptions::default()
        };
        let index = Index::new(&options).ok()?;
        Some(Self { index, awaited: awaited.collect() })
    }

    /// Awaits one more entry.
    pub(super) fn await_entry(&mut self, id: u64) {
        self.awaited.push_back(id);
    }

    /// Returns the entry whose vector it wants next.
    pub(super) fn awaited(&mut self) -> Option<u64> {
        self.awaited.pop_front()
    }

    /// Adds a vector; false when that failed.
    pub(super) fn add(&mut self, id: u64, vector: &[f32]) -> bool {
        let has_room =
            self.index.size() < self.index.capacity() || self.index.reserve(self.index.capacity() + ROOM).is_ok();
        has_room && vector.len() == self.index.dimensions() && self.index.add(id, vector).is_ok()
    }

    /// Forgets an entry.
    pub(super) fn remove(&mut self, id: u64) {
        self.awaited.retain(|awaited| *awaited != id);
        // An entry that was still awaited is not in the graph, which is no error.
        self.index.remove(id).ok();
    }

    /// Returns the `most` entries that are at least this similar, the most similar first; `None` while entries are awaited.
    pub(super) fn nearest(&self, vector: &[f32], at_least: f32, most: usize) -> Option<Vec<(u64, f32)>> {
        if !self.awaited.is_empty() || vector.len() != self.index.dimensions() {
            return None;
        }
        let found = self.index.search(vector, most).ok()?;
        let similar = found.keys.into_iter().zip(found.distances).map(|(id, distance)| (id, 1.0 - distance));
        Some(similar.filter(|(_, similarity)| *similarity >= at_least).collect())
    }

    #[cfg(test)]
    pub(super) fn is_caught_up(&self) -> bool {
        self.awaited.is_empty()
    }
}
