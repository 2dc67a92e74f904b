//! From listening to the end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{App, AppError, gauges, keeping};
use crate::{
    api::{self, Services},
    policy,
    runtime::{self, Phase, Stop},
};

/// For records that are still to be written, and for background tasks.
const FLUSH: Duration = Duration::from_secs(5);

/// Where the program listens, once it does.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    /// The public listener.
    pub public: SocketAddr,
    /// The listener for metrics, readiness and administration.
    pub admin: SocketAddr,
}

/// Runs `future` to its end on the runtime that the listeners need.
pub fn block_on<F: Future>(future: F) -> F::Output {
    actix_web::rt::System::new().block_on(future)
}

/// Serves until a signal says stop; `announce` is called once both listeners are open.
///
/// # Errors
/// A listener cannot be opened, other machines could use it without a key, or signals cannot be received.
pub async fn serve(app: App, announce: impl FnOnce(&App, Started)) -> Result<(), AppError> {
    app.config.check_exposure(app.keys.list().iter().any(|key| key.revoked.is_none()))?;
    let signals = Signals::receive().map_err(AppError::Signals)?;
    keeping::restore(&app).await;
    let app = Arc::new(app);
    let servers = api::bind(services(&app)).map_err(AppError::Server)?;
    announce(&app, Started { public: servers.public_address, admin: servers.admin_address });
    watch_policies(&app);
    watch_profiles(&app);
    watch_router(&app);
    app.tasks.spawn(gauges::tell(Arc::clone(&app)));
    app.tasks.spawn(keeping::keep(Arc::clone(&app)));
    app.tasks.spawn(reload_at_hangup(Arc::clone(&app), signals.hangup));
    app.tasks.spawn(stop_at_signal(app.stop.clone(), signals.terminate, signals.interrupt));
    let served = servers.run().await;
    app.close().await;
    served.map_err(AppError::Server)
}

fn services(app: &App) -> Services {
    Services {
        gateway: Arc::clone(&app.gateway),
        keys: Arc::clone(&app.keys),
        policies: Arc::clone(&app.policies),
        router: app.scorer.clone(),
        telemetry: Arc::clone(&app.telemetry),
        stop: app.stop.clone(),
        server: app.config.server.clone(),
        admin: app.config.admin.clone(),
    }
}

/// Without a watch the policies are still read again at SIGHUP.
fn watch_policies(app: &App) {
    let Some(folder) = &app.config.policies_dir else { return };
    if let Err(error) = policy::watch(Arc::clone(&app.policies), folder, &app.tasks, &app.stop) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "policy files are not watched; SIGHUP reads them again"
        );
    }
}

/// A profile that `pointsman profile` writes counts from the next request on; without a watch, from SIGHUP on.
fn watch_profiles(app: &App) {
    let (Some(router), Some(scorer)) = (&app.config.router, app.scorer.clone()) else { return };
    let made = std::fs::create_dir_all(&router.profiles).map_err(notify::Error::io);
    let (folders, read) = (vec![router.profiles.clone()], move || scorer.current().reload_profiles());
    if let Err(error) = made.and_then(|()| runtime::watch(folders, read, (&app.tasks, &app.stop))) {
        tracing::warn!(error = &error as &dyn std::error::Error, "profiles are not watched; SIGHUP reads them again");
    }
}

/// Without a watch the router model is still read again at SIGHUP and by the admin API.
fn watch_router(app: &App) {
    let Some(scorer) = &app.scorer else { return };
    if let Err(error) = scorer.watch(&app.tasks, &app.stop) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the router model is not watched; SIGHUP reads it again"
        );
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn receive() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// The first signal drains, a second one ends at once.
async fn stop_at_signal(stop: Stop, mut terminate: Signal, mut interrupt: Signal) {
    for phase in [Phase::Draining, Phase::Ending] {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = stop.reached(Phase::Ending) => return,
        }
        tracing::info!(phase = ?phase, "asked to stop");
        stop.advance(phase);
    }
}

async fn reload_at_hangup(app: Arc<App>, mut hangups: Signal) {
    loop {
        tokio::select! {
            hangup = hangups.recv() => if hangup.is_none() { return },
            () = app.stop.reached(Phase::Ending) => return,
        }
        app.reload();
    }
}

impl App {
    /// Waits for background tasks and writes what is still to be written.
    pub async fn close(&self) {
        self.stop.advance(Phase::Ending);
        if !self.tasks.wait(FLUSH).await {
            tracing::warn!("background tasks did not end in time");
        }
        self.keep_for_good().await;
        let Some(ledger) = self.ledger.clone() else { return };
        let closing = tokio::task::spawn_blocking(move || ledger.close(FLUSH));
        if !closing.await.unwrap_or(false) {
            tracing::error!("the ledger was not flushed in time; records are lost");
        }
    }

    /// Reads keys, policies and the router model again; what is faulty stays as it was, and is told.
    fn reload(&self) {
        if let Err(error) = self.keys.reload() {
            tracing::error!(error = &error as &dyn std::error::Error, "the API keys stay as they were: {error}");
        }
        if let Some(scorer) = self.scorer.clone() {
            scorer.current().reload_profiles();
            // A large model takes seconds; what is wrong with it is told where it is loaded.
            self.tasks.spawn_blocking(move || drop(scorer.reload()));
        }
        match self.policies.reload() {
            Ok(()) => tracing::info!("keys and policies were read again"),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "policies with faults stay as they were: {error}"
                );
            }
        }
    }
}
