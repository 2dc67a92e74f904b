//! `/metrics` of a gateway that has seen everything.

use std::{io::Write, process::Stdio};

use crate::harness::{
    Server, Setup, Step, Upstream, chat, streamed,
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
