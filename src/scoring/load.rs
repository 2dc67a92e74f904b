//! From settings to a scorer.

use std::{path::Path, sync::Arc};

use super::{
    Engine, Scorer,
    artifact::{Artifact, LoadError},
    folder::{DEFAULT_ARTIFACT, Folder},
    router::Router,
    session::{Session, SessionError},
    session_onnx::{Library, OnnxSession, find_library, load_library},
    session_rten::{RtenGraph, RtenSession},
};
use crate::config::{EngineChoice, RouterSettings};

/// Loads the configured artifact on the configured engine, with a session for each of `workers` threads, and lets it pass
/// its self test. ONNX Runtime is looked for at the configured path, then in `<data_dir>/runtime`; with
/// [`EngineChoice::Auto`] RTen takes over where it is missing or does not work.
///
/// # Errors
/// The artifact is not whole, or the engine that was asked for is not there.
pub fn load(settings: &RouterSettings, data_dir: &Path, workers: usize) -> Result<Arc<dyn Scorer>, LoadError> {
    let folder = settings.path.clone().map_or(Folder::Embedded(DEFAULT_ARTIFACT), Folder::Disk);
    let artifact = Artifact::read(&folder)?;
    let runtime = runtime(settings, data_dir)?;
    Ok(Arc::new(open(artifact, &runtime, workers)?))
}

/// A loaded engine.
#[derive(Clone, Debug)]
pub enum Runtime {
    /// ONNX Runtime and its library.
    OnnxRuntime(Library),
    /// RTen.
    Rten,
}

impl Runtime {
    /// Returns which engine it is.
    pub fn engine(&self) -> Engine {
        match self {
            Self::OnnxRuntime(_) => Engine::OnnxRuntime,
            Self::Rten => Engine::Rten,
        }
    }

    /// Opens `count` sessions.
    ///
    /// # Errors
    /// The engine refuses the graph.
    pub fn sessions(&self, onnx: &[u8], count: usize) -> Result<Vec<Box<dyn Session>>, SessionError> {
        let mut sessions: Vec<Box<dyn Session>> = Vec::with_capacity(count);
        match self {
            Self::OnnxRuntime(library) => {
                for _ in 0..count {
                    sessions.push(Box::new(OnnxSession::load(library, onnx)?));
                }
            }
            Self::Rten => {
                let graph = RtenGraph::load(onnx.to_vec())?;
                for _ in 0..count {
                    sessions.push(Box::new(RtenSession::new(Arc::clone(&graph))));
                }
            }
        }
        Ok(sessions)
    }
}

fn runtime(settings: &RouterSettings, data_dir: &Path) -> Result<Runtime, LoadError> {
    if settings.engine == EngineChoice::Rten {
        return Ok(Runtime::Rten);
    }
    let library = find_library(settings.onnxruntime.as_deref(), data_dir).and_then(|path| load_library(&path));
    match library {
        Ok(library) => Ok(Runtime::OnnxRuntime(library)),
        Err(error) if settings.engine == EngineChoice::Auto => {
            tracing::info!(error = %error, "router runs on RTen");
            Ok(Runtime::Rten)
        }
        Err(error) => Err(LoadError::Engine(error)),
    }
}

/// Opens the sessions, at least one, and runs the self test.
///
/// # Errors
/// The engine refuses the graph, or the self test fails.
pub fn open(artifact: Artifact, runtime: &Runtime, workers: usize) -> Result<Router, LoadError> {
    let refused = |source| LoadError::Session { folder: artifact.folder(), source };
    let mut pool = runtime.sessions(&artifact.onnx, workers.max(1)).map_err(refused)?;
    if let Some(first) = pool.first_mut() {
        artifact.self_test(|ids| first.run(ids))?;
    }
    Ok(Router::new(artifact, runtime.engine(), pool))
}
