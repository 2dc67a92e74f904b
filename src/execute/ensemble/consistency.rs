//! Votes that count by probability, the unlikely ones left out.
//!
//! Reasoning-pruning perplexity consistency (Zhou et al., "Bridging Internal Probability and Self-Consistency for Effective and
//! Efficient LLM Reasoning", arXiv 2502.00511, sections 3.2 and 3.3): of sampled texts `t` an answer is worth
//!
//! ```text
//! p(y) = sum over distinct t with answer y of exp(sum of log p of the tokens of t)
//! ```
//!
//! and a text is left out that likelier belongs to the lower component of a mixture of two Weibull distributions, and lies below
//! the mean. Here the mixture is fitted to the probability per token, `exp(mean log p)`, because that of a whole text leaves the
//! range of numbers after some hundred tokens; the sums are taken relative to the largest.

/// Samples that a mixture of two distributions can be fitted to; fewer are all kept.
const FEWEST: usize = 5;
/// Steps of expectation and maximisation; a handful of samples settles in far fewer.
const STEPS: usize = 60;
/// Bounds of a Weibull shape: below it is a spike at zero, above it is a single value.
const SHAPES: (f64, f64) = (0.2, 200.0);

/// One sampled text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    /// The position of its member.
    pub(super) member: usize,
    /// What it comes to.
    pub(super) answer: String,
    /// The text, to find equal ones.
    pub(super) text: String,
    /// Sum of the log-probabilities of its tokens.
    pub(super) logprob: f64,
    /// How many there are.
    pub(super) tokens: usize,
}

impl Sample {
    fn per_token(&self) -> f64 {
        (self.logprob / self.tokens.max(1) as f64).exp().clamp(1e-9, 1.0)
    }
}

/// Returns what each sample's vote counts, in their order: its text's probability relative to the likeliest, 0 for one that is left
/// out or says again what an earlier one has said word for word.
pub(super) fn weights(samples: &[Sample]) -> Vec<f64> {
    let kept = kept(&samples.iter().map(Sample::per_token).collect::<Vec<_>>());
    let is_first = |index: usize, sample: &Sample| samples.iter().take(index).all(|other| other.text != sample.text);
    let counts = |(index, sample): (usize, &Sample)| {
        let counts = kept.get(index).copied().unwrap_or(true) && is_first(index, sample);
        counts.then_some(sample.logprob)
    };
    let logprobs: Vec<Option<f64>> = samples.iter().enumerate().map(counts).collect();
    let largest = logprobs.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    logprobs.into_iter().map(|logprob| logprob.map_or(0.0, |logprob| (logprob - largest).exp())).collect()
}

/// Returns which values are kept: those that are not in the lower component and below the mean at once.
fn kept(values: &[f64]) -> Vec<bool> {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let Some(mixture) = Mixture::fit(values) else { return vec![true; values.len()] };
    values.iter().map(|value| mixture.high_share(*value) >= 0.5 || *value >= mean).collect()
}

/// A mixture of two Weibull distributions, the lower one first.
struct Mixture {
    low: Weibull,
    high: Weibull,
    /// The share of the higher one.
    share: f64,
}

impl Mixture {
    /// Fits a mixture by expectation and maximisation; `None` for too few values, or when they are all the same.
    fn fit(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (sorted.first()?, sorted.last()?);
        if values.len() < FEWEST || most - least < 1e-6 {
            return None;
        }
        let middle = sorted.get(sorted.len() / 2)?;
        let mut shares: Vec<f64> = values.iter().map(|value| if value >= middle { 0.9 } else { 0.1 }).collect();
        let mut mixture = Self::of(values, &shares)?;
        for _ in 0..STEPS {
            shares = values.iter().map(|value| mixture.high_share(*value)).collect();
            match Self::of(values, &shares) {
                Some(next) => mixture = next,
                // One component has taken everything.
                None => break,
            }
        }
        Some(if mixture.low.scale <= mixture.high.scale { mixture } else { mixture.turned() })
    }

    fn of(values: &[f64], high_shares: &[f64]) -> Option<Self> {
        let low_shares: Vec<f64> = high_shares.iter().map(|share| 1.0 - share).collect();
        let share = high_shares.iter().sum::<f64>() / values.len() as f64;
        Some(Self { low: Weibull::fit(values, &low_shares)?, high: Weibull::fit(values, high_shares)?, share })
    }

    fn turned(self) -> Self {
        Self { low: self.high, high: self.low, share: 1.0 - self.share }
    }

    /// Returns the probability that a value belongs to the higher component.
    fn high_share(&self, value: f64) -> f64 {
        let high = self.share.ln() + self.high.log_density(value);
        let low = (1.0 - self.share).ln() + self.low.log_density(value);
        1.0 / (1.0 + (low - high).clamp(-700.0, 700.0).exp())
    }
}

/// A Weibull distribution.
#[derive(Clone, Copy)]
struct Weibull {
    shape: f64,
    scale: f64,
}

impl Weibull {
    /// Returns the distribution of the greatest weighted likelihood; `None` when hardly any weight is left. The equation for the
    /// shape rises with it, so it is halved down.
    fn fit(values: &[f64], weights: &[f64]) -> Option<Self> {
        let total: f64 = weights.iter().sum();
        if total < 1e-3 {
            return None;
        }
        let pairs = || values.iter().zip(weights);
        let mean_log = pairs().map(|(value, weight)| weight * value.ln()).sum::<f64>() / total;
        let slope = |shape: f64| {
            let power: f64 = pairs().map(|(value, weight)| weight * value.powf(shape)).sum();
            let with_log: f64 = pairs().map(|(value, weight)| weight * value.powf(shape) * value.ln()).sum();
            with_log / power.max(f64::MIN_POSITIVE) - 1.0 / shape - mean_log
        };
        let (mut low, mut high) = SHAPES;
        for _ in 0..50 {
            let middle = f64::midpoint(low, high);
            if slope(middle) > 0.0 { high = middle } else { low = middle }
        }
        let shape = f64::midpoint(low, high);
        let power = pairs().map(|(value, weight)| weight * value.powf(shape)).sum::<f64>() / total;
        Some(Self { shape, scale: power.powf(1.0 / shape).max(f64::MIN_POSITIVE) })
    }

    fn log_density(&self, value: f64) -> f64 {
        let ratio = value / self.scale;
        (self.shape / self.scale).ln() + (self.shape - 1.0) * ratio.ln() - ratio.powf(self.shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(member: usize, answer: &str, logprob: f64, tokens: usize) -> Sample {
        Sample { member, answer: answer.to_owned(), text: format!("{member}: {answer}"), logprob, tokens }
    }

    #[test]
    fn a_vote_counts_by_its_probability_and_a_text_once() {
        let mut samples = vec![sample(0, "a", -2.0, 4), sample(1, "b", -2.0 - 2f64.ln(), 4), sample(2, "b", -3.0, 4)];
        samples[2].text = samples[1].text.clone();

        let weights = weights(&samples);

        assert!((weights[0] - 1.0).abs() < 1e-12 && (weights[1] - 0.5).abs() < 1e-12, "{weights:?}");
        assert_eq!(weights[2], 0.0);
    }

    #[test]
    fn probabilities_of_long_texts_do_not_vanish() {
        let weights = weights(&[sample(0, "a", -4_000.0, 2_000), sample(1, "b", -4_001.0, 2_000)]);

        assert!((weights[1] - (-1f64).exp()).abs() < 1e-9, "{weights:?}");
    }

    #[test]
    fn unlikely_texts_are_left_out_where_there_are_enough_to_tell() {
        let values = [0.9, 0.88, 0.91, 0.87, 0.89, 0.3, 0.28];

        assert_eq!(kept(&values), [true, true, true, true, true, false, false]);
        assert_eq!(kept(&[0.9, 0.3]), [true, true]);
        assert_eq!(kept(&[0.5; 8]), [true; 8]);
    }

    #[test]
    fn a_weibull_is_fitted_to_its_own_quantiles() {
        let (shape, scale) = (3.0, 0.6);
        let quantile = |share: f64| scale * (-(1.0 - share).ln()).powf(1.0 / shape);
        let values: Vec<f64> = (0..400).map(|place| quantile((f64::from(place) + 0.5) / 400.0)).collect();

        let fitted = Weibull::fit(&values, &vec![1.0; 400]).unwrap();

        assert!((fitted.shape - shape).abs() < 0.05 && (fitted.scale - scale).abs() < 0.005);
    }

    #[test]
    fn any_values_are_parted_without_a_panic() {
        for values in [vec![], vec![1.0], vec![1e-9; 9], vec![1e-9, 1.0, 1.0, 1.0, 1.0, 1e-9]] {
            assert_eq!(kept(&values).len(), values.len());
            assert!(values.is_empty() || kept(&values).contains(&true), "{values:?}");
        }
    }
}
