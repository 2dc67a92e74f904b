//! Policies are read again when somebody edits their files.

use std::{path::Path, sync::Arc};

use super::Policies;
use crate::runtime::{self, Stop, Tasks};

/// Watches a folder of policies in a task of its own until the program ends.
///
/// # Errors
/// The folder cannot be watched.
pub fn watch(policies: Arc<Policies>, folder: &Path, tasks: &Tasks, stop: &Stop) -> Result<(), notify::Error> {
    runtime::watch(vec![folder.to_owned()], move || reload(&policies), (tasks, stop))
}

fn reload(policies: &Policies) {
    match policies.reload() {
        Ok(()) => tracing::info!("policies were read again"),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "policies with faults stay as they were");
        }
    }
}
