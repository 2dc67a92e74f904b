//! The gateway's side of a model's process: starting it, talking to it, starting it again.

use std::{
    collections::HashMap,
    os::unix::net::UnixStream as Socket,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use secrecy::ExposeSecret;
use tokio::{
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{
        Notify,
        mpsc::{self, UnboundedReceiver, UnboundedSender},
    },
    time::Instant,
};

use super::{
    super::mistralrs::Health,
    Program, frame,
    message::{Order, Piece, Report, Start, State},
};
use crate::{
    config::LocalSettings,
    domain::{Availability, BackendError, EngineRoom, LoadStep, ModelName, Priority, Probability, Speculation},
    error::Code,
};

/// How often the process is looked at.
const PERIOD: Duration = Duration::from_millis(250);

/// How long a process that says nothing is waited for beyond `stall_after`: it speaks four times a second, but a machine under
/// load is late.
const GRACE: Duration = Duration::from_secs(2);

/// Pause before a process that died is started again; it doubles with each of the deaths that count.
const PAUSE: Duration = Duration::from_millis(200);

/// What the backend and its keeper share.
pub(super) struct Shared {
    name: ModelName,
    settings: LocalSettings,
    data_dir: PathBuf,
    program: Program,
    health: Health,
    pardoned: Notify,
    /// `None` while there is no process, or it has not spoken yet.
    state: Mutex<Option<State>>,
    calls: Mutex<HashMap<u64, UnboundedSender<Piece>>>,
    numbers: AtomicU64,
    heard: Mutex<Instant>,
}

/// A call in the process; dropping it tells the process that nobody waits any more.
pub(super) struct Visit {
    number: u64,
    pieces: UnboundedReceiver<Piece>,
    shared: Arc<Shared>,
    orders: UnboundedSender<Order>,
}

/// Why talking to a process ended.
enum End {
    /// Nobody needs it any more.
    Dismissed,
    /// It died, or had to.
    Died(String),
}

/// A running process; it ends with this.
struct Running(Child);

/// Starts the thread that keeps the process.
pub(super) fn start(shared: &Arc<Shared>, orders: UnboundedReceiver<Order>) {
    let kept = Arc::clone(shared);
    let spawned = thread::Builder::new().name("model-process".to_owned()).spawn(move || keep(&kept, orders));
    if let Err(error) = spawned {
        tracing::error!(model = %shared.name, %error, "no thread to keep the process of the local model");
    }
}

fn keep(shared: &Shared, mut orders: UnboundedReceiver<Order>) {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(shared.keep(&mut orders)),
        Err(error) => tracing::error!(model = %shared.name, %error, "the process of the local model cannot be kept"),
    }
}

impl Shared {
    pub(super) fn new(name: ModelName, settings: LocalSettings, data_dir: PathBuf, program: Program) -> Self {
        Self {
            name,
            settings,
            data_dir,
            program,
            health: Health::default(),
            pardoned: Notify::new(),
            state: Mutex::default(),
            calls: Mutex::default(),
            numbers: AtomicU64::new(0),
            heard: Mutex::new(Instant::now()),
        }
    }

    /// Starts the process again and again until nobody needs it.
    async fn keep(&self, orders: &mut UnboundedReceiver<Order>) {
        let mut pause = PAUSE;
        loop {
            let begun = Instant::now();
            let End::Died(reason) = self.run(orders).await else { return };
            self.bury(&reason);
            pause = if begun.elapsed() > Duration::from_secs(60) { PAUSE } else { pause * 2 };
            if self.health.is_out() {
                pause = PAUSE;
                if self.await_pardon(orders).await.is_none() {
                    return;
                }
            }
            tokio::time::sleep(pause).await;
            self.health.restarted();
        }
    }

    /// Waits for an administrator; calls that come meanwhile are let go. `None` when nobody needs the model any more.
    async fn await_pardon(&self, orders: &mut UnboundedReceiver<Order>) -> Option<()> {
        while self.health.is_out() {
            tokio::select! {
                () = self.pardoned.notified() => {}
                order = orders.recv() => drop(order?),
            }
        }
        Some(())
    }

    fn bury(&self, reason: &str) {
        tracing::error!(model = %self.name, reason, "the process of the local model died");
        self.health.died();
        *self.state.lock() = None;
        // Whoever waits for a piece hears that there is none.
        self.calls.lock().clear();
    }

    async fn run(&self, orders: &mut UnboundedReceiver<Order>) -> End {
        let (socket, mut running) = match self.spawn() {
            Ok(spawned) => spawned,
            Err(error) => return End::Died(format!("it does not start: {error}")),
        };
        *self.heard.lock() = Instant::now();
        let (reading, writing) = socket.into_split();
        let end = tokio::select! {
            reason = self.read(reading) => End::Died(reason),
            end = self.write(writing, orders) => end,
            reason = self.watch() => End::Died(reason),
        };
        match end {
            End::Dismissed => End::Dismissed,
            End::Died(reason) => End::Died(running.last_words(reason)),
        }
    }

    fn spawn(&self) -> std::io::Result<(UnixStream, Running)> {
        let (own, its) = Socket::pair()?;
        let mut command = Command::new(&self.program.path);
        command.args(&self.program.arguments).stdin(Stdio::from(std::os::fd::OwnedFd::from(its))).stdout(Stdio::null());
        let running = Running(command.spawn()?);
        own.set_nonblocking(true)?;
        Ok((UnixStream::from_std(own)?, running))
    }

    async fn read(&self, mut socket: OwnedReadHalf) -> String {
        loop {
            let report = match frame::read(&mut socket).await {
                Ok(report) => report,
                Err(error) => return error.to_string(),
            };
            *self.heard.lock() = Instant::now();
            match report {
                Report::State(state) => *self.state.lock() = Some(*state),
                Report::Piece(number, piece) => self.pass(number, piece),
            }
        }
    }

    fn pass(&self, number: u64, piece: Piece) {
        if let Some(call) = self.calls.lock().get(&number) {
            // Whoever left says so by itself.
            call.send(piece).ok();
        }
    }

    async fn write(&self, mut socket: OwnedWriteHalf, orders: &mut UnboundedReceiver<Order>) -> End {
        let start = Start {
            name: self.name.clone(),
            settings: self.settings.clone(),
            token: self.settings.token.as_ref().map(|token| token.expose_secret().to_owned()),
            data_dir: self.data_dir.clone(),
        };
        let mut order = Order::Start(Box::new(start));
        loop {
            if let Err(error) = frame::write(&mut socket, &order).await {
                return End::Died(error.to_string());
            }
            match orders.recv().await {
                Some(next) => order = next,
                None => return End::Dismissed,
            }
        }
    }

    /// Ends when the process must be killed.
    async fn watch(&self) -> String {
        let mut ticks = tokio::time::interval(PERIOD);
        loop {
            ticks.tick().await;
            if self.state.lock().as_ref().is_some_and(|state| state.is_stalled) {
                self.health.stalled();
                return "its engine makes no token".to_owned();
            }
            if self.heard.lock().elapsed() > self.settings.stall_after + GRACE {
                self.health.stalled();
                return "it says nothing".to_owned();
            }
        }
    }

    /// Takes a call in.
    ///
    /// # Errors
    /// There is no process to take it.
    pub(super) fn enter(self: &Arc<Self>, orders: &UnboundedSender<Order>) -> Result<Visit, BackendError> {
        match self.availability() {
            Availability::Failed { reason } if self.state.lock().is_none() => {
                let message = format!("Model {} cannot answer now.", self.name);
                return Err(BackendError::new(Code::UpstreamFailed, message, format!("{}: {reason}", self.name)));
            }
            Availability::Loading { .. } if self.state.lock().is_none() => {
                let message = format!("Model {} is still loading; try again soon.", self.name);
                let error = BackendError::new(Code::ModelLoading, message, format!("{} starts its process", self.name));
                return Err(BackendError { retry_after: Some(Duration::from_secs(2)), ..error });
            }
            _ => {}
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (sender, pieces) = mpsc::unbounded_channel();
        self.calls.lock().insert(number, sender);
        Ok(Visit { number, pieces, shared: Arc::clone(self), orders: orders.clone() })
    }

    /// Returns what a caller is told whose answer died with the process.
    pub(super) fn lost(&self) -> BackendError {
        let message = format!("Model {} failed; try again.", self.name);
        BackendError::new(Code::UpstreamFailed, message, format!("the process of {} died", self.name))
    }

    pub(super) fn availability(&self) -> Availability {
        if self.health.is_out() {
            let reason = "its process died five times in ten minutes; load it again to let it try";
            return Availability::Failed { reason: reason.to_owned() };
        }
        let starting = Availability::Loading { step: LoadStep::Reading, progress: Probability::clamped(0.0) };
        self.state.lock().as_ref().map_or(starting, |state| state.availability.clone())
    }

    /// Returns how the process fares, with what befell the processes before it.
    pub(super) fn room(&self) -> EngineRoom {
        let [stalls, deaths, restarts] = self.health.counted();
        let now = self.state.lock().as_ref().map(|state| state.room.clone()).unwrap_or_default();
        EngineRoom {
            stalls: now.stalls.max(stalls),
            deaths: now.deaths + deaths,
            restarts: now.restarts + restarts,
            is_out: now.is_out || self.health.is_out(),
            ..now
        }
    }

    pub(super) fn expected_wait(&self, priority: Priority) -> Duration {
        let state = self.state.lock();
        state.as_ref().map_or(Duration::ZERO, |state| match priority {
            Priority::Foreground => state.room.expected_wait,
            Priority::Background => state.background_wait,
        })
    }

    pub(super) fn speculation(&self) -> Option<Speculation> {
        self.state.lock().as_ref()?.speculation.clone()
    }

    pub(super) fn pardon(&self) {
        self.health.pardon();
        self.pardoned.notify_one();
    }
}

impl Visit {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Waits for the next piece; `None` when the process died.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Piece> {
        self.pieces.recv().await
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.shared.calls.lock().remove(&self.number);
        self.orders.send(Order::Leave(self.number)).ok();
    }
}

impl Running {
    /// Makes sure that the process is gone, and adds how it went.
    fn last_words(&mut self, reason: String) -> String {
        // It may be gone already.
        self.0.kill().ok();
        match self.0.wait() {
            Ok(status) => format!("{reason} ({status})"),
            Err(_) => reason,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        // A process that was not waited for stays in the system's table.
        self.0.wait().ok();
    }
}
