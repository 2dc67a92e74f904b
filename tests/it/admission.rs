//! Keys may use what they were given and no more.

use pointsman::domain::{KeyLimits, NanoUsd};
use serde_json::{Value, json};

use crate::harness::{Server, Setup, Step, Upstream, chat, server::lay_out, setup::make_key};

/// Starts a server that needs keys, with one key of these limits.
async fn server_with_key(upstream: &Upstream, limits: KeyLimits) -> (Server, String) {
    let setup = Setup::new(upstream).set("/keys/required", "always").set("/cache/exact", "0B");
    let folder = lay_out(&setup);
    let key = make_key(folder.path(), "tenant", limits);
    let server = Server::start_in(folder, &setup).await;
    server.until_ready().await;
    (server, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_per_minute_are_counted() {
    let upstream = Upstream::start().await;
    let (server, key) =
        server_with_key(&upstream, KeyLimits { requests_per_minute: Some(2), ..KeyLimits::default() }).await;
    let ask = async || server.chat(&chat("small")).key(&key).send().await;

    assert_eq!(ask().await.status, 200);
    assert_eq!(ask().await.status, 200);
    let refused = ask().await;

    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("x-ratelimit-limit-requests"), "2");
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), "0");
    let seconds: f64 = refused.header("retry-after").parse().expect("it says when to come again");
    assert!(seconds > 0.0 && seconds <= 60.0, "{seconds}");
    assert_eq!(refused.json().await["error"]["code"], "rate_limit_exceeded");
    assert_eq!(upstream.journal().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_per_minute_are_counted() {
    let upstream = Upstream::start().await;
    let (server, key) =
        server_with_key(&upstream, KeyLimits { tokens_per_minute: Some(60), ..KeyLimits::default() }).await;
    let mut body = chat("small");
    body["max_tokens"] = 20.into();

    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(server.chat(&body).key(&key).send().await.status);
    }

    assert_eq!(statuses[0], 200, "{statuses:?}");
    assert_eq!(statuses[5], 429, "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_budget_refuses_the_next_request() {
    let upstream = Upstream::start().await;
    // One answer costs 25 000 nano-dollars.
    let limits = KeyLimits { daily_budget: Some(NanoUsd(60_000)), ..KeyLimits::default() };
    let (server, key) = server_with_key(&upstream, limits).await;
    let mut body = chat("small");
    body["max_tokens"] = 10.into();

    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(server.chat(&body).key(&key).send().await.status);
    }
    let refused = server.chat(&body).key(&key).send().await.json().await;

    assert_eq!(statuses[0], 200, "{statuses:?}");
    assert_eq!(statuses[4], 429, "{statuses:?}");
    assert_eq!(refused["error"]["code"], "insufficient_quota");
    let spent: u64 = server.until_booked(6).await.iter().map(|record| record.cost_nanos).sum();
    assert!(spent <= 60_000, "{spent} nano-dollars were spent of 60000");
}

/// A thousand tokens at two dollars per million are 2 000 000 nano-dollars.
fn dear_completion() -> Value {
    json!({"model": "small", "prompt": "Hello.", "max_tokens": 1000})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_completion_that_may_cost_more_than_is_left_is_refused() {
    let upstream = Upstream::start().await;
    let limits = KeyLimits { daily_budget: Some(NanoUsd(60_000)), ..KeyLimits::default() };
    let (server, key) = server_with_key(&upstream, limits).await;

    let refused = server.request("POST", "/v1/completions").key(&key).json(&dear_completion()).send().await;

    assert_eq!(refused.status, 429);
    assert_eq!(refused.json().await["error"]["code"], "insufficient_quota");
    assert_eq!(upstream.journal().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_completion_that_may_cost_more_than_its_caller_pays_is_refused() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;

    let request = server.request("POST", "/v1/completions").json(&dear_completion());
    let refused = request.header("x-pointsman-max-cost", 0.001).send().await;

    assert_eq!(refused.status, 400);
    assert_eq!(refused.json().await["error"]["code"], "no_route");
    assert_eq!(upstream.journal().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_no_more_requests_in_flight_than_it_may() {
    let upstream = Upstream::start().await;
    upstream.plays("upstream-large", vec![Step::Stall]);
    let (server, key) =
        server_with_key(&upstream, KeyLimits { max_concurrency: Some(1), ..KeyLimits::default() }).await;

    let running = server.chat(&chat("large")).key(&key).dispatch().await;
    upstream.until("the first request runs", |journal| journal.len() == 1).await;
    let refused = server.chat(&chat("small")).key(&key).send().await.status;
    drop(running);
    upstream.until("the first request ends", |journal| journal[0].ended.is_some()).await;
    server.until_booked(2).await;
    let after = server.chat(&chat("small")).key(&key).send().await.status;

    assert_eq!(refused, 429);
    assert_eq!(after, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_takes_no_more_requests_at_once_than_it_may() {
    let upstream = Upstream::start().await;
    upstream.plays("upstream-large", vec![Step::Stall]);
    let server = Server::start(Setup::new(&upstream).set("/server/max_concurrency", 1)).await;

    let running = server.chat(&chat("large")).dispatch().await;
    upstream.until("the first request runs", |journal| journal.len() == 1).await;
    let refused = server.ask(&chat("small")).await;

    assert_eq!(refused.status, 503);
    assert_eq!(refused.json().await["error"]["code"], "overloaded");
    drop(running);
}
