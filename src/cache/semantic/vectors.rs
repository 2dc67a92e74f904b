//! The vectors of a partition, by entry.
//!
//! All are looked at, which takes about 0.14 ms for ten thousand of the shipped router's and is never wrong. With the feature `ann` a
//! partition that grows beyond [`GRAPH_FROM`] also keeps a graph, which finds nearly all of the nearest in a fraction of that time.
//! A graph costs 0.05 to 0.1 ms with every entry that is added, so below about five thousand entries it does not pay even where half
//! of all lookups add none (`cargo bench --bench caching`, with and without the feature).

#[cfg(feature = "ann")]
use super::graph::Graph;
use super::neighbours::Neighbours;

/// Entries from which on a partition has a graph.
#[cfg(feature = "ann")]
const GRAPH_FROM: usize = 10_000;

/// What a graph takes for an entry besides its vector: usearch keeps about 32 neighbours on the lowest level.
#[cfg(feature = "ann")]
const NODE_BYTES: usize = 320;

/// Vectors of one length, each of an entry; `ids` and `vectors` have the same order.
#[derive(Default)]
pub(super) struct Vectors {
    vectors: Neighbours,
    ids: Vec<u64>,
    #[cfg(feature = "ann")]
    graph: Option<Graph>,
}

/// Returns the bytes that a vector takes.
pub(super) fn bytes(vector: &[f32]) -> usize {
    let plain = size_of_val(vector);
    #[cfg(feature = "ann")]
    let plain = 2 * plain + NODE_BYTES;
    plain
}

impl Vectors {
    /// Adds the vector of an entry.
    pub(super) fn push(&mut self, id: u64, vector: &[f32]) {
        self.vectors.push(vector);
        self.ids.push(id);
        #[cfg(feature = "ann")]
        self.grow(GRAPH_FROM, vector.len());
    }

    /// Removes the vector of an entry.
    pub(super) fn remove(&mut self, id: u64) {
        let Some(at) = self.ids.iter().position(|held| *held == id) else { return };
        self.ids.swap_remove(at);
        self.vectors.swap_remove(at);
        #[cfg(feature = "ann")]
        if let Some(graph) = &mut self.graph {
            graph.remove(id);
        }
    }

    /// Returns the `most` entries that are at least this similar, with their similarity, the most similar first.
    pub(super) fn nearest(&self, vector: &[f32], at_least: f32, most: usize) -> Vec<(u64, f32)> {
        #[cfg(feature = "ann")]
        if let Some(found) = self.graph.as_ref().and_then(|graph| graph.nearest(vector, at_least, most)) {
            return found;
        }
        let found = self.vectors.nearest(vector, at_least, most).into_iter();
        found.filter_map(|near| Some((*self.ids.get(near.at)?, near.similarity))).collect()
    }

    /// Returns every entry with its vector.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &[f32])> {
        self.ids.iter().copied().zip(self.vectors.iter())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }
}

#[cfg(feature = "ann")]
impl Vectors {
    /// Lets the graph take in two more vectors, the newest and one of those that were there before it; a graph that were made at
    /// once would hold every lookup up for a second. One that fails is given up, and all vectors are looked at again.
    fn grow(&mut self, graph_from: usize, width: usize) {
        if self.graph.is_none() && self.ids.len() == graph_from {
            self.graph = Graph::build(width, self.ids.iter().copied());
        } else if let (Some(graph), Some(id)) = (&mut self.graph, self.ids.last()) {
            graph.await_entry(*id);
        }
        let Some(graph) = &mut self.graph else { return };
        for _ in 0..2 {
            let Some(id) = graph.awaited() else { return };
            let Some(at) = self.ids.iter().rposition(|held| *held == id) else { continue };
            if self.vectors.get(at).is_none_or(|vector| !graph.add(id, vector)) {
                self.graph = None;
                return;
            }
        }
    }
}

#[cfg(all(test, feature = "ann"))]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const FROM: usize = 200;
    const WIDTH: usize = 16;

    fn vector(rng: &mut ChaCha8Rng) -> Vec<f32> {
        let drawn: Vec<f32> = (0..WIDTH).map(|_| rng.random_range(-1.0..1.0)).collect();
        let length = drawn.iter().map(|value| value * value).sum::<f32>().sqrt();
        drawn.into_iter().map(|value| value / length).collect()
    }

    fn add(vectors: &mut Vectors, id: u64, vector: &[f32]) {
        vectors.vectors.push(vector);
        vectors.ids.push(id);
        vectors.grow(FROM, WIDTH);
    }

    fn plain(vectors: &Vectors, query: &[f32]) -> Vec<u64> {
        vectors.vectors.nearest(query, 0.3, 8).into_iter().map(|near| vectors.ids[near.at]).collect()
    }

    #[test]
    fn the_graph_finds_nearly_all_that_a_plain_search_finds_and_nothing_that_is_gone() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut vectors = Vectors::default();
        for id in 0..600 {
            let vector = vector(&mut rng);
            add(&mut vectors, id, &vector);
        }
        assert!(vectors.graph.as_ref().unwrap().is_caught_up(), "the graph never takes in what was there before it");
        (0..100).for_each(|id| vectors.remove(3 * id));

        let (mut found, mut expected) = (0, 0);
        for _ in 0..100 {
            let query = vector(&mut rng);
            let nearest = vectors.nearest(&query, 0.3, 8);
            let plain = plain(&vectors, &query);
            assert!(nearest.iter().all(|(id, similarity)| vectors.ids.contains(id) && *similarity >= 0.3));
            assert!(nearest.is_sorted_by(|one, other| one.1 >= other.1));
            found += nearest.iter().filter(|(id, _)| plain.contains(id)).count();
            expected += plain.len();
        }

        // usearch finds all but a few in a hundred at its own settings.
        assert!(20 * found >= 19 * expected, "{found} of {expected}");
    }

    #[test]
    fn until_the_graph_has_everything_all_vectors_are_looked_at() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let mut vectors = Vectors::default();
        for id in 0..FROM as u64 + 5 {
            let vector = vector(&mut rng);
            add(&mut vectors, id, &vector);
        }
        assert!(!vectors.graph.as_ref().unwrap().is_caught_up());

        let query = vector(&mut rng);

        let nearest: Vec<u64> = vectors.nearest(&query, 0.3, 8).into_iter().map(|(id, _)| id).collect();
        assert_eq!(nearest, plain(&vectors, &query));
    }
}
