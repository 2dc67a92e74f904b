//! The thread that decodes one engine's answers with proposals.
//!
//! A thread of its own, because an answer must go on when nobody reads it: a slow reader may not hold an engine's turn.

use std::{panic::AssertUnwindSafe, sync::Arc, thread};

use futures_util::FutureExt;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::{
    super::{engine::EngineError, queue::Turn},
    decode::decode,
    order::Order,
    passes::{Messages, Passes},
};

/// Jobs that may lie ready. Whoever brings one holds the engine's turn, so that there is one at most, and one just ending.
const JOBS: usize = 4;

/// One answer to decode.
pub(in super::super) struct Job {
    /// The conversation to answer.
    pub(in super::super) messages: Messages,
    /// What to decode with, once the prompt is known.
    pub(in super::super) order: Order,
    /// Given back when the engine is free again.
    pub(in super::super) turn: Turn,
    /// Told why the answer broke off, if it did.
    pub(in super::super) failure: oneshot::Sender<EngineError>,
}

/// Where answers are handed to be decoded.
pub(in super::super) struct Worker {
    jobs: mpsc::Sender<Job>,
}

impl Worker {
    /// Starts the thread; it ends when the worker is dropped.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(in super::super) fn start(passes: Arc<Mutex<Passes>>) -> std::io::Result<Self> {
        let (sender, jobs) = mpsc::channel(JOBS);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serve = move || runtime.block_on(serve(&passes, jobs));
        thread::Builder::new().name("speculation".to_owned()).spawn(serve)?;
        Ok(Self { jobs: sender })
    }

    /// Hands an answer over.
    ///
    /// # Errors
    /// The thread is gone.
    pub(in super::super) fn take(&self, job: Job) -> Result<(), EngineError> {
        self.jobs.try_send(job).map_err(|_| EngineError::Died)
    }
}

async fn serve(passes: &Mutex<Passes>, mut jobs: mpsc::Receiver<Job>) {
    while let Some(Job { messages, order, turn, failure }) = jobs.recv().await {
        let mut passes = passes.lock().await;
        let decoded = AssertUnwindSafe(answer(&mut passes, messages, order)).catch_unwind().await;
        let error = match decoded {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(EngineError::Failed("decoding panicked".to_owned())),
        };
        if let Some(error) = error {
            // Who asked may be gone.
            drop(failure.send(error));
        }
        drop(turn);
    }
}

async fn answer(passes: &mut Passes, messages: Messages, order: Order) -> Result<(), EngineError> {
    let prompt = passes.prompt(messages).await?;
    match order.work(prompt, passes.vocabulary()) {
        Some(work) => decode(passes, work).await,
        None => Ok(()),
    }
}
