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

/// Many numbers that a seed and a name fix, the same in every version of this program.
///
/// The generator is SplitMix64 (Steele, Lea and Flood 2014): eight bytes of state, every 64-bit number once in a period.
#[derive(Clone, Debug)]
pub(super) struct Draws(u64);

impl Draws {
    pub(super) fn new(seed: u64, name: &str) -> Self {
        Self(uniform(seed, name).to_bits())
    }

    /// Returns a number in `(0, 1)`.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        ((mixed >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Returns a number from the standard normal distribution (Box and Muller).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Returns a number from the gamma distribution of this shape and scale 1 (Marsaglia and Tsang 2000).
    fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            return self.gamma(shape + 1.0) * self.uniform().powf(1.0 / shape);
        }
        let d = shape - 1.0 / 3.0;
        loop {
            let normal = self.normal();
            let cube = (1.0 + normal / (9.0 * d).sqrt()).powi(3);
            let bound = 0.5 * normal * normal + d - d * cube + d * cube.max(f64::MIN_POSITIVE).ln();
            if cube > 0.0 && self.uniform().ln() < bound {
                return d * cube;
            }
        }
    }

    /// Returns a number from the Beta distribution of this mean and standard deviation; the mean itself where there is none,
    /// because the mean is certain or the deviation is zero.
    pub(super) fn beta(&mut self, mean: f64, spread: f64) -> f64 {
        let sum = mean * (1.0 - mean) / (spread * spread) - 1.0;
        if !sum.is_finite() || mean <= 0.0 || mean >= 1.0 {
            return mean;
        }
        // A deviation too large for a Beta distribution of that mean makes the widest one that is of use.
        let sum = sum.max(0.1);
        let (one, other) = (self.gamma(mean * sum), self.gamma((1.0 - mean) * sum));
        if one + other > 0.0 { one / (one + other) } else { mean }
    }
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

    #[test]
    fn a_beta_distribution_has_the_mean_and_spread_it_was_asked_for() {
        for (mean, spread) in [(0.5, 0.1), (0.9, 0.05), (0.2, 0.3), (0.03, 0.05)] {
            let mut draws = Draws::new(7, "test");
            let drawn: Vec<f64> = (0..20_000).map(|_| draws.beta(mean, spread)).collect();

            let count = drawn.len() as f64;
            let found = drawn.iter().sum::<f64>() / count;
            let variance = drawn.iter().map(|one| (one - found).powi(2)).sum::<f64>() / count;
            // Three standard errors of the mean; that of the spread is smaller than 5 % of it.
            assert!((found - mean).abs() < 3.0 * spread / count.sqrt(), "{found} is not {mean}");
            assert!((variance.sqrt() / spread - 1.0).abs() < 0.05, "{} is not {spread}", variance.sqrt());
        }
    }

    #[test]
    fn what_is_certain_is_not_drawn() {
        let mut draws = Draws::new(7, "test");

        assert_eq!([draws.beta(0.0, 0.1), draws.beta(1.0, 0.1), draws.beta(0.4, 0.0)], [0.0, 1.0, 0.4]);
    }
}
