//! What was answered before is answered again, where that is allowed.

use std::sync::Arc;

use pointsman::domain::KeyLimits;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::harness::{
    Ended, Frame, Response, Server, Setup, Step, Upstream, chat,
    server::lay_out,
    setup::make_key,
    streamed,
    upstream::{answer, delta, done, finish, stream_head, usage_event},
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

/// Sends the same request many times at once, and lets the upstream answer once all of them wait.
async fn asked_at_once(server: &Server, upstream: &Upstream, body: &Value, gate: &Semaphore) -> Vec<Response> {
    let asking = (0..100).map(|_| server.chat(body)).map(|request| async move { request.send().await });
    let asking = futures_util::future::join_all(asking);
    let answering = async {
        upstream.until("the first attempt", |journal| !journal.is_empty()).await;
        server.until_metric("pointsman_requests_in_flight", &[], |running| running >= 100.0).await;
        gate.add_permits(100);
    };
    tokio::join!(asking, answering).0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_equal_requests_make_one_attempt() {
    for body in [chat("small"), streamed("small")] {
        let upstream = Upstream::start().await;
        let gate = Arc::new(Semaphore::new(0));
        let held = Arc::clone(&gate);
        upstream.plays_with("upstream-small", move |body| {
            let mut steps = answer(body, "Hello there.");
            steps.insert(0, Step::Wait(Arc::clone(&held)));
            steps
        });
        let server = Server::start(Setup::new(&upstream)).await;

        let answers = asked_at_once(&server, &upstream, &body, &gate).await;

        let joined = answers.iter().filter(|answer| answer.header("x-pointsman-cache") == "joined").count();
        for answer in answers {
            assert_eq!(answer.status, 200);
            let text = answer.text().await;
            assert!(text.contains("Hello") && text.contains("there."), "{text}");
        }
        let records = server.until_booked(100).await;
        assert_eq!(upstream.journal().len(), 1);
        assert_eq!(joined, 99);
        assert_eq!(records.iter().map(|record| record.cost_nanos).sum::<u64>(), 25_000, "paid more than once");
        assert_eq!(records.iter().map(|record| record.saved_nanos).sum::<u64>(), 99 * 25_000);
        assert!(records.iter().all(|record| record.outcome == "success"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_call_outlives_its_leader_and_not_its_last_reader() {
    let upstream = Upstream::start().await;
    let gate = Arc::new(Semaphore::new(0));
    let (head, rest) =
        ([stream_head(), delta("Hello")], [delta(" there."), finish(), usage_event(), done(), Step::End]);
    upstream.plays("upstream-small", head.into_iter().chain([Step::Wait(gate.clone())]).chain(rest).collect());
    upstream.plays("upstream-small", vec![stream_head(), delta("Hello"), Step::Stall]);
    let server = Server::start(Setup::new(&upstream)).await;

    let mut leader = server.ask(&streamed("small")).await;
    leader.event().await.unwrap();
    let follower = server.ask(&streamed("small")).await;
    drop(leader);
    server.until_metric("pointsman_requests_in_flight", &[], |running| running <= 2.0).await;
    gate.add_permits(1);
    let text: String = follower.events().await.iter().map(Frame::text).collect();
    let records = server.until_booked(2).await;
    let mut other = streamed("small");
    other["seed"] = json!(2);
    let last = server.ask(&other).await;
    drop(last);
    let journal =
        upstream.until("the second call to end", |journal| journal.len() == 2 && journal[1].ended.is_some()).await;

    assert_eq!(text, "Hello there.");
    assert_eq!(records.iter().map(|record| record.cost_nanos).sum::<u64>(), 25_000);
    let led = records.iter().find(|record| record.cache == "miss").unwrap();
    assert_eq!((led.outcome.as_str(), led.attempts.len()), ("client_gone", 1));
    assert_eq!(journal[1].ended.unwrap().0, Ended::ClientGone);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_two_tenants_never_share_a_call() {
    let upstream = Upstream::start().await;
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    upstream.plays_with("upstream-small", move |body| {
        let mut steps = answer(body, "Hello there.");
        steps.insert(0, Step::Wait(Arc::clone(&held)));
        steps
    });
    let setup = Setup::new(&upstream).set("/keys/required", "always");
    let folder = lay_out(&setup);
    let keys = ["acme", "rival"].map(|tenant| make_key(folder.path(), tenant, KeyLimits::default()));
    let server = Server::start_in(folder, &setup).await;
    server.until_ready().await;

    let [first, second] = keys.map(|key| {
        let request = server.chat(&chat("small")).key(&key);
        async move { request.send().await.header("x-pointsman-cache").to_owned() }
    });
    let answering = async {
        upstream.until("two attempts", |journal| journal.len() == 2).await;
        gate.add_permits(2);
    };
    let (first, second, ()) = tokio::join!(first, second, answering);

    assert_eq!((first.as_str(), second.as_str()), ("miss", "miss"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_narrows_who_shares_answers() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;
    let ask = async |scope: &str| {
        let mut body = chat("small");
        body["pointsman"] = json!({"scope": scope});
        server.ask(&body).await.header("x-pointsman-cache").to_owned()
    };

    server.ask(&chat("small")).await.json().await;

    assert_eq!([ask("one").await, ask("two").await, ask("one").await], ["miss", "miss", "hit"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_keeps_its_own_time() {
    let upstream = Upstream::start().await;
    upstream.plays("upstream-small", vec![Step::Stall]);
    upstream.answers("upstream-small", "In time.");
    let policy = json!({"schema_version": 1, "candidates": ["small"], "strategy": {"fixed": {"model": "small"}},
        "limits": {"total_timeout": "2s"}});
    let server = Server::start(Setup::new(&upstream).policy("default", policy.to_string())).await;
    let (leader, follower) = (server.chat(&chat("auto")), server.chat(&chat("auto")));

    let (leader, follower) = tokio::join!(leader.send(), async {
        upstream.until("the first call", |journal| journal.len() == 1).await;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        follower.send().await
    });

    assert_eq!((leader.status, follower.status), (504, 200));
    assert_eq!(follower.json().await["choices"][0]["message"]["content"], "In time.");
    assert_eq!(upstream.journal().len(), 2);
}
