//! A local model in a process of its own: what crashes or eats memory there takes nothing of the gateway along.
//!
//! ```text
//! keeper     a thread of the gateway starts the process, passes frames on, and starts it again when it dies or hangs
//! frame      what is said over the socket: a length, then JSON
//! message    the words of that talk
//! child      the other side: the same program, running one [`super::mistralrs::Local`]
//! ```
//!
//! The socket is one end of a pair; the process has the other end as its standard input, so nothing else can connect and nothing
//! is left behind in the file system. The process ends when the socket closes, however the gateway ended.
//!
//! # Invariants
//!
//! - Dropping an answer tells the process, which ends the sequence at its next token.
//! - A reader that does not read stops nobody: the pieces of an answer wait in memory, and are no more than the answer.
//! - A process that says nothing, or whose engine makes no token, for longer than `stall_after` is killed and counted as dead.
//!   Five deaths in ten minutes take the model out until an administrator lets it try again.

mod child;
mod frame;
mod keeper;
mod message;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::stream;
use tokio::sync::mpsc;

pub use child::{ChildError, serve};

use self::{
    keeper::{Shared, Visit},
    message::{Asked, Order, Piece},
};
use super::Backend;
use crate::{
    config::LocalSettings,
    domain::{
        Availability, BackendError, EngineOrder, EngineRoom, EventStream, ModelCall, ModelName, Priority, Reply,
        Speculation,
    },
};

/// The program that is started for a model.
#[derive(Clone, Debug)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// What makes it serve a model on its standard input.
    pub arguments: Vec<String>,
}

/// A local model in a process of its own.
pub struct Isolated {
    shared: Arc<Shared>,
    orders: mpsc::UnboundedSender<Order>,
}

impl Isolated {
    /// Starts the process; the model loads there in the background.
    pub fn start(name: ModelName, settings: LocalSettings, data_dir: PathBuf, program: Program) -> Arc<Self> {
        let (orders, taken) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(name, settings, data_dir, program));
        keeper::start(&shared, taken);
        Arc::new(Self { shared, orders })
    }

    /// Waits for the answer to begin.
    async fn begun(&self, call: &ModelCall, mut visit: Visit) -> Result<Reply, BackendError> {
        loop {
            match visit.next().await.ok_or_else(|| self.shared.lost())? {
                Piece::Waited(waited) => call.context.waited.add(waited),
                Piece::Begun => return Ok(Reply::Stream(self.events(visit))),
                Piece::Whole(body) => return Ok(Reply::Whole(body.into_reply())),
                Piece::Failed(fault) => return Err(fault.into_error()),
                Piece::Event(_) | Piece::End => {}
            }
        }
    }

    fn events(&self, visit: Visit) -> EventStream {
        let shared = Arc::clone(&self.shared);
        Box::pin(stream::unfold(Some((visit, shared)), |state| async move {
            let (mut visit, shared) = state?;
            match visit.next().await {
                Some(Piece::Event(body)) => Some((Ok(body.into_event()), Some((visit, shared)))),
                Some(Piece::Failed(fault)) => Some((Err(fault.into_error()), None)),
                None => Some((Err(shared.lost()), None)),
                Some(Piece::End | Piece::Waited(_) | Piece::Begun | Piece::Whole(_)) => None,
            }
        }))
    }
}

#[async_trait]
impl Backend for Isolated {
    async fn chat(&self, call: ModelCall) -> Result<Reply, BackendError> {
        let visit = self.shared.enter(&self.orders)?;
        // A keeper that has ended drops what it had, so that waiting ends too.
        self.orders.send(Order::Ask(Box::new(Asked::of(visit.number(), &call)))).ok();
        self.begun(&call, visit).await
    }

    fn availability(&self) -> Availability {
        self.shared.availability()
    }

    fn engine_room(&self) -> Option<EngineRoom> {
        Some(self.shared.room())
    }

    fn expected_wait(&self, priority: Priority) -> Duration {
        self.shared.expected_wait(priority)
    }

    fn order(&self, order: EngineOrder) -> Result<(), BackendError> {
        if order == EngineOrder::Load {
            self.shared.pardon();
        }
        self.orders.send(Order::Do(order)).ok();
        Ok(())
    }

    fn speculation(&self) -> Option<Speculation> {
        self.shared.speculation()
    }
}
