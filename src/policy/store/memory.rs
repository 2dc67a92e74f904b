//! Policies in memory: the embedded ones, and tests.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::{Change, Expected, Loaded, PolicyStore, StoreError, Version, check_expected};
use crate::{config::Source, domain::PolicyName, runtime::SharedClock};

/// Keeps policies as long as the program runs.
pub struct MemoryStore {
    clock: SharedClock,
    policies: Mutex<BTreeMap<PolicyName, Vec<(Version, String)>>>,
}

impl MemoryStore {
    /// Returns a store that holds these texts as version 1.
    pub fn new(clock: SharedClock, texts: impl IntoIterator<Item = (PolicyName, String)>) -> Self {
        let first = Version {
            version: 1,
            author: "pointsman".to_owned(),
            at: clock.now(),
            note: "came with the program".to_owned(),
        };
        let policies = texts.into_iter().map(|(name, text)| (name, vec![(first.clone(), text)])).collect();
        Self { clock, policies: Mutex::new(policies) }
    }
}

impl PolicyStore for MemoryStore {
    fn load(&self) -> Result<Vec<Loaded>, StoreError> {
        let policies = self.policies.lock();
        let newest = policies.iter().filter_map(|(name, versions)| Some((name, versions.last()?)));
        let loaded = |(name, (version, text)): (&PolicyName, &(Version, String))| Loaded {
            name: name.clone(),
            source: Source { name: format!("memory:{name}.yaml"), text: text.clone() },
            version: version.version,
            is_edited: false,
        };
        Ok(newest.map(loaded).collect())
    }

    fn save(&self, name: &PolicyName, text: &str, expected: Expected, change: Change) -> Result<Version, StoreError> {
        let mut policies = self.policies.lock();
        let current = policies.get(name).and_then(|versions| versions.last());
        let current = current.map(|(version, text)| (version.version, text.clone()));
        let newest = current.as_ref().map_or(0, |(version, _)| *version);
        check_expected(name, expected, current, text)?;
        let version = Version { version: newest + 1, author: change.author, at: self.clock.now(), note: change.note };
        policies.entry(name.clone()).or_default().push((version.clone(), text.to_owned()));
        Ok(version)
    }

    fn history(&self, name: &PolicyName) -> Result<Vec<Version>, StoreError> {
        let policies = self.policies.lock();
        let versions = policies.get(name).ok_or_else(|| StoreError::UnknownPolicy(name.clone()))?;
        Ok(versions.iter().rev().map(|(version, _)| version.clone()).collect())
    }

    fn read(&self, name: &PolicyName, version: u64) -> Result<String, StoreError> {
        let policies = self.policies.lock();
        let versions = policies.get(name).ok_or_else(|| StoreError::UnknownPolicy(name.clone()))?;
        let found = versions.iter().find(|(known, _)| known.version == version).map(|(_, text)| text.clone());
        found.ok_or_else(|| StoreError::UnknownVersion { name: name.clone(), version })
    }
}
