//! Finished stages of a training, kept in a folder so that one that was interrupted goes on where it ended.
//!
//! A stage's file is named after everything that it depends on: the data, the settings with their seed, and the version of the
//! program. So a changed input makes other files, and what is read back is what would be made again. A file is written beside its
//! place and moved, and carries the checksum of its content; one that is damaged is made anew.

use std::path::{Path, PathBuf};

use serde::{Serialize, de::DeserializeOwned};

use super::{LearningError, TrainSettings, data::Set};

/// Where finished stages are kept.
#[derive(Clone, Debug)]
pub struct Work {
    place: Option<(PathBuf, String)>,
}

impl Work {
    /// Keeps nothing.
    pub const fn none() -> Self {
        Self { place: None }
    }

    /// Keeps the stages of a training of this encoder on these sets in a folder, which need not exist yet.
    pub fn open(folder: &Path, encoder: &str, sets: &[Set], settings: TrainSettings) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(env!("CARGO_PKG_VERSION").as_bytes());
        hasher.update(format!("{encoder} {settings:?}").as_bytes());
        for set in sets {
            hasher.update(format!("{:?}", set.meta).as_bytes());
            for record in &set.records {
                hasher.update(format!("{record:?}").as_bytes());
            }
        }
        Self { place: Some((folder.to_owned(), hasher.finalize().to_hex().chars().take(16).collect())) }
    }

    /// Returns what an earlier training left of this stage, or makes and keeps it.
    ///
    /// # Errors
    /// It cannot be made. One that cannot be kept is used all the same.
    pub fn stage<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<T, LearningError>,
    ) -> Result<T, LearningError> {
        let Some((folder, key)) = &self.place else { return make() };
        let path = folder.join(format!("{key}-{name}.stage"));
        if let Some(kept) = read(&path) {
            return Ok(kept);
        }
        let made = make()?;
        if let Err(error) = keep(&path, &made) {
            tracing::warn!(error = &error as &dyn std::error::Error, "stage {name} is not kept: {}", path.display());
        }
        Ok(made)
    }

    /// Deletes the stages of this training; nobody needs them once its artifact is written.
    pub fn clear(&self) {
        let Some((folder, key)) = &self.place else { return };
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(key.as_str()) {
                // What stays is used again or overwritten.
                drop(std::fs::remove_file(entry.path()));
            }
        }
    }
}

/// `None` when there is none or it is damaged.
fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = std::fs::read(path).ok()?;
    let (checksum, content) = bytes.split_first_chunk::<32>()?;
    (blake3::hash(content).as_bytes() == checksum).then(|| serde_json::from_slice(content).ok()).flatten()
}

fn keep<T: Serialize>(path: &Path, made: &T) -> std::io::Result<()> {
    let content = serde_json::to_vec(made)?;
    let bytes = [blake3::hash(&content).as_bytes(), content.as_slice()].concat();
    std::fs::create_dir_all(path.parent().unwrap_or(path))?;
    let draft = path.with_extension("draft");
    std::fs::write(&draft, bytes)?;
    std::fs::rename(draft, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path, seed: u64) -> Work {
        Work::open(folder, "static", &[], TrainSettings::seeded(seed))
    }

    fn fails() -> Result<Vec<f32>, LearningError> {
        Err(LearningError::Graph("it should not be made".to_owned()))
    }

    #[test]
    fn a_finished_stage_is_read_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let numbers: Vec<f32> =
            (1..2_000).map(|index| 1.0 / index as f32 * if index % 2 == 0 { -1.0 } else { 1e-20 }).collect();

        open(folder.path(), 7).stage("one", || Ok(numbers.clone())).unwrap();
        let kept: Vec<f32> = open(folder.path(), 7).stage("one", fails).unwrap();

        assert!(kept.iter().zip(&numbers).all(|(a, b)| a.to_bits() == b.to_bits()));
    }

    #[test]
    fn another_seed_makes_its_own_stages() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), 7).stage("one", || Ok(vec![1.0_f32])).unwrap();

        assert!(open(folder.path(), 8).stage("one", fails).is_err());
    }

    #[test]
    fn a_damaged_stage_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let work = open(folder.path(), 7);
        work.stage("one", || Ok(vec![1.0_f32])).unwrap();
        let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let bytes = std::fs::read(&file).unwrap();

        for damaged in [&bytes[..bytes.len() - 1], &bytes[..10], b""] {
            std::fs::write(&file, damaged).unwrap();
            assert_eq!(work.stage("one", || Ok(vec![2.0_f32])).unwrap(), [2.0]);
        }
    }

    #[test]
    fn cleared_work_leaves_other_trainings_alone() {
        let folder = tempfile::tempdir().unwrap();
        for seed in [7, 8] {
            open(folder.path(), seed).stage("one", || Ok(vec![1.0_f32])).unwrap();
        }

        open(folder.path(), 7).clear();

        assert!(open(folder.path(), 7).stage("one", fails).is_err());
        assert!(open(folder.path(), 8).stage("one", fails).is_ok());
    }
}
