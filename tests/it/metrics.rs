//! `/metrics` of a gateway that has seen everything.

use std::{io::Write, process::Stdio};

use crate::harness::{Server, Setup, Upstream, chat, streamed, upstream::refuses};

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
