//! Chance that a record can repeat: fixed by the ask's seed and by what is drawn.

/// Returns a number in `(0, 1)` that the seed and the name of the draw fix.
pub(super) fn uniform(seed: u64, draw: &str) -> f64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(draw.as_bytes());
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    // 53 bits fill the mantissa of an f64; the half keeps the number off zero.
    const STEPS: f64 = (1u64 << 53) as f64;
    ((u64::from_le_bytes(bytes) >> 11) as f64 + 0.5) / STEPS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_of_one_seed_do_not_follow_each_other() {
        let pairs: Vec<_> = (0..4_000).map(|seed| (uniform(seed, "one"), uniform(seed, "other"))).collect();

        let both = pairs.iter().filter(|(one, other)| *one < 0.5 && *other < 0.5).count();

        // A quarter of 4,000 with a standard error of 27: three of them either way.
        assert!((918..=1_082).contains(&both), "{both}");
        assert_eq!(uniform(7, "one"), uniform(7, "one"));
    }
}
