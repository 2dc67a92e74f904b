//! How a model joins: its answers to the [`probes`](super::probes), or grades from a file, become a profile.
//!
//! ```text
//! ask      every probe is asked of a Subject, a few at once, with retries      run
//! keep     each graded answer is a line of a file, so that a stopped run goes on where it was    journal
//! read     or: grades of any prompts from JSON lines or CSV                    grades
//! fit      grades and the router's latents -> profile                          fit
//! tell     a table by topic: what was seen, what is predicted now              report
//! ```
//!
//! Who is asked, and how, is the caller's business: a [`Subject`] may be a gateway in this process or one across the network.
//!
//! # Invariants
//!
//! - A prompt that was not answered is not graded: an outage never looks like a bad model.
//! - A probe is asked once; what was paid for is kept at once.

pub mod fit;
pub mod grades;
pub mod journal;
pub mod report;
pub mod run;

use std::{io, path::PathBuf};

use super::probes::SandboxError;
use crate::domain::ScoresUnavailable;

pub use self::{
    fit::{Grade, Joined, join},
    grades::{GradesError, grades_of_sets, read_grades},
    journal::{GradedProbe, Journal},
    report::{Line, Report},
    run::{Answered, AskError, RunSettings, Subject, ask_all},
};

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfilingError {
    /// The file of a run cannot be read or written.
    #[error("cannot use {path}")]
    Journal {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A run was begun otherwise.
    #[error("{path} holds a run of {was}, this one is of {is}; --fresh begins again")]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// What it says.
        was: String,
        /// What was asked for.
        is: String,
    },
    /// The subject does not answer.
    #[error("the model does not answer: {failed} prompts failed in a row, the last one with: {last}")]
    Unanswered {
        /// Failures in a row.
        failed: usize,
        /// The last one.
        last: String,
    },
    /// Too little to fit on.
    #[error("{graded} graded answers are too few for a profile; at least {least} are needed")]
    TooFew {
        /// There are.
        graded: usize,
        /// There must be.
        least: usize,
    },
    /// Code cannot be run.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The router did not score a prompt.
    #[error("the router cannot score the prompts: {0}")]
    Unscored(ScoresUnavailable),
    /// The grades do not fit the router.
    #[error("the grades do not fit the router: its latents have another width")]
    Unfit,
}
