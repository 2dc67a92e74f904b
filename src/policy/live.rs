//! The policies in use: read, checked, swapped in one step.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;

use super::{
    Catalogue, Change, Expected, FileStore, Loaded, MemoryStore, Policy, PolicySet, PolicyStore, StoreError, Version,
    compile,
};
use crate::{
    config::{Config, Fault, Faults, Source, embedded},
    domain::PolicyName,
    error::Code,
    runtime::SharedClock,
};

/// Why a policy was not changed.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It does not compile.
    #[error("{0}")]
    Faults(Faults),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PolicyError {
    /// Returns what went wrong, in one word.
    pub const fn code(&self) -> Code {
        match self {
            Self::Faults(_) => Code::InvalidRequest,
            Self::Store(error) => error.code(),
        }
    }
}

/// One policy in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyStatus {
    /// Its name.
    pub name: PolicyName,
    /// The version in use.
    pub version: u64,
    /// What it is for.
    pub description: String,
    /// What admins should know, for instance candidates that are asleep.
    pub notes: Vec<String>,
}

/// The policies in use, and what keeps newer ones out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// When the policies were last read.
    pub loaded_at: Timestamp,
    /// What is wrong with what was read then; the policies concerned are in use as they were before.
    pub faults: Vec<Fault>,
    /// The policies in use, by name.
    pub policies: Vec<PolicyStatus>,
}

/// Called with the number of faults after every reload that had some.
pub type OnFault = Box<dyn Fn(usize) + Send + Sync>;

/// The policies in use.
pub struct Policies {
    store: Box<dyn PolicyStore>,
    catalogue: Catalogue,
    clock: SharedClock,
    current: ArcSwap<PolicySet>,
    faults: Mutex<(Timestamp, Vec<Fault>)>,
    /// Text and version of each policy whose newest version the store could not keep.
    unsaved: Mutex<BTreeMap<PolicyName, (String, u64)>>,
    /// Held while policies are read and swapped, so that an older reading never replaces a newer one.
    changing: Mutex<()>,
    on_fault: OnFault,
}

impl Policies {
    /// Opens the policies of a configuration: its folder, or the embedded ones in memory.
    ///
    /// # Errors
    /// They cannot be read, or one does not compile.
    pub fn of(config: &Config, clock: SharedClock, on_fault: OnFault) -> Result<Self, PolicyError> {
        let catalogue = Catalogue::of(config);
        let store = store_of(config, &catalogue, Arc::clone(&clock));
        Self::open(store, catalogue, clock, on_fault)
    }

    /// Opens the policies of a store.
    ///
    /// # Errors
    /// They cannot be read, or one does not compile.
    pub fn open(
        store: Box<dyn PolicyStore>,
        catalogue: Catalogue,
        clock: SharedClock,
        on_fault: OnFault,
    ) -> Result<Self, PolicyError> {
        let faults = Mutex::new((clock.now(), Vec::new()));
        let current = ArcSwap::from_pointee(PolicySet::default());
        let (unsaved, changing) = (Mutex::default(), Mutex::default());
        let policies = Self { store, catalogue, clock, current, faults, unsaved, changing, on_fault };
        policies.reload()?;
        Ok(policies)
    }

    /// Returns the policies as they are now. A request takes them once.
    pub fn current(&self) -> Arc<PolicySet> {
        self.current.load_full()
    }

    /// Reads the policies again. What compiles is swapped in; what does not stays as it was.
    ///
    /// # Errors
    /// The policies cannot be read, or some do not compile; the same is kept for [`Policies::status`].
    pub fn reload(&self) -> Result<(), PolicyError> {
        let _changing = self.changing.lock();
        self.reload_held()
    }

    /// Checks a policy, saves it as a new version and swaps it in.
    ///
    /// # Errors
    /// It does not compile, the current version is not the expected one, or it cannot be written.
    pub fn save(
        &self,
        name: &PolicyName,
        text: &str,
        expected: Expected,
        change: Change,
    ) -> Result<Version, PolicyError> {
        let _changing = self.changing.lock();
        self.check(name, text)?;
        let version = self.store.save(name, text, expected, change)?;
        self.swap_in_saved();
        Ok(version)
    }

    /// Saves the text of an earlier version as a new one and swaps it in.
    ///
    /// # Errors
    /// There is no such version, it does not compile any more, or as for [`Policies::save`].
    pub fn rollback(
        &self,
        name: &PolicyName,
        version: u64,
        expected: Expected,
        change: Change,
    ) -> Result<Version, PolicyError> {
        let _changing = self.changing.lock();
        self.check(name, &self.store.read(name, version)?)?;
        let version = self.store.rollback(name, version, expected, change)?;
        self.swap_in_saved();
        Ok(version)
    }

    /// Checks a text as this policy, without saving it.
    ///
    /// # Errors
    /// It does not compile.
    pub fn check(&self, name: &PolicyName, text: &str) -> Result<Policy, PolicyError> {
        let source = Source { name: format!("{name}.yaml"), text: text.to_owned() };
        compile(&source, (name.clone(), 0), &self.catalogue).map_err(PolicyError::Faults)
    }

    /// Returns every version of a policy, newest first.
    ///
    /// # Errors
    /// There is no such policy, or its history cannot be read.
    pub fn history(&self, name: &PolicyName) -> Result<Vec<Version>, StoreError> {
        self.store.history(name)
    }

    /// Returns the text of a version.
    ///
    /// # Errors
    /// There is no such version, or it cannot be read.
    pub fn read(&self, name: &PolicyName, version: u64) -> Result<String, StoreError> {
        self.store.read(name, version)
    }

    /// Returns the text of a policy as it is in the store, also one that is not in use because of its faults, and its version.
    ///
    /// # Errors
    /// There is no such policy, or it cannot be read.
    pub fn text(&self, name: &PolicyName) -> Result<(String, u64), StoreError> {
        let found = self.store.load()?.into_iter().find(|loaded| loaded.name == *name);
        let loaded = found.ok_or_else(|| StoreError::UnknownPolicy(name.clone()))?;
        Ok((loaded.source.text, loaded.version))
    }

    /// Returns what is in use and what is wrong.
    pub fn status(&self) -> Status {
        let (loaded_at, faults) = self.faults.lock().clone();
        let status = |policy: &Arc<Policy>| PolicyStatus {
            name: policy.name.clone(),
            version: policy.version,
            description: policy.description.clone(),
            notes: policy.notes.clone(),
        };
        Status { loaded_at, faults, policies: self.current().policies.values().map(status).collect() }
    }

    /// Faults of other policies are no failure of this save; they are in the status.
    fn swap_in_saved(&self) {
        if let Err(error) = self.reload_held() {
            tracing::warn!(error = &error as &dyn std::error::Error, "not every policy could be read after a save");
        }
    }

    fn reload_held(&self) -> Result<(), PolicyError> {
        let read = self.store.load();
        let (set, faults) = match &read {
            Ok(loaded) => self.compiled(loaded),
            Err(error) => (None, vec![Fault::of_file("policies", with_causes(error))]),
        };
        if let Some(set) = set {
            self.current.store(Arc::new(set));
        }
        *self.faults.lock() = (self.clock.now(), faults.clone());
        if !faults.is_empty() {
            (self.on_fault)(faults.len());
        }
        read?;
        Faults(faults).or(()).map_err(PolicyError::Faults)
    }

    /// Returns the next set of policies and what is wrong.
    fn compiled(&self, loaded: &[Loaded]) -> (Option<PolicySet>, Vec<Fault>) {
        let before = self.current();
        let (mut policies, mut faults) = (BTreeMap::new(), Vec::new());
        for one in loaded {
            let policy = match self.one(one) {
                Ok(policy) => Some(Arc::new(heir(policy, before.policies.get(&one.name)))),
                Err(found) => {
                    faults.extend(found.0);
                    before.policies.get(&one.name).cloned()
                }
            };
            policies.extend(policy.map(|policy| (one.name.clone(), policy)));
        }
        for name in self.catalogue.needed() {
            if policies.contains_key(name) || loaded.iter().any(|one| one.name == *name) {
                continue;
            }
            let message = format!("the configuration refers to the policy {name}, which is gone");
            faults.push(Fault::of_file(format!("{name}.yaml"), message));
            policies.extend(before.policies.get(name).map(|policy| (name.clone(), Arc::clone(policy))));
        }
        (Some(PolicySet { policies }), faults)
    }

    /// Compiles one policy; one edited by hand becomes a version.
    fn one(&self, loaded: &Loaded) -> Result<Policy, Faults> {
        let mut policy = compile(&loaded.source, (loaded.name.clone(), loaded.version), &self.catalogue)?;
        if loaded.is_edited {
            let change = Change { author: "file".to_owned(), note: "edited by hand".to_owned() };
            match self.store.save(&loaded.name, &loaded.source.text, Expected::Any, change) {
                Ok(version) => policy.version = version.version,
                // A folder that cannot be written is a fine place for policies; they only have no history then.
                Err(error) => {
                    policy.version = self.unsaved_version(loaded);
                    policy.notes.push(format!("this version is not in the history: {}", with_causes(&error)));
                }
            }
        }
        Ok(policy)
    }

    /// Counts versions that the store cannot: another text never gets a number that was in use, or the cache would answer with
    /// what an earlier text chose.
    fn unsaved_version(&self, loaded: &Loaded) -> u64 {
        let mut unsaved = self.unsaved.lock();
        let newest = unsaved.get(&loaded.name);
        if let Some((_, version)) = newest.filter(|(text, _)| *text == loaded.source.text) {
            return *version;
        }
        let version = newest.map_or(0, |(_, version)| *version).max(loaded.version) + 1;
        unsaved.insert(loaded.name.clone(), (loaded.source.text.clone(), version));
        version
    }
}

/// Returns a policy that goes on with what its predecessor found in recent traffic, if it is the same text.
fn heir(policy: Policy, before: Option<&Arc<Policy>>) -> Policy {
    match before {
        Some(before) if before.version == policy.version => {
            Policy { calibration: Arc::clone(&before.calibration), ..policy }
        }
        _ => policy,
    }
}

/// Returns the store that a configuration asks for. Of the embedded policies those that name models which are not configured
/// are left out, but never one that the configuration refers to.
pub(super) fn store_of(config: &Config, catalogue: &Catalogue, clock: SharedClock) -> Box<dyn PolicyStore> {
    if let Some(folder) = &config.policies_dir {
        return Box::new(FileStore::new(folder.clone(), clock));
    }
    let named =
        embedded::policies().into_iter().filter_map(|(name, text)| Some((PolicyName::parse(&name).ok()?, text)));
    let fits = |(name, text): &(PolicyName, String)| {
        let source = Source { name: name.to_string(), text: text.clone() };
        catalogue.needed().contains(name) || compile(&source, (name.clone(), 1), catalogue).is_ok()
    };
    Box::new(MemoryStore::new(clock, named.filter(fits)))
}

fn with_causes(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", with_causes(cause)),
        None => error.to_string(),
    }
}
