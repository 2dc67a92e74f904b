//! A key gets strong models for its share of the requests, and other models beyond it.

use serde_json::json;

use crate::harness::{Server, Setup, Upstream, chat};

fn policy(candidates: &[&str]) -> String {
    let quota = json!({"models": ["large"], "share": 0.0, "grace": 2});
    let strategy = json!({"fixed": {"model": "large"}});
    json!({"schema_version": 1, "candidates": candidates, "strategy": strategy, "quota": quota}).to_string()
}

async fn models(server: &Server, requests: usize) -> Vec<String> {
    let mut models = Vec::new();
    for _ in 0..requests {
        let answer = server.chat(&chat("auto")).header("cache-control", "no-store, no-cache").send().await;
        models.push(answer.with_status(200).await.header("x-pointsman-model").to_owned());
    }
    models
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_its_share_a_key_is_answered_by_other_models() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream).policy("default", policy(&["large", "small"]))).await;

    let models = models(&server, 5).await;

    assert_eq!(models, ["large", "large", "small", "small", "small"]);
    let metrics = server.admin("GET", "/metrics").send().await.text().await;
    assert!(metrics.contains("pointsman_quota_withheld_total{policy=\"default\"} 3"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_refuses_nobody() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream).policy("default", policy(&["large"]))).await;

    assert_eq!(models(&server, 4).await, ["large"; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_an_unknown_model_is_refused_with_its_place() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;
    let document = policy(&["large", "small"]).replace("\"models\":[\"large\"]", "\"models\":[\"nobody\"]");

    let request = server.admin("PUT", "/admin/v1/policies/default").header("content-type", "application/yaml");
    let refused = request.bytes(document).send().await;

    assert_eq!(refused.status, 400);
    let text = refused.text().await;
    assert!(text.contains("nobody") && text.contains("quota"), "{text}");
}
