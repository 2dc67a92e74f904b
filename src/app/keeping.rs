//! The caches' file: read before the first request, written now and then and at the end.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::App;
use crate::{
    cache::snapshot::{self, Snapshot, SnapshotError},
    runtime::Phase,
};

/// Between two writings: a crash loses no more than this.
const PERIOD: Duration = Duration::from_secs(30);

/// Takes back what an earlier program kept. What is damaged, or was kept by a version that means something else, is left alone.
pub(super) async fn restore(app: &App) {
    let Some(path) = app.config.cache.persist.clone() else { return };
    let now = app.clock.now();
    let reading = app.tasks.spawn_blocking(move || snapshot::read(&path, now)).await;
    match reading {
        Ok(Ok(Some(snapshot))) => take(app, snapshot).await,
        Ok(Ok(None)) => {}
        Ok(Err(error)) => tell(&error, "the caches start empty"),
        Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "reading the cache's file broke off"),
    }
}

async fn take(app: &App, snapshot: Snapshot) {
    let Snapshot { exact, semantic, pools } = snapshot;
    tracing::info!(
        cache.exact = exact.len(),
        cache.semantic = semantic.len(),
        "the caches go on with {} answers by what was asked and {} by what was meant",
        exact.len(),
        semantic.len()
    );
    for held in exact {
        app.cache.put(held.answer.provenance.key, held.answer, held.left).await;
    }
    app.meanings.restore(semantic.into_iter().map(|saved| {
        let bytes = saved.answer.bytes();
        (saved, bytes)
    }));
    app.meanings.restore_pools(pools);
}

/// Writes the file whenever what is held has changed, until the program ends.
pub(super) async fn keep(app: Arc<App>) {
    let Some(path) = app.config.cache.persist.clone() else { return };
    let mut written = app.held();
    let mut ticks = tokio::time::interval(PERIOD);
    while app.stop.phase() < Phase::Ending {
        tokio::select! {
            _ = ticks.tick() => {}
            () = app.stop.reached(Phase::Ending) => return,
        }
        let held = app.held();
        if held != written {
            app.write(path.clone()).await;
            written = held;
        }
    }
}

impl App {
    /// Writes the file once more.
    pub(super) async fn keep_for_good(&self) {
        if let Some(path) = self.config.cache.persist.clone() {
            self.write(path).await;
        }
    }

    fn held(&self) -> (u64, u64) {
        (self.cache.changes(), self.meanings.changes())
    }

    async fn write(&self, path: PathBuf) {
        let (cache, meanings, now) = (Arc::clone(&self.cache), Arc::clone(&self.meanings), self.clock.now());
        let writing = move || {
            let snapshot =
                Snapshot { exact: cache.list(&|_| true), semantic: meanings.save(), pools: meanings.save_pools() };
            snapshot::write(&path, &snapshot, now)
        };
        match tokio::task::spawn_blocking(writing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tell(&error, "a restart will not find the answers of now"),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "writing the cache's file broke off");
            }
        }
    }
}

fn tell(error: &SnapshotError, so: &str) {
    tracing::warn!(error = error as &dyn std::error::Error, "{error}; {so}");
}
