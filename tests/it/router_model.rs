//! The router model changes while the gateway runs, whole or not at all.

use std::{fs, path::Path};

use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Server, Setup, Upstream, chat, server::run, soon};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/routers/static-v2");
const RELOAD: &str = "/admin/v1/router/reload";

/// Writes a copy of the shipped artifact under another name to `folder`, replacing what is there.
fn place(folder: &Path, name: &str) {
    let draft = folder.with_extension("draft");
    fs::create_dir_all(&draft).unwrap();
    for entry in fs::read_dir(SHIPPED).unwrap() {
        let entry = entry.unwrap();
        // The card's charts lie in a folder; a gateway does not read them.
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), draft.join(entry.file_name())).unwrap();
        }
    }
    let yaml = fs::read_to_string(draft.join("router.yaml")).unwrap();
    fs::write(draft.join("router.yaml"), yaml.replace("static-v2", name)).unwrap();
    if folder.exists() {
        fs::rename(folder, folder.with_extension("old")).unwrap();
        fs::rename(&draft, folder).unwrap();
        fs::remove_dir_all(folder.with_extension("old")).unwrap();
    } else {
        fs::rename(&draft, folder).unwrap();
    }
}

/// A server that routes by the artifact in the folder.
async fn start(upstream: &Upstream, folder: &Path) -> Server {
    let router = json!({"enabled": true, "engine": "rten", "path": folder, "deadline": "5s"});
    let scored = json!({"schema_version": 1, "candidates": "all", "strategy": {"quality_cost": {"cost": {"weight": 0.5, "min": 0.0, "max": 1.0}}}});
    let setup = Setup::new(upstream).set("/router", router).policy("default", scored.to_string());
    Server::start(setup).await
}

async fn router(server: &Server) -> String {
    server.admin("GET", "/admin/v1/router").send().await.json().await["artifact"].as_str().unwrap().to_owned()
}

async fn until_router_is(server: &Server, name: &str) {
    soon(&format!("the router {name}"), async {
        while router(server).await != name {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Asks until it is told to stop; returns how many requests were sent and which of them were not answered with 200.
async fn ask_until(server: &Server, stop: &tokio::sync::Notify) -> (usize, Vec<u16>) {
    let (mut sent, mut lost) = (0, Vec::new());
    let stopped = stop.notified();
    tokio::pin!(stopped);
    loop {
        let request = server.chat(&chat("auto")).header("cache-control", "no-store, no-cache");
        tokio::select! {
            () = &mut stopped => return (sent, lost),
            answer = request.send() => {
                sent += 1;
                lost.extend((answer.status != 200).then_some(answer.status));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_under_load_loses_no_request() {
    let upstream = Upstream::start().await;
    let folder = TempDir::new().unwrap();
    let artifact = folder.path().join("in-use");
    place(&artifact, "first-v1");
    let server = start(&upstream, &artifact).await;
    let stop = tokio::sync::Notify::new();

    let swaps = async {
        for name in ["second-v1", "third-v1", "fourth-v1"] {
            place(&artifact, name);
            until_router_is(&server, name).await;
        }
        stop.notify_waiters();
    };
    let load = async { tokio::join!(ask_until(&server, &stop), ask_until(&server, &stop), ask_until(&server, &stop)) };
    let (asked, ()) = tokio::join!(load, swaps);

    for (sent, lost) in [asked.0, asked.1, asked.2] {
        assert!(sent > 0 && lost.is_empty(), "{sent} requests, lost: {lost:?}");
    }
    assert_eq!(server.metric("pointsman_router_info", &["fourth-v1"]).await, 1.0);
    assert_eq!(server.metric("pointsman_router_info", &[]).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_artifact_is_kept_out_and_everyone_can_see_why() {
    let upstream = Upstream::start().await;
    let folder = TempDir::new().unwrap();
    let artifact = folder.path().join("in-use");
    place(&artifact, "first-v1");
    let server = start(&upstream, &artifact).await;
    fs::write(artifact.join("model.onnx"), b"half a graph").unwrap();

    let refused = server.admin("POST", RELOAD).send().await;

    assert_eq!(refused.status, 400);
    let message = refused.json().await["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("model.onnx") && message.contains("copy it again"), "{message}");
    assert_eq!(router(&server).await, "first-v1");
    assert_eq!(server.ask(&chat("auto")).await.status, 200);
    let ready = server.admin("GET", "/readyz").send().await.with_status(200).await.text().await;
    assert!(ready.contains("a newer one is kept out"), "{ready}");
    assert!(server.metric("pointsman_policy_reload_errors_total", &[]).await >= 1.0);

    place(&artifact, "second-v1");
    until_router_is(&server, "second-v1").await;
    let ready = server.admin("GET", "/readyz").send().await.text().await;
    assert!(!ready.contains("kept out"), "{ready}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_router_model_there_is_nothing_to_read_again() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;

    let refused = server.admin("POST", RELOAD).send().await;

    assert_eq!(refused.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_written_artifact_is_refused_at_the_start_with_its_file_and_the_fix() {
    let upstream = Upstream::start().await;
    let folder = TempDir::new().unwrap();
    for (file, content) in
        [("model.onnx", "half"), ("profiles.json", "{"), ("golden.jsonl", ""), ("router.yaml", "name: [")]
    {
        let artifact = folder.path().join(file.replace('.', "-"));
        place(&artifact, "first-v1");
        fs::write(artifact.join(file), content).unwrap();
        let router = json!({"enabled": true, "engine": "rten", "path": artifact});

        let setup = Setup::new(&upstream).set("/router", router);
        let refused = run(&setup, &["route", "Hello", "--config", "pointsman.yaml"]);

        let words = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && words.contains(file), "{file}: {words}");
        assert!(!words.contains("panicked"), "{words}");
    }
}
