//! Local models through the running server: what admins see and do, leaving in the middle, processes that die.
#![cfg(feature = "local")]

use std::{path::PathBuf, time::Duration};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::{Server, Setup, Upstream, setup::fixed};

/// Of the answers that the clients of a soak give up, one in so many.
const LEAVERS: u64 = 3;

fn tiny(isolation: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-family/target");
    json!({"name": "own", "local": {"path": path, "isolation": isolation, "queue": 64}})
}

async fn serving(isolation: &str, upstream: &Upstream) -> Server {
    let setup = Setup::new(upstream).model(tiny(isolation)).policy("default", fixed(&["own", "small"]));
    let server = Server::start(setup).await;
    let labels = ["model=\"own\"", "state=\"ready\""];
    server.until_metric("pointsman_model_state", &labels, |ready| ready == 1.0).await;
    server
}

fn question(model: &str, text: &str) -> Value {
    json!({"model": model, "temperature": 0, "max_tokens": 200, "messages": [{"role": "user", "content": text}]})
}

async fn engine(server: &Server) -> Value {
    let states = server.admin("GET", "/admin/v1/models").send().await.with_status(200).await.json().await;
    states["models"].as_array().unwrap().iter().find(|model| model["name"] == "own").unwrap()["engine"].clone()
}

/// Returns every content of an answer.
fn content(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_takes_a_local_model_out_of_memory_and_a_request_brings_it_back() {
    let upstream = Upstream::start().await;
    let server = serving("inside", &upstream).await;
    let order = async |name: &str, order: &str| {
        let path = format!("/admin/v1/models/{name}/{order}");
        server.admin("POST", &path).send().await
    };
    assert!(engine(&server).await["resident_bytes"].is_u64());

    let unloaded = order("own", "unload").await.with_status(202).await.json().await;
    let answer = server.ask(&question("own", "Count from 3 to 7.")).await.with_status(200).await.json().await;

    assert_eq!(unloaded["engine"]["resident_bytes"], Value::Null);
    assert_eq!(content(&answer), "3, 4, 5, 6, 7");
    assert!(engine(&server).await["resident_bytes"].is_u64());
    let (remote, unknown) = (order("small", "load").await, order("nobody", "load").await);
    assert_eq!((remote.status, unknown.status), (400, 404));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_at_work_sends_the_request_elsewhere_and_comes_back() {
    let upstream = Upstream::start().await;
    upstream.answers("upstream-small", "from elsewhere");
    let server = serving("process", &upstream).await;
    let process = engine(&server).await["process"].as_u64().unwrap().to_string();
    let signal = |name: &str| std::process::Command::new("kill").args([name, &process]).status().unwrap().success();
    // A process that stands still has the request in its hands for as long as the test likes.
    assert!(signal("-STOP"));
    let asked = server.chat(&question("auto", "Count from 3 to 7."));
    let pending = asked.dispatch().await;
    server.until_metric("pointsman_requests_in_flight", &[], |count| count == 1.0).await;
    tokio::time::sleep(Duration::from_millis(200)).await;

    assert!(signal("-KILL"));

    let answer = crate::harness::Response::read(pending).await.with_status(200).await;
    assert_eq!(answer.header("x-pointsman-model"), "small");
    assert_eq!(content(&answer.json().await), "from elsewhere");
    server.until_metric("pointsman_engine_restarts_total", &["model=\"own\""], |count| count == 1.0).await;
    server.until_metric("pointsman_model_state", &["model=\"own\"", "state=\"ready\""], |ready| ready == 1.0).await;
    let answer = server.ask(&question("own", "Count from 3 to 7.")).await.with_status(200).await.json().await;
    assert_eq!(content(&answer), "3, 4, 5, 6, 7");
}

/// Asks, and leaves after some events where `leaves_after` says so.
async fn visit(server: &Server, number: u64, leaves_after: Option<u64>) {
    let (from, to) = (number % 7 + 1, number % 11 + 20);
    let mut body = question("own", &format!("Count from {from} to {to}."));
    body["max_tokens"] = 40.into();
    body["stream"] = number.is_multiple_of(2).into();
    body["temperature"] = json!(number % 3);
    // No two are equal, so that none is answered from a cache.
    body["seed"] = number.into();
    // What is stored would look like a leak.
    let request = server.chat(&body).header("cache-control", "no-store");
    let Some(events) = leaves_after else {
        request.send().await.with_status(200).await.body().await;
        return;
    };
    if number % 2 == 1 {
        let connection = request.dispatch().await;
        tokio::time::sleep(Duration::from_millis(events * 3)).await;
        return drop(connection);
    }
    let mut response = request.send().await.with_status(200).await;
    for _ in 0..events {
        if response.event().await.is_none() {
            return;
        }
    }
}

async fn visits(server: &Server, numbers: std::ops::Range<u64>) {
    // Scattered, and the same each time.
    let leaves_after = |number: u64| (!number.is_multiple_of(LEAVERS)).then_some(number * 7919 % 29);
    let visits = stream::iter(numbers).map(|number| visit(server, number, leaves_after(number)));
    visits.buffer_unordered(8).collect::<Vec<()>>().await;
    server.until_metric("pointsman_requests_in_flight", &[], |count| count == 0.0).await;
}

async fn until_idle(server: &Server) -> Value {
    loop {
        let engine = engine(server).await;
        if engine["running"] == 0 && engine["waiting"] == 0 {
            return engine;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_who_leave_in_the_middle_leave_nothing_behind() {
    let upstream = Upstream::start().await;
    let server = serving("inside", &upstream).await;
    // The first hundred fill caches and pools.
    visits(&server, 0..100).await;
    until_idle(&server).await;
    let before = server.resident_bytes();

    visits(&server, 100..400).await;

    let engine = until_idle(&server).await;
    assert_eq!((&engine["deaths"], &engine["stalls"], &engine["restarts"]), (&json!(0), &json!(0), &json!(0)));
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more after 200 who left");
    let answer = server.ask(&question("own", "Count from 3 to 7.")).await.with_status(200).await.json().await;
    assert_eq!(content(&answer), "3, 4, 5, 6, 7");
}

/// `SOAK_MINUTES` says for how long, half an hour without it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes half an hour: make soak"]
async fn half_an_hour_at_a_full_queue_leaves_memory_flat_and_no_stall_unnoticed() {
    let minutes = std::env::var("SOAK_MINUTES").map_or(30, |text| text.parse().expect("a whole number of minutes"));
    let upstream = Upstream::start().await;
    let server = serving("inside", &upstream).await;
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let (mut round, mut settled) = (0, None);
    while Instant::now() < end {
        visits(&server, round * 500..(round + 1) * 500).await;
        round += 1;
        let (engine, resident) = (until_idle(&server).await, server.resident_bytes());
        assert_eq!((&engine["deaths"], &engine["stalls"]), (&json!(0), &json!(0)));
        eprintln!("round {round}: {} requests, {} MiB", round * 500, resident >> 20);
        let settled = *settled.get_or_insert(resident);
        assert!(resident < settled + (32 << 20), "{resident} bytes after {settled}");
    }
}
