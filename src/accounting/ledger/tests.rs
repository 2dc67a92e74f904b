use std::{path::Path, sync::mpsc};

use jiff::Timestamp;

use super::*;
use crate::{
    domain::{
        Attempt, AttemptOutcome, CacheOutcome, Cause, DecisionId, Endpoint, KeyId, Leg, ModelName, NanoUsd, Outcome,
        Plan, PolicyName, Probability, Reason, RequestId, Ruling, ScoresUnavailable, StageTimes, TenantId, Tokens,
        Usage, Verdict,
    },
    runtime::TestClock,
};

const SOON: Duration = Duration::from_secs(20);

fn noon() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn options(path: &Path) -> LedgerOptions {
    LedgerOptions {
        path: path.to_owned(),
        queue: 1024,
        retention: Duration::from_secs(86_400),
        text_retention: Duration::from_secs(3_600),
        most_prompts: 10,
        clock: Arc::new(TestClock::at(noon())),
        on_lost: Box::new(|_| {}),
    }
}

fn attempt(end: AttemptOutcome) -> Attempt {
    Attempt {
        leg: 1,
        model: ModelName::parse("openai/gpt").unwrap(),
        started: Duration::from_micros(7),
        waited: Duration::ZERO,
        first_token: Some(Duration::from_nanos(123_456_789)),
        took: Duration::from_secs(2),
        usage: Usage {
            input: Tokens(10),
            output: Tokens(20),
            cached_input: Tokens(3),
            reasoning: Tokens(4),
            is_estimated: true,
        },
        cost: NanoUsd(55),
        end,
    }
}

fn record(key: &str, at: Timestamp) -> RequestRecord {
    let model = ModelName::parse("openai/gpt").unwrap();
    RequestRecord {
        request: RequestId::fresh(),
        decision: DecisionId::fresh(),
        at,
        tenant: TenantId::parse("acme").unwrap(),
        key: KeyId::parse(key).unwrap(),
        endpoint: Endpoint::Chat,
        requested_model: "auto".to_owned(),
        is_streaming: true,
        policy: Some(PolicyName::parse("cheap").unwrap()),
        policy_version: 3,
        reason: Some(Reason::BestUtility),
        plan: Some(Plan::Single { leg: Leg { model: model.clone() }, fallbacks: Vec::new() }),
        propensity: Probability::clamped(0.99),
        ask: None,
        unscored: Some(ScoresUnavailable::Late),
        cache: CacheOutcome::Miss,
        attempts: vec![
            attempt(AttemptOutcome::Failed { code: "upstream_cut".to_owned() }),
            attempt(AttemptOutcome::Ok),
        ],
        verdicts: vec![Verdict {
            leg: 0,
            model: model.clone(),
            ruling: Ruling::Deferred,
            cause: Cause::Logprob,
            value: Some(-1.5),
        }],
        answered_by: Some(model),
        usage: Usage { input: Tokens(20), output: Tokens(40), ..Usage::default() },
        cost: NanoUsd(110),
        baseline_cost: Some(NanoUsd(900)),
        saved: NanoUsd(1),
        times: StageTimes { auth: Some(Duration::from_nanos(812)), total: SOON, ..StageTimes::default() },
        end: Outcome::Failed { code: "upstream_failed".to_owned() },
    }
}

#[test]
fn a_record_comes_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(options(&folder.path().join("new/ledger.sqlite"))).unwrap();
    let written = record("k1", noon());

    ledger.take(&written);
    assert!(ledger.close(SOON));

    assert_eq!(ledger.reader().unwrap().record(written.request).unwrap(), Some(written));
    assert_eq!(ledger.lost(), 0);
}

#[test]
fn booked_exactly_once() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(options(&folder.path().join("ledger"))).unwrap();
    let twice = record("k1", noon());

    ledger.take(&twice);
    ledger.take(&twice);
    assert!(ledger.close(SOON));

    let reader = ledger.reader().unwrap();
    assert_eq!(reader.records_between(Timestamp::MIN, Timestamp::MAX, 10).unwrap().len(), 1);
    assert_eq!(reader.spending_since(jiff::civil::date(2026, 3, 1)).unwrap()[0].requests, 1);
}

#[test]
fn spending_is_summed_per_key_and_day() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(options(&folder.path().join("ledger"))).unwrap();
    let before_midnight: Timestamp = "2026-03-01T23:59:59Z".parse().unwrap();
    let after_midnight: Timestamp = "2026-03-02T00:00:00Z".parse().unwrap();

    for (key, at) in [("a", noon()), ("a", before_midnight), ("a", after_midnight), ("b", noon())] {
        ledger.take(&record(key, at));
    }
    assert!(ledger.close(SOON));

    let spending = ledger.reader().unwrap().spending_since(jiff::civil::date(2026, 3, 1)).unwrap();
    let costs: Vec<_> = spending.iter().map(|s| (s.key.as_str(), s.day.day(), s.cost.0, s.tokens.0)).collect();
    assert_eq!(costs, [("a", 1, 220, 120), ("b", 1, 110, 60), ("a", 2, 110, 60)]);
}

#[test]
fn old_records_are_deleted_and_their_spending_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let mut store = Store::open(&path).unwrap();
    let (old, new) = (record("a", noon() - Duration::from_secs(10)), record("a", noon()));
    store.insert(&[old.clone(), new.clone()]).unwrap();

    let deleted = store.delete_before(noon(), 100).unwrap();

    let reader = LedgerReader::open(&path).unwrap();
    assert_eq!(deleted, 1);
    assert_eq!(reader.record(old.request).unwrap(), None);
    assert_eq!(reader.record(new.request).unwrap(), Some(new));
    assert_eq!(reader.spending_since(jiff::civil::date(2026, 3, 1)).unwrap()[0].cost, NanoUsd(220));
}

#[test]
fn the_writer_deletes_what_is_older_than_the_retention() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(options(&folder.path().join("ledger"))).unwrap();
    let old = record("a", noon() - Duration::from_secs(86_401));

    ledger.take(&old);
    assert!(ledger.close(SOON));

    assert_eq!(ledger.reader().unwrap().record(old.request).unwrap(), None);
}

#[test]
fn a_ledger_goes_on_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let first = record("a", noon());
    let ledger = Ledger::open(options(&path)).unwrap();
    ledger.take(&first);
    assert!(ledger.close(SOON));

    let again = Ledger::open(options(&path)).unwrap();
    again.take(&record("a", noon()));
    assert!(again.close(SOON));

    let records = again.reader().unwrap().records_between(Timestamp::MIN, Timestamp::MAX, 10).unwrap();
    assert_eq!(records.len(), 2);
}

#[test]
fn a_full_queue_loses_records_loudly_and_never_waits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let (told, heard) = mpsc::channel();
    let ledger = Ledger::open(LedgerOptions {
        queue: 1,
        on_lost: Box::new(move |records| told.send(records).unwrap()),
        ..options(&path)
    })
    .unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    // While another connection holds the file, the writer thread can take one batch and the queue one record more.
    let taken = BATCH + 100;
    for _ in 0..taken {
        ledger.take(&record("a", noon()));
    }
    let lost = heard.recv_timeout(SOON).unwrap();
    let waiting = ledger.waiting();
    other.execute_batch("ROLLBACK").unwrap();
    assert!(ledger.close(SOON));

    let written = ledger.reader().unwrap().records_between(Timestamp::MIN, Timestamp::MAX, 10_000).unwrap();
    assert_eq!(lost, 1);
    assert!((1..=BATCH + 1).contains(&waiting), "{waiting}");
    assert_eq!(ledger.waiting(), 0);
    assert_eq!(written.len() as u64 + ledger.lost(), taken as u64);
}

#[test]
fn a_record_after_the_end_is_counted_as_lost() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(options(&folder.path().join("ledger"))).unwrap();

    assert!(ledger.close(SOON));
    ledger.take(&record("a", noon()));

    assert_eq!(ledger.lost(), 1);
}

#[test]
fn a_file_that_is_no_ledger_is_refused_with_a_clear_word() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    std::fs::write(
        &path,
        "not a database, but long enough to look like a header of one, and then some more".repeat(20),
    )
    .unwrap();

    let refused = Ledger::open(options(&path)).err().unwrap();

    assert!(matches!(refused, LedgerError::Damaged { .. }), "{refused:?}");
    assert!(refused.to_string().contains("move it away"));
}

#[test]
fn a_ledger_of_a_newer_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();

    let refused = Ledger::open(options(&path)).err().unwrap();

    assert!(matches!(refused, LedgerError::Newer { found: 99, known: 4 }), "{refused:?}");
}

#[test]
fn a_ledger_that_cannot_be_created_is_refused() {
    let folder = tempfile::tempdir().unwrap();

    let refused = Ledger::open(options(folder.path())).err().unwrap();

    assert!(matches!(refused, LedgerError::Unwritable { .. }), "{refused:?}");
}

#[test]
fn a_ledger_of_an_older_program_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let written = record("k1", noon());
    let ledger = Ledger::open(options(&path)).unwrap();
    ledger.take(&written);
    assert!(ledger.close(SOON));
    let old = "DROP TABLE feedback; DROP TABLE feedback_once; DROP TABLE prompts; DROP INDEX records_by_decision;
        ALTER TABLE records DROP COLUMN propensity; ALTER TABLE records DROP COLUMN verdicts;
        ALTER TABLE attempts DROP COLUMN waited_ns; PRAGMA user_version = 1;";
    rusqlite::Connection::open(&path).unwrap().execute_batch(old).unwrap();

    let reopened = Ledger::open(options(&path)).unwrap();

    let expected = RequestRecord { propensity: Probability::ONE, verdicts: Vec::new(), ..written.clone() };
    assert_eq!(reopened.reader().unwrap().record(written.request).unwrap(), Some(expected));
}

#[tokio::test]
async fn a_grade_finds_the_record_that_was_queued_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut record = record("k1", noon());
    record.at = record.decision.made_at();
    let clock = TestClock::at(record.at);
    let ledger =
        Ledger::open(LedgerOptions { clock: Arc::new(clock), ..options(&folder.path().join("ledger")) }).unwrap();
    let feedback = Feedback {
        decision: record.decision,
        tenant: record.tenant.clone(),
        key: record.key.clone(),
        score: Probability::clamped(0.5),
        correction: None,
        comment: None,
        once: None,
    };

    ledger.take(&record);
    let first = ledger.file(feedback.clone()).await.unwrap();
    let again = ledger.file(feedback).await.unwrap();

    assert_eq!(first.news.map(|news| *news.record), Some(record));
    assert_eq!((again.at, again.news), (first.at, None));
}
