//! Policies as files, with their history beside them.
//!
//! ```text
//! policies/cheap.yaml                  what people edit
//! policies/.history/cheap/3.yaml       the text of version 3
//! policies/.history/cheap/log.jsonl    one line per version: number, author, time, note
//! ```
//!
//! A save writes the version, then its line in the log, then the file itself, each made durable before the next. What is cut
//! short leaves the file as it was. A file that differs from its newest version was edited by hand.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use parking_lot::Mutex;

use super::{Change, Expected, Loaded, PolicyStore, StoreError, Version, check_expected};
use crate::{
    config::{Source, load::policy_name},
    domain::PolicyName,
    runtime::SharedClock,
};

const HISTORY: &str = ".history";
const LOG: &str = "log.jsonl";

/// Keeps policies in a folder.
pub struct FileStore {
    folder: PathBuf,
    clock: SharedClock,
    /// Held while a version is written, so that numbers are given once.
    writing: Mutex<()>,
}

impl FileStore {
    /// Returns a store over a folder; the folder is made at the first save.
    pub fn new(folder: PathBuf, clock: SharedClock) -> Self {
        Self { folder, clock, writing: Mutex::new(()) }
    }

    fn file(&self, name: &PolicyName) -> Result<PathBuf, StoreError> {
        let text = name.as_str();
        let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if !is_plain || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(StoreError::BadName(name.clone()));
        }
        Ok(self.folder.join(format!("{text}.yaml")))
    }

    fn history_folder(&self, name: &PolicyName) -> PathBuf {
        self.folder.join(HISTORY).join(name.as_str())
    }

    /// Returns the versions, oldest first. A last line that was cut short is passed over.
    fn versions(&self, name: &PolicyName) -> Result<Vec<Version>, StoreError> {
        let path = self.history_folder(name).join(LOG);
        let log = read_if_there(&path)?.unwrap_or_default();
        Ok(log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    fn loaded(&self, name: PolicyName, path: &Path) -> Result<Option<Loaded>, StoreError> {
        let Some(text) = read_if_there(path)? else { return Ok(None) };
        let version = self.versions(&name)?.last().map_or(0, |version| version.version);
        let recorded = read_if_there(&self.history_folder(&name).join(format!("{version}.yaml")))?;
        let is_edited = recorded.as_ref() != Some(&text);
        let source = Source { name: path.display().to_string(), text };
        Ok(Some(Loaded { name, source, version, is_edited }))
    }

    /// Makes a version of what somebody wrote into the file, so that no save ever loses it.
    fn adopt_hand_edit(&self, name: &PolicyName, path: &Path) -> Result<Option<Version>, StoreError> {
        let Some(loaded) = self.loaded(name.clone(), path)?.filter(|loaded| loaded.is_edited) else { return Ok(None) };
        let version = Version {
            version: loaded.version + 1,
            author: "file".to_owned(),
            at: self.clock.now(),
            note: "edited by hand".to_owned(),
        };
        self.record(name, &version, &loaded.source.text)?;
        Ok(Some(version))
    }

    fn record(&self, name: &PolicyName, version: &Version, text: &str) -> Result<(), StoreError> {
        let folder = self.history_folder(name);
        fs::create_dir_all(&folder).map_err(at(&folder))?;
        replace(&folder.join(format!("{}.yaml", version.version)), text)?;
        let log = folder.join(LOG);
        let line = serde_json::to_string(version).map_err(std::io::Error::other).map_err(at(&log))?;
        let mut file = OpenOptions::new().create(true).append(true).open(&log).map_err(at(&log))?;
        // The line starts on its own even after one that was cut short; empty lines mean nothing.
        file.write_all(format!("\n{line}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(at(&log))
    }
}

impl PolicyStore for FileStore {
    fn load(&self) -> Result<Vec<Loaded>, StoreError> {
        let entries = fs::read_dir(&self.folder).map_err(at(&self.folder))?;
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(at(&self.folder))?.path();
            let Some(Ok(name)) = policy_name(&path).map(|name| PolicyName::parse(&name)) else { continue };
            found.extend(self.loaded(name, &path)?);
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    fn save(&self, name: &PolicyName, text: &str, expected: Expected, change: Change) -> Result<Version, StoreError> {
        let path = self.file(name)?;
        let _writing = self.writing.lock();
        let adopted = self.adopt_hand_edit(name, &path)?;
        let newest = self.versions(name)?.last().map_or(0, |version| version.version);
        let current = read_if_there(&path)?.map(|text| (newest, text));
        let is_same = current.as_ref().is_some_and(|(_, current)| current == text);
        check_expected(name, expected, current, text)?;
        if let Some(version) = adopted.filter(|_| is_same) {
            return Ok(version);
        }
        let version = Version { version: newest + 1, author: change.author, at: self.clock.now(), note: change.note };
        self.record(name, &version, text)?;
        replace(&path, text)?;
        Ok(version)
    }

    fn history(&self, name: &PolicyName) -> Result<Vec<Version>, StoreError> {
        self.file(name)?;
        let mut versions = self.versions(name)?;
        if versions.is_empty() {
            return Err(StoreError::UnknownPolicy(name.clone()));
        }
        versions.reverse();
        Ok(versions)
    }

    fn read(&self, name: &PolicyName, version: u64) -> Result<String, StoreError> {
        let known = self.history(name)?.iter().any(|known| known.version == version);
        let path = self.history_folder(name).join(format!("{version}.yaml"));
        let text = if known { read_if_there(&path)? } else { None };
        text.ok_or_else(|| StoreError::UnknownVersion { name: name.clone(), version })
    }
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.to_owned();
    |source| StoreError::Io { path, source }
}

fn read_if_there(path: &Path) -> Result<Option<String>, StoreError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

/// Replaces a file in one step: readers see the old text or the new one, also after a power cut.
fn replace(path: &Path, text: &str) -> Result<(), StoreError> {
    let written = path.with_extension("yaml.new");
    let write = || {
        let mut file = File::create(&written)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&written, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().map_err(at(path))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{policy::store::contract, runtime::SystemClock};

    fn store(folder: &Path) -> FileStore {
        FileStore::new(folder.to_owned(), Arc::new(SystemClock::default()))
    }

    fn change() -> Change {
        Change { author: "ada".to_owned(), note: String::new() }
    }

    #[test]
    fn the_file_store_keeps_the_contract() {
        contract::holds(|clock| {
            let folder = tempfile::tempdir().unwrap();
            let store = FileStore::new(folder.path().to_owned(), clock);
            (store, folder)
        });
    }

    #[test]
    fn a_file_edited_by_hand_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let name = PolicyName::parse("cheap").unwrap();
        store(folder.path()).save(&name, "one", Expected::Absent, change()).unwrap();

        fs::write(folder.path().join("cheap.yaml"), "two").unwrap();
        fs::write(folder.path().join("new.yaml"), "three").unwrap();
        fs::write(folder.path().join("cheap.yaml.swp"), "not a policy").unwrap();

        let loaded = store(folder.path()).load().unwrap();
        let seen: Vec<_> = loaded.iter().map(|one| (one.name.as_str(), one.version, one.is_edited)).collect();
        assert_eq!(seen, [("cheap", 1, true), ("new", 0, true)]);
    }

    #[test]
    fn a_save_never_loses_what_was_edited_by_hand() {
        let folder = tempfile::tempdir().unwrap();
        let name = PolicyName::parse("cheap").unwrap();
        let store = store(folder.path());
        store.save(&name, "one", Expected::Absent, change()).unwrap();
        fs::write(folder.path().join("cheap.yaml"), "two").unwrap();

        let refused = store.save(&name, "three", Expected::Version(1), change());

        assert!(matches!(refused, Err(StoreError::Conflict(conflict)) if conflict.version == 2));
        assert_eq!(store.read(&name, 2).unwrap(), "two");
    }

    #[test]
    fn numbers_go_on_after_a_restart_and_after_the_file_was_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let name = PolicyName::parse("cheap").unwrap();
        store(folder.path()).save(&name, "one", Expected::Any, change()).unwrap();
        fs::remove_file(folder.path().join("cheap.yaml")).unwrap();

        let version = store(folder.path()).save(&name, "two", Expected::Absent, change()).unwrap();

        assert_eq!(version.version, 2);
    }

    #[test]
    fn a_log_line_that_was_cut_short_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let name = PolicyName::parse("cheap").unwrap();
        store(folder.path()).save(&name, "one", Expected::Any, change()).unwrap();
        let log = folder.path().join(".history/cheap/log.jsonl");
        OpenOptions::new().append(true).open(log).unwrap().write_all(b"{\"version\":2,\"auth").unwrap();

        let version = store(folder.path()).save(&name, "two", Expected::Version(1), change()).unwrap();

        assert_eq!(version.version, 2);
        assert_eq!(store(folder.path()).history(&name).unwrap().len(), 2);
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        let folder = tempfile::tempdir().unwrap();

        for bad in ["../x", ".hidden", "a/b"] {
            let name = PolicyName::parse(bad).unwrap();
            let refused = store(folder.path()).save(&name, "x", Expected::Any, change());
            assert!(matches!(refused, Err(StoreError::BadName(_))), "{bad}");
        }
    }
}
