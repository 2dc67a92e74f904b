//! What the caches hold: listed, searched and evicted by admins, kept over a restart, renewed.

use std::os::unix::fs::PermissionsExt;

use pointsman::domain::KeyLimits;
use serde_json::{Value, json};

use crate::harness::{Server, Setup, Upstream, chat, server::lay_out, setup::make_key, upstream::answer};

const CACHE: &str = "/admin/v1/cache";

async fn listed(server: &Server, query: &str) -> Value {
    let path = format!("{CACHE}{query}");
    server.admin("GET", &path).send().await.with_status(200).await.json().await
}

async fn evicted(server: &Server, conditions: &Value) -> Value {
    let path = format!("{CACHE}/evict");
    server.admin("POST", &path).json(conditions).send().await.with_status(200).await.json().await
}

fn marked(model: &str, seed: u32, tags: &[&str]) -> Value {
    let mut body = chat(model);
    body["seed"] = json!(seed);
    body["pointsman"] = json!({"cache_tags": tags});
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_answers_are_found_by_where_they_come_from() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream).set("/keys/required", "always");
    let folder = lay_out(&setup);
    let [acme, rival] = ["acme", "rival"].map(|tenant| make_key(folder.path(), tenant, KeyLimits::default()));
    let server = Server::start_in(folder, &setup).await;
    server.until_ready().await;
    for (key, body) in [
        (&acme, marked("small", 1, &["docs"])),
        (&acme, marked("large", 2, &["docs", "beta"])),
        (&rival, marked("auto", 3, &[])),
    ] {
        server.chat(&body).key(key).send().await.with_status(200).await.json().await;
    }

    let all = listed(&server, "").await;

    assert_eq!(
        (&all["matched"], &all["exact"]["entries"], &all["semantic"]["entries"]),
        (&json!(3), &json!(3), &json!(0))
    );
    let newest = &all["entries"][0];
    assert_eq!((newest["tenant"].as_str(), newest["policy"].as_str()), (Some("rival"), Some("default")));
    assert!(newest["expires"].as_str() > newest["stored"].as_str() && newest["bytes"].as_u64() > Some(100));
    for (query, matched) in [
        ("?tenant=acme", 2),
        ("?tag=docs", 2),
        ("?tag=beta&tenant=rival", 0),
        ("?model=large", 1),
        ("?policy=default", 1),
        ("?older_than=1h", 0),
        ("?newer_than=1h", 3),
        ("?store=semantic", 0),
        (&format!("?key={}", newest["key"].as_str().unwrap()), 1),
    ] {
        assert_eq!(listed(&server, query).await["matched"], matched, "{query}");
    }
    assert_eq!(listed(&server, "?limit=1").await["entries"].as_array().unwrap().len(), 1);
    assert!(!all.to_string().contains("Hello there."), "an answer was shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_go_and_what_is_evicted_is_asked_again() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;
    let ask = async |seed, tags: &[&str]| {
        server.ask(&marked("small", seed, tags)).await.header("x-pointsman-cache").to_owned()
    };
    for (seed, tags) in [(1, ["docs"]), (2, ["code"])] {
        ask(seed, &tags).await;
    }

    let dry = evicted(&server, &json!({"tag": "docs", "dry_run": true})).await;
    let still = ask(1, &[]).await;
    let done = evicted(&server, &json!({"tag": "docs"})).await;
    let outcomes = [ask(1, &[]).await, ask(2, &[]).await];
    let said = evicted(&server, &json!({"containing": "HELLO there", "store": "exact"})).await;
    let all = evicted(&server, &json!({"all": true})).await;

    assert_eq!((&dry["dry_run"], &dry["exact"]["entries"], still.as_str()), (&json!(true), &json!(1), "hit"));
    assert_eq!((&done["exact"], &done["entries"][0]["tags"]), (&dry["exact"], &json!(["docs"])));
    assert_eq!(outcomes, ["miss", "hit"], "tags must not change which answers are shared");
    assert_eq!((&said["exact"]["entries"], &all["exact"]["entries"]), (&json!(2), &json!(0)));
    assert_eq!(listed(&server, "").await["exact"]["entries"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_are_searched_by_meaning_and_never_shown() {
    let upstream = Upstream::start().await;
    let policy = json!({"schema_version": 1, "candidates": ["small"], "strategy": {"fixed": {"model": "small"}},
        "cache": {"semantic": {}}});
    let setup = Setup::new(&upstream)
        .set("/router", json!({"enabled": true, "engine": "rten", "deadline": "20s"}))
        .policy("default", policy.to_string());
    let server = Server::start(setup).await;
    for prompt in ["How do I bake bread with rye flour?", "Why is the sky blue at noon?"] {
        let body = json!({"model": "auto", "messages": [{"role": "user", "content": prompt}], "temperature": 0});
        server.ask(&body).await.with_status(200).await.json().await;
    }

    let search = server.admin("POST", &format!("{CACHE}/search")).json(&json!({"near": "How can I bake rye bread?"}));
    let found = search.send().await.with_status(200).await.text().await;

    let entries = serde_json::from_str::<Value>(&found).unwrap()["entries"].as_array().unwrap().clone();
    let similarities: Vec<f64> = entries.iter().map(|entry| entry["similarity"].as_f64().unwrap()).collect();
    assert_eq!(entries.len(), 2, "{found}");
    assert!(similarities[0] > 0.6 && similarities[0] > similarities[1] + 0.2, "{similarities:?}");
    assert_eq!((&entries[0]["store"], &entries[0]["labels"]), (&json!("semantic"), &json!({"right": 0, "wrong": 0})));
    assert!(!found.contains("bread") && !found.contains("sky"), "a prompt was shown");
    evicted(&server, &json!({"store": "semantic", "tenant": "default"})).await;
    assert_eq!(listed(&server, "?store=semantic").await["matched"], json!(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_that_mean_nothing_are_refused() {
    let upstream = Upstream::start().await;
    let setup =
        Setup::new(&upstream).set("/admin/token", "${ADMIN_TOKEN}").environment("ADMIN_TOKEN", "a-token-of-admins");
    let server = Server::start(setup).await;
    let ask = async |method: &str, path: &str, body: Option<Value>| {
        let request =
            server.admin(method, &format!("{CACHE}{path}")).header("authorization", "Bearer a-token-of-admins");
        let request = match &body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = request.send().await;
        (answer.status, answer.json().await["error"]["code"].clone())
    };

    assert_eq!(server.admin("GET", CACHE).send().await.status, 401);
    for (method, path, body) in [
        ("GET", "?tennant=acme", None),
        ("GET", "?older_than=soon", None),
        ("GET", "?limit=100000", None),
        ("GET", "?near=what", None),
        ("GET", "?key=xyz", None),
        ("POST", "/evict", Some(json!({}))),
        ("POST", "/evict", Some(json!({"all": true, "tag": "docs"}))),
        ("POST", "/evict", Some(json!({"near": "what"}))),
        ("POST", "/search", Some(json!({"near": "what", "store": "exact"}))),
        ("POST", "/search", Some(json!([]))),
    ] {
        assert_eq!(ask(method, path, body).await, (400, json!("invalid_request")), "{method} {path}");
    }
    assert_eq!(ask("POST", "/search", Some(json!({"near": "what"}))).await, (400, json!("unsupported")));
    assert_eq!(ask("DELETE", "", None).await.0, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_survive_a_restart_where_they_are_kept_and_nothing_else_is_taken_for_them() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream).set("/cache", json!({"persist": "data/cache.jsonl"}));
    let server = Server::start(setup.clone()).await;
    server.ask(&chat("small")).await.json().await;
    server.ask(&chat("auto")).await.json().await;
    let again = async |server: Server, setup: &Setup| {
        server.signal("TERM");
        let (_, _, folder) = server.end().await;
        let server = Server::start_in(folder, setup).await;
        server.until_ready().await;
        server
    };
    let ask = async |server: &Server, model| server.ask(&chat(model)).await.header("x-pointsman-cache").to_owned();

    let server = again(server, &setup).await;
    let kept = [ask(&server, "small").await, ask(&server, "auto").await];
    let file = server.folder().join("data/cache.jsonl");
    let mode = file.metadata().unwrap().permissions().mode() & 0o777;
    let elsewhere = Upstream::start().await;
    let moved = setup.clone().set("/providers/scripted/base_url", elsewhere.base_url());
    std::fs::write(server.folder().join("pointsman.yaml"), moved.config.to_string()).unwrap();
    let server = again(server, &moved).await;
    let other = [ask(&server, "small").await, ask(&server, "auto").await];
    server.signal("TERM");
    let (_, _, folder) = server.end().await;
    let file = folder.path().join("data/cache.jsonl");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let server = Server::start_in(folder, &moved).await;
    server.until_ready().await;
    let damaged = ask(&server, "small").await;

    assert_eq!(kept, ["hit", "hit"]);
    assert_eq!(mode, 0o600);
    assert_eq!(other, ["miss", "miss"], "another deployment under the same name was taken for the old one");
    assert_eq!(damaged, "miss");
    assert!(server.log().contains("is damaged"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_past_its_time_is_served_while_it_is_renewed() {
    let upstream = Upstream::start().await;
    let count = std::sync::atomic::AtomicU32::new(1);
    upstream.plays_with("upstream-small", move |body| {
        answer(body, &format!("answer {}", count.fetch_add(1, std::sync::atomic::Ordering::Relaxed)))
    });
    let policy = |stale: &str| {
        json!({"schema_version": 1, "candidates": ["small"], "strategy": {"fixed": {"model": "small"}},
            "cache": {"ttl": "1ms", "stale": stale}})
    };
    let setup =
        Setup::new(&upstream).policy("default", policy("1h").to_string()).policy("fresh", policy("0s").to_string());
    let server = Server::start(setup).await;
    let ask = async |model: &str| {
        let answer = server.ask(&chat(model)).await;
        let cache = answer.header("x-pointsman-cache").to_owned();
        (cache, answer.json().await["choices"][0]["message"]["content"].as_str().unwrap().to_owned())
    };

    let first = ask("auto").await;
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let second = ask("auto").await;
    upstream.until("the renewal", |journal| journal.len() == 2 && journal[1].ended.is_some()).await;
    let records = server.until_booked(3).await;
    let third = ask("auto").await;
    let strict = ask("auto:fresh").await.0;
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let strict = [strict, ask("auto:fresh").await.0];

    assert_eq!(first, ("miss".to_owned(), "answer 1".to_owned()));
    assert_eq!(second, ("stale".to_owned(), "answer 1".to_owned()));
    assert_eq!(third.1, "answer 2", "the renewed answer was not kept");
    let mut booked: Vec<(&str, bool)> =
        records.iter().map(|record| (record.cache.as_str(), record.cost_nanos > 0)).collect();
    booked.sort_unstable();
    assert_eq!(booked, [("bypass", true), ("miss", true), ("stale", false)]);
    assert_eq!(strict, ["miss", "miss"]);
}
