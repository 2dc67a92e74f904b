//! Profiles that were fitted here, beside those of the artifact: a folder with a JSON file for each model.
//!
//! A profile weighs the entries of one artifact's latent and means nothing with another one, so each file names the artifact
//! that it was fitted on by checksum. A file that belongs to another artifact, or that is broken, is left out and the log says
//! so; scoring goes on without it. A profile of the overlay takes the place of the artifact's of the same name.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    artifact::{Artifact, RouterDocument},
    profiles::Profile,
};

/// The layout that this program reads.
pub const SCHEMA_VERSION: u32 = 1;

/// A file of the overlay.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverlayDocument {
    /// The layout; [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Name of the artifact, for people.
    pub router: String,
    /// Checksum of the artifact.
    pub artifact: String,
    /// When it was fitted.
    pub fitted: Timestamp,
    /// What it was fitted on, for people.
    pub source: String,
    /// The profile.
    pub profile: Profile,
}

impl OverlayDocument {
    /// Returns the document of a profile that belongs to an artifact.
    pub fn new(artifact: &Artifact, profile: Profile, (fitted, source): (Timestamp, String)) -> Self {
        let RouterDocument { name, .. } = &artifact.document;
        Self {
            schema_version: SCHEMA_VERSION,
            router: name.clone(),
            artifact: artifact.checksum.to_string(),
            fitted,
            source,
            profile,
        }
    }
}

/// Why a file of the overlay is left out or cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no profile.
    #[error("{path} is malformed: {message}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// It belongs to another artifact.
    #[error("{path} was fitted for another router ({router}); run `pointsman profile {model}` again")]
    Foreign {
        /// Which.
        path: PathBuf,
        /// The artifact it belongs to.
        router: String,
        /// The model.
        model: String,
    },
    /// It cannot be written.
    #[error("cannot write {path}")]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The folder.
#[derive(Clone, Debug)]
pub struct Overlay {
    folder: PathBuf,
}

impl Overlay {
    /// Returns the overlay in a folder, which need not be there yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Returns the profiles that belong to an artifact, by file name; what is left out is logged.
    pub fn profiles_for(&self, artifact: &Artifact) -> Vec<Profile> {
        let (good, bad): (Vec<_>, Vec<_>) = self.read(artifact).into_iter().partition(Result::is_ok);
        for error in bad.into_iter().filter_map(Result::err) {
            tracing::warn!(error = &error as &dyn std::error::Error, "a profile is left out: {error}");
        }
        let good: Vec<Profile> = good.into_iter().flatten().map(|document| document.profile).collect();
        if !good.is_empty() {
            let names: Vec<&str> = good.iter().map(|profile| &*profile.name).collect();
            tracing::info!(router.profiles = good.len(), "profiles fitted here are in use: {}", names.join(", "));
        }
        good
    }

    /// Reads every file, by name. A folder that is not there has none.
    pub fn read(&self, artifact: &Artifact) -> Vec<Result<OverlayDocument, OverlayError>> {
        let paths = match self.paths() {
            Ok(paths) => paths,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(source) => return vec![Err(OverlayError::Unreadable { path: self.folder.clone(), source })],
        };
        paths.iter().map(|path| read(path, artifact)).collect()
    }

    fn paths(&self) -> io::Result<Vec<PathBuf>> {
        let entries: io::Result<Vec<_>> = fs::read_dir(&self.folder)?.collect();
        let paths = entries?.into_iter().map(|entry| entry.path());
        let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
        paths.sort();
        Ok(paths)
    }

    /// Writes a file, whole or not at all, and returns where; an earlier profile of the same name is replaced.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub fn write(&self, document: &OverlayDocument) -> Result<PathBuf, OverlayError> {
        let path = self.folder.join(format!("{}.json", file_name(&document.profile.name)));
        let draft = path.with_extension("draft");
        let write = || {
            fs::create_dir_all(&self.folder)?;
            fs::write(&draft, serde_json::to_vec_pretty(document)?)?;
            fs::rename(&draft, &path)
        };
        match write() {
            Ok(()) => Ok(path),
            Err(source) => Err(OverlayError::Unwritable { path, source }),
        }
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

fn read(path: &Path, artifact: &Artifact) -> Result<OverlayDocument, OverlayError> {
    let malformed = |message| OverlayError::Malformed { path: path.to_owned(), message };
    let bytes = fs::read(path).map_err(|source| OverlayError::Unreadable { path: path.to_owned(), source })?;
    let document: OverlayDocument = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    if document.schema_version != SCHEMA_VERSION {
        return Err(malformed(format!(
            "schema_version is {}, this program reads {SCHEMA_VERSION}",
            document.schema_version
        )));
    }
    if *document.artifact != *artifact.checksum {
        let (router, model) = (document.router, document.profile.name.to_string());
        return Err(OverlayError::Foreign { path: path.to_owned(), router, model });
    }
    document.profile.check(artifact.document.outputs.latent).map_err(malformed)?;
    Ok(document)
}

/// Returns a file name for any profile name, a different one for each.
pub fn file_name(name: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_');
    let mut out = String::new();
    for (index, character) in name.char_indices() {
        if is_plain(character) && !(index == 0 && character == '.') {
            out.push(character);
        } else {
            let mut bytes = [0; 4];
            out.extend(character.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scoring::folder::{DEFAULT_ARTIFACT, Folder};

    fn artifact() -> Artifact {
        Artifact::read(&Folder::Embedded(DEFAULT_ARTIFACT)).unwrap()
    }

    fn document(artifact: &Artifact, name: &str) -> OverlayDocument {
        let profile = Profile { name: name.into(), ..artifact.profiles.profiles[0].clone() };
        OverlayDocument::new(artifact, profile, (Timestamp::UNIX_EPOCH, "a test".to_owned()))
    }

    #[test]
    fn what_is_written_is_read_and_takes_the_place_of_the_artifacts_own() {
        let (folder, artifact) = (tempfile::tempdir().unwrap(), artifact());
        let overlay = Overlay::new(folder.path().join("deep/profiles"));
        let known = artifact.profiles.profiles[1].name.clone();

        assert!(overlay.profiles_for(&artifact).is_empty());
        overlay.write(&document(&artifact, "owner/new model")).unwrap();
        overlay.write(&document(&artifact, &known)).unwrap();

        let joined = artifact.profiles.with(overlay.profiles_for(&artifact));
        assert_eq!(joined.profiles.len(), artifact.profiles.profiles.len() + 1);
        let replaced = joined.profiles.iter().find(|profile| profile.name == known).unwrap();
        assert_eq!(replaced.vector, artifact.profiles.profiles[0].vector);
        assert!(joined.profiles.iter().any(|profile| &*profile.name == "owner/new model"));
    }

    #[test]
    fn files_of_another_artifact_and_broken_ones_are_left_out() {
        let (folder, artifact) = (tempfile::tempdir().unwrap(), artifact());
        let overlay = Overlay::new(folder.path().to_owned());
        let mut foreign = document(&artifact, "foreign");
        foreign.artifact = "another".to_owned();
        let mut short = document(&artifact, "short");
        short.profile.vector.pop();
        for document in [&foreign, &short, &document(&artifact, "good")] {
            overlay.write(document).unwrap();
        }
        fs::write(folder.path().join("cut.json"), "{\"schema_version\"").unwrap();
        fs::write(folder.path().join("notes.txt"), "not a profile").unwrap();

        let read: Vec<String> = overlay
            .read(&artifact)
            .into_iter()
            .map(|read| read.map_or_else(|error| error.to_string(), |document| document.profile.name.to_string()))
            .collect();

        assert_eq!(read.len(), 4, "{read:?}");
        assert!(read[0].contains("cut.json is malformed") && read[1].contains("pointsman profile foreign"), "{read:?}");
        assert_eq!(read[2], "good");
        assert!(read[3].contains("latent has"), "{read:?}");
    }

    #[test]
    fn different_names_are_different_files() {
        assert_eq!(file_name("a/b.c-d_E"), "a%2Fb.c-d_E");
        assert_ne!(file_name("a/b"), file_name("a-b"));
        assert_eq!(file_name("../x"), "%2E.%2Fx");
    }
}
