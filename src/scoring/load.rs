//! From settings to a scorer.

use std::{path::Path, sync::Arc};

use super::{
    Engine, Scorer,
    artifact::{Artifact, LoadError},
    folder::Folder,
    overlay::Overlay,
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
    let folder = Folder::of(settings.path.as_deref());
    let artifact = Artifact::read(&folder)?;
    let runtime = runtime(settings, data_dir)?;
    let overlay = Overlay::new(settings.profiles.clone());
    Ok(Arc::new(open(artifact, &runtime, workers)?.with_overlay(overlay)))
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
        Err(error @ SessionError::NoLibrary { .. }) if settings.engine == EngineChoice::Auto => {
            tracing::info!(error = %error, "router runs on RTen");
            Ok(Runtime::Rten)
        }
        Err(error) if settings.engine == EngineChoice::Auto => {
            tracing::warn!(error = %error, "ONNX Runtime does not work, router runs on RTen");
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

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, time::Duration};

    use prost::Message;

    use super::*;
    use crate::scoring::folder::DEFAULT_ARTIFACT;
    use crate::{
        domain::{PromptView, ScoresUnavailable, Tokens},
        scoring::{Outputs, onnx},
    };

    fn artifact() -> Artifact {
        Artifact::read(&Folder::Embedded(DEFAULT_ARTIFACT)).unwrap()
    }

    /// Where `pointsman runtime install` puts the library unless it is told otherwise.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test looks for an installed library; the program reads this in config"
    )]
    fn installed() -> Library {
        let home = PathBuf::from(std::env::var("HOME").unwrap());
        let data_dir = home.join(".local/share/pointsman");
        let path =
            find_library(None, &data_dir).expect("this test needs ONNX Runtime: run `pointsman runtime install`");
        load_library(&path).unwrap()
    }

    /// What every engine must do: reproduce the golden file, take one token and the longest prompt, refuse other graphs.
    fn contract(runtime: &Runtime) {
        let artifact = artifact();
        let mut session = runtime.sessions(&artifact.onnx, 1).unwrap().remove(0);

        artifact.self_test(|ids| session.run(ids)).unwrap();

        for ids in [vec![0], vec![5; 512]] {
            let outputs = session.run(&ids).unwrap();
            let norm: f32 = outputs.embedding.iter().map(|value| value * value).sum();
            assert!((norm - 1.0).abs() < 1e-4, "embeddings have length 1, this one {norm}");
        }
        assert!(runtime.sessions(b"not a graph", 1).is_err());
        assert!(matches!(runtime.sessions(&without_latent(&artifact), 1), Err(SessionError::MissingNode("latent"))));
    }

    fn without_latent(artifact: &Artifact) -> Vec<u8> {
        let mut model = onnx::check(&artifact.onnx).unwrap();
        let graph = model.graph.as_mut().unwrap();
        graph.output.retain(|output| output.name != "latent");
        graph.node.retain(|node| !node.output.contains(&"latent".to_owned()));
        model.encode_to_vec()
    }

    #[test]
    fn rten_keeps_the_contract() {
        contract(&Runtime::Rten);
    }

    #[test]
    fn onnx_runtime_keeps_the_contract() {
        contract(&Runtime::OnnxRuntime(installed()));
    }

    #[test]
    fn a_graph_that_gives_other_numbers_fails_its_self_test() {
        let artifact = artifact();
        let widths = artifact.document.outputs;
        let zeros = |_: &[u32]| {
            Ok(Outputs {
                embedding: vec![0.0; widths.embedding],
                latent: vec![0.0; widths.latent],
                output_tokens: vec![0.0; 2],
            })
        };
        let short = |_: &[u32]| Ok(Outputs { embedding: vec![], latent: vec![], output_tokens: vec![] });

        assert!(matches!(artifact.self_test(zeros), Err(LoadError::SelfTest { line: 1, .. })));
        assert!(matches!(artifact.self_test(short), Err(LoadError::SelfTest { line: 1, .. })));
    }

    fn prompt(text: &str) -> PromptView {
        PromptView { text: text.into(), input_tokens: Tokens::estimate(text.len()), turns: 1 }
    }

    #[tokio::test]
    async fn prompts_of_any_kind_and_size_are_scored() {
        let router = open(artifact(), &Runtime::Rten, 2).unwrap();

        for text in ["", "What is 2+2?", "\u{0}\u{1}\u{fffd}", "日本語の質問です", &"x".repeat(10_000_000)] {
            let scores = router.score(&prompt(text), Duration::from_secs(10)).await.unwrap();

            assert!(scores.quality.values().all(|quality| (0.0..=1.0).contains(&quality.mean.value())));
            assert!(scores.length.median <= scores.length.upper && scores.length.median >= 1.0);
            assert!(scores.quality.contains_key("gpt-4o-2024-05-13"));
        }
    }

    #[tokio::test]
    async fn scores_that_come_after_the_deadline_are_late() {
        let router = open(artifact(), &Runtime::Rten, 1).unwrap();

        let outcome = router.score(&prompt("What is 2+2?"), Duration::ZERO).await;

        assert_eq!(outcome.unwrap_err(), ScoresUnavailable::Late);
    }

    struct Panics;

    impl Session for Panics {
        fn run(&mut self, _ids: &[u32]) -> Result<Outputs, SessionError> {
            panic!("as an engine might")
        }
    }

    #[tokio::test]
    async fn a_panic_in_an_engine_is_a_failure_and_not_the_end() {
        let router = Router::new(artifact(), Engine::Rten, vec![Box::new(Panics)]);

        for _ in 0..2 {
            let outcome = router.score(&prompt("What is 2+2?"), Duration::from_secs(1)).await;

            assert_eq!(outcome.unwrap_err(), ScoresUnavailable::Failed);
        }
    }

    fn settings(engine: EngineChoice) -> RouterSettings {
        RouterSettings {
            path: None,
            engine,
            deadline: Duration::from_millis(5),
            onnxruntime: None,
            profiles: PathBuf::new(),
        }
    }

    #[test]
    fn without_a_library_auto_runs_on_rten_and_onnx_runtime_does_not_start() {
        let empty = tempfile::tempdir().unwrap();

        let auto = load(&settings(EngineChoice::Auto), empty.path(), 1).unwrap();
        let strict = load(&settings(EngineChoice::OnnxRuntime), empty.path(), 1);

        assert_eq!(auto.engine(), Engine::Rten);
        assert!(matches!(strict, Err(LoadError::Engine(SessionError::NoLibrary { .. }))));
    }
}
