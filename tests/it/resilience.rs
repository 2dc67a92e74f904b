//! What fails before the first byte is tried again, elsewhere, or left alone.

use serde_json::json;

use crate::harness::{
    Frame, Request, Server, Setup, Step, Upstream, chat, streamed,
    upstream::{answer, refuses},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_answers_when_the_first_model_fails() {
    let upstream = Upstream::start().await;
    upstream.plays("upstream-small", refuses(500, "broken"));
    upstream.answers("upstream-large", "From large");
    let server = Server::start(Setup::new(&upstream)).await;

    let whole = server.ask(&chat("auto")).await;
    let model = whole.header("x-pointsman-model").to_owned();
    let whole = whole.json().await;
    let stream = server.ask(&streamed("auto")).await.events().await;

    assert_eq!(model, "large");
    assert_eq!(whole["choices"][0]["message"]["content"], "From large");
    assert_eq!(stream.iter().map(Frame::text).collect::<String>(), "From large");
    let record = server.until_booked(2).await.remove(0);
    let attempts: Vec<_> =
        record.attempts.iter().map(|a| (a.model.as_str(), a.outcome.as_str(), a.code.as_deref())).collect();
    assert_eq!(attempts, [("small", "failed", Some("upstream_failed")), ("large", "ok", None)]);
    assert!(server.metric("pointsman_fallbacks_total", &["small"]).await >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_itself_at_fault_is_not_tried_elsewhere() {
    let upstream = Upstream::start().await;
    upstream.plays("upstream-small", refuses(400, "no such tool"));
    let server = Server::start(Setup::new(&upstream)).await;

    let answer = server.ask(&chat("auto")).await;

    assert_eq!(answer.status, 400);
    assert_eq!(upstream.journal().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_may_pass_is_tried_again_after_the_providers_own_pause() {
    let upstream = Upstream::start().await;
    let mut busy = refuses(429, "slow down");
    busy[0] =
        Step::Head(429, vec![("content-type", "application/json".to_owned()), ("retry-after-ms", "20".to_owned())]);
    upstream.plays("upstream-small", busy);
    upstream.plays_with("upstream-small", |body| answer(body, "At last"));
    let setup = Setup::new(&upstream).set("/resilience/attempts", 3).set("/resilience/retry_budget", 1.0);
    let server = Server::start(setup).await;

    let answer = server.ask(&chat("small")).await.json().await;

    assert_eq!(answer["choices"][0]["message"]["content"], "At last");
    assert_eq!(upstream.journal().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_keeps_failing_is_left_alone() {
    let upstream = Upstream::start().await;
    upstream.plays("upstream-small", refuses(500, "broken"));
    upstream.answers("upstream-large", "From large");
    let setup = Setup::new(&upstream).set("/resilience/breaker_failures", 2).set("/resilience/breaker_pause", "1h");
    let server = Server::start(setup).await;
    for _ in 0..2 {
        server.chat(&chat("auto")).header("cache-control", "no-store, no-cache").send().await;
    }

    let answer = server.chat(&chat("auto")).header("cache-control", "no-store, no-cache").send().await;

    assert_eq!(answer.header("x-pointsman-model"), "large");
    let asked = upstream.journal().iter().filter(|served| served.model == "upstream-small").count();
    assert_eq!(asked, 2);
    server.until_metric("pointsman_breaker_open", &["small"], |value| value > 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_dies_before_its_first_event_falls_back() {
    let upstream = Upstream::start().await;
    upstream.plays("upstream-small", vec![crate::harness::upstream::stream_head(), Step::Cut]);
    upstream.answers("upstream-large", "From large");
    let server = Server::start(Setup::new(&upstream)).await;

    let events = server.ask(&streamed("auto")).await.events().await;

    assert_eq!(events.iter().map(Frame::text).collect::<String>(), "From large");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_takes_no_more_calls_at_once_than_it_may() {
    let upstream = Upstream::start().await;
    let narrow = json!({"name": "narrow", "provider": "scripted", "upstream": "upstream-narrow", "max_concurrency": 1});
    let server = Server::start(Setup::new(&upstream).model(narrow).set("/cache/exact", "0B")).await;

    // Equal requests would share one call.
    let numbered = |index: u32| {
        let mut body = chat("narrow");
        body["messages"][0]["content"] = format!("Say hello to {index}.").into();
        server.chat(&body)
    };
    let asked: Vec<_> = (0..8).map(numbered).collect();
    let answers = futures_util::future::join_all(asked.iter().map(Request::send)).await;

    assert!(answers.iter().all(|answer| answer.status == 200));
    let journal = upstream.journal();
    assert_eq!(journal.len(), 8);
    assert!(journal.iter().all(|served| served.beside == 0), "two calls ran at once");
}
