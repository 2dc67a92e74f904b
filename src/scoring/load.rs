//! From settings to an engine, from an artifact and an engine to a scorer.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Engine,
    artifact::{Artifact, LoadError},
    router::Router,
    session::{Session, SessionError},
    session_onnx::{Library, OnnxSession, find_library, load_library},
    session_rten::{RtenGraph, RtenSession},
};
use crate::config::{EngineChoice, RouterSettings};

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

/// Returns the configured engine; ONNX Runtime's library is looked for at the configured path, then in `<data_dir>/runtime`.
///
/// # Errors
/// The engine that was asked for is not there.
pub fn runtime(settings: &RouterSettings, data_dir: &Path) -> Result<Runtime, LoadError> {
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

/// A pass of the longest golden prompt beyond this is too long for a thread that serves connections.
const HEAVY: Duration = Duration::from_millis(1);

/// Opens the sessions, at least one, and runs the self test. A heavy graph gets threads of its own.
///
/// # Errors
/// The engine refuses the graph, or the self test fails.
pub fn open(artifact: Artifact, runtime: &Runtime, workers: usize) -> Result<Router, LoadError> {
    let refused = |source| LoadError::Session { folder: artifact.folder(), source };
    let mut sessions = runtime.sessions(&artifact.onnx, workers.max(1)).map_err(refused)?;
    let Some(first) = sessions.first_mut() else { return Ok(Router::new(artifact, runtime.engine(), sessions)) };
    artifact.self_test(|ids| first.run(ids))?;
    let is_heavy = pass(&artifact, &mut **first).map_err(refused)? > HEAVY;
    let router = if is_heavy { Router::queued } else { Router::new };
    Ok(router(artifact, runtime.engine(), sessions))
}

/// Returns how long a pass takes at best: the first ones also allocate, and the machine may be busy.
fn pass(artifact: &Artifact, session: &mut dyn Session) -> Result<Duration, SessionError> {
    const TRIES: usize = 5;
    let longest = artifact.golden.iter().max_by_key(|line| line.ids.len());
    let ids = longest.map_or(&[][..], |line| &line.ids);
    let mut best = Duration::MAX;
    for _ in 0..TRIES {
        let start = Instant::now();
        session.run(ids)?;
        best = best.min(start.elapsed());
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, path::PathBuf};

    use proptest::{prop_assert, test_runner::TestRunner};
    use prost::Message;

    use super::*;
    use crate::{
        config::Environment,
        domain::{PromptView, ScoresUnavailable, Tokens},
        scoring::{
            Outputs, Scorer,
            folder::{DEFAULT_ARTIFACT, Folder},
            languages::QUESTIONS,
            onnx,
        },
    };

    fn artifact() -> Artifact {
        Artifact::read(&Folder::Embedded(DEFAULT_ARTIFACT)).unwrap()
    }

    /// Where `pointsman runtime install` puts the library.
    fn installed() -> Library {
        let data_dir = Environment::System.data_dir();
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
        batches_change_nothing(&artifact, &mut *session);
        assert!(runtime.sessions(b"not a graph", 1).is_err());
        assert!(runtime.sessions(&artifact.onnx[..artifact.onnx.len() / 2], 1).is_err());
        assert!(matches!(runtime.sessions(&without_latent(&artifact), 1), Err(SessionError::MissingNode("latent"))));
    }

    /// Whatever stands beside a prompt in a batch, its outputs are its own.
    fn batches_change_nothing(artifact: &Artifact, session: &mut dyn Session) {
        let most = u32::try_from(artifact.tokens.count()).unwrap();
        let prompts = proptest::collection::vec(proptest::collection::vec(0..most, 1..60), 1..6);
        let mut runner = TestRunner::new(proptest::test_runner::Config::with_cases(40));
        let session = RefCell::new(session);
        let law = |prompts: Vec<Vec<u32>>| {
            let mut session = session.borrow_mut();
            let rows: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
            let together = session.run_batch(&rows).unwrap();
            for (ids, in_batch) in rows.iter().zip(together) {
                let alone = session.run(ids).unwrap();
                prop_assert!(largest_difference(&alone, &in_batch) < artifact.document.tolerance);
            }
            Ok(())
        };
        runner.run(&prompts, law).unwrap();
    }

    fn largest_difference(one: &Outputs, other: &Outputs) -> f32 {
        let rows = |outputs: &Outputs| [&outputs.embedding[..], &outputs.latent, &outputs.output_tokens].concat();
        assert_eq!(rows(one).len(), rows(other).len());
        rows(one).iter().zip(rows(other)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
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

    /// Twenty languages, nothing, binary, and ten megabytes.
    fn prompts_of_any_kind() -> Vec<String> {
        let odd = ["", " \n\t\r\n ", "\u{0}\u{1}\u{7f}\u{fffd}\u{202e}\u{feff}", "What is 2+2?"];
        let huge = "x".repeat(10_000_000);
        odd.into_iter().chain(QUESTIONS).map(str::to_owned).chain([huge]).collect()
    }

    async fn scores_any_prompt(runtime: &Runtime) {
        let router = open(artifact(), runtime, 2).unwrap();

        for text in prompts_of_any_kind() {
            let scores = router.score(&prompt(&text), Duration::from_secs(60)).await.unwrap();

            assert!(scores.quality.values().all(|quality| (0.0..=1.0).contains(&quality.mean.value())));
            assert!(scores.length.median <= scores.length.upper && scores.length.median >= 1.0);
            assert!(scores.embedding.iter().chain(&*scores.latent).all(|value| value.is_finite()));
            assert!(scores.quality.contains_key("gpt-4o-2024-05-13"));
        }
    }

    #[tokio::test]
    async fn prompts_of_any_kind_and_size_are_scored_on_rten() {
        scores_any_prompt(&Runtime::Rten).await;
    }

    #[tokio::test]
    async fn prompts_of_any_kind_and_size_are_scored_on_onnx_runtime() {
        scores_any_prompt(&Runtime::OnnxRuntime(installed())).await;
    }

    #[test]
    fn an_artifact_whose_graph_has_other_widths_than_it_says_is_refused_at_load() {
        for runtime in [Runtime::Rten, Runtime::OnnxRuntime(installed())] {
            let mut artifact = artifact();
            artifact.document.outputs.latent += 1;

            let error = open(artifact, &runtime, 1).err().unwrap();

            assert!(matches!(&error, LoadError::SelfTest { line: 1, .. }), "{error}");
            assert!(error.to_string().contains("latent has"), "{error}");
        }
    }

    #[tokio::test]
    async fn scores_that_come_after_the_deadline_are_late() {
        let router = open(artifact(), &Runtime::Rten, 1).unwrap();

        let outcome = router.score(&prompt("What is 2+2?"), Duration::ZERO).await;

        assert_eq!(outcome.unwrap_err(), ScoresUnavailable::Late);
    }

    /// Gives numbers of the right shapes that are none.
    struct NotANumber(f32);

    impl Session for NotANumber {
        fn run_batch(&mut self, prompts: &[&[u32]]) -> Result<Vec<Outputs>, SessionError> {
            let widths = artifact().document.outputs;
            let outputs = Outputs {
                embedding: vec![0.0; widths.embedding],
                latent: vec![self.0; widths.latent],
                output_tokens: vec![0.0; 2],
            };
            Ok(vec![outputs; prompts.len()])
        }
    }

    #[tokio::test]
    async fn numbers_that_are_none_are_a_failure_and_no_scores() {
        for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let router = Router::new(artifact(), Engine::Rten, vec![Box::new(NotANumber(number))]);

            let outcome = router.score(&prompt("What is 2+2?"), Duration::from_secs(1)).await;

            assert_eq!(outcome.unwrap_err(), ScoresUnavailable::Failed);
        }
    }

    #[tokio::test]
    async fn a_heavy_graph_has_the_same_scores_from_its_queue() {
        let sessions = || Runtime::Rten.sessions(&artifact().onnx, 1).unwrap();
        let (here, queued) =
            (Router::new(artifact(), Engine::Rten, sessions()), Router::queued(artifact(), Engine::Rten, sessions()));

        for text in ["", "What is 2+2?", "Translate to German: good morning."] {
            let one = here.score(&prompt(text), Duration::from_secs(60)).await.unwrap();
            let other = queued.score(&prompt(text), Duration::from_secs(60)).await.unwrap();

            assert_eq!(one.embedding, other.embedding);
            assert_eq!(one.latent, other.latent);
        }
    }

    struct Panics;

    impl Session for Panics {
        fn run_batch(&mut self, _prompts: &[&[u32]]) -> Result<Vec<Outputs>, SessionError> {
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

    #[test]
    fn without_a_library_auto_means_rten_and_onnx_runtime_is_refused() {
        let empty = tempfile::tempdir().unwrap();
        let asked = |engine| {
            let settings = RouterSettings {
                path: None,
                engine,
                deadline: Duration::ZERO,
                onnxruntime: None,
                profiles: PathBuf::new(),
            };
            super::runtime(&settings, empty.path())
        };

        assert!(matches!(asked(EngineChoice::Auto), Ok(Runtime::Rten)));
        assert!(matches!(asked(EngineChoice::OnnxRuntime), Err(LoadError::Engine(SessionError::NoLibrary { .. }))));
    }
}
