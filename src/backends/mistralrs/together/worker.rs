//! The thread that decodes one company's answers.
//!
//! A thread of its own, because an answer must go on when nobody reads it: a slow reader may not hold the engines' turns.

use std::{panic::AssertUnwindSafe, sync::Arc, thread};

use futures_util::FutureExt;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::{
    super::{
        engine::EngineError,
        queue::Turn,
        speculation::{Messages, Passes},
    },
    lockstep::{Lockstep, decode},
};

/// Jobs that may lie ready. Whoever brings one holds the leader's turn, so that there is one at most, and one just ending.
const JOBS: usize = 4;

/// One answer to decode.
pub(super) struct Job {
    /// Of the members, the leader first.
    pub(super) passes: Vec<Arc<Mutex<Passes>>>,
    pub(super) messages: Messages,
    pub(super) lockstep: Lockstep,
    /// Given back when the engines are free again.
    pub(super) turns: Vec<Turn>,
}

/// Where answers are handed to be decoded.
pub(super) struct Worker {
    jobs: mpsc::Sender<(Job, oneshot::Sender<EngineError>)>,
}

impl Worker {
    /// Starts the thread; it ends when the worker is dropped.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(super) fn start() -> std::io::Result<Self> {
        let (sender, jobs) = mpsc::channel(JOBS);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("together".to_owned()).spawn(move || runtime.block_on(serve(jobs)))?;
        Ok(Self { jobs: sender })
    }

    /// Hands an answer over; the receiver tells why it broke off, if it does.
    ///
    /// # Errors
    /// The thread is gone.
    pub(super) fn take(&self, job: Job) -> Result<oneshot::Receiver<EngineError>, EngineError> {
        let (failure, failed) = oneshot::channel();
        self.jobs.try_send((job, failure)).map_err(|_| EngineError::Died)?;
        Ok(failed)
    }
}

async fn serve(mut jobs: mpsc::Receiver<(Job, oneshot::Sender<EngineError>)>) {
    while let Some((Job { passes, messages, lockstep, turns }, failure)) = jobs.recv().await {
        let decoded = AssertUnwindSafe(answer(passes, messages, lockstep)).catch_unwind().await;
        let error = match decoded {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(EngineError::Failed("decoding panicked".to_owned())),
        };
        if let Some(error) = error {
            // Who asked may be gone.
            drop(failure.send(error));
        }
        drop(turns);
    }
}

async fn answer(passes: Vec<Arc<Mutex<Passes>>>, messages: Messages, lockstep: Lockstep) -> Result<(), EngineError> {
    let mut members = Vec::new();
    for passes in passes {
        members.push(passes.lock_owned().await);
    }
    decode(members, messages, lockstep).await
}
