//! Local models, where the program is built with them.

use std::sync::Arc;

use super::AppError;
#[cfg(feature = "local")]
pub(super) use crate::backends::mistralrs::Neighbours;
#[cfg(feature = "local")]
use crate::backends::mistralrs::{Local, Together};
use crate::{
    backends::Backend,
    config::{Config, LocalSettings, TogetherSettings},
    domain::ModelFacts,
    runtime::SharedClock,
};

/// Stands where local models would know each other.
#[cfg(not(feature = "local"))]
#[derive(Default)]
pub(super) struct Neighbours;

/// Starts a local model; it loads in the background.
#[cfg(feature = "local")]
pub(super) fn start(
    facts: &ModelFacts,
    settings: &LocalSettings,
    config: &Config,
    (clock, neighbours): (SharedClock, &Neighbours),
) -> Result<Arc<dyn Backend>, AppError> {
    use crate::{artifacts::Store, backends::mistralrs::WeightPlace, config::Isolation};

    if settings.isolation == Isolation::Process {
        return isolated(facts, settings, config);
    }
    // Serving never fetches by itself: `pointsman models pull` does, and says how far it is.
    let place = WeightPlace { store: Store::new(&config.data_dir), may_fetch: false };
    let local = Local::start(facts.name.clone(), settings.clone(), place, clock);
    local.join(neighbours);
    Ok(local)
}

/// Starts a local model in a process of this very program.
#[cfg(feature = "local")]
fn isolated(facts: &ModelFacts, settings: &LocalSettings, config: &Config) -> Result<Arc<dyn Backend>, AppError> {
    use crate::{
        backends::isolated::{Isolated, Program},
        config::LogFormat,
    };

    let path = std::env::current_exe().map_err(AppError::NoProgram)?;
    let format = if config.telemetry.format == LogFormat::Json { "json" } else { "text" };
    let arguments = ["engine", "--log", &config.telemetry.log, "--format", format].map(str::to_owned).to_vec();
    let program = Program { path, arguments };
    Ok(Isolated::start(facts.name.clone(), settings.clone(), config.data_dir.clone(), program))
}

/// Starts a model that is several local models decoding together.
#[cfg(feature = "local")]
#[expect(clippy::unnecessary_wraps, reason = "the build without local models refuses")]
pub(super) fn together(
    facts: &ModelFacts,
    settings: &TogetherSettings,
    (clock, neighbours): (SharedClock, &Neighbours),
) -> Result<Arc<dyn Backend>, AppError> {
    Ok(Together::start(facts.name.clone(), settings.clone(), neighbours.clone(), clock))
}

/// Refuses: this program was built without local models.
#[cfg(not(feature = "local"))]
pub(super) fn together(
    facts: &ModelFacts,
    _settings: &TogetherSettings,
    _beside: (SharedClock, &Neighbours),
) -> Result<Arc<dyn Backend>, AppError> {
    Err(AppError::WithoutLocal(facts.name.clone()))
}

/// Refuses: this program was built without local models.
#[cfg(not(feature = "local"))]
pub(super) fn start(
    facts: &ModelFacts,
    _settings: &LocalSettings,
    _config: &Config,
    _beside: (SharedClock, &Neighbours),
) -> Result<Arc<dyn Backend>, AppError> {
    Err(AppError::WithoutLocal(facts.name.clone()))
}
