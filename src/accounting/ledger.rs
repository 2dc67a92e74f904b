//! The ledger: every record in one SQLite file, written by one thread behind a bounded queue.
//!
//! A request hands its record over and goes on; it never waits for the disk. The writer lets records gather for a moment,
//! writes them in one transaction and tries again when the disk refuses. Only when the queue is full, or a batch fails for
//! good, is a record lost; the loss is counted, logged as an error, and told to `on_lost`.
//!
//! Records older than the retention are deleted in small steps between batches. What a key spent per day is kept in a table
//! of its own, so that budgets and invoices outlive the records.

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

use parking_lot::{Mutex, RwLock};

use self::sqlite::Store;
use super::RecordSink;
use crate::{domain::RequestRecord, runtime::SharedClock};

pub use self::{read::LedgerReader, sqlite::SqliteFault};

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
    inbox: RwLock<Option<SyncSender<Box<RequestRecord>>>>,
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
            clock: options.clock,
            retention: options.retention,
            swept: None,
        };
        let run = move || writer.run(&done_sender);
        std::thread::Builder::new().name("ledger".to_owned()).spawn(run).map_err(LedgerError::Thread)?;
        Ok(Self {
            path: options.path,
            inbox: RwLock::new(Some(inbox)),
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

impl RecordSink for Ledger {
    fn take(&self, record: &RequestRecord) {
        let inbox = self.inbox.read();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let is_queued = inbox.as_ref().is_some_and(|inbox| inbox.try_send(Box::new(record.clone())).is_ok());
        if !is_queued {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
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
    queue: Receiver<Box<RequestRecord>>,
    waiting: Arc<AtomicUsize>,
    losses: Arc<Losses>,
    is_failing: Arc<AtomicBool>,
    clock: SharedClock,
    retention: Duration,
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

    fn write(&mut self, first: Box<RequestRecord>) {
        if self.waiting.load(Ordering::Relaxed) < BATCH {
            std::thread::park_timeout(GATHER);
        }
        let mut batch = vec![first];
        batch.extend(self.queue.try_iter().take(BATCH - 1));
        self.write_batch(&batch);
        self.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
    }

    fn write_batch(&mut self, batch: &[Box<RequestRecord>]) {
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

    /// Deletes one step of old records once a minute, and goes on at once while there are more.
    fn sweep_when_due(&mut self) {
        let now = self.clock.elapsed();
        if self.swept.is_some_and(|last| now.saturating_sub(last) < SWEEP_EVERY) {
            return;
        }
        let Ok(oldest) = self.clock.now().checked_sub(self.retention) else { return };
        match self.store.delete_before(oldest, SWEEP_STEP) {
            Ok(deleted) => self.swept = (deleted < SWEEP_STEP as usize).then_some(now),
            Err(error) => {
                self.swept = Some(now);
                tracing::warn!(error = %error, "old records could not be deleted from the ledger");
            }
        }
    }
}

#[cfg(test)]
mod tests;
