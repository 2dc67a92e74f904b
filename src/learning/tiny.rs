//! A family of two tiny language models that know something: a target and a smaller draft with one tokenizer.
//!
//! Tests of speculation, cascades and agreement need models that are right for a reason. Both learn to answer questions that
//! [`lessons`] makes from a seed (sums, counting, sorting, JSON, word order, the past tense), written as chats. [`words`] makes
//! the byte-level BPE from the same text, [`llama`] is the model, [`optimise`] the steps, [`measure`] what came of it, and
//! [`files`] the folders that mistral.rs reads.
//!
//! # Invariants
//!
//! - A seed gives the same bytes on one machine: chance comes from it alone, and no sum depends on the order of threads.
//! - A question that is held out is never trained on: whether it is, is read off its text.

pub mod files;
pub mod lessons;
pub mod llama;
pub mod measure;
pub mod optimise;
pub mod words;

use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;

use self::{
    lessons::{Lesson, Part},
    llama::{Llama, Shape},
    measure::{Measured, Read},
    optimise::{Adam, loss},
    words::Words,
};
use crate::learning::Progress;

/// Why a tiny model was not made or read.
#[derive(Debug, thiserror::Error)]
pub enum TinyError {
    /// A computation failed.
    #[error("the tiny model cannot be computed")]
    Computation(#[source] Box<candle_core::Error>),
    /// The tokenizer was not made, or did not take a text.
    #[error("the tiny model's tokenizer failed: {0}")]
    Tokenizer(String),
    /// A file cannot be written or read.
    #[error("cannot write or read {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file does not say what it should.
    #[error("{path} is malformed")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl From<candle_core::Error> for TinyError {
    fn from(error: candle_core::Error) -> Self {
        Self::Computation(Box::new(error))
    }
}

/// How the pair is trained.
#[derive(Clone, Copy, Debug)]
pub struct TinySettings {
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// Steps of the target; the draft takes as many.
    pub steps: u64,
}

/// Steps of the pair that the tests use.
pub const STEPS: u64 = 1_000;
/// Lessons in one step.
const BATCH: usize = 24;
/// Lessons that are laid out by length together, so that little is filled up.
const POOL: usize = 8 * BATCH;
/// Held-out questions to measure on.
const EXAM: usize = 300;

/// Trains both models, writes `target` and `draft` into `out`, and returns how they fare on held-out questions.
///
/// # Errors
/// When a computation fails or a folder cannot be written.
pub fn train_family(out: &Path, settings: TinySettings, progress: &dyn Progress) -> Result<Measured, TinyError> {
    let words = Words::learn(settings.seed)?;
    progress.begin("target", settings.steps);
    let target = train(&words, Shape::target(words.len()), settings, progress)?;
    progress.begin("draft", settings.steps);
    let draft = train(&words, Shape::draft(words.len()), settings, progress)?;
    files::write(&out.join("target"), &words, &target)?;
    files::write(&out.join("draft"), &words, &draft)?;
    measure_family(out, settings.seed)
}

/// Measures a pair that was written.
///
/// # Errors
/// When a folder cannot be read or a computation fails.
pub fn measure_family(folder: &Path, seed: u64) -> Result<Measured, TinyError> {
    let (words, target) = files::read(&folder.join("target"))?;
    let (_, draft) = files::read(&folder.join("draft"))?;
    let mut random = ChaCha12Rng::seed_from_u64(seed ^ 0xe8a3);
    let lessons: Vec<Lesson> = (0..EXAM).map(|_| Lesson::draw(&mut random, Part::Exam)).collect();
    let read = lessons.iter().map(|lesson| Read::new(lesson, &words)).collect::<Result<Vec<_>, _>>()?;
    measure::measure(&target, &draft, &read)
}

fn train(words: &Words, shape: Shape, settings: TinySettings, progress: &dyn Progress) -> Result<Llama, TinyError> {
    let mut random = ChaCha12Rng::seed_from_u64(settings.seed);
    let llama = Llama::random(shape, &mut random)?;
    let mut adam = Adam::new(&llama, settings.steps)?;
    let mut batches = Vec::new();
    for _ in 0..settings.steps {
        if batches.is_empty() {
            batches = pool(words, &mut random)?;
        }
        if let Some(batch) = batches.pop() {
            adam.step(&loss(&llama, &batch)?)?;
        }
        progress.step();
    }
    Ok(llama)
}

/// Returns batches of lessons of about one length, in an order of chance.
fn pool(words: &Words, random: &mut ChaCha12Rng) -> Result<Vec<Vec<Read>>, TinyError> {
    let drawn: Vec<Lesson> = (0..POOL).map(|_| Lesson::draw(random, Part::Training)).collect();
    let mut read = drawn.iter().map(|lesson| Read::new(lesson, words)).collect::<Result<Vec<_>, _>>()?;
    read.sort_by_key(|read| read.ids.len());
    let mut batches: Vec<Vec<Read>> = read.chunks(BATCH).map(<[Read]>::to_vec).collect();
    rand::seq::SliceRandom::shuffle(batches.as_mut_slice(), random);
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;
    use crate::learning::Silent;

    fn committed() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-family")
    }

    #[test]
    fn the_committed_pair_knows_its_tasks_and_agrees() {
        let measured = measure_family(&committed(), 7).unwrap();

        let (target, draft) = measured.accuracy();
        assert!(target > 0.75 && draft < target, "{measured:?}");
        assert!(measured.agreement() > 0.6, "{measured:?}");
    }

    #[test]
    fn the_committed_pair_is_small_and_has_one_tokenizer() {
        let bytes = |of: &str| -> u64 {
            let files = fs::read_dir(committed().join(of)).unwrap();
            files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
        };
        let tokenizer = |of: &str| fs::read(committed().join(of).join("tokenizer.json")).unwrap();

        assert!(bytes("target") + bytes("draft") < 5_000_000);
        assert_eq!(tokenizer("target"), tokenizer("draft"));
    }

    #[test]
    fn a_seed_gives_the_same_bytes_and_another_one_others() {
        let weights = |seed| {
            let dir = tempfile::tempdir().unwrap();
            train_family(dir.path(), TinySettings { seed, steps: 2 }, &Silent).unwrap();
            ["target", "draft"].map(|of| fs::read(dir.path().join(of).join("model.safetensors")).unwrap())
        };

        let first = weights(1);

        assert!(first == weights(1), "the same");
        assert!(first != weights(2), "others");
    }

    #[test]
    fn steps_lead_downwards() {
        let words = Words::learn(1).unwrap();
        let mut random = ChaCha12Rng::seed_from_u64(1);
        let llama = Llama::random(Shape::draft(words.len()), &mut random).unwrap();
        let batch = pool(&words, &mut random).unwrap().remove(0);
        let now = || loss(&llama, &batch).unwrap().to_scalar::<f32>().unwrap();
        let before = now();

        let mut adam = Adam::new(&llama, 100).unwrap();
        for _ in 0..20 {
            adam.step(&loss(&llama, &batch).unwrap()).unwrap();
        }

        assert!(now() < 0.8 * before, "{before} became {}", now());
    }
}
