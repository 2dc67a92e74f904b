//! What was answered before is answered again, where that is allowed.

use serde_json::json;

use crate::harness::{
    Frame, Server, Setup, Step, Upstream, chat, streamed,
    upstream::{delta, stream_head},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_answer_comes_back_as_a_stream_and_a_stream_as_a_whole_answer() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;

    server.ask(&chat("small")).await.json().await;
    let replayed = server.ask(&streamed("small")).await;
    let cache = replayed.header("x-pointsman-cache").to_owned();
    let events = replayed.events().await;
    server.ask(&streamed("large")).await.events().await;
    let whole = server.ask(&chat("large")).await;

    assert_eq!(cache, "hit");
    assert_eq!(events.iter().map(Frame::text).collect::<String>(), "Hello there.");
    assert_eq!(events.last(), Some(&Frame::Data("[DONE]".to_owned())));
    assert_eq!(whole.header("x-pointsman-cache"), "hit");
    let whole = whole.json().await;
    assert_eq!(whole["choices"][0]["message"]["content"], "Hello there.");
    assert_eq!(whole["object"], "chat.completion");
    assert_eq!(upstream.journal().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hit_costs_nothing_and_says_what_it_saved() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;
    server.ask(&chat("small")).await.json().await;

    let hit = server.ask(&chat("small")).await;

    assert_eq!(hit.header("x-pointsman-cost-usd"), "0.000000000");
    let record = server.until_booked(2).await.remove(1);
    assert_eq!((record.cache.as_str(), record.cost_nanos, record.saved_nanos), ("hit", 0, 25_000));
    assert_eq!(server.metric("pointsman_cache_lookups_total", &["hit"]).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_can_forbid_looking_up_and_storing() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;
    let ask = async |control: &str| {
        let answer = server.chat(&chat("small")).header("cache-control", control).send().await;
        answer.header("x-pointsman-cache").to_owned()
    };

    let unstored = ask("no-store").await;
    let first = ask("max-age=0").await;
    let fresh = ask("no-cache").await;
    let hit = ask("max-age=0").await;

    assert_ne!(unstored, "hit");
    assert_eq!(first, "miss", "an answer that must not be stored was stored");
    assert_ne!(fresh, "hit");
    assert_eq!(hit, "hit");
    assert_eq!(upstream.journal().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_leaves_room_for_chance_is_not_cached_unless_the_policy_says_so() {
    let upstream = Upstream::start().await;
    let bold = json!({"schema_version": 1, "candidates": ["small"], "strategy": {"fixed": {"model": "small"}},
        "cache": {"nondeterministic": true}});
    let server = Server::start(Setup::new(&upstream).policy("bold", bold.to_string())).await;
    let ask = async |model: &str| {
        let mut body = chat(model);
        body["temperature"] = json!(0.9);
        server.ask(&body).await.header("x-pointsman-cache").to_owned()
    };

    assert_eq!([ask("auto").await, ask("auto").await], ["bypass", "bypass"]);
    assert_eq!([ask("auto:bold").await, ask("auto:bold").await], ["miss", "hit"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn anything_that_changes_the_answer_makes_another_entry() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;
    server.ask(&chat("small")).await;

    for (field, value) in
        [("max_tokens", json!(5)), ("seed", json!(1)), ("stop", json!(["x"])), ("x_unknown", json!(1))]
    {
        let mut body = chat("small");
        body[field] = value;
        assert_eq!(server.ask(&body).await.header("x-pointsman-cache"), "miss", "{field}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_answer_is_not_kept() {
    let upstream = Upstream::start().await;
    upstream.plays("upstream-small", vec![stream_head(), delta("Half"), Step::Cut]);
    upstream.answers("upstream-small", "Whole");
    let server = Server::start(Setup::new(&upstream)).await;

    server.ask(&streamed("small")).await.events().await;
    let next = server.ask(&streamed("small")).await;

    assert_eq!(next.header("x-pointsman-cache"), "miss");
    assert_eq!(next.events().await.iter().map(Frame::text).collect::<String>(), "Whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_the_cache_is_explained_too() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;
    server.ask(&chat("auto")).await.json().await;
    let explained = |body| server.chat(&body).header("x-pointsman-explain", "1");

    let whole = explained(chat("auto")).send().await;
    let stream = explained(streamed("auto")).send().await;

    assert_eq!((whole.header("x-pointsman-cache"), stream.header("x-pointsman-cache")), ("hit", "hit"));
    assert_eq!(whole.json().await["pointsman"]["plan"]["leg"]["model"], "small");
    let events = stream.events().await;
    let first = events[0].json().expect("an object");
    assert_eq!(first["pointsman"]["plan"]["leg"]["model"], "small");
    assert!(server.ask(&chat("auto")).await.json().await.get("pointsman").is_none());
    assert_eq!(upstream.journal().len(), 1);
}
