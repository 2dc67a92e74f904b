//! Prompts that wait for a session, and the threads that own the sessions of a heavy graph.
//!
//! A graph that takes milliseconds must not hold the threads that serve connections. Batches form by themselves: a thread takes
//! the prompt that has waited longest and, with it, those that wait behind it by then; it never waits for more. So an idle
//! queue adds no time, and a full one takes fewer passes.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::session::{Outputs, Session, SessionError};

/// Tokens of a batch, padding included: beyond this a pass is bound by arithmetic and waiting together gains nothing.
const MOST_TOKENS: usize = 1_024;
/// Prompts that may wait; more are told at once that it is full.
const MOST_WAITING: usize = 1_024;

/// Why a prompt did not come back from the queue.
#[derive(Debug, thiserror::Error)]
pub(super) enum QueueError {
    /// Too many are waiting.
    #[error("too many prompts are waiting")]
    Full,
    /// The thread that had it is gone.
    #[error("the engine's thread is gone")]
    Gone,
    /// The engine failed.
    #[error(transparent)]
    Session(#[from] SessionError),
}

struct Job {
    ids: Vec<u32>,
    reply: oneshot::Sender<Result<Outputs, SessionError>>,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    is_closed: bool,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    bell: Condvar,
}

/// A queue and the threads that empty it; they end when it is dropped.
pub(super) struct Queue {
    shared: Arc<Shared>,
}

impl Queue {
    /// Starts a thread for each session.
    pub(super) fn start(sessions: Vec<Box<dyn Session>>) -> Self {
        let shared = Arc::new(Shared::default());
        for session in sessions {
            let shared = Arc::clone(&shared);
            thread::spawn(move || work(&shared, session));
        }
        Self { shared }
    }

    /// Runs the graph on one prompt when its turn has come.
    ///
    /// # Cancel safety
    /// Dropping the future takes the prompt out of the queue unless it is running.
    pub(super) async fn run(&self, ids: Vec<u32>) -> Result<Outputs, QueueError> {
        let (reply, answer) = oneshot::channel();
        {
            let mut waiting = self.shared.waiting.lock();
            if waiting.jobs.len() >= MOST_WAITING {
                return Err(QueueError::Full);
            }
            waiting.jobs.push_back(Job { ids, reply });
        }
        self.shared.bell.notify_one();
        Ok(answer.await.map_err(|_| QueueError::Gone)??)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.shared.waiting.lock().is_closed = true;
        self.shared.bell.notify_all();
    }
}

fn work(shared: &Shared, mut session: Box<dyn Session>) {
    while let Some(batch) = next_batch(shared) {
        run(&mut *session, batch);
    }
}

/// Waits for a prompt and returns it with those behind it; `None` at the end.
fn next_batch(shared: &Shared) -> Option<Vec<Job>> {
    let mut waiting = shared.waiting.lock();
    loop {
        // Nobody waits any more for what was abandoned.
        waiting.jobs.retain(|job| !job.reply.is_closed());
        if waiting.is_closed {
            return None;
        }
        if !waiting.jobs.is_empty() {
            let count = together(waiting.jobs.iter().map(|job| job.ids.len()));
            return Some(waiting.jobs.drain(..count).collect());
        }
        shared.bell.wait(&mut waiting);
    }
}

/// Returns how many prompts of these lengths, from the first on, make a batch; at least one.
fn together(lengths: impl Iterator<Item = usize>) -> usize {
    let (mut count, mut longest) = (0, 0);
    for length in lengths {
        longest = length.max(longest);
        if count > 0 && (count + 1) * longest > MOST_TOKENS {
            break;
        }
        count += 1;
    }
    count
}

fn run(session: &mut dyn Session, batch: Vec<Job>) {
    let rows: Vec<&[u32]> = batch.iter().map(|job| job.ids.as_slice()).collect();
    match guarded(|| session.run_batch(&rows)) {
        Ok(outputs) => {
            for (job, outputs) in batch.into_iter().zip(outputs) {
                // Whoever asked may have left.
                drop(job.reply.send(Ok(outputs)));
            }
        }
        // One prompt must not fail its neighbours.
        Err(_) if batch.len() > 1 => {
            for job in batch {
                drop(job.reply.send(guarded(|| session.run(&job.ids))));
            }
        }
        Err(error) => {
            if let Some(job) = batch.into_iter().next() {
                drop(job.reply.send(Err(error)));
            }
        }
    }
}

fn guarded<T>(run: impl FnOnce() -> Result<T, SessionError>) -> Result<T, SessionError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(Err(SessionError::Panicked))
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use futures_util::future::join_all;

    use super::*;

    /// Gives back the first id and the size of the batch; fails and panics on certain ids; waits to be let go before its first
    /// pass, so that prompts gather.
    struct Echo {
        gate: Arc<Mutex<()>>,
    }

    const FAILS: u32 = 900;
    const PANICS: u32 = 901;

    impl Session for Echo {
        fn run_batch(&mut self, prompts: &[&[u32]]) -> Result<Vec<Outputs>, SessionError> {
            drop(self.gate.lock());
            if prompts.iter().any(|ids| ids[0] == FAILS) {
                return Err(SessionError::BadOutput("latent"));
            }
            assert!(prompts.iter().all(|ids| ids[0] != PANICS), "as an engine might");
            let echo = |ids: &&[u32]| Outputs {
                embedding: vec![ids[0] as f32],
                latent: vec![prompts.len() as f32],
                output_tokens: vec![],
            };
            Ok(prompts.iter().map(echo).collect())
        }
    }

    fn echo() -> (Queue, Arc<Mutex<()>>) {
        let gate = Arc::new(Mutex::new(()));
        (Queue::start(vec![Box::new(Echo { gate: Arc::clone(&gate) })]), gate)
    }

    #[tokio::test]
    async fn an_idle_queue_runs_a_prompt_alone_and_at_once() {
        let (queue, _gate) = echo();

        let outputs = queue.run(vec![7; 10]).await.unwrap();

        assert_eq!((outputs.embedding, outputs.latent), (vec![7.0], vec![1.0]));
    }

    #[tokio::test]
    async fn prompts_that_wait_run_together_and_each_gets_its_own_answer() {
        let (queue, gate) = echo();
        let held = gate.lock();
        let asked = join_all((0..20).map(|id| queue.run(vec![id; 10])));
        tokio::pin!(asked);
        assert!(asked.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());

        drop(held);
        let outputs: Vec<Outputs> = asked.await.into_iter().map(Result::unwrap).collect();

        assert!(outputs.iter().enumerate().all(|(id, outputs)| outputs.embedding == [id as f32]));
        assert!(outputs[19].latent[0] > 1.0, "those behind the first ran together");
    }

    #[tokio::test]
    async fn a_prompt_that_fails_or_panics_does_not_take_its_neighbours_along() {
        let (queue, gate) = echo();
        for bad in [FAILS, PANICS] {
            let held = gate.lock();
            let asked = join_all([1, 2, bad, 3].map(|id| queue.run(vec![id; 10])));
            tokio::pin!(asked);
            assert!(asked.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());

            drop(held);
            let outcomes: Vec<bool> = asked.await.iter().map(Result::is_ok).collect();

            assert_eq!(outcomes, [true, true, false, true]);
        }
    }

    proptest::proptest! {
        #[test]
        fn a_batch_is_never_empty_nor_above_its_bound(lengths in proptest::collection::vec(1_usize..600, 1..50)) {
            let count = together(lengths.iter().copied());

            let padded = count * lengths[..count].iter().max().unwrap();
            proptest::prop_assert!(count == 1 || padded <= MOST_TOKENS);
        }
    }
}
