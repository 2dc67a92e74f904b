//! Local models, where the program is built with them.

use std::sync::Arc;

use super::AppError;
#[cfg(feature = "local")]
use crate::backends::mistralrs::Local;
#[cfg(feature = "local")]
pub(super) use crate::backends::mistralrs::Neighbours;
use crate::{
    backends::Backend,
    config::{Config, LocalSettings},
    domain::ModelFacts,
    runtime::SharedClock,
};

/// Stands where local models would know each other.
#[cfg(not(feature = "local"))]
#[derive(Default)]
pub(super) struct Neighbours;

/// Starts a local model; it loads in the background.
#[cfg(feature = "local")]
#[expect(clippy::unnecessary_wraps, reason = "the build without local models refuses")]
pub(super) fn start(
    facts: &ModelFacts,
    settings: &LocalSettings,
    config: &Config,
    (clock, neighbours): (SharedClock, &Neighbours),
) -> Result<Arc<dyn Backend>, AppError> {
    use crate::{artifacts::Store, backends::mistralrs::WeightPlace};

    // Serving never fetches by itself: `pointsman models pull` does, and says how far it is.
    let place = WeightPlace { store: Store::new(&config.data_dir), may_fetch: false };
    let local = Local::start(facts.name.clone(), settings.clone(), place, clock);
    local.join(neighbours);
    Ok(local)
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
