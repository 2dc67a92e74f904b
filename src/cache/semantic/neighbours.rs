//! The most similar of many vectors, by looking at all of them.

/// Additions that run side by side; the compiler makes vector instructions of them.
const LANES: usize = 8;

/// Vectors of one length, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Neighbours {
    width: usize,
    values: Vec<f32>,
}

/// One vector's place and its similarity to what was looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    /// Its place.
    pub at: usize,
    /// The dot product; of normalised vectors the cosine.
    pub similarity: f32,
}

impl Neighbours {
    /// Adds a vector at the end. One of another length than the first is cut or filled with zeros.
    pub fn push(&mut self, vector: &[f32]) {
        if self.values.is_empty() {
            self.width = vector.len().max(1);
        }
        if self.values.capacity() < self.values.len() + self.width {
            // Not twice as much each time: vectors are most of what the cache holds.
            self.values.reserve_exact(self.width + self.values.len() / 8);
        }
        let filled = vector.iter().copied().chain(std::iter::repeat(0.0)).take(self.width);
        self.values.extend(filled);
    }

    /// Removes a vector; the last one takes its place.
    pub fn swap_remove(&mut self, at: usize) {
        let last = self.len().saturating_sub(1);
        if at > last || self.values.is_empty() {
            return;
        }
        self.values.copy_within(last * self.width.., at * self.width);
        self.values.truncate(last * self.width);
    }

    /// Returns one vector.
    #[cfg(feature = "ann")]
    pub fn get(&self, at: usize) -> Option<&[f32]> {
        self.values.get(at * self.width..(at + 1) * self.width)
    }

    /// Returns every vector, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.width.max(1))
    }

    /// Returns the number of vectors.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns the `most` vectors that are at least this similar, the most similar first. Linear in their number.
    pub fn nearest(&self, vector: &[f32], at_least: f32, most: usize) -> Vec<Near> {
        let mut found: Vec<Near> = Vec::with_capacity(most + 1);
        if self.width != vector.len() {
            return found;
        }
        for (at, other) in self.values.chunks_exact(self.width).enumerate() {
            let similarity = dot(vector, other);
            let worst =
                if found.len() < most { at_least } else { found.last().map_or(at_least, |near| near.similarity) };
            if similarity < worst || (found.len() == most && similarity == worst) {
                continue;
            }
            let place = found.partition_point(|near| near.similarity >= similarity);
            found.insert(place, Near { at, similarity });
            found.truncate(most);
        }
        found
    }
}

/// Returns the dot product of two vectors of one length.
pub fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (mut ones, mut others) = (one.chunks_exact(LANES), other.chunks_exact(LANES));
    for (one, other) in ones.by_ref().zip(others.by_ref()) {
        for ((sum, a), b) in sums.iter_mut().zip(one).zip(other) {
            *sum += a * b;
        }
    }
    let rest: f32 = ones.remainder().iter().zip(others.remainder()).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(one: &[f32], other: &[f32]) -> f32 {
        one.iter().zip(other).map(|(a, b)| a * b).sum()
    }

    proptest! {
        #[test]
        fn the_nearest_are_those_of_a_plain_search(
            vectors in prop::collection::vec(prop::collection::vec(-1.0_f32..1.0, 19), 1..40),
            query in prop::collection::vec(-1.0_f32..1.0, 19), gone in 0_usize..40
        ) {
            let mut neighbours = Neighbours::default();
            let mut kept = vectors.clone();
            vectors.iter().for_each(|vector| neighbours.push(vector));
            if gone < kept.len() {
                neighbours.swap_remove(gone);
                kept.swap_remove(gone);
            }

            let found = neighbours.nearest(&query, -100.0, 3);

            let mut expected: Vec<f32> = kept.iter().map(|vector| plain(&query, vector)).collect();
            expected.sort_by(|a, b| b.total_cmp(a));
            prop_assert_eq!(found.len(), kept.len().min(3));
            for (near, expected) in found.iter().zip(expected) {
                // Sums in another order differ in their last bits.
                prop_assert!((near.similarity - expected).abs() < 1e-4);
                prop_assert!((plain(&query, &kept[near.at]) - near.similarity).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn the_less_similar_are_left_out() {
        let mut neighbours = Neighbours::default();
        neighbours.push(&[1.0, 0.0]);
        neighbours.push(&[0.0, 1.0]);

        assert_eq!(neighbours.nearest(&[1.0, 0.0], 0.5, 5), vec![Near { at: 0, similarity: 1.0 }]);
        assert!(neighbours.nearest(&[1.0, 0.0, 0.0], 0.0, 5).is_empty(), "vectors of another model are not compared");
    }
}
