//! all-MiniLM-L6-v2 (Apache-2.0): the teacher of static routers, and the encoder of a router that has milliseconds.
//!
//! Its weights are fetched as [`artifacts`](crate::artifacts) fetches everything, by pinned checksum. [`weights`] reads them,
//! [`graph`] writes them as ONNX, in f32 or with 8-bit weights, and both of the program's engines run that. [`fn@train`] makes a
//! router of it.

pub mod card;
pub mod graph;
pub mod quantise;
mod train;
pub mod weights;

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;

use self::weights::Weights;
pub use self::{graph::Precision, train::train};
use super::{
    LearningError,
    graph::Heads,
    matrix::{Matrix, dot},
    progress::{Progress, Silent},
};
use crate::{
    artifacts::{
        self, Store,
        catalogue::{self, Kind, MINILM, MINILM_TOKENIZER},
    },
    scoring::{Session, load::Runtime, tokens::Tokens},
};

/// Entries of an embedding.
pub const WIDTH: usize = 384;

/// What heads see: the embedding and the logarithm of the number of tokens.
pub const INPUTS: usize = WIDTH + 1;

/// Tokens that the encoder was trained on; longer prompts are cut head and tail.
pub const MAX_TOKENS: usize = 256;

/// Weights and tokenizer.
pub struct Minilm {
    weights: Weights,
    tokenizer: Vec<u8>,
}

impl Minilm {
    /// Makes sure that the encoder is in the store, and reads it. Blocks while it is fetched.
    ///
    /// # Errors
    /// It cannot be fetched, is not what is pinned, or is not the expected encoder.
    pub fn install(store: &Store, progress: &dyn artifacts::Progress) -> Result<Self, LearningError> {
        let path = store.install(catalogue::find(Kind::Encoder, MINILM)?, progress)?;
        Self::read(&path)
    }

    /// Reads the encoder; the tokenizer is beside the weights.
    fn read(path: &Path) -> Result<Self, LearningError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| LearningError::Unreadable { path: path.to_owned(), source })
        };
        let weights = Weights::parse(&read(path)?)?;
        let tokenizer = without_padding(&read(&path.with_file_name(MINILM_TOKENIZER))?)?;
        Ok(Self { weights, tokenizer })
    }

    /// Returns `tokenizer.json` for an artifact's folder.
    pub fn tokenizer(&self) -> &[u8] {
        &self.tokenizer
    }

    /// Returns the tokenizer; ids begin with `[CLS]` and end with `[SEP]`.
    ///
    /// # Errors
    /// It is not one.
    pub fn tokens(&self) -> Result<Tokens, LearningError> {
        let tokens = Tokens::parse(&self.tokenizer).map_err(|error| LearningError::Tokenizer(error.to_string()))?;
        Ok(tokens.cut_to(MAX_TOKENS))
    }

    /// Returns the encoder with heads on its embedding as an ONNX file.
    ///
    /// # Errors
    /// The weights are not those of the encoder.
    pub fn write(&self, name: &str, heads: &Heads, precision: Precision) -> Result<Vec<u8>, LearningError> {
        graph::write(name, &self.weights, heads, precision)
    }

    /// Returns the encoder ready to embed, with a session for each thread of rayon's pool.
    ///
    /// # Errors
    /// The engine refuses the graph.
    pub fn teacher(&self, runtime: &Runtime, precision: Precision) -> Result<Teacher, LearningError> {
        let onnx = self.write(MINILM, &Heads::silent(INPUTS), precision)?;
        let sessions = runtime.sessions(&onnx, rayon::current_num_threads());
        let sessions = sessions.map_err(|error| LearningError::Graph(error.to_string()))?;
        let teacher = Teacher { tokens: self.tokens()?, sessions: sessions.into_iter().map(Mutex::new).collect() };
        teacher.check(precision)?;
        Ok(teacher)
    }
}

/// The published tokenizer pads every text to 128 tokens; a router's texts stay as long as they are.
fn without_padding(json: &[u8]) -> Result<Vec<u8>, LearningError> {
    let failed = |error: serde_json::Error| LearningError::Tokenizer(error.to_string());
    let mut document: serde_json::Map<String, Value> = serde_json::from_slice(json).map_err(failed)?;
    document.insert("truncation".to_owned(), Value::Null);
    document.insert("padding".to_owned(), Value::Null);
    serde_json::to_vec(&document).map_err(failed)
}

/// The encoder, ready to embed many texts.
pub struct Teacher {
    tokens: Tokens,
    sessions: Vec<Mutex<Box<dyn Session>>>,
}

impl Teacher {
    /// Returns the L2-normalised embedding of each text, `[texts, WIDTH]`; a step of `progress` is one text.
    ///
    /// # Errors
    /// The tokenizer or the engine fails.
    pub fn embed(&self, texts: &[&str], progress: &dyn Progress) -> Result<Matrix, LearningError> {
        let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(texts.len())));
        // Threads of their own: one of rayon's would begin another text while the engine works on its first, and wait for the
        // session that it holds itself.
        std::thread::scope(|scope| {
            for session in &self.sessions {
                scope.spawn(|| {
                    let mut session = session.lock();
                    while let Some((index, text)) = take(&next, texts) {
                        let row = self.embed_one(&mut **session, text);
                        rows.lock().push((index, row));
                        progress.step();
                    }
                });
            }
        });
        let mut rows = rows.into_inner();
        rows.sort_by_key(|(index, _)| *index);
        let rows: Result<Vec<Vec<f32>>, _> = rows.into_iter().map(|(_, row)| row).collect();
        Ok(Matrix { rows: texts.len(), columns: WIDTH, data: rows?.concat() })
    }

    /// Compares embeddings with published ones, so that a graph that is written wrongly teaches nobody.
    fn check(&self, precision: Precision) -> Result<(), LearningError> {
        let references = references()?;
        let texts: Vec<&str> = references.iter().map(|line| line.text.as_str()).collect();
        let embeddings = self.embed(&texts, &Silent)?;
        for (line, embedding) in references.iter().zip(embeddings.iter()) {
            let cosine = dot(embedding, &line.embedding);
            if cosine.is_nan() || cosine < precision.least_cosine() {
                let found = format!("the embedding of {:?} has a cosine of {cosine} to the published one", line.text);
                return Err(LearningError::Encoder(found));
            }
        }
        Ok(())
    }

    fn embed_one(&self, session: &mut dyn Session, text: &str) -> Result<Vec<f32>, LearningError> {
        let ids = self.tokens.ids(text).map_err(|error| LearningError::Tokenizer(error.to_string()))?;
        Ok(session.run(&ids).map_err(|error| LearningError::Graph(error.to_string()))?.embedding)
    }
}

/// Takes the next text that nobody has taken.
fn take<'a>(next: &AtomicUsize, texts: &[&'a str]) -> Option<(usize, &'a str)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    texts.get(index).map(|text| (index, *text))
}

/// A text and its embedding, computed from the published weights in f64 by another program.
#[derive(Deserialize)]
struct Reference {
    text: String,
    embedding: Vec<f32>,
}

fn references() -> Result<Vec<Reference>, LearningError> {
    let json = include_str!("minilm/reference.json");
    serde_json::from_str(json).map_err(|error| LearningError::Encoder(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An encoder of the right kind without the right values.
    fn made_up() -> Minilm {
        let tokenizer = br#"{"version":"1.0","truncation":null,"padding":{"strategy":{"Fixed":128},"direction":"Right",
            "pad_to_multiple_of":null,"pad_id":0,"pad_type_id":0,"pad_token":"[PAD]"},"added_tokens":[],"normalizer":null,
            "pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,"model":{"type":"WordPiece",
            "unk_token":"[UNK]","continuing_subword_prefix":"+","max_input_chars_per_word":100,
            "vocab":{"[UNK]":0,"the":1,"next":2,"train":3,"leaves":4,"late":5}}}"#;
        Minilm { weights: Weights::made_up(), tokenizer: without_padding(tokenizer).unwrap() }
    }

    fn unchecked(minilm: &Minilm, precision: Precision) -> Teacher {
        let onnx = minilm.write(MINILM, &Heads::silent(INPUTS), precision).unwrap();
        let sessions = Runtime::Rten.sessions(&onnx, 1).unwrap().into_iter().map(Mutex::new).collect();
        Teacher { tokens: minilm.tokens().unwrap(), sessions }
    }

    #[test]
    fn eight_bits_change_an_embedding_little_and_other_texts_change_it_much() {
        let minilm = made_up();
        let texts = ["the next train leaves late", "late late the"];

        let [plain, rounded] = [Precision::F32, Precision::Int8]
            .map(|precision| unchecked(&minilm, precision).embed(&texts, &Silent).unwrap());

        assert!(dot(plain.row(0), rounded.row(0)) > Precision::Int8.least_cosine());
        assert!((dot(plain.row(0), plain.row(0)) - 1.0).abs() < 1e-4, "embeddings have length 1");
        assert!(dot(plain.row(0), plain.row(1)) < 0.999);
    }

    #[test]
    fn weights_that_are_not_the_published_ones_teach_nobody() {
        let error = made_up().teacher(&Runtime::Rten, Precision::F32).err().unwrap();

        assert!(error.to_string().contains("to the published one"), "{error}");
    }
}
