//! The process of one model: it serves the socket on its standard input until that closes.

use std::{
    collections::HashMap,
    os::{fd::AsFd, unix::net::UnixStream as Socket},
    sync::Arc,
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt,
    future::{AbortHandle, Abortable, BoxFuture},
    stream::FuturesUnordered,
};
use secrecy::SecretString;
use tokio::{
    net::UnixStream,
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
};

use super::{
    super::Backend,
    super::mistralrs::{Local, WeightPlace, resident_bytes},
    frame::{self, FrameError},
    message::{Asked, Fault, Order, Piece, Report, Start, State},
};
use crate::{
    artifacts::Store,
    config::LocalSettings,
    domain::{BackendError, EngineRoom, Priority, Reply, Waited},
    error::Code,
    runtime::SystemClock,
};

/// How often the gateway is told how things are.
const PERIOD: Duration = Duration::from_millis(250);

/// Why a process does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// Standard input is no socket: this is no command for people.
    #[error("this command is for the gateway itself, which talks to it over a socket: {0}")]
    NoSocket(#[from] std::io::Error),
    /// The gateway spoke in a way that is not understood.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Its first word was not what to run.
    #[error("the gateway did not say what to run")]
    NoStart,
}

/// Serves one model to the gateway, until the gateway is gone.
///
/// # Errors
/// Standard input is no socket of a gateway.
pub fn serve() -> Result<(), ChildError> {
    let socket = Socket::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    socket.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { talk(UnixStream::from_std(socket)?).await })
}

async fn talk(mut socket: UnixStream) -> Result<(), ChildError> {
    let Order::Start(start) = frame::read(&mut socket).await? else { return Err(ChildError::NoStart) };
    let (mut reading, mut writing) = socket.into_split();
    let (orders, taken) = mpsc::unbounded_channel();
    let (reports, mut told) = mpsc::unbounded_channel::<Report>();
    let read = async {
        while let Ok(order) = frame::read::<Order>(&mut reading).await {
            orders.send(order).ok();
        }
    };
    let write = async {
        while let Some(report) = told.recv().await {
            if frame::write(&mut writing, &report).await.is_err() {
                return;
            }
        }
    };
    let mut desk = Desk { local: local(*start), reports, running: FuturesUnordered::new(), leaves: HashMap::new() };
    // Whichever ends first, the gateway is gone.
    tokio::select! {
        () = read => {}
        () = write => {}
        () = desk.serve(taken) => {}
    }
    Ok(())
}

fn local(start: Start) -> Arc<Local> {
    let Start { name, settings, token, data_dir } = start;
    let settings = LocalSettings { token: token.map(SecretString::from), ..settings };
    let place = WeightPlace { store: Store::new(data_dir), may_fetch: false };
    Local::start(name, settings, place, Arc::new(SystemClock::default()))
}

/// Where calls are taken and answered.
struct Desk {
    local: Arc<Local>,
    reports: UnboundedSender<Report>,
    running: FuturesUnordered<BoxFuture<'static, u64>>,
    leaves: HashMap<u64, AbortHandle>,
}

impl Desk {
    async fn serve(&mut self, mut orders: UnboundedReceiver<Order>) {
        let mut ticks = tokio::time::interval(PERIOD);
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.take(order),
                    None => return,
                },
                Some(number) = self.running.next(), if !self.running.is_empty() => drop(self.leaves.remove(&number)),
                _ = ticks.tick() => self.report(),
            }
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Ask(asked) => self.ask(*asked),
            Order::Leave(number) => {
                if let Some(leave) = self.leaves.remove(&number) {
                    leave.abort();
                }
            }
            // A local model does what it is told.
            Order::Do(order) => drop(self.local.order(order)),
            Order::Start(_) => {}
        }
    }

    fn ask(&mut self, asked: Asked) {
        let number = asked.number;
        let (leave, registration) = AbortHandle::new_pair();
        self.leaves.insert(number, leave);
        let teller = Teller { number, reports: self.reports.clone() };
        let answer = Abortable::new(answer(Arc::clone(&self.local), asked, teller), registration);
        self.running.push(answer.map(move |_| number).boxed());
    }

    fn report(&self) {
        let room = self.local.engine_room().unwrap_or_default();
        let state = State {
            availability: self.local.availability(),
            room: EngineRoom { resident_bytes: Some(resident_bytes()), process: Some(std::process::id()), ..room },
            background_wait: self.local.expected_wait(Priority::Background),
            speculation: self.local.speculation(),
            is_stalled: self.local.is_stalled(),
        };
        self.reports.send(Report::State(Box::new(state))).ok();
    }
}

/// Tells of one call.
struct Teller {
    number: u64,
    reports: UnboundedSender<Report>,
}

impl Teller {
    fn tell(&self, piece: Piece) {
        self.reports.send(Report::Piece(self.number, piece)).ok();
    }
}

async fn answer(local: Arc<Local>, asked: Asked, teller: Teller) {
    let (call, waited) = match asked.into_call() {
        Ok(call) => call,
        Err(error) => {
            let error = BackendError::new(Code::Internal, "The gateway failed.", format!("its own request: {error}"));
            return teller.tell(Piece::Failed(error.into()));
        }
    };
    let reply = Box::pin(local.chat(call)).await;
    tell(reply, &waited, &teller).await;
}

async fn tell(reply: Result<Reply, BackendError>, waited: &Waited, teller: &Teller) {
    teller.tell(Piece::Waited(waited.total()));
    match reply {
        Err(error) => teller.tell(Piece::Failed(Fault::from(error))),
        Ok(Reply::Whole(whole)) => teller.tell(Piece::Whole(whole.into())),
        Ok(Reply::Stream(mut events)) => {
            teller.tell(Piece::Begun);
            while let Some(event) = events.next().await {
                teller.tell(event.map_or_else(|error| Piece::Failed(error.into()), |event| Piece::Event(event.into())));
            }
            teller.tell(Piece::End);
        }
    }
}
