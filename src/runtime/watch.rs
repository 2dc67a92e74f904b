//! Files are read again when somebody changes them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::{Phase, Stop, Tasks};

/// Quiet time after a change before files are read: editors write, rename and touch in bursts of some milliseconds.
const QUIET: Duration = Duration::from_millis(150);

/// Calls `read` on a blocking thread after every change directly in one of `folders`, until the program drains.
///
/// The first folder must be there. Others may come, go and be replaced as a whole, if the folder around them is watched too.
///
/// # Errors
/// The first folder cannot be watched.
pub fn watch(
    folders: Vec<PathBuf>,
    read: impl Fn() + Send + Sync + 'static,
    (tasks, stop): (&Tasks, &Stop),
) -> Result<(), notify::Error> {
    // One waiting signal is enough: it says that something changed since the last reading.
    let (changed, mut changes) = mpsc::channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        let is_change = event.is_ok_and(|event| is_change(event.kind));
        if is_change && changed.try_send(()).is_err() {
            tracing::trace!("a reading of the changed files is already due");
        }
    })?;
    let (first, others) = folders.split_first().ok_or_else(|| notify::Error::generic("no folder to watch"))?;
    watcher.watch(first, RecursiveMode::NonRecursive)?;
    let others = others.to_vec();
    watch_again(&mut watcher, &others);
    let (reader, stop, read) = (tasks.clone(), stop.clone(), Arc::new(read));
    tasks.spawn(async move {
        while next_change(&mut changes, &stop).await {
            // A replaced folder has the old one's name and none of its watches.
            watch_again(&mut watcher, &others);
            let read = Arc::clone(&read);
            if let Err(error) = reader.spawn_blocking(move || read()).await {
                tracing::error!(error = &error as &dyn std::error::Error, "reading changed files ended early");
            }
        }
        drop(watcher);
    });
    Ok(())
}

fn watch_again(watcher: &mut RecommendedWatcher, folders: &[PathBuf]) {
    for folder in folders {
        if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
            tracing::debug!(error = &error as &dyn std::error::Error, "{} is not watched", folder.display());
        }
    }
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
