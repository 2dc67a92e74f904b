//! Router training, calibration, evaluation and ONNX export.
//!
//! [`data`] reads outcomes of models on prompts; [`mod@train`] turns them into an artifact by the contract of
//! [`scoring::artifact`](crate::scoring::artifact): [`vocabulary`], [`encoder`] and
//! [`presence`], [`wide`] heads for domains and [`traits`], [`abilities`], [`lengths`], then
//! [`graph`] (written with [`builder`]), [`evidence`] (with [`clusters`]) and [`export`]. [`evaluate`] measures an artifact on
//! prompts that it did not see.
//! [`mod@work`] keeps finished stages, [`promotion`] says whether the result may replace the artifact in use.
//! [`probes`] are what a new model is asked to learn what it can do. [`plans`] measures plans of several calls on recorded answers.
//! `tiny` trains the two small language models of the tests.
//!
//! What an artifact knows of models is a [`cohort`]: [`abilities`], made honest by [`calibration`], with what a model that nobody
//! graded starts from ([`newcomers`]) and where the data lie ([`surroundings`], by [`clusters`]). [`profiles`] adds a model to it.
//!
//! [`traffic`] makes a set of what the gateway recorded of its own traffic, and [`off_policy`] says what another policy would
//! have reached on it.
//!
//! # Invariants
//!
//! - The same data and seed give the same bytes: chance comes from one seed, and sums run in a fixed order on any number of
//!   threads.
//! - No weight comes from a set without an open licence, nor from a prompt that any set holds back for validation.
//! - What is measured was not trained on: an artifact carries the hashes of its prompts, and evaluation leaves those out.

pub mod abilities;
pub mod builder;
pub mod cache_evaluation;
pub mod calibration;
pub mod card;
pub mod clusters;
pub mod cohort;
pub mod data;
pub mod encoder;
pub mod evaluate;
pub mod evidence;
pub mod examples;
pub mod export;
pub mod graph;
pub mod heads;
pub mod lengths;
pub mod matrix;
pub mod minilm;
pub mod names;
pub mod newcomers;
pub mod off_policy;
pub mod plans;
pub mod presence;
pub mod probes;
pub mod profiles;
pub mod profiling;
pub mod progress;
pub mod promotion;
pub mod redteam;
pub mod surroundings;
#[cfg(feature = "local")]
pub mod tiny;
pub mod topics;
pub mod traffic;
pub mod train;
pub mod traits;
pub mod vocabulary;
pub mod wide;
pub mod work;

use std::path::PathBuf;

use crate::{domain::ids::ParseNameError, routing::ParameterError, scoring::LoadError};

pub use self::{
    data::read_sets,
    progress::{Progress, Silent},
    train::{TrainSettings, train, train_in},
    work::Work,
};

/// Why training or evaluation ended.
#[derive(Debug, thiserror::Error)]
pub enum LearningError {
    /// A file or folder cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A folder has no set.
    #[error("{path} holds no data: expected meta.json and records.jsonl[.zst] in it or in its folders")]
    NoData {
        /// Which.
        path: PathBuf,
    },
    /// A file is not in the documented format.
    #[error("{path}, line {line}: {message}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Counted from 1; 0 for the whole file.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// Too few prompts or domains.
    #[error(
        "{prompts} prompts of {domains} domains are too little to learn from; only sets with an open licence count"
    )]
    TooLittle {
        /// Prompts found.
        prompts: usize,
        /// Domains found.
        domains: usize,
    },
    /// A plan cannot be fitted to these answers.
    #[error("no plan can be fitted: {message}")]
    Plans {
        /// Why, and what there is.
        message: String,
    },
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] crate::accounting::LedgerError),
    /// The tokenizer was not trained or did not take a text.
    #[error("the tokenizer failed: {0}")]
    Tokenizer(String),
    /// The encoder could not be fetched.
    #[error(transparent)]
    Fetch(#[from] crate::artifacts::ArtifactError),
    /// The encoder is not what was expected.
    #[error("the sentence encoder is malformed: {0}")]
    Encoder(String),
    /// The graph was not written or does not run.
    #[error("the graph failed: {0}")]
    Graph(String),
    /// A file or folder cannot be written.
    #[error("cannot write {path}")]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A strategy to evaluate refused a setting.
    #[error("a strategy cannot be measured")]
    Strategy(#[from] ParameterError),
    /// A model's name is none that the gateway takes.
    #[error("a model of meta.json has a name that cannot be used")]
    ModelName(#[from] ParseNameError),
    /// The router to evaluate does not load.
    #[error(transparent)]
    Router(#[from] LoadError),
}
