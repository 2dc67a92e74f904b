//! Drawing the next token from a model's logits.
//!
//! mistral.rs's own sampler has no seed, gives log10 of a distribution after masking, and is greedy only by accident of a
//! parameter; this one is seeded, reports exact natural log-probabilities of the model's own distribution (before penalties,
//! temperature and nucleus), and is greedy at temperature 0.

use std::collections::HashMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::wire::chat::Sampling;

/// A token and how likely the model itself held it to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Likely {
    /// Its id in the vocabulary.
    pub(super) token: u32,
    /// Natural logarithm of its probability.
    pub(super) logprob: f64,
}

/// A drawn token; likelihoods only if they were asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Drawn {
    pub(super) token: u32,
    pub(super) logprob: Option<f64>,
    pub(super) top: Vec<Likely>,
}

/// Which likelihoods go with a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// Whether the drawn token's own is wanted.
    pub(super) logprobs: bool,
    /// How many of the likeliest tokens are wanted.
    pub(super) top: usize,
}

/// Draws token after token for one choice.
pub(super) struct Sampler {
    temperature: f64,
    top_p: f64,
    presence_penalty: f64,
    frequency_penalty: f64,
    report: Report,
    random: ChaCha12Rng,
    drawn: HashMap<u32, u32>,
}

impl Sampler {
    /// Returns a sampler; the same seed, choice and logits give the same tokens.
    pub(super) fn new(sampling: &Sampling, seed: u64, choice: u32, report: Report) -> Self {
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        random.set_stream(u64::from(choice));
        Self {
            temperature: sampling.temperature.unwrap_or(1.0),
            top_p: sampling.top_p.unwrap_or(1.0),
            presence_penalty: sampling.presence_penalty.unwrap_or(0.0),
            frequency_penalty: sampling.frequency_penalty.unwrap_or(0.0),
            report,
            random,
            drawn: HashMap::new(),
        }
    }

    /// Draws the next token among those that `allows` lets through; `None` when there is none.
    pub(super) fn draw(&mut self, mut logits: Vec<f32>, allows: Option<&dyn Fn(u32) -> bool>) -> Option<Drawn> {
        let likelihoods = self.report.logprobs.then(|| Likelihoods::of(&logits));
        let top = likelihoods.as_ref().map(|all| all.top(&logits, self.report.top)).unwrap_or_default();
        let own = likelihoods.map(|all| move |logit: f32| all.logprob(logit));
        let raw = own.map(|own| (own, logits.clone()));
        forbid(&mut logits, allows);
        self.penalise(&mut logits);
        let token = self.choose(&logits)?;
        *self.drawn.entry(token).or_default() += 1;
        let logprob = raw.and_then(|(own, raw)| raw.get(token as usize).map(|logit| own(*logit)));
        Some(Drawn { token, logprob, top })
    }

    /// OpenAI's penalties: each token drawn so far loses the presence penalty once and the frequency penalty per occurrence.
    fn penalise(&self, logits: &mut [f32]) {
        for (token, count) in &self.drawn {
            if let Some(logit) = logits.get_mut(*token as usize) {
                let penalty = self.presence_penalty + self.frequency_penalty * f64::from(*count);
                *logit = (f64::from(*logit) - penalty) as f32;
            }
        }
    }

    fn choose(&mut self, logits: &[f32]) -> Option<u32> {
        let best = likeliest(logits)?;
        if self.temperature <= 0.0 || self.top_p <= 0.0 {
            return Some(best);
        }
        let highest = f64::from(*logits.get(best as usize)?);
        let weight = |logit: f32| ((f64::from(logit) - highest) / self.temperature).exp();
        let weights: Vec<f64> = logits.iter().map(|logit| weight(*logit)).collect();
        let total: f64 = weights.iter().sum();
        let aim = self.random.random::<f64>();
        if self.top_p < 1.0 {
            let nucleus = nucleus(&weights, total, self.top_p);
            return Some(pick(nucleus.iter().copied(), aim).unwrap_or(best));
        }
        Some(pick((0..).zip(weights), aim).unwrap_or(best))
    }
}

/// Returns the smallest set of the heaviest tokens that holds `share` of the weight (Holtzman et al. 2020, section 3.1),
/// heaviest first.
fn nucleus(weights: &[f64], total: f64, share: f64) -> Vec<(u32, f64)> {
    // Tokens lighter than the average of what may be left out weigh together less than what may be left out: none of them can
    // belong, and the sort is over a handful instead of the vocabulary.
    let floor = (1.0 - share) * total / weights.len() as f64;
    let mut heavy: Vec<(u32, f64)> =
        (0..).zip(weights.iter().copied()).filter(|(_, weight)| *weight >= floor).collect();
    heavy.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut held = 0.0;
    let wanted = heavy.iter().position(|(_, weight)| {
        held += weight;
        held >= share * total
    });
    heavy.truncate(wanted.map_or(heavy.len(), |last| last + 1));
    heavy
}

/// Picks by weight; `aim` is uniform in `[0, 1)`.
fn pick(weights: impl Iterator<Item = (u32, f64)> + Clone, aim: f64) -> Option<u32> {
    let total: f64 = weights.clone().map(|(_, weight)| weight).sum();
    let mut left = aim * total;
    let mut last = None;
    for (token, weight) in weights.filter(|(_, weight)| *weight > 0.0) {
        last = Some(token);
        left -= weight;
        if left < 0.0 {
            break;
        }
    }
    last
}

fn forbid(logits: &mut [f32], allows: Option<&dyn Fn(u32) -> bool>) {
    for (token, logit) in (0..).zip(logits.iter_mut()) {
        if logit.is_nan() || allows.is_some_and(|allows| !allows(token)) {
            *logit = f32::NEG_INFINITY;
        }
    }
}

fn likeliest(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (token, logit) in (0..).zip(logits.iter().copied()) {
        if logit > f32::NEG_INFINITY && best.is_none_or(|(_, highest)| logit > highest) {
            best = Some((token, logit));
        }
    }
    best.map(|(token, _)| token)
}

/// The model's own distribution.
#[derive(Clone, Copy)]
struct Likelihoods {
    log_total: f64,
}

impl Likelihoods {
    fn of(logits: &[f32]) -> Self {
        let finite = || logits.iter().map(|logit| f64::from(*logit)).filter(|logit| !logit.is_nan());
        let highest = finite().fold(f64::NEG_INFINITY, f64::max);
        Self { log_total: highest + finite().map(|logit| (logit - highest).exp()).sum::<f64>().ln() }
    }

    fn logprob(self, logit: f32) -> f64 {
        f64::from(logit) - self.log_total
    }

    fn top(self, logits: &[f32], count: usize) -> Vec<Likely> {
        let mut best: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
        for (token, logit) in (0..).zip(logits.iter().copied()) {
            if best.len() == count && best.last().is_none_or(|(_, lowest)| logit <= *lowest) {
                continue;
            }
            let place = best.partition_point(|(_, other)| *other >= logit);
            best.insert(place, (token, logit));
            best.truncate(count);
        }
        best.into_iter().map(|(token, logit)| Likely { token, logprob: self.logprob(logit) }).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REPORT: Report = Report { logprobs: true, top: 3 };

    fn sampler(sampling: &Sampling, seed: u64) -> Sampler {
        Sampler::new(sampling, seed, 0, REPORT)
    }

    fn at(temperature: f64) -> Sampling {
        Sampling { temperature: Some(temperature), ..Sampling::default() }
    }

    fn tokens(mut sampler: Sampler, logits: &[f32], count: usize) -> Vec<u32> {
        (0..count).map(|_| sampler.draw(logits.to_vec(), None).unwrap().token).collect()
    }

    #[test]
    fn temperature_zero_takes_the_likeliest() {
        assert_eq!(tokens(sampler(&at(0.0), 1), &[0.1, 2.0, 1.9], 5), [1; 5]);
    }

    #[test]
    fn the_same_seed_draws_the_same_tokens_and_another_one_others() {
        let logits = [0.0; 64];

        let first = tokens(sampler(&at(1.0), 7), &logits, 20);

        assert_eq!(first, tokens(sampler(&at(1.0), 7), &logits, 20));
        assert_ne!(first, tokens(sampler(&at(1.0), 8), &logits, 20));
    }

    #[test]
    fn choices_of_one_request_differ() {
        let (first, second) = (Sampler::new(&at(1.0), 7, 0, REPORT), Sampler::new(&at(1.0), 7, 1, REPORT));

        assert_ne!(tokens(first, &[0.0; 64], 20), tokens(second, &[0.0; 64], 20));
    }

    #[test]
    fn tokens_are_drawn_as_often_as_they_are_likely() {
        // Three to one; 4,000 draws have a standard deviation of 27.
        let drawn = tokens(sampler(&at(1.0), 3), &[3_f32.ln(), 0.0], 4_000);

        let first = drawn.iter().filter(|token| **token == 0).count();
        assert!((2_850..3_150).contains(&first), "{first}");
    }

    #[test]
    fn log_probabilities_are_natural_and_of_the_model_itself() {
        let drawn = sampler(&at(0.0), 1).draw(vec![0.6_f32.ln(), 0.3_f32.ln(), 0.1_f32.ln()], None).unwrap();

        let top: Vec<_> = drawn.top.iter().map(|likely| (likely.token, likely.logprob.exp())).collect();
        assert!((drawn.logprob.unwrap() - 0.6_f64.ln()).abs() < 1e-6);
        assert_eq!(top.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [0, 1, 2]);
        assert!((top.iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn the_frequency_penalty_makes_room_for_others() {
        let sampling = Sampling { frequency_penalty: Some(1.0), ..at(0.0) };

        assert_eq!(tokens(sampler(&sampling, 1), &[1.5, 1.0], 4), [0, 1, 0, 1]);
    }

    #[test]
    fn forbidden_tokens_are_never_drawn() {
        let only_two = |token: u32| token == 2;

        let drawn = sampler(&at(1.0), 1).draw(vec![9.0, 9.0, 0.0], Some(&only_two)).unwrap();

        assert_eq!(drawn.token, 2);
        assert!(sampler(&at(1.0), 1).draw(vec![1.0], Some(&|_| false)).is_none());
    }

    #[test]
    fn broken_logits_are_passed_over() {
        assert_eq!(sampler(&at(1.0), 1).draw(vec![f32::NAN, 0.0], None).unwrap().token, 1);
        assert!(sampler(&at(1.0), 1).draw(vec![f32::NAN, f32::NEG_INFINITY], None).is_none());
    }

    proptest! {
        #[test]
        fn the_nucleus_is_what_sorting_everything_would_give(
            weights in prop::collection::vec(0.001_f64..1.0, 1..60),
            share in 0.01_f64..0.999,
        ) {
            let total: f64 = weights.iter().sum();
            let mut sorted: Vec<(u32, f64)> = (0..).zip(weights.iter().copied()).collect();
            sorted.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let mut held = 0.0;
            let mut expected = Vec::new();
            for entry in sorted {
                held += entry.1;
                expected.push(entry);
                if held >= share * total {
                    break;
                }
            }

            prop_assert_eq!(nucleus(&weights, total, share), expected);
        }
    }
}
