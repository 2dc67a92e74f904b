//! Passes and decoding on tiny random models, whose every guess is as good as another.

mod answers;
mod distribution;
mod family;

use std::{
    path::Path,
    sync::{Arc, LazyLock},
};

use mistralrs::{AnyModelBuilder, ModelDType, TextModelBuilder, TokenSource};
use parking_lot::Mutex;

use super::{
    super::{queue::Turn, tiny, vocabulary::Vocabulary},
    counts::{Counted, Counts},
    decode::{Work, Writing, decode},
    drafting::Drafting,
    lookup::Lookup,
    pace::{Costs, Pace},
    passes::Passes,
    proposer::{Proposal, Proposer},
};

static TINY_DIR: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(dir.path());
    dir
});

async fn passes() -> Passes {
    passes_of(TINY_DIR.path()).await
}

async fn passes_of(dir: &Path) -> Passes {
    let builder = TextModelBuilder::new(dir.display()).with_token_source(TokenSource::None);
    let builder = builder.with_prefix_cache_n(None).with_max_num_seqs(1).with_dtype(ModelDType::F32);
    let (pipeline, scheduler, config) = AnyModelBuilder::from(builder).build_pipeline().await.unwrap();
    let metadata = pipeline.lock().await.get_metadata();
    let vocabulary = Vocabulary::new(metadata.llg_factory.clone().unwrap(), metadata.eos_tok.clone(), tiny::WINDOW);
    Passes::new(pipeline, scheduler, config, Arc::new(vocabulary.unwrap())).await.map_err(|_| ()).unwrap()
}

fn likeliest(logits: &[f32]) -> u32 {
    let best = (0..).zip(logits).max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.map(|(token, _): (u32, _)| token).unwrap()
}

/// Writes the likeliest tokens, so many of them.
struct Greedy {
    left: u64,
    written: Arc<Mutex<Vec<u32>>>,
}

impl Writing for Greedy {
    fn begin(&mut self, _: &[u32]) -> bool {
        true
    }

    fn next(&mut self, logits: Vec<f32>) -> Option<u32> {
        let token = likeliest(&logits);
        self.written.lock().push(token);
        self.left -= 1;
        (self.left > 0 && token != 2 && token != 0).then_some(token)
    }

    fn judge(&mut self, logits: Vec<f32>, proposal: &Proposal) -> (Option<u32>, bool) {
        let is_accepted = likeliest(&logits) == proposal.token;
        (self.next(logits), is_accepted)
    }

    fn left(&self) -> u64 {
        self.left
    }
}

/// Decodes `count` tokens greedily; without a proposer, plainly.
async fn answer(
    passes: &mut Passes,
    prompt: &[u32],
    count: u64,
    proposer: Option<Box<dyn Proposer>>,
) -> (Vec<u32>, Counted) {
    let written = Arc::new(Mutex::new(Vec::new()));
    let counts = Arc::new(Counts::default());
    let work = Work {
        text: prompt.to_vec(),
        writing: Box::new(Greedy { left: count, written: Arc::clone(&written) }),
        proposer,
        pace: Pace::new(4, false, true),
        costs: Arc::new(Costs::default()),
        counts: Arc::clone(&counts),
    };
    decode(passes, work).await.unwrap();
    let written = std::mem::take(&mut *written.lock());
    (written, counts.counted())
}

/// A prompt that repeats itself, as far as a seed lets it.
fn prompt(seed: u32) -> Vec<u32> {
    let word = |index: u32| 10 + (seed * 7919 + index * (seed % 5) * 31 + (index % (2 + seed % 7)) * 104_729) % 500;
    std::iter::once(1).chain((0..6 + seed % 30).map(word)).collect()
}

async fn drafting(draft: &Arc<tokio::sync::Mutex<Passes>>) -> Drafting {
    Drafting::new(Arc::clone(draft).lock_owned().await, Turn::alone(), 0.0, (1, 0))
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[tokio::test]
async fn one_pass_over_several_tokens_gives_what_several_passes_give() {
    let mut passes = passes().await;
    let prompt: Vec<u32> = (10..40).collect();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let reader = Box::new(move |logits: Vec<f32>| {
        let mut log = log.lock();
        let token = likeliest(&logits);
        log.push(logits);
        (log.len() < 24).then_some(token)
    });
    let tokens = passes.run(&prompt, reader).await.unwrap().unwrap();
    let logits = std::mem::take(&mut *seen.lock());
    let text = [prompt.clone(), tokens].concat();

    for (begin, end) in [(29, 34), (31, 32), (34, 40), (40, 53)] {
        let rows = passes.rows(&text[..end], end - begin).await.unwrap().unwrap();

        for (row, position) in rows.iter().zip(begin..) {
            let distance = distance(row, &logits[position - 29]);
            // Sums in another order: single precision holds seven digits of logits up to 20.
            assert!(distance < 1e-4, "{position}: {distance}");
        }
        assert_eq!(rows.len(), end - begin);
    }
}

#[tokio::test]
async fn a_greedy_answer_with_lookup_is_that_of_plain_decoding() {
    let mut passes = passes().await;
    let mut accepted = 0;
    for seed in 0..60 {
        let prompt = prompt(seed);
        let (plain, _) = answer(&mut passes, &prompt, 24, None).await;

        let lookup = Lookup::new(prompt.len(), &plain[..plain.len().min(12)]);
        let (speculative, counted) = answer(&mut passes, &prompt, 24, Some(Box::new(lookup))).await;

        assert_eq!(speculative, plain, "prompt {seed}");
        accepted += counted.accepted;
    }
    assert!(accepted > 300, "the first half of each answer was known: {accepted}");
}

#[tokio::test]
async fn a_greedy_answer_with_a_draft_is_that_of_plain_decoding() {
    let mut passes = passes().await;
    let draft = Arc::new(tokio::sync::Mutex::new(super::tests::passes().await));
    let mut total = Counted::default();
    for seed in 0..20 {
        let prompt = prompt(seed);
        let (plain, _) = answer(&mut passes, &prompt, 24, None).await;

        let drafting = drafting(&draft).await;
        let (speculative, counted) = answer(&mut passes, &prompt, 24, Some(Box::new(drafting))).await;

        assert_eq!(speculative, plain, "prompt {seed}");
        total.proposed += counted.proposed;
        total.accepted += counted.accepted;
    }
    assert_eq!(total.accepted, total.proposed, "the draft is the target itself");
}

#[tokio::test]
async fn an_answer_fills_the_context_to_its_last_token() {
    let mut passes = passes().await;
    let prompt = prompt(3);
    let room = tiny::WINDOW - prompt.len() as u64;

    let lookup = Lookup::new(prompt.len(), &[]);
    let (written, _) = answer(&mut passes, &prompt, room, Some(Box::new(lookup))).await;

    let (plain, _) = answer(&mut passes, &prompt, room, None).await;
    assert_eq!(written, plain);
}
