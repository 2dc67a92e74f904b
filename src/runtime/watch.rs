//! Folders that people edit while the program runs.

use std::{path::Path, sync::Arc, time::Duration};

use notify::{Event, EventKind, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::{Phase, Stop, Tasks};

/// Quiet time after a change before it is told: editors write, rename and touch in bursts of some milliseconds.
const QUIET: Duration = Duration::from_millis(150);

/// Calls `read` on a thread for blocking work whenever files of a folder have changed, until the program ends.
///
/// # Errors
/// The folder cannot be watched.
pub fn watch(
    folder: &Path,
    tasks: &Tasks,
    stop: &Stop,
    read: impl Fn() + Send + Sync + 'static,
) -> Result<(), notify::Error> {
    // One waiting signal is enough: it says that something changed since the last reading.
    let (changed, mut changes) = mpsc::channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        let is_change = event.is_ok_and(|event| is_change(event.kind));
        if is_change && changed.try_send(()).is_err() {
            tracing::trace!("a reading of the folder is already due");
        }
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    let (reader, stop, read) = (tasks.clone(), stop.clone(), Arc::new(read));
    tasks.spawn(async move {
        while next_change(&mut changes, &stop).await {
            let read = Arc::clone(&read);
            if let Err(error) = reader.spawn_blocking(move || read()).await {
                tracing::error!(error = &error as &dyn std::error::Error, "reading a changed folder ended early");
            }
        }
        drop(watcher);
    });
    Ok(())
}

/// Reading a file is an event too; it must not lead to the next reading.
fn is_change(kind: EventKind) -> bool {
    matches!(kind, EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_))
}

/// Waits for a change and the quiet after it; false when the program is ending.
async fn next_change(changes: &mut mpsc::Receiver<()>, stop: &Stop) -> bool {
    tokio::select! {
        () = stop.reached(Phase::Draining) => return false,
        change = changes.recv() => if change.is_none() { return false },
    }
    while let Ok(Some(())) = tokio::time::timeout(QUIET, changes.recv()).await {}
    true
}
