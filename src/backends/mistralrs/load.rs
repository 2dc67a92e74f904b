//! From weights on disk to a running engine.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use mistralrs::{AnyModelBuilder, Device, GgufModelBuilder, ModelDType, TextModelBuilder, TokenSource};
use secrecy::ExposeSecret;

use super::{
    convert::{self, Keep},
    drawing::{Making, Step},
    engine::{Engine, EngineError},
    health::Health,
    memory,
    queue::Turn,
    speculation::Passes,
    status::{Phase, Report},
    vocabulary::Vocabulary,
};
use crate::{
    artifacts::{self, Kind, Progress, State, Store, catalogue},
    config::{DeviceChoice, Dtype, LocalSettings, WeightSource},
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
    /// The machine's memory does not hold it.
    #[error(
        "it needs about {needed} of memory and {free} are free; unload another model, choose smaller weights or fewer replicas, or set `check_memory: false`"
    )]
    NoRoom {
        /// What it needs, in words.
        needed: String,
        /// What is free, in words.
        free: String,
    },
    /// The device cannot be used.
    #[error("its device cannot be used: {0}")]
    NoDevice(String),
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

/// Where loading reports to.
type Told<'a> = (&'a Report, &'a Arc<Health>);

/// Loads a model, as many engines as it has replicas, on the calling thread, which must not be part of an async runtime: loading
/// blocks, and may panic.
///
/// # Errors
/// Its weights are not there, do not fit, or do not run; nothing of it stays in memory.
pub(super) fn load(
    settings: &LocalSettings,
    place: &WeightPlace,
    told: Told<'_>,
) -> Result<(Engine, Vec<Engine>), LoadError> {
    catch_unwind(AssertUnwindSafe(|| load_or_panic(settings, place, told))).unwrap_or(Err(LoadError::Panicked))
}

fn load_or_panic(
    settings: &LocalSettings,
    place: &WeightPlace,
    (report, health): Told<'_>,
) -> Result<(Engine, Vec<Engine>), LoadError> {
    let device = device(settings.device)?;
    let weights = located(settings, place, (report, &device))?;
    if let Located::Here(path) = &weights
        && settings.checks_memory
        && device.is_cpu()
    {
        check_room(memory::needed_bytes(path, settings), settings.replicas)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| LoadError::Refused(error.to_string()))?;
    let one = || runtime.block_on(engine(settings, (&weights, &device), (report, health)));
    let first = one()?;
    let more = (1..settings.replicas).map(|_| one()).collect::<Result<_, _>>()?;
    Ok((first, more))
}

fn check_room(needed: Option<u64>, replicas: usize) -> Result<(), LoadError> {
    let Some(one) = needed else { return Ok(()) };
    let (needed, free) = (one.saturating_mul(replicas as u64), memory::free_bytes());
    if needed > free {
        return Err(LoadError::NoRoom { needed: memory::words(needed), free: memory::words(free) });
    }
    Ok(())
}

async fn engine(
    settings: &LocalSettings,
    (weights, device): (&Located<'_>, &Device),
    (report, health): Told<'_>,
) -> Result<Engine, LoadError> {
    report.enter(Phase::Loading);
    let engine = start(builder(settings, weights, device)?, settings.context_window, health).await?;
    report.enter(Phase::WarmingUp);
    warm_up(&engine).await?;
    Ok(engine)
}

/// Makes one token: the first pass pages the weights in and starts the thread pool.
async fn warm_up(engine: &Engine) -> Result<(), LoadError> {
    let failed = |error: EngineError| LoadError::WarmUp(error.to_string());
    let message = Message { role: Role::User, text: "Hello".to_owned(), parts: Vec::new() };
    let mut running = engine.start(&[message], Making::one_token(), Turn::alone()).await.map_err(failed)?;
    while !matches!(running.next().await.map_err(failed)?, Step::Ended { .. }) {}
    Ok(())
}

async fn start(builder: AnyModelBuilder, most: Tokens, health: &Arc<Health>) -> Result<Engine, LoadError> {
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
    Ok(Engine::new(shared, vocabulary, passes, Arc::clone(health)))
}

fn device(choice: DeviceChoice) -> Result<Device, LoadError> {
    let device = match choice {
        DeviceChoice::Auto => mistralrs::best_device(false),
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda(number) => Device::new_cuda(number),
        DeviceChoice::Metal => Device::new_metal(0),
    };
    device.map_err(|error| LoadError::NoDevice(error.to_string()))
}

/// Where the weights are.
enum Located<'a> {
    /// On this machine.
    Here(PathBuf),
    /// In a repository on the hub, from where mistral.rs fetches them.
    Hub { repo: &'a str, revision: Option<&'a str>, file: Option<&'a str> },
}

fn located<'a>(
    settings: &'a LocalSettings,
    place: &WeightPlace,
    (report, device): (&Report, &Device),
) -> Result<Located<'a>, LoadError> {
    let quick = |path, keep| if device.is_cpu() { quick(path, keep, report) } else { path };
    match &settings.weights {
        WeightSource::Catalogue(name) => Ok(Located::Here(quick(fetched(name, place, report)?, Keep::Beside))),
        // A path that is not there would be looked up on a hub, so it is looked at first.
        WeightSource::Path(path) if path.is_dir() => Ok(Located::Here(path.clone())),
        WeightSource::Path(path) if path.is_file() => {
            Ok(Located::Here(quick(path.clone(), Keep::In(&place.store.converted()))))
        }
        WeightSource::Path(path) => Err(LoadError::NoFile(path.clone())),
        WeightSource::HuggingFace { repo, revision, file } => {
            Ok(Located::Hub { repo, revision: revision.as_deref(), file: file.as_deref() })
        }
    }
}

fn fetched(name: &str, place: &WeightPlace, report: &Report) -> Result<PathBuf, LoadError> {
    let package = catalogue::find(Kind::Model, name)?;
    if !place.may_fetch && place.store.state(package)? != State::Installed {
        return Err(LoadError::NotFetched(name.to_owned()));
    }
    Ok(place.store.install(package, report)?)
}

/// Returns the weights in the format that runs fastest on a CPU.
fn quick(path: PathBuf, keep: Keep<'_>, report: &Report) -> PathBuf {
    match convert::to_fast_format(&path, keep, report) {
        Ok(converted) => converted,
        Err(error) => {
            tracing::warn!(%error, "the weights cannot be converted, the model runs on the slower format");
            path
        }
    }
}

fn builder(settings: &LocalSettings, weights: &Located<'_>, device: &Device) -> Result<AnyModelBuilder, LoadError> {
    match weights {
        Located::Here(path) if path.is_dir() => {
            text(settings, path.display(), TokenSource::None, device).map(Into::into)
        }
        Located::Here(path) => {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Ok(gguf(dir.display(), file, TokenSource::None, device).into())
        }
        Located::Hub { repo, revision, file: Some(file) } => {
            let builder = gguf(repo, (*file).to_owned(), token(settings), device);
            Ok(revision.map_or(builder.clone(), |revision| builder.with_hf_revision(revision)).into())
        }
        Located::Hub { repo, revision, file: None } => {
            let builder = text(settings, repo, token(settings), device)?;
            Ok(revision.map_or(builder.clone(), |revision| builder.with_hf_revision(revision)).into())
        }
    }
}

/// Returns the credential for the hub: the configured one, or what other programs left on this machine.
fn token(settings: &LocalSettings) -> TokenSource {
    match &settings.token {
        Some(token) => TokenSource::Literal(token.expose_secret().to_owned()),
        None => TokenSource::CacheToken,
    }
}

fn gguf(model: impl ToString, file: String, token: TokenSource, device: &Device) -> GgufModelBuilder {
    let builder = GgufModelBuilder::new(model, vec![file]).with_token_source(token).with_device(device.clone());
    let builder = if device.is_cpu() { builder.with_force_cpu() } else { builder };
    builder.with_prefix_cache_n(None).with_max_num_seqs(1)
}

fn text(
    settings: &LocalSettings,
    model: impl ToString,
    token: TokenSource,
    device: &Device,
) -> Result<TextModelBuilder, LoadError> {
    let builder = TextModelBuilder::new(model).with_token_source(token).with_device(device.clone());
    let builder = if device.is_cpu() { builder.with_force_cpu() } else { builder };
    let builder = builder.with_prefix_cache_n(None).with_max_num_seqs(1).with_dtype(dtype(settings));
    let Some(kind) = settings.quantize else { return Ok(builder) };
    let kind = mistralrs::parse_isq_value(kind.name(), Some(device)).map_err(LoadError::Refused)?;
    Ok(builder.with_isq(kind))
}

/// Returns the numbers of safetensors: single precision where several tokens are checked at once and nothing else is asked for,
/// because half precision rounds such a pass differently from single steps on a CPU, and nothing is gained by it there.
fn dtype(settings: &LocalSettings) -> ModelDType {
    match settings.dtype {
        Dtype::Auto if settings.speculate.is_some() => ModelDType::F32,
        Dtype::Auto => ModelDType::Auto,
        Dtype::F32 => ModelDType::F32,
        Dtype::F16 => ModelDType::F16,
        Dtype::Bf16 => ModelDType::BF16,
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
