//! With a temperature, what comes of proposals is distributed as the target's own tokens.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{
    super::{
        answering::Answering,
        counts::{Counted, Counts},
        decode::{Work, Writing, decode},
        drafting::Drafting,
        pace::Pace,
        passes::Passes,
        proposer::Proposal,
    },
    passes, passes_of, prompt,
};
use crate::{
    backends::mistralrs::{
        drawing::{Drawing, Making},
        queue::Turn,
        sampler::Sampler,
        tiny,
    },
    wire::chat::Sampling,
};

const TEMPERATURE: f64 = 0.5;

/// Decodings, each with a seed of its own.
const DECODINGS: u64 = 1_000;

/// The two tokens that stand before the first proposal; plain decoding makes two at the least.
const FORCED: [u32; 2] = [40, 50];

/// Writes [`FORCED`], then two tokens by the real rule, and writes these down.
struct Pair {
    forced: usize,
    inner: Answering,
    pair: Arc<Mutex<Vec<u32>>>,
}

impl Pair {
    fn note(&self, token: Option<u32>) -> Option<u32> {
        let mut pair = self.pair.lock();
        pair.extend(token);
        token.filter(|_| pair.len() < 2)
    }
}

impl Writing for Pair {
    fn begin(&mut self, prompt: &[u32]) -> bool {
        self.inner.begin(prompt)
    }

    fn next(&mut self, logits: Vec<f32>) -> Option<u32> {
        if let Some(token) = FORCED.get(self.forced) {
            self.forced += 1;
            return Some(*token);
        }
        let token = self.inner.next(logits);
        self.note(token)
    }

    fn judge(&mut self, logits: Vec<f32>, proposal: &Proposal) -> (Option<u32>, bool) {
        let (token, is_accepted) = self.inner.judge(logits, proposal);
        (self.note(token), is_accepted)
    }

    fn left(&self) -> u64 {
        self.inner.left()
    }
}

/// Decodes once with the draft; returns the two tokens, fewer if the answer ended.
async fn decoding(
    target: &mut Passes,
    draft: &Arc<tokio::sync::Mutex<Passes>>,
    seed: u64,
    counts: &Arc<Counts>,
) -> Vec<u32> {
    let sampling = Sampling { temperature: Some(TEMPERATURE), ..Sampling::default() };
    let making = Making { sampler: Sampler::new(&sampling, seed, 0, 0), max_tokens: Some(8), ..Making::one_token() };
    let (steps, _listener) = mpsc::channel(64);
    let pair = Arc::new(Mutex::new(Vec::new()));
    let inner = Answering::new(Arc::clone(target.vocabulary()), Drawing::new(making, steps));
    let mut writing = Pair { forced: 0, inner, pair: Arc::clone(&pair) };
    let text = prompt(3);
    assert!(writing.begin(&text));
    let drafting = Drafting::new(Arc::clone(draft).lock_owned().await, Turn::alone(), TEMPERATURE, (seed, 0));
    let work = Work {
        text,
        writing: Box::new(writing),
        proposer: Some(Box::new(drafting)),
        pace: Pace::new(3, false, true),
        costs: Arc::default(),
        counts: Arc::clone(counts),
    };
    decode(target, work).await.unwrap();
    pair.lock().clone()
}

/// Returns the probabilities of the tokens after `text`.
async fn odds(passes: &mut Passes, text: &[u32]) -> Vec<f64> {
    let found = Arc::new(Mutex::new(Vec::new()));
    let logits = Arc::clone(&found);
    let reader = move |row: Vec<f32>| {
        *logits.lock() = row;
        None
    };
    passes.run(text, Box::new(reader)).await.unwrap().unwrap();
    let logits = found.lock();
    let highest = logits.iter().copied().fold(f32::MIN, f32::max);
    let weights: Vec<f64> = logits.iter().map(|logit| (f64::from(*logit - highest) / TEMPERATURE).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / total).collect()
}

/// Returns how often each pair is to be expected, of those that are to be expected at least five times.
async fn expected(passes: &mut Passes) -> BTreeMap<Vec<u32>, f64> {
    let text = [&prompt(3)[..], &FORCED].concat();
    let mut pairs = BTreeMap::new();
    for (first, share) in (0_u32..).zip(odds(passes, &text).await) {
        // An end token is not part of the answer; such answers are counted with the rest.
        if share * DECODINGS as f64 >= 5.0 && !passes.vocabulary().is_end(first) {
            let after = odds(passes, &[&text[..], &[first]].concat()).await;
            for (second, conditional) in (0_u32..).zip(after) {
                let count = share * conditional * DECODINGS as f64;
                if count >= 5.0 && !passes.vocabulary().is_end(second) {
                    pairs.insert(vec![first, second], count);
                }
            }
        }
    }
    pairs
}

/// Returns the chi-square statistic of what was seen, everything that is not listed counting as one more cell, and the degrees of
/// freedom.
fn chi_square(seen: &BTreeMap<Vec<u32>, f64>, expected: &BTreeMap<Vec<u32>, f64>) -> (f64, f64) {
    let cell = |seen: f64, expected: f64| (seen - expected).powi(2) / expected;
    let listed = |pair: &Vec<u32>| seen.get(pair).copied().unwrap_or(0.0);
    let rest = |counts: f64| DECODINGS as f64 - counts;
    let cells: f64 = expected.iter().map(|(pair, count)| cell(listed(pair), *count)).sum();
    let others = cell(rest(expected.keys().map(listed).sum()), rest(expected.values().sum()));
    (cells + others, expected.len() as f64)
}

/// Returns the value that chi-square exceeds with a probability of one in 10,000 (Wilson and Hilferty 1931).
fn limit(freedom: f64) -> f64 {
    let spread = 2.0 / (9.0 * freedom);
    freedom * (1.0 - spread + 3.719 * spread.sqrt()).powi(3)
}

#[test]
fn the_limit_is_that_of_the_tables() {
    // Chi-square at 1 - 0.0001: 35.56 for 10 degrees of freedom, 70.66 for 32.
    assert!((limit(10.0) - 35.56).abs() < 0.5 && (limit(32.0) - 70.66).abs() < 0.5, "{} {}", limit(10.0), limit(32.0));
}

#[tokio::test]
async fn pairs_of_tokens_are_distributed_as_the_target_s_own() {
    let mut target = passes().await;
    let near = tempfile::tempdir().unwrap();
    tiny::write_near(near.path(), 0.03);
    let draft = Arc::new(tokio::sync::Mutex::new(passes_of(near.path()).await));
    let of_target = expected(&mut target).await;
    let of_draft = expected(&mut *draft.lock().await).await;
    let counts = Arc::new(Counts::default());

    let mut seen = BTreeMap::new();
    for seed in 0..DECODINGS {
        *seen.entry(decoding(&mut target, &draft, seed, &counts).await).or_insert(0.0) += 1.0;
    }

    let Counted { proposed, accepted, .. } = counts.counted();
    let (statistic, freedom) = chi_square(&seen, &of_target);
    assert!(freedom >= 8.0, "{freedom}");
    assert!(statistic < limit(freedom), "{statistic} of {freedom} degrees of freedom");
    // The draft is neither the target nor a stranger, and a rule that let its tokens pass would be found out.
    assert!(accepted > 100 && proposed - accepted > 100, "{accepted} of {proposed}");
    let (wrong, freedom) = chi_square(&seen, &of_draft);
    assert!(wrong > limit(freedom), "{wrong} of {freedom} degrees of freedom");
}
