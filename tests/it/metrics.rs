//! `/metrics` of a gateway that has seen everything.

use std::{io::Write, process::Stdio};

use pointsman::domain::KeyLimits;

use crate::harness::{
    Server, Setup, Step, Upstream, chat,
    setup::make_key,
    soon, streamed,
    upstream::{delta, refuses, stream_head},
};

#[tokio::test(flavor = "multi_thread")]
async fn promtool_has_nothing_to_say() {
    let upstream = Upstream::start().await;
    upstream.plays("upstream-large", refuses(500, "broken"));
    let server =
        Server::start(Setup::new(&upstream).set("/accounting", serde_json::json!({"baseline": "large"}))).await;
    server.ask(&chat("auto")).await.json().await;
    server.ask(&chat("auto")).await.json().await;
    server.ask(&streamed("auto")).await.events().await;
    server.ask(&chat("large")).await.json().await;
    server.ask(&chat("nobody")).await.json().await;
    server.until_booked(5).await;

    let text = server.metrics().await;

    assert!(text.contains("gen_ai_client_operation_duration_seconds_bucket"), "{text}");
    let checked = std::process::Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).spawn();
    let Ok(mut promtool) = checked else {
        assert!(std::env::var_os("CI").is_none(), "promtool is missing; it is in Debian's package `prometheus`");
        return;
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(promtool.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_caller_writes_never_becomes_a_label() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream).set("/catch_all", "small")).await;

    server.ask(&chat("made-up-name-1")).await.json().await;
    server.until_booked(1).await;

    assert!(!server.metrics().await.contains("made-up-name"));
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_follow_what_happens() {
    let upstream = Upstream::start().await;
    upstream.plays("upstream-large", vec![stream_head(), delta("Begun"), Step::Stall]);
    let server = Server::start(Setup::new(&upstream)).await;

    let mut running = server.ask(&streamed("large")).await;
    running.event().await;
    let during = server.metric("pointsman_requests_in_flight", &[]).await;
    drop(running);
    server.ask(&chat("small")).await.json().await;

    assert_eq!(during, 1.0);
    server.until_metric("pointsman_requests_in_flight", &[], |requests| requests == 0.0).await;
    server.until_metric("pointsman_cache_entries", &[], |entries| entries == 1.0).await;
    server.until_metric("pointsman_cache_bytes", &[], |bytes| bytes > 0.0).await;
    assert_eq!(server.metric("pointsman_router_info", &[]).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_turned_away_is_counted_and_logged_once() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream).set("/keys/required", "always")).await;
    let key = make_key(server.folder(), "acme", KeyLimits::default());
    soon("the key", async { while server.request("GET", "/v1/models").key(&key).send().await.status != 200 {} }).await;

    server.ask(&chat("small")).await;
    server
        .request("POST", "/v1/chat/completions")
        .key(&key)
        .header("content-type", "application/json")
        .bytes("{\"model\": CANARY")
        .send()
        .await;
    server.chat(&chat("nobody")).key(&key).send().await;

    assert_eq!(server.metric("pointsman_turned_away_total", &["missing_api_key"]).await, 1.0);
    for recorded in ["invalid_json", "model_not_found"] {
        assert_eq!(server.metric("pointsman_turned_away_total", &[recorded]).await, 0.0, "{recorded} has a record");
    }
    soon("the log", async {
        while !server.log().contains("turned away: missing_api_key") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!server.log().contains("CANARY"));
}
