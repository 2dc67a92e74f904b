//! The router model in use, swapped in one step.
//!
//! A newer artifact is read, checked and tested whole while the older one goes on; a faulty one changes nothing but what
//! [`Live::fault`] says. Who took [`Live::current`] keeps that artifact to the end, so no request sees two.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::{
    Scorer,
    artifact::{Artifact, LoadError},
    folder::Folder,
    load::{Runtime, open, runtime},
    overlay::Overlay,
};
use crate::{
    config::RouterSettings,
    runtime::{Stop, Tasks, watch},
};

/// Hears of every change: the scorer in use after it, and what was wrong with the artifact that should have replaced it.
pub type OnChange = Box<dyn Fn(&dyn Scorer, Option<&LoadError>) + Send + Sync>;

/// What is in use and what is kept out: swapped together, so that nobody sees a new artifact with an old fault.
struct State {
    scorer: Arc<dyn Scorer>,
    fault: Option<String>,
}

/// The router model in use.
pub struct Live {
    folder: Folder,
    runtime: Runtime,
    sessions: usize,
    /// Where profiles that were fitted here are kept.
    profiles: PathBuf,
    state: ArcSwap<State>,
    /// Held while an artifact is read and swapped, so that an older one never replaces a newer one.
    changing: Mutex<()>,
    on_change: OnChange,
}

impl Live {
    /// Loads the configured artifact on the configured engine, with a session for each of `workers` threads, and lets it pass
    /// its self test. ONNX Runtime is looked for at the configured path, then in `<data_dir>/runtime`; with
    /// [`EngineChoice::Auto`](crate::config::EngineChoice::Auto) RTen takes over where it is missing or does not work.
    ///
    /// # Errors
    /// The artifact is not whole, or the engine that was asked for is not there.
    pub fn load(
        settings: &RouterSettings,
        data_dir: &Path,
        workers: usize,
        on_change: OnChange,
    ) -> Result<Arc<Self>, LoadError> {
        let folder = Folder::of(settings.path.as_deref());
        let artifact = Artifact::read(&folder)?;
        let runtime = runtime(settings, data_dir)?;
        let profiles = settings.profiles.clone();
        let router = open(artifact, &runtime, workers)?.with_overlay(Overlay::new(profiles.clone()));
        let scorer: Arc<dyn Scorer> = Arc::new(router);
        on_change(&*scorer, None);
        let state = ArcSwap::from_pointee(State { scorer, fault: None });
        let changing = Mutex::default();
        Ok(Arc::new(Self { folder, runtime, sessions: workers, profiles, state, changing, on_change }))
    }

    /// Returns the scorer as it is now. A request takes it once.
    pub fn current(&self) -> Arc<dyn Scorer> {
        Arc::clone(&self.state.load().scorer)
    }

    /// Returns what keeps the artifact in the folder out, if it is not the one in use.
    pub fn fault(&self) -> Option<String> {
        self.state.load().fault.clone()
    }

    /// Reads the folder again and swaps in what is there if it is whole and new; returns whether it was new.
    ///
    /// # Errors
    /// The artifact in the folder is not whole; the one in use stays.
    pub fn reload(&self) -> Result<bool, LoadError> {
        let _changing = self.changing.lock();
        let newer = self.newer();
        let fault = newer.as_ref().err().map(|error| with_causes(error));
        let scorer = newer.as_ref().ok().cloned().flatten().unwrap_or_else(|| self.current());
        self.state.store(Arc::new(State { scorer: Arc::clone(&scorer), fault }));
        if !matches!(newer, Ok(None)) {
            (self.on_change)(&*scorer, newer.as_ref().err());
        }
        newer.map(|newer| newer.is_some())
    }

    /// Returns what is in the folder, ready to score; `None` if it is in use already.
    fn newer(&self) -> Result<Option<Arc<dyn Scorer>>, LoadError> {
        let artifact = Artifact::read(&self.folder)?;
        if *artifact.checksum == *self.current().checksum() {
            return Ok(None);
        }
        let router = open(artifact, &self.runtime, self.sessions)?;
        Ok(Some(Arc::new(router.with_overlay(Overlay::new(self.profiles.clone())))))
    }

    /// Reads the artifact again whenever its folder changes or is replaced; an embedded one never does.
    ///
    /// # Errors
    /// The folder around it cannot be watched.
    pub fn watch(self: &Arc<Self>, tasks: &Tasks, stop: &Stop) -> Result<(), notify::Error> {
        let Folder::Disk(folder) = &self.folder else { return Ok(()) };
        let live = Arc::clone(self);
        // What is wrong is told through `on_change`.
        let read = move || drop(live.reload());
        watch(vec![around(folder), folder.clone()], read, (tasks, stop))
    }
}

fn around(folder: &Path) -> PathBuf {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

fn with_causes(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", with_causes(cause)),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        config::EngineChoice,
        scoring::{
            artifact::{MODEL_ONNX, PROFILES_JSON, ROUTER_YAML},
            folder::DEFAULT_ARTIFACT,
        },
    };

    /// A copy of the shipped artifact under another name.
    fn copy(to: &Path, name: &str) {
        let shipped = Folder::Embedded(DEFAULT_ARTIFACT);
        let yaml = String::from_utf8(shipped.read(ROUTER_YAML).unwrap().into_owned()).unwrap();
        let mut document: crate::scoring::artifact::RouterDocument = serde_saphyr::from_str(&yaml).unwrap();
        document.name = name.to_owned();
        std::fs::create_dir_all(to).unwrap();
        for file in document.sha256.keys() {
            std::fs::write(to.join(file), shipped.read(file).unwrap()).unwrap();
        }
        std::fs::write(to.join(ROUTER_YAML), serde_saphyr::to_string(&document).unwrap()).unwrap();
    }

    fn live(folder: &Path) -> Arc<Live> {
        let settings = RouterSettings {
            path: Some(folder.to_owned()),
            engine: EngineChoice::Rten,
            deadline: Duration::from_secs(1),
            onnxruntime: None,
            profiles: PathBuf::new(),
        };
        Live::load(&settings, folder, 1, Box::new(|_, _| {})).unwrap()
    }

    #[test]
    fn a_newer_artifact_is_swapped_in_and_who_holds_the_older_one_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        copy(folder.path(), "first-v1");
        let live = live(folder.path());
        let held = live.current();

        let same = live.reload().unwrap();
        copy(folder.path(), "second-v1");
        let newer = live.reload().unwrap();

        assert!(!same && newer);
        assert_eq!((held.artifact(), live.current().artifact()), ("first-v1", "second-v1"));
        assert_ne!(held.checksum(), live.current().checksum());
    }

    #[test]
    fn a_faulty_artifact_changes_nothing_but_the_fault() {
        let folder = tempfile::tempdir().unwrap();
        copy(folder.path(), "first-v1");
        let live = live(folder.path());

        for (file, bytes) in
            [(MODEL_ONNX, &b"half"[..]), (PROFILES_JSON, b"{"), (ROUTER_YAML, b"\xff\x00"), (ROUTER_YAML, b"")]
        {
            copy(folder.path(), "second-v1");
            std::fs::write(folder.path().join(file), bytes).unwrap();

            live.reload().unwrap_err();

            assert_eq!(live.current().artifact(), "first-v1");
            assert!(live.fault().unwrap().contains(file), "{:?}", live.fault());
        }
        copy(folder.path(), "second-v1");
        assert!(live.reload().unwrap());
        assert_eq!(live.fault(), None);
    }
}
