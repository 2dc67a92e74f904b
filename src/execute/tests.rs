//! The room as a whole, against backends that misbehave on command, in paused time.

mod agree;
mod cascade;
mod ensemble;
mod fake;
mod hedged;
mod journal;
mod money;
mod routed;
mod topology;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use fake::{Behaviour, EMBEDDINGS, Fake, Ledger, Served, Step, USAGE};
use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::*;
use crate::{
    domain::{
        Attempt, AttemptJournal, AttemptOutcome, Availability, BackendError, KeyId, Leg, NanoUsd, Priority, RequestId,
        TenantId, Timeouts, Tokens,
    },
    error::Code,
    routing::samples::facts,
    wire::{chat::ChatCall, embeddings::EmbeddingsCall, parse::Limits},
};

const SECOND: Duration = Duration::from_secs(1);

/// Models `a`, `b`, ... with one script each, and what they served.
struct Scene {
    executor: Arc<Executor>,
    models: Arc<Models>,
    ledger: Ledger,
    journal: AttemptJournal,
}

fn resilience() -> ResilienceSettings {
    ResilienceSettings {
        attempts: 3,
        backoff: Duration::from_millis(100),
        backoff_max: 2 * SECOND,
        retry_budget: 0.2,
        breaker_failures: 3,
        breaker_pause: 30 * SECOND,
    }
}

fn timeouts() -> Timeouts {
    Timeouts { connect: SECOND, first_token: 5 * SECOND, idle: 2 * SECOND, total: 20 * SECOND }
}

impl Scene {
    fn of(scripts: Vec<Vec<Behaviour>>) -> Self {
        Self::with(scripts, resilience(), None)
    }

    fn with(scripts: Vec<Vec<Behaviour>>, resilience: ResilienceSettings, max_concurrency: Option<u32>) -> Self {
        let ledger = Ledger::default();
        let model = |(index, script)| {
            let name = ["a", "b", "c"][index];
            let parts = ModelParts {
                facts: Arc::new(facts(name)),
                backend: Fake::new(name, script, &ledger),
                upstream_model: name.into(),
                timeouts: timeouts(),
                max_concurrency,
            };
            Arc::new(Model::new(parts, &resilience))
        };
        let models = Arc::new(Models::new(scripts.into_iter().enumerate().map(model).collect()));
        let executor = Arc::new(Executor::new(Arc::clone(&models), resilience));
        Self { executor, models, ledger, journal: AttemptJournal::default() }
    }

    fn plan(&self) -> Plan {
        let mut legs = self.models.iter().map(|model| Leg { model: model.facts.name.clone() });
        Plan::Single { leg: legs.next().unwrap(), fallbacks: legs.collect() }
    }

    fn job(&self) -> Job {
        let body = r#"{"model":"auto","messages":[{"role":"user","content":"Hello"}]}"#;
        let limits = Limits { messages: 10, choices: 4, depth: 16 };
        Job {
            operation: Operation::Chat {
                chat: Arc::new(ChatCall::parse(Bytes::from(body), &limits).unwrap()),
                is_streaming: true,
            },
            request: RequestId::fresh(),
            tenant: TenantId::parse("tenant").unwrap(),
            key: KeyId::parse("open").unwrap(),
            arrived: Instant::now(),
            deadline: Instant::now() + 60 * SECOND,
            journal: self.journal.clone(),
            max_cost: None,
            upper_costs: Vec::new(),
            input_tokens: Tokens(7),
            seed: 1,
            timeouts: None,
            priority: Priority::default(),
            draft: None,
            drafter: None,
        }
    }

    async fn run(&self) -> Result<Opened, ExecuteError> {
        self.executor.run(self.plan(), self.job()).await
    }

    fn called(&self) -> Vec<String> {
        self.ledger.lock().iter().map(|(model, _)| model.clone()).collect()
    }

    fn attempts(&self) -> Vec<Attempt> {
        self.journal.snapshot()
    }

    /// Lets `a` fail until its breaker opens, and forgets that it did.
    async fn open_breaker(&self) {
        for _ in 0..3 {
            let leg = Leg { model: self.models.get("a").unwrap().facts.name.clone() };
            let job = Job { journal: AttemptJournal::default(), ..self.job() };
            let plan = Plan::Single { leg, fallbacks: Vec::new() };
            self.executor.run(plan, job).await.unwrap_err();
        }
        self.ledger.lock().clear();
    }
}

fn refuse(code: Code) -> Behaviour {
    Behaviour::Refuse(code, None)
}

fn failed(code: Code) -> AttemptOutcome {
    AttemptOutcome::Failed { code: code.name().to_owned() }
}

fn ends(attempts: &[Attempt]) -> Vec<AttemptOutcome> {
    attempts.iter().map(|attempt| attempt.end.clone()).collect()
}

/// Reads a stream to its end; errors stand as the name of their code.
async fn read(reply: Reply) -> Vec<String> {
    let Reply::Stream(events) = reply else { return vec!["whole".into()] };
    let text = |item: Result<crate::domain::Event, BackendError>| match item {
        Ok(event) => String::from_utf8(event.data.to_vec()).unwrap(),
        Err(error) => error.code.name().to_owned(),
    };
    events.map(text).collect().await
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_is_tried_again_after_a_pause() {
    let scene = Scene::of(vec![vec![refuse(Code::UpstreamUnreachable), refuse(Code::UpstreamFailed)]]);
    let begun = Instant::now();

    let opened = scene.run().await.unwrap();

    assert_eq!((opened.model.as_str(), opened.leg, opened.attempts), ("a", 0, 3));
    let expected = [failed(Code::UpstreamUnreachable), failed(Code::UpstreamFailed), AttemptOutcome::Ok];
    assert_eq!(ends(&scene.attempts()), expected);
    // Pauses of 50 to 100 ms and of 100 to 200 ms.
    assert!((150..=300).contains(&begun.elapsed().as_millis()));
}

#[tokio::test(start_paused = true)]
async fn a_leg_that_keeps_failing_gives_way_to_the_next() {
    let scene = Scene::of(vec![vec![refuse(Code::UpstreamFailed); 3], vec![]]);

    let opened = scene.run().await.unwrap();

    assert_eq!((opened.model.as_str(), opened.leg, opened.attempts), ("b", 1, 4));
    assert_eq!(scene.called(), ["a", "a", "a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_s_retry_after_is_waited_for() {
    let scene = Scene::of(vec![vec![Behaviour::Refuse(Code::UpstreamRateLimited, Some(2))]]);
    let begun = Instant::now();

    scene.run().await.unwrap();

    assert_eq!(begun.elapsed(), 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_beyond_the_longest_pause_ends_the_leg() {
    let scene = Scene::of(vec![vec![Behaviour::Refuse(Code::UpstreamRateLimited, Some(3))]; 2]);
    let begun = Instant::now();

    let error = scene.run().await.unwrap_err();

    assert_eq!(scene.called(), ["a", "b"]);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!((error.code(), error.retry_after()), (Code::UpstreamRateLimited, Some(3 * SECOND)));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_request_itself_ends_the_plan() {
    let scene = Scene::of(vec![vec![refuse(Code::UpstreamRejected)], vec![]]);

    let error = scene.run().await.unwrap_err();

    assert_eq!(error.code(), Code::UpstreamRejected);
    assert_eq!(scene.called(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_safe_to_repeat_goes_to_the_next_leg() {
    for code in [Code::UpstreamTimeout, Code::UpstreamAuth, Code::UpstreamMalformed, Code::Overloaded] {
        let scene = Scene::of(vec![vec![refuse(code)], vec![]]);

        scene.run().await.unwrap();

        assert_eq!(scene.called(), ["a", "b"], "{code:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_first_token_in_time_leads_to_the_next_leg() {
    let silent = Behaviour::Stream(vec![Step::Role, Step::Hang]);
    let scene = Scene::of(vec![vec![silent], vec![Behaviour::Hang], vec![Behaviour::Stream(vec![Step::Token])]]);
    let begun = Instant::now();

    let opened = scene.run().await.unwrap();

    assert_eq!(opened.model.as_str(), "c");
    assert_eq!(begun.elapsed(), 2 * timeouts().first_token);
    assert_eq!(ends(&scene.attempts()), [failed(Code::UpstreamTimeout), failed(Code::UpstreamTimeout)]);
    assert_eq!(read(opened.reply).await, ["token"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_before_its_first_token_leaves_no_trace_in_the_answer() {
    let cut = Behaviour::Stream(vec![Step::Role, Step::Fail(Code::UpstreamCut)]);
    let good = Behaviour::Stream(vec![Step::Role, Step::Token, Step::Token]);
    let scene = Scene::of(vec![vec![cut], vec![good]]);

    let opened = scene.run().await.unwrap();

    assert_eq!(read(opened.reply).await, ["role", "token", "token"]);
}

#[tokio::test(start_paused = true)]
async fn after_the_first_token_nothing_is_tried_again_or_spliced() {
    let cut = Behaviour::Stream(vec![Step::Token, Step::Fail(Code::UpstreamFailed)]);
    let scene = Scene::of(vec![vec![cut], vec![]]);

    let opened = scene.run().await.unwrap();

    assert_eq!(read(opened.reply).await, ["token", "upstream_failed"]);
    assert_eq!(scene.called(), ["a"]);
    assert_eq!(ends(&scene.attempts()), [failed(Code::UpstreamFailed)]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_falls_silent_is_ended() {
    let scene = Scene::of(vec![vec![Behaviour::Stream(vec![Step::Token, Step::Wait(1_900), Step::Token, Step::Hang])]]);
    let opened = scene.run().await.unwrap();
    let begun = Instant::now();

    let events = read(opened.reply).await;

    assert_eq!(events, ["token", "token", "upstream_timeout"]);
    assert_eq!(begun.elapsed(), Duration::from_millis(1_900) + timeouts().idle);
    assert_eq!(scene.ledger.lock()[0].1, Served::Dropped);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_never_ends_is_ended() {
    let steps = (0..100).flat_map(|_| [Step::Token, Step::Wait(1_000)]).collect();
    let scene = Scene::of(vec![vec![Behaviour::Stream(steps)]]);
    let begun = Instant::now();

    let events = read(scene.run().await.unwrap().reply).await;

    assert_eq!(begun.elapsed(), timeouts().total);
    assert_eq!(events.last().unwrap(), "upstream_timeout");
}

#[tokio::test(start_paused = true)]
async fn the_request_s_deadline_ends_everything() {
    let scene = Scene::of(vec![vec![Behaviour::Hang], vec![]]);
    let job = Job { deadline: Instant::now() + SECOND, ..scene.job() };
    let begun = Instant::now();

    let error = scene.executor.run(scene.plan(), job).await.unwrap_err();

    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(begun.elapsed(), SECOND);
    assert_eq!(scene.called(), ["a"]);
    assert_eq!(ends(&scene.attempts()), [failed(Code::DeadlineExceeded)]);
}

#[tokio::test(start_paused = true)]
async fn no_pause_reaches_beyond_the_deadline() {
    let scene = Scene::of(vec![vec![Behaviour::Refuse(Code::UpstreamRateLimited, Some(2))]]);
    let job = Job { deadline: Instant::now() + SECOND, ..scene.job() };
    let begun = Instant::now();

    let error = scene.executor.run(scene.plan(), job).await.unwrap_err();

    assert_eq!(error.code(), Code::UpstreamRateLimited);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_is_booked_as_cancelled_and_cancels_upstream() {
    let scene = Scene::of(vec![vec![Behaviour::Stream(vec![Step::Token, Step::Token, Step::Hang])]]);
    let Reply::Stream(mut events) = scene.run().await.unwrap().reply else { panic!("not a stream") };
    events.next().await.unwrap().unwrap();
    events.next().await.unwrap().unwrap();

    drop(events);

    let attempts = scene.attempts();
    assert_eq!(ends(&attempts), [AttemptOutcome::Cancelled]);
    assert_eq!((attempts[0].usage.input, attempts[0].usage.output), (Tokens(7), Tokens(2)));
    assert!(attempts[0].usage.is_estimated);
    assert_eq!(scene.ledger.lock()[0].1, Served::Dropped);
}

#[tokio::test(start_paused = true)]
async fn leaving_before_the_first_token_is_booked_as_cancelled() {
    let scene = Scene::of(vec![vec![Behaviour::Hang]]);
    let mut running = scene.run().boxed();
    assert!((&mut running).now_or_never().is_none());

    drop(running);

    assert_eq!(ends(&scene.attempts()), [AttemptOutcome::Cancelled]);
    assert_eq!(scene.ledger.lock()[0].1, Served::Dropped);
}

#[tokio::test(start_paused = true)]
async fn the_last_usage_that_a_provider_reports_is_booked() {
    let steps = vec![Step::Token, Step::Usage(50, 1), Step::Token, Step::Usage(50, 2)];
    let scene = Scene::of(vec![vec![Behaviour::Stream(steps)]]);

    read(scene.run().await.unwrap().reply).await;

    let attempt = &scene.attempts()[0];
    assert_eq!((attempt.usage.input, attempt.usage.output), (Tokens(50), Tokens(2)));
    assert!(!attempt.usage.is_estimated);
    // $1 and $4 per million tokens.
    assert_eq!(attempt.cost, NanoUsd(50 * 1_000 + 2 * 4_000));
}

#[tokio::test(start_paused = true)]
async fn a_refused_attempt_costs_nothing() {
    let scene = Scene::of(vec![vec![refuse(Code::UpstreamRateLimited)]]);

    scene.run().await.unwrap();

    let usages: Vec<_> = scene.attempts().iter().map(|attempt| attempt.usage).collect();
    assert_eq!(usages, [crate::domain::Usage::default(), USAGE]);
}

#[tokio::test(start_paused = true)]
async fn a_leg_beyond_the_request_s_money_is_passed_over() {
    let scene = Scene::of(vec![vec![], vec![]]);
    let names: Vec<_> = scene.models.iter().map(|model| model.facts.name.clone()).collect();
    let upper_costs = vec![(names[0].clone(), NanoUsd(900)), (names[1].clone(), NanoUsd(500))];
    let job = |most| Job { max_cost: Some(NanoUsd(most)), upper_costs: upper_costs.clone(), ..scene.job() };

    let affordable = scene.executor.run(scene.plan(), job(600)).await.unwrap();
    let nothing_left = scene.executor.run(scene.plan(), job(100)).await.unwrap_err();

    assert_eq!(affordable.model.as_str(), "b");
    assert_eq!(nothing_left.code(), Code::NoRoute);
    assert!(!nothing_left.was_attempted());
    assert_eq!(scene.called(), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_spent_on_a_failed_leg_is_missing_for_the_next() {
    let scene =
        Scene::of(vec![vec![Behaviour::Stream(vec![Step::Usage(100, 0), Step::Fail(Code::UpstreamCut)])], vec![]]);
    let names: Vec<_> = scene.models.iter().map(|model| model.facts.name.clone()).collect();
    let upper_costs = names.iter().map(|name| (name.clone(), NanoUsd(200_000))).collect();
    let job = Job { max_cost: Some(NanoUsd(250_000)), upper_costs, ..scene.job() };

    let error = scene.executor.run(scene.plan(), job).await.unwrap_err();

    assert_eq!(error.code(), Code::UpstreamCut);
    assert_eq!(scene.called(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_open_the_breaker_and_a_probe_closes_it() {
    let scene = Scene::of(vec![vec![refuse(Code::UpstreamTimeout); 3], vec![]]);
    scene.open_breaker().await;
    let model = scene.models.get("a").unwrap();
    let (state, availability) = (model.breaker(), model.availability());

    let meanwhile = scene.run().await.unwrap();
    tokio::time::advance(30 * SECOND).await;
    let half_open = (model.breaker(), model.availability());
    let probe = scene.run().await.unwrap();

    assert_eq!((state, availability), (BreakerState::Open, Availability::BreakerOpen));
    assert_eq!(meanwhile.model.as_str(), "b");
    assert_eq!(half_open, (BreakerState::HalfOpen, Availability::Ready));
    assert_eq!(probe.model.as_str(), "a");
    assert_eq!(model.breaker(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_leaves_no_request_without_an_attempt() {
    let scene = Scene::of(vec![vec![refuse(Code::UpstreamTimeout); 3]]);
    scene.open_breaker().await;

    let opened = scene.run().await.unwrap();

    assert_eq!((opened.model.as_str(), opened.attempts), ("a", 1));
    assert_eq!(scene.models.get("a").unwrap().breaker(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn rejected_requests_never_open_a_breaker() {
    let scene = Scene::of(vec![vec![refuse(Code::UpstreamRejected); 10]]);

    for _ in 0..10 {
        scene.run().await.unwrap_err();
    }

    assert_eq!(scene.models.get("a").unwrap().breaker(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn retries_never_multiply_an_outage() {
    let settings = ResilienceSettings { breaker_failures: 10_000, ..resilience() };
    let scene = Scene::with(vec![vec![refuse(Code::UpstreamFailed); 400]], settings, None);

    let requests = (0..100).map(|_| scene.run());
    let outcomes = futures_util::future::join_all(requests).await;

    assert!(outcomes.iter().all(Result::is_err));
    // One attempt each, and a fifth of them again.
    assert_eq!(scene.called().len(), 120);
}

#[tokio::test(start_paused = true)]
async fn a_full_model_is_left_alone_while_another_can_answer() {
    let scene =
        Scene::with(vec![vec![Behaviour::Stream(vec![Step::Token, Step::Hang])], vec![]], resilience(), Some(1));
    let first = scene.run().await.unwrap();

    let second = scene.run().await.unwrap();

    assert_eq!((first.model.as_str(), second.model.as_str()), ("a", "b"));
}

#[tokio::test(start_paused = true)]
async fn a_full_model_without_alternative_is_waited_for() {
    let slow = Behaviour::Stream(vec![Step::Token, Step::Wait(1_000), Step::Token]);
    let scene = Scene::with(vec![vec![slow]], resilience(), Some(1));
    let first = scene.run().await.unwrap();
    let begun = Instant::now();

    let (_, second) = tokio::join!(read(first.reply), scene.run());

    assert_eq!(second.unwrap().model.as_str(), "a");
    assert_eq!(begun.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn speed_is_measured_on_streams() {
    let wait = |ms| [Step::Wait(ms), Step::Token];
    let steps = wait(300).into_iter().chain((0..10).flat_map(|_| wait(20))).collect();
    let scene = Scene::of(vec![vec![Behaviour::Stream(steps)]]);

    read(scene.run().await.unwrap().reply).await;

    let measured = scene.models.get("a").unwrap().measured_latency();
    assert!((measured.first_token_ms.unwrap() - 300.0).abs() < 2.0, "{measured:?}");
    assert!((measured.per_token_ms.unwrap() - 20.0).abs() < 2.0, "{measured:?}");
}

#[tokio::test(start_paused = true)]
async fn embeddings_are_retried_and_booked_like_chats() {
    let scene = Scene::of(vec![vec![refuse(Code::UpstreamUnreachable)]]);
    let limits = Limits { messages: 1, choices: 1, depth: 16 };
    let call = EmbeddingsCall::parse(Bytes::from(r#"{"model":"a","input":"Hello"}"#), &limits).unwrap();
    let job = Job { operation: Operation::Embed(Arc::new(call)), ..scene.job() };

    let opened = scene.executor.run(scene.plan(), job).await.unwrap();

    assert!(matches!(opened.reply, Reply::Whole(reply) if reply.body == EMBEDDINGS));
    let attempts = scene.attempts();
    assert_eq!(ends(&attempts), [failed(Code::UpstreamUnreachable), AttemptOutcome::Ok]);
    assert_eq!((attempts[1].usage.input, attempts[1].usage.output), (Tokens(7), Tokens(0)));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_model_is_named() {
    let scene = Scene::of(vec![]);
    let leg = Leg { model: crate::domain::ModelName::parse("ghost").unwrap() };

    let error = scene.executor.run(Plan::Single { leg, fallbacks: Vec::new() }, scene.job()).await.unwrap_err();

    assert_eq!(error.code(), Code::ModelNotFound);
    assert_eq!(error.message(), "The model ghost does not exist.");
}

#[tokio::test(start_paused = true)]
async fn a_speculative_plan_tells_every_leg_who_may_draft() {
    let scene = Scene::of(vec![vec![refuse(Code::UpstreamFailed); 3], vec![]]);
    let Plan::Single { leg, fallbacks } = scene.plan() else { panic!("the plan is single") };
    let draft = scene.models.get("b").unwrap().facts.name.clone();

    let opened = scene.executor.run(Plan::Speculative { leg, draft, fallbacks }, scene.job()).await.unwrap();

    assert_eq!((opened.model.as_str(), opened.leg), ("b", 1));
    assert_eq!(scene.called().last().map(String::as_str), Some("b with b"));
    assert!(scene.called().iter().rev().skip(1).all(|called| called == "a with b"));
}
