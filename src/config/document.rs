//! `pointsman.yaml` as it is written.
//!
//! Every key has a default, but for the name of a model and the URL of a provider. The doc comments here are the descriptions in the JSON Schema, which editors
//! show while a person types. Serde has a default even for keys that the schema requires, so that a document without one can
//! still be searched for further faults.

pub mod local;
pub mod model;
pub mod operation;
pub mod server;
pub mod speculate;
pub mod together;

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use local::*;
pub use model::*;
pub use operation::*;
pub use server::*;
pub use speculate::*;
pub use together::*;

/// The configuration of Pointsman.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Document {
    /// Version of this file's format; 1 is the only one.
    #[schemars(range(min = 1, max = 1))]
    pub schema_version: u32,
    /// The public listener.
    pub server: ServerDocument,
    /// The listener for metrics, readiness and administration.
    pub admin: AdminDocument,
    /// API keys.
    pub keys: KeysDocument,
    /// Remote providers by name.
    pub providers: BTreeMap<String, ProviderDocument>,
    /// Models in the order in which they are listed to callers.
    pub models: Vec<ModelDocument>,
    /// Other names for models and policies; a target is a model, "auto", `auto:<policy>` or another alias.
    pub aliases: BTreeMap<String, String>,
    /// What a model name that nothing knows means; without it such a request is refused.
    pub catch_all: Option<String>,
    /// The policy behind "auto".
    #[schemars(length(min = 1))]
    pub default_policy: String,
    /// The folder of policies, relative to this file; without it the embedded ones are used and edits are kept in memory.
    pub policies: Option<PathBuf>,
    /// Committees that `pointsman plans fit` wrote, by name: files relative to this one. Policies name them in the strategy `agree`.
    pub agreements: BTreeMap<String, PathBuf>,
    /// The router model.
    pub router: RouterDocument,
    /// Caches.
    pub cache: CacheDocument,
    /// Records, budgets and savings.
    pub accounting: AccountingDocument,
    /// Prompts and grades, kept for training.
    pub recording: RecordingDocument,
    /// Logs and traces.
    pub telemetry: TelemetryDocument,
    /// Retries and breakers.
    pub resilience: ResilienceDocument,
    /// Where models, runtimes, keys and records are kept; without it POINTSMAN_DATA_DIR, XDG_DATA_HOME or ~/.local/share decide.
    pub data_dir: Option<PathBuf>,
}

impl Default for Document {
    fn default() -> Self {
        Self {
            schema_version: 1,
            server: ServerDocument::default(),
            admin: AdminDocument::default(),
            keys: KeysDocument::default(),
            providers: BTreeMap::new(),
            models: Vec::new(),
            aliases: BTreeMap::new(),
            catch_all: None,
            default_policy: "default".to_owned(),
            policies: None,
            agreements: BTreeMap::new(),
            router: RouterDocument::default(),
            cache: CacheDocument::default(),
            accounting: AccountingDocument::default(),
            recording: RecordingDocument::default(),
            telemetry: TelemetryDocument::default(),
            resilience: ResilienceDocument::default(),
            data_dir: None,
        }
    }
}
