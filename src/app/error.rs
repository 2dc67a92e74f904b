//! Why the program does not start.

use crate::{
    accounting::LedgerError, admission::KeyStoreError, backends::http::SettingsError, config::ExposedError,
    policy::PolicyError, scoring::LoadError, telemetry::MetricsError,
};

/// Why the program does not start. Its text and its causes are told to the operator.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Other machines could use it without a key.
    #[error(transparent)]
    Exposed(#[from] ExposedError),
    /// The file of keys cannot be used.
    #[error("the API keys cannot be used")]
    Keys(#[from] KeyStoreError),
    /// The ledger cannot be used.
    #[error("the ledger cannot be used")]
    Ledger(#[from] LedgerError),
    /// The policies cannot be used.
    #[error("the routing policies cannot be used")]
    Policies(#[from] PolicyError),
    /// The router model cannot be used.
    #[error("the router model cannot be used")]
    Router(#[from] LoadError),
    /// A provider's settings cannot be used.
    #[error("a provider cannot be used")]
    Provider(#[from] SettingsError),
    /// The table of metrics contradicts itself.
    #[error("the metrics cannot be set up")]
    Metrics(#[from] MetricsError),
    /// A listener cannot be opened, or the server broke.
    #[error("the server cannot run")]
    Server(#[source] std::io::Error),
    /// Signals cannot be received.
    #[error("signals cannot be received")]
    Signals(#[source] std::io::Error),
    /// A model is to run in a process of this program, whose file is not found.
    #[error("this program's own file is not found, which a model with `isolation: process` is started from")]
    NoProgram(#[source] std::io::Error),
    /// The configuration names a local model, but the program was built without them.
    #[error("model {0} is local, and this program was built without local models; build it with the feature `local`")]
    WithoutLocal(crate::domain::ModelName),
}
