//! The ledger: every record in one SQLite file, written by one thread behind a bounded queue.
//!
//! A request hands its record over and goes on; it never waits for the disk. The writer lets records gather for a moment,
//! writes them in one transaction and tries again when the disk refuses. Only when the queue is full, or a batch fails for
//! good, is a record lost; the loss is counted, logged as an error, and told to `on_lost`.
//!
//! Beside the records stand grades (`feedback`), one per decision and key, and, where recording is on, prompts (`prompts`) for
//! training. Both go through the same queue; whoever sends a grade waits for it, and finds the record that was queued before.
//!
//! What is older than its retention is deleted in small steps between batches. What a key spent per day is kept in a table
//! of its own, so that budgets and invoices outlive the records.

mod entry;
mod feedback;
mod prompts;
mod read;
mod sqlite;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::Duration,
};

use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

use self::{
    entry::{Batch, Entry, Prompt},
    sqlite::Store,
};
use super::RecordSink;
use crate::{
    domain::{DecisionId, Feedback, Filed, RequestRecord},
    runtime::SharedClock,
};

pub use self::{
    feedback::FeedbackError,
    read::{LedgerReader, Recorded},
    sqlite::SqliteFault,
};

/// Most records in one transaction, so that a failed batch loses little.
const BATCH: usize = 512;

/// How long the first record of a batch waits for others. Neighbours share the pages that a transaction writes, and a request
/// does not wake the writer while it gathers; more gains little.
const GATHER: Duration = Duration::from_millis(50);

/// How often a failed batch is tried.
const TRIES: u32 = 4;

/// The pause before the second try of a batch; it doubles with each further one.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// How often old records are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Records deleted in one step, so that the writer is never away for long.
const SWEEP_STEP: u32 = 2_000;

/// What a ledger needs to know.
pub struct LedgerOptions {
    /// The SQLite file; it and its folder are created when missing.
    pub path: PathBuf,
    /// Records that may wait to be written.
    pub queue: usize,
    /// How long records are kept.
    pub retention: Duration,
    /// How long prompts and the texts of grades are kept, where they are kept at all.
    pub text_retention: Duration,
    /// Most prompts that are kept.
    pub most_prompts: u64,
    /// Says what is old.
    pub clock: SharedClock,
    /// Told of every loss with the number of records.
    pub on_lost: Box<dyn Fn(u64) + Send + Sync>,
}

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file or its folder cannot be created or written.
    #[error("cannot write the ledger {path}")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is something else or broken.
    #[error("the ledger {path} is damaged or not a SQLite file; move it away to begin a new one")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: SqliteFault,
    },
    /// The file comes from a newer Pointsman.
    #[error("the ledger has schema {found}, this program knows up to {known}; use the newer program or another file")]
    Newer {
        /// The schema in the file.
        found: u32,
        /// The newest schema known here.
        known: u32,
    },
    /// SQLite refused.
    #[error("the ledger refused an operation")]
    Sqlite(#[from] SqliteFault),
    /// A stored value cannot be read as what it should be.
    #[error("the ledger holds an unreadable {column}: {text:?}")]
    Unreadable {
        /// The column.
        column: &'static str,
        /// What stands there.
        text: String,
    },
    /// The writer thread cannot be started.
    #[error("cannot start the ledger's writer thread")]
    Thread(#[source] std::io::Error),
}

/// Takes records and writes them down.
pub struct Ledger {
    path: PathBuf,
    inbox: RwLock<Option<SyncSender<Entry>>>,
    clock: SharedClock,
    retention: Duration,
    done: Mutex<Receiver<()>>,
    waiting: Arc<AtomicUsize>,
    losses: Arc<Losses>,
    is_failing: Arc<AtomicBool>,
}

impl Ledger {
    /// Opens the file, brings its schema up to date and starts the writer.
    ///
    /// # Errors
    /// The file is unwritable, damaged or from a newer program.
    pub fn open(options: LedgerOptions) -> Result<Self, LedgerError> {
        let store = Store::open(&options.path)?;
        let (inbox, queue) = sync_channel(options.queue.max(1));
        let (done_sender, done) = sync_channel(1);
        let losses = Arc::new(Losses { count: AtomicU64::new(0), on_lost: options.on_lost });
        let waiting = Arc::new(AtomicUsize::new(0));
        let is_failing = Arc::new(AtomicBool::new(false));
        let writer = Writer {
            store,
            queue,
            waiting: Arc::clone(&waiting),
            losses: Arc::clone(&losses),
            is_failing: Arc::clone(&is_failing),
            clock: Arc::clone(&options.clock),
            retention: options.retention,
            text_retention: options.text_retention,
            most_prompts: options.most_prompts,
            swept: None,
        };
        let run = move || writer.run(&done_sender);
        std::thread::Builder::new().name("ledger".to_owned()).spawn(run).map_err(LedgerError::Thread)?;
        Ok(Self {
            path: options.path,
            inbox: RwLock::new(Some(inbox)),
            clock: options.clock,
            retention: options.retention,
            done: Mutex::new(done),
            waiting,
            losses,
            is_failing,
        })
    }

    /// Returns a reader of the same file. It sees what has been written, not what still waits.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn reader(&self) -> Result<LedgerReader, LedgerError> {
        LedgerReader::open(&self.path)
    }

    /// Returns how many records are not written yet.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Returns how many records were lost since the start.
    pub fn lost(&self) -> u64 {
        self.losses.count.load(Ordering::Relaxed)
    }

    /// Returns whether the disk refused what was written last.
    pub fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }

    /// Takes no more records, writes what waits, and returns whether all of it was written within `limit`. Blocks: call it
    /// from a thread that may wait.
    pub fn close(&self, limit: Duration) -> bool {
        drop(self.inbox.write().take());
        // The writer says nothing and hangs up when it has ended, so both answers but a timeout mean that it is done.
        !matches!(self.done.lock().recv_timeout(limit), Err(RecvTimeoutError::Timeout))
    }
}

impl Ledger {
    /// Keeps the prompt of a decision, for training. It does not wait; a prompt that finds the queue full is not kept.
    pub fn keep_prompt(&self, decision: DecisionId, text: &str) {
        let prompt = Prompt { decision, at: self.clock.now(), text: text.to_owned() };
        if !self.queue(Entry::Prompt(Box::new(prompt))) {
            tracing::warn!("the ledger's queue is full or closed, the prompt of {decision} is not kept");
        }
    }

    /// Keeps a grade and returns when it is written.
    ///
    /// # Errors
    /// The tenant has no such decision on record, the grade contradicts its idempotency key, or it cannot be written.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether the grade is kept.
    pub async fn file(&self, feedback: Feedback) -> Result<Filed, FeedbackError> {
        let decision = feedback.decision;
        if decision.made_at() < self.oldest(self.retention) {
            return Err(FeedbackError::Expired { decision, days: self.retention.as_secs().div_ceil(86_400) });
        }
        let (sender, answer) = oneshot::channel();
        if !self.queue(Entry::Feedback(Box::new(feedback), sender)) {
            return Err(FeedbackError::Busy);
        }
        answer.await.unwrap_or(Err(FeedbackError::Busy))
    }

    fn oldest(&self, retention: Duration) -> Timestamp {
        self.clock.now().checked_sub(retention).unwrap_or(Timestamp::MIN)
    }

    /// Returns whether there was room.
    fn queue(&self, entry: Entry) -> bool {
        let inbox = self.inbox.read();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let is_queued = inbox.as_ref().is_some_and(|inbox| inbox.try_send(entry).is_ok());
        if !is_queued {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        is_queued
    }
}

impl RecordSink for Ledger {
    fn take(&self, record: &RequestRecord) {
        if !self.queue(Entry::Record(Box::new(record.clone()))) {
            let request = record.request;
            tracing::error!(request.id = %request, "the ledger's queue is full or closed, the record of {request} is lost");
            self.losses.add(1);
        }
    }
}

struct Losses {
    count: AtomicU64,
    on_lost: Box<dyn Fn(u64) + Send + Sync>,
}

impl Losses {
    fn add(&self, records: u64) {
        self.count.fetch_add(records, Ordering::Relaxed);
        (self.on_lost)(records);
    }
}

/// The one thread that writes.
struct Writer {
    store: Store,
    queue: Receiver<Entry>,
    waiting: Arc<AtomicUsize>,
    losses: Arc<Losses>,
    is_failing: Arc<AtomicBool>,
    clock: SharedClock,
    retention: Duration,
    text_retention: Duration,
    most_prompts: u64,
    swept: Option<Duration>,
}

impl Writer {
    /// Runs until every sender is gone and the queue is empty; `_done` hangs up at the end.
    fn run(mut self, _done: &SyncSender<()>) {
        loop {
            match self.queue.recv_timeout(SWEEP_EVERY) {
                Ok(first) => self.write(first),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.sweep_when_due();
        }
    }

    fn write(&mut self, first: Entry) {
        // Whoever sends a grade waits for it; nobody waits for a record.
        if self.waiting.load(Ordering::Relaxed) < BATCH && !matches!(first, Entry::Feedback(..)) {
            std::thread::park_timeout(GATHER);
        }
        let entries = std::iter::once(first).chain(self.queue.try_iter().take(BATCH - 1));
        let batch = Batch::of(entries);
        let count = batch.len();
        if !batch.records.is_empty() {
            self.write_batch(&batch.records);
        }
        self.write_prompts(&batch.prompts);
        for (feedback, answer) in batch.feedback {
            // Whoever asked may have left; the grade is kept all the same.
            answer.send(self.store.file(&feedback, self.clock.now())).ok();
        }
        self.waiting.fetch_sub(count, Ordering::Relaxed);
    }

    fn write_prompts(&mut self, prompts: &[Prompt]) {
        if prompts.is_empty() {
            return;
        }
        if let Err(error) = self.store.keep_prompts(prompts) {
            tracing::error!(error = %error, prompts = prompts.len(), "recorded prompts could not be written and are lost");
        }
    }

    fn write_batch(&mut self, batch: &[RequestRecord]) {
        let mut pause = RETRY_PAUSE;
        for left in (0..TRIES).rev() {
            let written = self.store.insert(batch);
            self.is_failing.store(written.is_err(), Ordering::Relaxed);
            let Err(error) = written else { return };
            tracing::error!(error = %error, records = batch.len(), "the ledger could not be written, {left} tries left");
            if left > 0 {
                std::thread::park_timeout(pause);
                pause *= 2;
            }
        }
        self.losses.add(batch.len() as u64);
    }

    /// Deletes one step of what is old once a minute, and goes on at once while there is more.
    fn sweep_when_due(&mut self) {
        let now = self.clock.elapsed();
        if self.swept.is_some_and(|last| now.saturating_sub(last) < SWEEP_EVERY) {
            return;
        }
        match self.sweep() {
            Ok(is_done) => self.swept = is_done.then_some(now),
            Err(error) => {
                self.swept = Some(now);
                tracing::warn!(error = %error, "old records could not be deleted from the ledger");
            }
        }
    }

    /// Returns whether nothing old is left.
    fn sweep(&mut self) -> Result<bool, SqliteFault> {
        let now = self.clock.now();
        let before = |retention| now.checked_sub(retention).unwrap_or(Timestamp::MIN);
        let (oldest, oldest_text) = (before(self.retention), before(self.text_retention));
        let records = self.store.delete_before(oldest, SWEEP_STEP)?;
        let prompts = self.store.forget_prompts(oldest_text, self.most_prompts, SWEEP_STEP)?;
        self.store.forget_feedback((oldest, oldest_text), now, SWEEP_STEP)?;
        Ok(records.max(prompts) < SWEEP_STEP as usize)
    }
}

#[cfg(test)]
mod tests;
