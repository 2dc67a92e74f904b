//! Strategies by prediction and evidence in a whole gateway.

use serde_json::{Value, json};

use crate::harness::{Server, Setup, Upstream};

/// A gateway whose router model knows both models.
async fn start(strategy: Value) -> Server {
    let upstream = Upstream::start().await;
    let policy = json!({"strategy": strategy, "outside": "ignore"});
    let setup = Setup::new(&upstream)
        .set("/router", json!({"enabled": true, "engine": "rten", "deadline": "5s"}))
        .set("/models/0/profile", "llama-3.1-8b-instruct")
        .set("/models/1/profile", "gpt-4o-2024-08-06");
    Server::start(setup.policy("default", policy.to_string())).await
}

fn ask(text: &str) -> Value {
    json!({"model": "auto", "messages": [{"role": "user", "content": text}]})
}

async fn explained(server: &Server, text: &str) -> Value {
    server.admin("POST", "/admin/v1/explain").json(&ask(text)).send().await.with_status(200).await.json().await
}

async fn model(server: &Server, text: &str) -> String {
    let request = server.chat(&ask(text)).header("cache-control", "no-store, no-cache");
    request.send().await.with_status(200).await.header("x-pointsman-model").to_owned()
}

fn prompts(count: usize) -> impl Iterator<Item = String> {
    let kinds =
        ["Prove by induction that the sum of the first", "What is the capital of country number", "Sort a list of"];
    (0..count).map(move |index| format!("{} {index}, please.", kinds[index % kinds.len()]))
}

#[tokio::test(flavor = "multi_thread")]
async fn difficulty_takes_the_cheapest_model_that_is_good_enough() {
    let easy = start(json!({"difficulty": {"threshold": 0.01}})).await;
    let hard = start(json!({"difficulty": {"threshold": 0.999}})).await;

    let (easy, hard) = (explained(&easy, "What is 2 + 2?").await, explained(&hard, "What is 2 + 2?").await);

    assert_eq!((&easy["reason"], &easy["candidates"][0]["model"]), (&json!("good_enough"), &json!("small")));
    assert_eq!(hard["reason"], "none_good_enough");
    let quality = |row: usize| hard["candidates"][row]["quality"].as_f64().unwrap();
    assert!(quality(0) >= quality(1), "{hard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_recent_traffic_goes_to_the_strong_model() {
    let server = start(json!({"preference": {"strong": "large", "weak": "small", "share": 0.4}})).await;
    for prompt in prompts(96) {
        model(&server, &prompt).await;
    }

    let mut strong = 0;
    for prompt in prompts(96) {
        strong += usize::from(model(&server, &prompt).await == "large");
    }

    assert!(explained(&server, "after").await["calibrated"]["win_rate"]["value"].is_number());
    // The threshold was found from the same prompts; 0.1 either way is ten of them.
    assert!((29..=48).contains(&strong), "{strong} of 96");
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_or_the_lack_of_it_is_explained() {
    for strategy in [json!({"cluster": {"alpha": 0.5}}), json!({"nearest": {"cost": 0.04}})] {
        let explanation = explained(&start(strategy).await, "What is the capital of France?").await;

        let reason = explanation["reason"].as_str().unwrap();
        assert!(["best_utility", "evidence_missing"].contains(&reason), "{explanation}");
        assert!(explanation["candidates"][0]["terms"]["utility"].is_number(), "{explanation}");
    }
}
