//! Usage, the record guard, the ledger.
//!
//! A request that was authenticated leaves exactly one [`RequestRecord`], whatever happens to it. [`RecordGuard::open`] begins
//! the record, the stages write into it what they learn, and [`RecordGuard::close`] hands it to every [`RecordSink`]: the
//! ledger, the metrics, the log line. A guard that is dropped without being closed says why by itself: the gateway is ending,
//! a panic is unwinding, or the client left.
//!
//! [`Ledger`] is the sink that keeps records: one SQLite file, one writer thread, a bounded queue in front. A request never
//! waits for the disk; a record that finds the queue full is lost, and that is counted and logged as an error.
//!
//! Invariant `booked_exactly_once`: the guard closes once, and the ledger refuses a second row of the same request.
//!
//! The ledger also keeps grades of answers and, where it is told to, the prompts behind them; neither is part of a record.
//!
//! To add a sink: implement [`RecordSink`] and hand it to [`Bookkeeping`] in `app.rs`.

pub mod guard;
pub mod ledger;
pub mod open;

use crate::{domain::RequestRecord, telemetry::Telemetry};

pub use guard::{Bookkeeping, Opening, RecordGuard};
pub use ledger::{FeedbackError, Ledger, LedgerError, LedgerOptions, LedgerReader, Recorded};
pub use open::OpenRecords;

/// Takes finished records. Called on the request's own thread: it must not wait.
pub trait RecordSink: Send + Sync {
    /// Hears that a record was opened; [`RecordSink::take`] follows exactly once.
    fn opened(&self) {}

    /// Takes one finished record.
    fn take(&self, record: &RequestRecord);
}

impl RecordSink for Telemetry {
    fn opened(&self) {
        self.entered();
    }

    fn take(&self, record: &RequestRecord) {
        self.left();
        self.tell(record);
    }
}
