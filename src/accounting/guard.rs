//! The guard that turns a request into exactly one record.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::Span;

use super::{OpenRecords, RecordSink};
use crate::{
    domain::{
        Ask, AttemptJournal, CacheOutcome, Decision, DecisionId, Endpoint, ModelFacts, ModelName, NanoUsd, Outcome,
        PolicyName, Principal, Probability, RequestId, RequestRecord, ScoresUnavailable, StageTimes, Usage,
    },
    error::Code,
    runtime::{Phase, SharedClock, Stop},
    telemetry::traces,
};

/// What every record needs besides the request: the time, the end of the program, the baseline, and who takes records.
pub struct Bookkeeping {
    /// Says when a request arrived.
    pub clock: SharedClock,
    /// Tells a client that left from a gateway that went down.
    pub stop: Stop,
    /// The model that savings are counted against.
    pub baseline: Option<Arc<ModelFacts>>,
    /// Who takes finished records, in this order.
    pub sinks: Vec<Arc<dyn RecordSink>>,
    /// The requests that are under way.
    pub open: OpenRecords,
}

/// What is known of a request when its record begins.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The request.
    pub request: RequestId,
    /// Its decision.
    pub decision: DecisionId,
    /// When its head arrived.
    pub arrived: Instant,
    /// Who asks.
    pub principal: Principal,
    /// Which endpoint was called.
    pub endpoint: Endpoint,
    /// The `model` field.
    pub requested_model: String,
    /// Whether the caller asked for a stream.
    pub is_streaming: bool,
}

/// A record that is still open. It is closed exactly once: by [`RecordGuard::close`] or by being dropped.
///
/// # Drop order
/// An attempt that is cancelled books itself when its stream is dropped. Whoever holds a stream and the guard of the same
/// request must drop the stream first: in a struct the stream's field stands **above** the guard's (fields are dropped from
/// top to bottom), in a function the guard is declared **before** the stream (locals are dropped in reverse).
pub struct RecordGuard {
    books: Arc<Bookkeeping>,
    arrived: Instant,
    journal: AttemptJournal,
    record: Box<RequestRecord>,
    span: Span,
    is_closed: bool,
}

impl RecordGuard {
    /// Opens the record of a request.
    pub fn open(books: Arc<Bookkeeping>, opening: Opening) -> Self {
        let arrived = opening.arrived;
        let span = traces::request_span(opening.request, opening.endpoint);
        let record = Box::new(blank(&books, opening));
        books.sinks.iter().for_each(|sink| sink.opened());
        books.open.open(record.decision, record.tenant.clone());
        Self { books, arrived, journal: AttemptJournal::default(), record, span, is_closed: false }
    }

    /// Returns the request's span, for what is done in its name.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Returns the journal in which attempts are booked; clones share it.
    pub fn journal(&self) -> AttemptJournal {
        self.journal.clone()
    }

    /// Notes the policy that serves the request.
    pub fn policy(&mut self, name: PolicyName, version: u64) {
        self.record.policy = Some(name);
        self.record.policy_version = version;
    }

    /// Notes the decision, and what it was made from.
    pub fn decided(&mut self, decision: &Decision, ask: Option<Ask>) {
        self.record.plan = Some(decision.plan.clone());
        self.record.propensity = decision.propensity;
        self.record.reason = Some(decision.reason);
        self.record.policy.clone_from(&decision.policy);
        self.record.policy_version = decision.policy_version;
        self.record.ask = ask;
    }

    /// Notes why there were no scores.
    pub fn unscored(&mut self, why: ScoresUnavailable) {
        self.record.unscored = Some(why);
    }

    /// Notes what the cache did.
    pub fn cache(&mut self, outcome: CacheOutcome) {
        self.record.cache = outcome;
    }

    /// Notes the model whose answer the caller gets.
    pub fn answered_by(&mut self, model: ModelName) {
        self.record.answered_by = Some(model);
    }

    /// Notes what a cached answer saved.
    pub fn saved(&mut self, amount: NanoUsd) {
        self.record.saved = amount;
    }

    /// Notes that the first token is on its way to the caller; only the first call counts.
    pub fn first_token(&mut self) {
        let since_arrival = self.arrived.elapsed();
        self.record.times.first_token.get_or_insert(since_arrival);
    }

    /// Returns the stage times, to write into; `total` is set when the record closes.
    pub fn times(&mut self) -> &mut StageTimes {
        &mut self.record.times
    }

    /// Returns what the attempts so far used and cost.
    pub fn totals(&self) -> (Usage, NanoUsd) {
        let attempts = self.journal.snapshot();
        (attempts.iter().map(|a| a.usage).sum(), attempts.iter().map(|a| a.cost).sum())
    }

    /// Closes the record.
    pub fn close(mut self, outcome: Outcome) {
        self.finish(outcome);
    }

    /// Returns a guard of the same record, which takes over from this one.
    pub fn handed_over(&mut self) -> Self {
        let is_closed = std::mem::replace(&mut self.is_closed, true);
        Self {
            books: Arc::clone(&self.books),
            arrived: self.arrived,
            journal: self.journal.clone(),
            record: self.record.clone(),
            span: self.span.clone(),
            is_closed,
        }
    }

    /// Closes the record in place; once only.
    pub fn finish(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.is_closed, true) {
            return;
        }
        let (usage, cost) = self.totals();
        self.record.usage = usage;
        self.record.cost = cost;
        self.record.attempts = self.journal.snapshot();
        self.record.verdicts = self.journal.verdicts();
        self.record.baseline_cost = self.baseline_cost();
        self.record.times.total = self.arrived.elapsed();
        self.record.end = outcome;
        traces::tell(&self.span, &self.record);
        for sink in &self.books.sinks {
            sink.take(&self.record);
        }
        self.books.open.close(&self.record.decision);
    }

    fn baseline_cost(&self) -> Option<NanoUsd> {
        let baseline = self.books.baseline.as_ref()?;
        let attempt = self.record.answering_attempt()?;
        Some(baseline.prices.cost(&attempt.usage))
    }

    /// Returns how a request ended whose guard is dropped now.
    pub fn outcome_of_drop(&self) -> Outcome {
        if std::thread::panicking() {
            return Outcome::Failed { code: Code::Internal.name().to_owned() };
        }
        if self.books.stop.phase() == Phase::Ending { Outcome::Shutdown } else { Outcome::ClientGone }
    }
}

impl Drop for RecordGuard {
    fn drop(&mut self) {
        if !self.is_closed {
            self.finish(self.outcome_of_drop());
        }
    }
}

fn blank(books: &Bookkeeping, opening: Opening) -> RequestRecord {
    RequestRecord {
        request: opening.request,
        decision: opening.decision,
        at: books.clock.now(),
        tenant: opening.principal.tenant,
        key: opening.principal.key,
        endpoint: opening.endpoint,
        requested_model: opening.requested_model,
        is_streaming: opening.is_streaming,
        policy: None,
        policy_version: 0,
        reason: None,
        plan: None,
        propensity: Probability::ONE,
        ask: None,
        unscored: None,
        cache: CacheOutcome::Bypass,
        attempts: Vec::new(),
        verdicts: Vec::new(),
        answered_by: None,
        usage: Usage::default(),
        cost: NanoUsd::ZERO,
        baseline_cost: None,
        saved: NanoUsd::ZERO,
        times: StageTimes::default(),
        end: Outcome::ClientGone,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use parking_lot::Mutex;

    use super::*;
    use crate::{
        domain::{
            Attempt, AttemptOutcome, KeyId, KeyLimits, Modality, ModelKind, PricePerMillion, Prices, TenantId, Tokens,
        },
        runtime::TestClock,
    };

    #[derive(Default)]
    struct Kept(Mutex<Vec<RequestRecord>>);

    impl RecordSink for Kept {
        fn take(&self, record: &RequestRecord) {
            self.0.lock().push(record.clone());
        }
    }

    fn books(baseline: Option<ModelFacts>) -> (Arc<Bookkeeping>, Arc<Kept>) {
        let kept = Arc::new(Kept::default());
        let books = Bookkeeping {
            clock: Arc::new(TestClock::at(Timestamp::UNIX_EPOCH)),
            stop: Stop::default(),
            baseline: baseline.map(Arc::new),
            sinks: vec![Arc::clone(&kept) as Arc<dyn RecordSink>],
            open: OpenRecords::default(),
        };
        (Arc::new(books), kept)
    }

    fn opening() -> Opening {
        Opening {
            request: RequestId::fresh(),
            decision: DecisionId::fresh(),
            arrived: Instant::now(),
            principal: Principal {
                tenant: TenantId::parse("acme").unwrap(),
                key: KeyId::parse("k1").unwrap(),
                limits: KeyLimits::default(),
                policies: Vec::new(),
            },
            endpoint: Endpoint::Chat,
            requested_model: "auto".to_owned(),
            is_streaming: false,
        }
    }

    fn attempt(model: &str, output: u64, cost: u64, end: AttemptOutcome) -> Attempt {
        Attempt {
            leg: 0,
            model: ModelName::parse(model).unwrap(),
            started: Duration::ZERO,
            waited: Duration::ZERO,
            first_token: None,
            took: Duration::from_millis(3),
            usage: Usage { output: Tokens(output), ..Usage::default() },
            cost: NanoUsd(cost),
            end,
        }
    }

    fn dear() -> ModelFacts {
        ModelFacts {
            name: ModelName::parse("dear").unwrap(),
            kind: ModelKind::Chat,
            prices: Prices { output: PricePerMillion(1_000_000_000), ..Prices::default() },
            context_window: Tokens(1000),
            max_output: None,
            modalities: [Modality::Text].into(),
            has_tools: false,
            has_json_mode: true,
            has_json_schema: false,
            languages: Default::default(),
            tags: [].into(),
            profile: None,
            first_token_ms: 1.0,
            prompt_ms: 0.0,
            per_token_ms: 1.0,
            parameters_b: None,
            released: None,
            is_local: false,
            is_simulated: false,
        }
    }

    #[test]
    fn a_closed_guard_leaves_one_record_with_the_sums_of_its_attempts() {
        let (books, kept) = books(Some(dear()));
        let mut guard = RecordGuard::open(books, opening());
        guard.journal().book(attempt("a", 5, 10, AttemptOutcome::Failed { code: "upstream_failed".to_owned() }));
        guard.journal().book(attempt("b", 7, 30, AttemptOutcome::Ok));
        guard.answered_by(ModelName::parse("b").unwrap());

        guard.close(Outcome::Success);

        let records = kept.0.lock();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].end, Outcome::Success);
        assert_eq!(records[0].usage.output, Tokens(12));
        assert_eq!(records[0].cost, NanoUsd(40));
        assert_eq!(records[0].baseline_cost, Some(NanoUsd(7_000)));
    }

    #[test]
    fn a_dropped_guard_says_that_the_client_left() {
        let (books, kept) = books(None);

        drop(RecordGuard::open(books, opening()));

        assert_eq!(kept.0.lock()[0].end, Outcome::ClientGone);
    }

    #[test]
    fn a_guard_dropped_while_the_gateway_ends_says_shutdown() {
        let (books, kept) = books(None);
        let guard = RecordGuard::open(Arc::clone(&books), opening());

        books.stop.advance(Phase::Ending);
        drop(guard);

        assert_eq!(kept.0.lock()[0].end, Outcome::Shutdown);
    }

    #[test]
    fn a_panic_leaves_a_failed_record() {
        let (books, kept) = books(None);
        let guard = RecordGuard::open(books, opening());

        let panicked = std::thread::spawn(move || {
            let _held = guard;
            panic!("a fault in a handler");
        })
        .join();

        assert!(panicked.is_err());
        assert_eq!(kept.0.lock()[0].end.code(), Some("internal_error"));
    }

    #[test]
    fn an_attempt_cancelled_by_the_drop_of_its_stream_is_in_the_record() {
        struct Stream(AttemptJournal);
        impl Drop for Stream {
            fn drop(&mut self) {
                self.0.book(attempt("a", 3, 9, AttemptOutcome::Cancelled));
            }
        }
        struct Answering {
            _stream: Stream,
            _guard: RecordGuard,
        }
        let (books, kept) = books(None);
        let guard = RecordGuard::open(books, opening());

        drop(Answering { _stream: Stream(guard.journal()), _guard: guard });

        let records = kept.0.lock();
        assert_eq!(records[0].attempts.len(), 1);
        assert_eq!(records[0].cost, NanoUsd(9));
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_first_token_is_timed() {
        let (books, kept) = books(None);
        let mut guard = RecordGuard::open(books, opening());

        tokio::time::advance(Duration::from_millis(20)).await;
        guard.first_token();
        tokio::time::advance(Duration::from_millis(20)).await;
        guard.first_token();
        guard.close(Outcome::Success);

        assert_eq!(kept.0.lock()[0].times.first_token, Some(Duration::from_millis(20)));
        assert_eq!(kept.0.lock()[0].times.total, Duration::from_millis(40));
    }
}
