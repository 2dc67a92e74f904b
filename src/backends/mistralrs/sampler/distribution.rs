//! What the next token is drawn from.

use super::exponential::exp_of_non_positive;

/// Weights are summed by blocks, so that a draw looks at the sums before it looks at tokens.
const BLOCK: usize = 256;

const LANES: usize = 16;

/// How a distribution is narrowed, in this order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Above 0.
    pub(super) temperature: f64,
    /// Tokens less likely than this share of the likeliest go; 0 keeps all (Nguyen et al. 2024).
    pub(super) min_p: f64,
    /// So many of the likeliest stay.
    pub(super) top_k: Option<usize>,
    /// The likeliest that hold this share together stay (Holtzman et al. 2020, section 3.1); 1 keeps all.
    pub(super) top_p: f64,
}

/// Weights of tokens; those without any cannot be drawn. At least one has some.
#[derive(Clone, Debug)]
pub(super) struct Distribution {
    weights: Weights,
    total: f64,
    buffer: Vec<f32>,
}

/// A token that something else proposes.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Proposal<'a> {
    /// The token.
    pub(in super::super) token: u32,
    /// The probabilities, by token, that it was drawn with; `None` when it was no draw but certain.
    pub(in super::super) odds: Option<&'a [f32]>,
}

#[derive(Clone, Debug)]
enum Weights {
    /// Of all tokens; they stand in the buffer. With the sums of its blocks.
    All(Vec<f64>),
    /// Of these tokens only, by id.
    Few(Vec<(u32, f64)>),
}

impl Distribution {
    /// Returns the distribution in which only one token is possible.
    pub(super) fn certain(token: u32) -> Self {
        Self { weights: Weights::Few(vec![(token, 1.0)]), total: 1.0, buffer: Vec::new() }
    }

    /// Returns the distribution that `logits` stand for, whose likeliest token is `best`.
    pub(super) fn of(mut logits: Vec<f32>, best: u32, cut: &Cut) -> Option<Self> {
        let highest = logits.get(best as usize).copied()?;
        if !highest.is_finite() {
            return Some(Self { buffer: logits, ..Self::certain(best) });
        }
        let blocks = weigh(&mut logits, highest, cut.temperature);
        let total = blocks.iter().sum();
        let all = Self { weights: Weights::All(blocks), total, buffer: logits };
        Some(match all.narrowed(cut) {
            Some(few) => Self { total: few.iter().map(|(_, weight)| weight).sum(), weights: Weights::Few(few), ..all },
            None => all,
        })
    }

    /// Returns a token's probability.
    pub(super) fn share(&self, token: u32) -> f64 {
        let weight = match &self.weights {
            Weights::All(_) => self.buffer.get(token as usize).map_or(0.0, |weight| f64::from(*weight)),
            Weights::Few(few) => {
                let place = few.binary_search_by_key(&token, |(other, _)| *other).ok();
                place.and_then(|place| few.get(place)).map_or(0.0, |(_, weight)| *weight)
            }
        };
        weight / self.total
    }

    /// Returns a token; `aim` is uniform in `[0, 1)`.
    pub(super) fn pick(&self, aim: f64) -> u32 {
        let aim = aim * self.total;
        let (token, _) = match &self.weights {
            Weights::Few(few) => reach(few.iter().copied(), aim),
            Weights::All(blocks) => {
                let (block, before) = reach((0..).zip(blocks.iter().copied()), aim);
                let begin = block as usize * BLOCK;
                let tokens = self.buffer.iter().skip(begin).take(BLOCK).map(|weight| f64::from(*weight));
                reach((begin as u32..).zip(tokens), aim - before)
            }
        };
        token
    }

    /// Returns the part of this distribution that exceeds the odds of another; `None` when nothing does.
    pub(super) fn beyond(&self, odds: &[f32]) -> Option<Self> {
        let odd = |token: u32| odds.get(token as usize).copied().map_or(0.0, f64::from);
        let rest: Vec<(u32, f64)> = self
            .weighted()
            .map(|(token, weight)| (token, weight / self.total - odd(token)))
            .filter(|(_, weight)| *weight > 0.0)
            .collect();
        let total = rest.iter().map(|(_, weight)| weight).sum();
        (total > 0.0).then_some(Self { weights: Weights::Few(rest), total, buffer: Vec::new() })
    }

    /// Gives the room back that the logits came in.
    pub(super) fn into_buffer(self) -> Vec<f32> {
        self.buffer
    }

    /// Returns the tokens with their weights, by id.
    fn weighted(&self) -> impl Iterator<Item = (u32, f64)> {
        let (all, few) = match &self.weights {
            Weights::All(_) => (self.buffer.as_slice(), &[][..]),
            Weights::Few(few) => (&[][..], few.as_slice()),
        };
        (0..).zip(all.iter().map(|weight| f64::from(*weight))).chain(few.iter().copied())
    }

    /// Returns the tokens that the cuts leave, by id; `None` when nothing is cut.
    fn narrowed(&self, cut: &Cut) -> Option<Vec<(u32, f64)>> {
        if cut.min_p <= 0.0 && cut.top_k.is_none() && cut.top_p >= 1.0 {
            return None;
        }
        // The total is the nucleus's only where nothing else is cut before.
        let is_alone = cut.min_p <= 0.0 && cut.top_k.is_none();
        // Tokens lighter than the average of what may be left out weigh together less than that: none of them can belong to the
        // nucleus, and the sort is over a handful instead of the vocabulary.
        let spare = if is_alone { (1.0 - cut.top_p) * self.total / self.buffer.len() as f64 } else { 0.0 };
        let floor = cut.min_p.max(spare);
        let weights = self.buffer.iter().map(|weight| f64::from(*weight));
        let mut few: Vec<(u32, f64)> =
            (0..).zip(weights).filter(|(_, weight)| *weight >= floor && *weight > 0.0).collect();
        if let Some(count) = cut.top_k.filter(|count| *count < few.len()) {
            few.select_nth_unstable_by(count, heaviest_first);
            few.truncate(count);
        }
        if cut.top_p < 1.0 {
            let total = if is_alone { self.total } else { few.iter().map(|(_, weight)| weight).sum() };
            keep_nucleus(&mut few, cut.top_p * total);
        }
        few.sort_unstable_by_key(|(token, _)| *token);
        Some(few)
    }
}

/// Keeps the smallest set of the heaviest tokens that holds enough.
fn keep_nucleus(few: &mut Vec<(u32, f64)>, enough: f64) {
    few.sort_unstable_by(heaviest_first);
    let mut held = 0.0;
    let last = few.iter().position(|(_, weight)| {
        held += weight;
        held >= enough
    });
    few.truncate(last.map_or(few.len(), |last| last + 1));
}

fn heaviest_first(a: &(u32, f64), b: &(u32, f64)) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// Turns logits into weights, of which the highest is 1; returns the sums of the blocks.
fn weigh(logits: &mut [f32], highest: f32, temperature: f64) -> Vec<f64> {
    let scale = (1.0 / temperature).min(f64::from(f32::MAX)) as f32;
    let weigh_block = |block: &mut [f32]| {
        let mut lanes = [0.0_f32; LANES];
        for chunk in block.chunks_mut(LANES) {
            for (sum, logit) in lanes.iter_mut().zip(chunk) {
                let x = *logit - highest;
                // Zero times a huge scale stays zero.
                *logit = exp_of_non_positive(x * scale);
                *sum += *logit;
            }
        }
        lanes.iter().map(|sum| f64::from(*sum)).sum()
    };
    logits.chunks_mut(BLOCK).map(weigh_block).collect()
}

/// Returns the first item at which the sum of the weights passes `aim`, and the sum before it; the last one with any weight where
/// rounding keeps the sum from passing.
fn reach(weights: impl Iterator<Item = (u32, f64)>, aim: f64) -> (u32, f64) {
    let (mut last, mut before, mut sum) = (0, 0.0, 0.0);
    for (item, weight) in weights.filter(|(_, weight)| *weight > 0.0) {
        (last, before) = (item, sum);
        sum += weight;
        if sum > aim {
            break;
        }
    }
    (last, before)
}

/// Returns the token of the highest logit, the first of equals.
pub(super) fn likeliest(logits: &[f32]) -> Option<u32> {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in logits.chunks(LANES) {
        for (highest, logit) in lanes.iter_mut().zip(chunk) {
            *highest = if *logit > *highest { *logit } else { *highest };
        }
    }
    let highest = lanes.into_iter().fold(f32::NEG_INFINITY, f32::max);
    if highest == f32::NEG_INFINITY {
        return None;
    }
    (0..).zip(logits).find(|(_, logit)| **logit == highest).map(|(token, _)| token)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPEN: Cut = Cut { temperature: 1.0, min_p: 0.0, top_k: None, top_p: 1.0 };

    fn of(weights: &[f32], cut: &Cut) -> Distribution {
        let logits: Vec<f32> = weights.iter().map(|weight| weight.ln()).collect();
        let best = likeliest(&logits).unwrap();
        Distribution::of(logits, best, cut).unwrap()
    }

    fn tokens(distribution: &Distribution) -> Vec<u32> {
        distribution.weighted().filter(|(_, weight)| *weight > 0.0).map(|(token, _)| token).collect()
    }

    #[test]
    fn shares_are_the_logits_own() {
        let distribution = of(&[1.0, 2.0, 5.0], &OPEN);

        for (token, share) in [(0, 0.125), (1, 0.25), (2, 0.625), (3, 0.0)] {
            assert!((distribution.share(token) - share).abs() < 1e-6, "{token}");
        }
        assert!((of(&[1.0, 3.0], &Cut { temperature: 0.5, ..OPEN }).share(1) - 0.9).abs() < 1e-6);
    }

    #[test]
    fn cuts_keep_the_likeliest() {
        let weights = [1.0, 8.0, 2.0, 4.0];

        assert_eq!(tokens(&of(&weights, &Cut { top_k: Some(2), ..OPEN })), [1, 3]);
        assert_eq!(tokens(&of(&weights, &Cut { min_p: 0.2, ..OPEN })), [1, 2, 3]);
        assert_eq!(tokens(&of(&weights, &Cut { top_p: 0.75, ..OPEN })), [1, 3]);
        // 8 of the 12 that the first cut leaves, not of the 15 that there were.
        assert_eq!(tokens(&of(&weights, &Cut { top_k: Some(2), top_p: 0.6, ..OPEN })), [1]);
        assert_eq!(tokens(&of(&weights, &Cut { min_p: 1.0, ..OPEN })), [1]);
    }

    #[test]
    fn equals_are_cut_by_their_order() {
        assert_eq!(tokens(&of(&[1.0; 9], &Cut { top_k: Some(3), ..OPEN })), [0, 1, 2]);
        assert_eq!(tokens(&of(&[1.0; 8], &Cut { top_p: 0.5, ..OPEN })), [0, 1, 2, 3]);
    }

    #[test]
    fn what_exceeds_other_odds_is_the_residual() {
        let target = of(&[5.0, 3.0, 2.0], &OPEN);

        let rest = target.beyond(&[0.2, 0.3001, 0.4999]).unwrap();

        assert!((rest.share(0) - 1.0).abs() < 1e-6 && rest.share(1) == 0.0 && rest.share(2) == 0.0);
        assert!(target.beyond(&[0.6, 0.4, 0.3]).is_none());
    }

    #[test]
    fn the_ends_of_the_aim_fall_on_tokens_that_are_possible() {
        let mut weights = vec![0.0; 3 * BLOCK];
        weights[BLOCK + 5] = 1.0;
        weights[BLOCK + 9] = 1.0;
        let distribution = of(&weights, &OPEN);

        assert_eq!(distribution.pick(0.0) as usize, BLOCK + 5);
        assert_eq!(distribution.pick(0.75) as usize, BLOCK + 9);
        assert_eq!(distribution.pick(1.0) as usize, BLOCK + 9);
    }

    proptest! {
        #[test]
        fn the_nucleus_is_what_sorting_everything_would_give(
            weights in prop::collection::vec(0.001_f32..1.0, 1..600),
            share in 0.01_f64..0.999,
        ) {
            let all = of(&weights, &OPEN);
            let mut sorted: Vec<(u32, f64)> = all.weighted().collect();
            sorted.sort_by(heaviest_first);
            let mut held = 0.0;
            let mut expected = Vec::new();
            for (token, weight) in sorted {
                held += weight;
                expected.push(token);
                if held >= share * all.total {
                    break;
                }
            }
            expected.sort_unstable();

            prop_assert_eq!(tokens(&of(&weights, &Cut { top_p: share, ..OPEN })), expected);
        }

        #[test]
        fn every_aim_falls_where_the_sum_of_shares_passes_it(
            weights in prop::collection::vec(0.0_f32..1.0, 1..900),
            aim in 0.0_f64..1.0,
        ) {
            prop_assume!(weights.iter().any(|weight| *weight > 0.0));
            let distribution = of(&weights, &OPEN);

            let token = distribution.pick(aim);

            let before: f64 = (0..token).map(|token| distribution.share(token)).sum();
            prop_assert!(before <= aim + 1e-5 && aim <= before + distribution.share(token) + 1e-5);
        }
    }
}
