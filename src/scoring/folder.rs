//! Where an artifact's files are read from: a folder on disk, or the artifacts inside the program.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
};

use rust_embed::RustEmbed;

/// The artifacts inside the program.
#[derive(RustEmbed)]
#[folder = "routers"]
struct Embedded;

/// The artifact that is used when none is configured.
pub const DEFAULT_ARTIFACT: &str = "static-v2";

/// A folder of artifact files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folder {
    /// On disk.
    Disk(PathBuf),
    /// Inside the program, by name.
    Embedded(&'static str),
}

impl Folder {
    /// Returns the folder at `path`, or the artifact that is used when none is configured.
    pub fn of(path: Option<&Path>) -> Self {
        path.map_or(Self::Embedded(DEFAULT_ARTIFACT), |path| Self::Disk(path.to_owned()))
    }

    /// Reads one file.
    ///
    /// # Errors
    /// It is missing or unreadable.
    pub fn read(&self, name: &str) -> std::io::Result<Cow<'static, [u8]>> {
        match self {
            Self::Disk(path) => std::fs::read(path.join(name)).map(Cow::Owned),
            Self::Embedded(artifact) => Embedded::get(&format!("{artifact}/{name}"))
                .map(|file| file.data)
                .ok_or_else(|| std::io::ErrorKind::NotFound.into()),
        }
    }
}

impl std::fmt::Display for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Disk(path) => write!(f, "{}", path.display()),
            Self::Embedded(artifact) => write!(f, "{artifact} (embedded)"),
        }
    }
}
