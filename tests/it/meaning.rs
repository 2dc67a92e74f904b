//! Answers are shared by prompts of the same meaning where a policy says so, and never between tenants.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use futures_util::StreamExt;
use parking_lot::Mutex;
use pointsman::domain::KeyLimits;
use serde_json::{Value, json};

use crate::harness::{Server, Setup, Upstream, server::lay_out, setup::make_key, upstream::answer};

/// A setup with the router model, whose default policy serves near answers half of the time before it has learned anything.
fn setup(upstream: &Upstream, across_keys: bool) -> Setup {
    let semantic = json!({"max_error": 0.5, "explore": 0.0, "min_similarity": 0.7, "across_keys": across_keys});
    let policy = json!({"schema_version": 1, "candidates": ["small"], "strategy": {"fixed": {"model": "small"}},
        "cache": {"semantic": semantic}});
    Setup::new(upstream)
        .set("/router", json!({"enabled": true, "engine": "rten", "deadline": "20s"}))
        .policy("default", policy.to_string())
}

fn asked(prompt: &str) -> Value {
    json!({"model": "auto", "messages": [{"role": "user", "content": prompt}], "temperature": 0})
}

/// Asks the same with more and more blanks behind it until the answer comes from another wording; without one after `most`.
async fn until_served(server: &Server, prompt: &str, most: usize) -> Option<Value> {
    for blanks in 1..=most {
        let answer = server.ask(&asked(&format!("{prompt}{}", " ".repeat(blanks)))).await;
        if answer.header("x-pointsman-cache") == "semantic" {
            return Some(answer.json().await);
        }
        answer.json().await;
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_in_other_words_is_answered_from_the_cache_and_a_twin_is_not() {
    let upstream = Upstream::start().await;
    let server = Server::start(setup(&upstream, false)).await;
    server.ask(&asked("How many moons has the planet with the 7 rings?")).await.json().await;

    // Half of the near requests are served at once: 60 misses in a row have a chance of one in 10^18.
    let served = until_served(&server, "how many moons has the planet with the 7 rings?", 60).await;
    let twin = until_served(&server, "How many moons has the planet with the 8 rings?", 1).await;

    assert_eq!(served.expect("a semantic hit")["choices"][0]["message"]["content"], "Hello there.");
    assert_eq!(twin, None, "a twin was served");
    let record = server.until_booked(3).await.into_iter().find(|record| record.cache == "semantic").unwrap();
    assert_eq!((record.cost_nanos, record.attempts.len()), (0, 0));
    assert!(record.saved_nanos > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_history_and_a_request_with_tools_are_left_alone() {
    let upstream = Upstream::start().await;
    let server = Server::start(setup(&upstream, false)).await;
    server.ask(&asked("What is a switch?")).await.json().await;
    let tool = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);

    for blanks in 1..12 {
        let mut with_history = asked("");
        let last = format!("What is a switch?{}", " ".repeat(blanks));
        with_history["messages"] =
            json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": last}]);
        let mut with_tools = asked(&last);
        with_tools["tools"] = tool.clone();
        if blanks == 1 {
            // The first with this history is a miss, and an entry for those after it.
            assert_eq!(server.ask(&with_history).await.header("x-pointsman-cache"), "miss");
        }
        assert_eq!(server.ask(&with_tools).await.header("x-pointsman-cache"), "miss");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_tenants_with_the_same_prompts_never_see_each_others_answers() {
    const TENANTS: usize = 50;
    const REQUESTS: usize = 40;
    let upstream = Upstream::start().await;
    let count = AtomicU32::new(0);
    upstream.plays_with("upstream-small", move |body| {
        let canary = format!("canary-{}", count.fetch_add(1, Ordering::Relaxed));
        answer(body, &canary)
    });
    let setup = setup(&upstream, true).set("/keys/required", "always");
    let folder = lay_out(&setup);
    let keys: Vec<String> =
        (0..TENANTS).map(|tenant| make_key(folder.path(), &format!("tenant-{tenant}"), KeyLimits::default())).collect();
    let server = Server::start_in(folder, &setup).await;
    server.until_ready().await;
    let seen: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let outcomes: Arc<Mutex<HashMap<String, u32>>> = Arc::default();

    // Four equal requests of a tenant, then the same four of the next one, and so on in ten wordings.
    let requests = (0..TENANTS * REQUESTS).map(|at| {
        let (tenant, round) = (at / 4 % TENANTS, at / 4 / TENANTS);
        let prompt = format!("Tell me about the signal box{}", " ".repeat(round));
        let request = server.chat(&asked(&prompt)).key(&keys[tenant]);
        let (seen, outcomes) = (Arc::clone(&seen), Arc::clone(&outcomes));
        async move {
            let answer = request.send().await.with_status(200).await;
            *outcomes.lock().entry(answer.header("x-pointsman-cache").to_owned()).or_default() += 1;
            let text = answer.json().await["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
            let owner = *seen.lock().entry(text).or_insert(tenant);
            assert_eq!(owner, tenant, "a tenant got another one's answer");
        }
    });
    futures_util::stream::iter(requests).buffer_unordered(64).collect::<Vec<()>>().await;

    let outcomes = outcomes.lock();
    for outcome in ["hit", "joined", "semantic", "miss"] {
        assert!(outcomes.get(outcome).is_some_and(|count| *count > 0), "no {outcome} in {outcomes:?}");
    }
}
