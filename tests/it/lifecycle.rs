//! Starting, draining, ending.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Semaphore;

use crate::harness::{
    Frame, Server, Setup, Step, Upstream, chat,
    server::run,
    soon, streamed,
    upstream::{delta, done, finish, stream_head},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_serves_newcomers_for_a_while_and_lets_running_streams_finish() {
    let upstream = Upstream::start().await;
    let gate = Arc::new(Semaphore::new(0));
    let rest = [delta("two"), finish(), done(), Step::End];
    upstream.plays(
        "upstream-large",
        [stream_head(), delta("one "), Step::Wait(gate.clone())].into_iter().chain(rest).collect(),
    );
    let server = Server::start(Setup::new(&upstream).set("/server/drain_grace", "2s")).await;
    let mut running = server.ask(&streamed("large")).await;
    assert_eq!(running.event().await.unwrap().text(), "one ");

    server.signal("TERM");
    soon("readiness turns", async {
        while server.admin("GET", "/readyz").send().await.status != 503 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let newcomer = server.ask(&chat("small")).await.status;
    gate.add_permits(1);
    let events = running.events().await;
    let (status, log, _) = server.end().await;

    assert_eq!(newcomer, 200);
    assert_eq!(events.iter().map(Frame::text).collect::<String>(), "two");
    assert_eq!(events.last(), Some(&Frame::Data("[DONE]".to_owned())));
    assert_eq!(status.code(), Some(0), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_outlasts_the_drain_ends_with_an_error_event() {
    let upstream = Upstream::start().await;
    upstream.plays("upstream-small", vec![stream_head(), delta("Begun"), Step::Stall]);
    let server = Server::start(Setup::new(&upstream).set("/server/drain_timeout", "300ms")).await;
    let mut running = server.ask(&streamed("small")).await;
    assert_eq!(running.event().await.unwrap().text(), "Begun");

    server.signal("INT");
    let events = running.events().await;
    let (status, log, _) = server.end().await;

    assert_eq!(events.last().unwrap().json().unwrap()["error"]["code"], "shutting_down");
    assert_eq!(status.code(), Some(0), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_lists_a_check_each() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;

    let live = server.request("GET", "/livez").send().await.status;
    let ready = server.admin("GET", "/readyz").send().await.json().await;

    assert_eq!(live, 200);
    assert_eq!(ready["ready"], true);
    let checks = ready["checks"].as_array().expect("checks");
    for name in ["models", "model:small", "router", "ledger", "policies"] {
        assert!(checks.iter().any(|check| check["name"] == name && check["ok"] == true), "{name}: {ready}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_listener_without_keys_does_not_start() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream).set("/server/listen", "0.0.0.0:0").set("/keys", json!({}));

    let output = run(&setup, &["serve", "--config", "pointsman.yaml"]);

    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("key"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_survives_a_restart() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream);
    let server = Server::start(setup.clone()).await;
    server.ask(&chat("small")).await.json().await;
    server.signal("TERM");
    let (_, _, folder) = server.end().await;

    let server = Server::start_in(folder, &setup).await;
    server.until_ready().await;
    server.ask(&chat("small")).await.json().await;

    assert_eq!(server.until_booked(2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn outbound_calls_on_a_shared_runtime_serve_and_end_as_those_on_the_workers() {
    let upstream = Upstream::start().await;
    upstream.answers("upstream-small", "hello");
    let server = Server::start(Setup::new(&upstream).set("/server/outbound", "shared")).await;

    let whole = server.ask(&chat("small")).await.status;
    let events = server.ask(&streamed("small")).await.events().await;
    server.signal("TERM");
    let (status, log, _) = server.end().await;

    assert_eq!(whole, 200);
    assert!(!events.is_empty());
    assert!(status.success(), "{log}");
    assert!(!log.contains("panic"), "{log}");
}
