//! Policies change while the gateway runs, whole or not at all.

use serde_json::json;

use crate::harness::{Request, Response, Server, Setup, Upstream, chat, setup::fixed, soon};

const POLICY: &str = "/admin/v1/policies/default";

fn put(server: &Server, version: &str, document: &str) -> Request {
    let request = server.admin("PUT", POLICY).header("if-match", version).header("content-type", "application/yaml");
    request.bytes(document.to_owned())
}

async fn model_behind_auto(server: &Server) -> String {
    let answer = server.chat(&chat("auto")).header("cache-control", "no-store, no-cache").send().await;
    answer.header("x-pointsman-model").to_owned()
}

async fn until_auto_is(server: &Server, model: &str) {
    soon(&format!("auto means {model}"), async {
        while model_behind_auto(server).await != model {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn tag(response: &Response) -> String {
    response.header("etag").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_policy_counts_at_once_and_lies_in_its_file() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;
    assert_eq!(model_behind_auto(&server).await, "small");

    let before = tag(&server.admin("GET", POLICY).send().await);
    let saved = put(&server, &before, &fixed(&["large", "small"])).send().await;

    let saved = saved.with_status(200).await;
    assert_ne!(tag(&saved), before);
    assert_eq!(model_behind_auto(&server).await, "large");
    let file = std::fs::read_to_string(server.folder().join("policies/default.yaml")).unwrap();
    assert!(file.contains("\"large\",\"small\""), "{file}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_an_old_version_is_refused_with_the_difference() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;
    let old = tag(&server.admin("GET", POLICY).send().await);
    assert_eq!(put(&server, &old, &fixed(&["large", "small"])).send().await.status, 200);

    let conflict = put(&server, &old, &fixed(&["small"])).send().await;

    assert_eq!(conflict.status, 409);
    let body = conflict.json().await;
    assert_eq!(body["error"]["code"], "version_conflict");
    assert!(body.to_string().contains("large"), "the difference is shown: {body}");
    assert_eq!(model_behind_auto(&server).await, "large");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_policy_is_refused_and_the_old_one_stays() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;
    let version = tag(&server.admin("GET", POLICY).send().await);

    let refused = put(&server, &version, &fixed(&["nobody"])).send().await;

    assert_eq!(refused.status, 400);
    assert!(refused.text().await.contains("nobody"));
    assert_eq!(model_behind_auto(&server).await, "small");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_version_comes_back() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;
    let first = tag(&server.admin("GET", POLICY).send().await);
    assert_eq!(put(&server, &first, &fixed(&["large", "small"])).send().await.status, 200);

    let versions = server.admin("GET", &format!("{POLICY}/versions")).send().await.json().await;
    let number: u64 = first.trim_matches('"').parse().unwrap();
    let rolled_back =
        server.admin("POST", &format!("{POLICY}/rollback")).json(&json!({"version": number})).send().await;

    assert!(versions.to_string().contains("\"version\":"), "{versions}");
    rolled_back.with_status(200).await;
    assert_eq!(model_behind_auto(&server).await, "small");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_taken_over() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;
    let file = server.folder().join("policies/default.yaml");

    std::fs::write(&file, fixed(&["large"])).unwrap();
    until_auto_is(&server, "large").await;
    std::fs::write(&file, fixed(&["small"])).unwrap();
    server.signal("HUP");
    until_auto_is(&server, "small").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_keeps_the_old_policy_and_shows() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;

    std::fs::write(server.folder().join("policies/default.yaml"), fixed(&["nobody"])).unwrap();
    server.signal("HUP");
    server.until_metric("pointsman_policy_reload_errors_total", &[], |value| value >= 1.0).await;

    assert_eq!(model_behind_auto(&server).await, "small");
    let status = server.admin("GET", "/admin/v1/status").send().await.text().await;
    assert!(status.contains("nobody"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_changes_nothing_where_no_token_is_needed() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;
    let path = "/admin/v1/policies/default/rollback";

    let page = server.admin("POST", path).header("origin", "https://example.com").json(&json!({"version": 1}));
    let answer = page.send().await;

    assert_eq!(answer.status, 403);
}
