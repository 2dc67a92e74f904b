//! However a stream ends, its attempt is in the record of its request.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::*;
use crate::{
    accounting::{Bookkeeping, OpenRecords, RecordSink},
    domain::{
        Attempt, AttemptJournal, AttemptOutcome, Endpoint, KeyId, KeyLimits, ModelName, NanoUsd, Preferences,
        Principal, RequestId, RequestRecord, TenantId, Usage,
    },
    gateway::answer::RequestContext,
    runtime::TestClock,
};

#[derive(Default)]
struct Kept(Mutex<Vec<RequestRecord>>);

impl RecordSink for Kept {
    fn take(&self, record: &RequestRecord) {
        self.0.lock().push(record.clone());
    }
}

/// Books an attempt when it is dropped, as a running attempt does.
struct Attempting(AttemptJournal);

impl Drop for Attempting {
    fn drop(&mut self) {
        self.0.book(Attempt {
            leg: 0,
            model: ModelName::parse("m").unwrap(),
            started: Duration::ZERO,
            waited: Duration::ZERO,
            first_token: None,
            took: Duration::ZERO,
            usage: Usage::default(),
            cost: NanoUsd(5),
            end: AttemptOutcome::Cancelled,
        });
    }
}

fn run(kept: &Arc<Kept>) -> Run {
    let books = Bookkeeping {
        clock: Arc::new(TestClock::at(Timestamp::UNIX_EPOCH)),
        stop: Stop::default(),
        baseline: None,
        sinks: vec![Arc::clone(kept) as Arc<dyn RecordSink>],
        open: OpenRecords::default(),
    };
    let principal = Principal {
        tenant: TenantId::parse("acme").unwrap(),
        key: KeyId::parse("k1").unwrap(),
        limits: KeyLimits::default(),
        policies: Vec::new(),
    };
    let context = RequestContext {
        request: RequestId::fresh(),
        arrived: Instant::now(),
        auth: Duration::ZERO,
        parse: Duration::ZERO,
        principal,
        preferences: Preferences::default(),
    };
    Run::open(&Arc::new(books), Endpoint::Chat, ("m", true), context)
}

/// Returns a stream that goes on for ever, whose events are made by `event`.
fn passing(run: Run, event: impl Fn() -> Event + Send + 'static) -> Passing {
    let attempting = Attempting(run.journal());
    let events = futures_util::stream::repeat(()).map(move |()| {
        let _running = &attempting;
        Ok(event())
    });
    let view = View { usage: UsageView::new(true), explanation: None };
    Passing::new(Source::Open(Box::pin(events)), run, view, (Bill::default(), Stop::default()))
}

fn event(data: &'static str) -> Event {
    Event {
        data: Bytes::from_static(data.as_bytes()),
        has_content: true,
        usage: None,
        finish_reason: None,
        signals: Vec::new(),
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_shown_ends_the_attempt_before_the_request_is_booked() {
    let kept = Arc::new(Kept::default());
    let mut passing = passing(run(&kept), || event("[]"));

    let shown = passing.next().await.unwrap();

    assert_eq!(shown.unwrap_err().code, Code::UpstreamMalformed);
    let records = kept.0.lock();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].attempts.len(), 1);
    assert_eq!(records[0].cost, NanoUsd(5));
}

#[tokio::test]
async fn a_caller_who_leaves_ends_the_attempt_before_the_request_is_booked() {
    let kept = Arc::new(Kept::default());
    let mut passing = passing(run(&kept), || event(r#"{"choices":[]}"#));
    assert!(passing.next().await.unwrap().is_ok());

    drop(passing);

    let records = kept.0.lock();
    assert_eq!((records.len(), records[0].attempts.len()), (1, 1));
    assert_eq!(records[0].end, Outcome::ClientGone);
}

#[tokio::test]
async fn a_stream_that_panics_is_booked_as_failed() {
    let kept = Arc::new(Kept::default());
    let mut passing = passing(run(&kept), || panic!("a fault in a backend"));
    assert!(AssertUnwindSafe(passing.next()).catch_unwind().await.is_err());

    drop(passing);

    let records = kept.0.lock();
    assert_eq!((records.len(), records[0].attempts.len()), (1, 1));
    assert_eq!(records[0].end.code(), Some("internal_error"));
}
