//! Local models, where the program is built with them.

use std::sync::Arc;

use super::AppError;
use crate::{
    backends::Backend,
    config::{Config, LocalSettings},
    domain::ModelFacts,
    runtime::SharedClock,
};

/// Starts a local model; it loads in the background.
#[cfg(feature = "local")]
#[expect(clippy::unnecessary_wraps, reason = "the build without local models refuses")]
pub(super) fn start(
    facts: &ModelFacts,
    settings: &LocalSettings,
    config: &Config,
    clock: SharedClock,
) -> Result<Arc<dyn Backend>, AppError> {
    use crate::{
        artifacts::Store,
        backends::mistralrs::{Local, WeightPlace},
    };

    // Serving never fetches by itself: `pointsman models pull` does, and says how far it is.
    let place = WeightPlace { store: Store::new(&config.data_dir), may_fetch: false };
    Ok(Local::start(facts.name.clone(), settings.clone(), place, clock))
}

/// Refuses: this program was built without local models.
#[cfg(not(feature = "local"))]
pub(super) fn start(
    facts: &ModelFacts,
    _settings: &LocalSettings,
    _config: &Config,
    _clock: SharedClock,
) -> Result<Arc<dyn Backend>, AppError> {
    Err(AppError::WithoutLocal(facts.name.clone()))
}
