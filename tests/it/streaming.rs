//! Streams arrive whole, in order and in time, however the provider cuts them.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Semaphore;

use crate::harness::{
    Frame, Server, Setup, Step, Upstream, streamed,
    upstream::{delta, done, event, finish, piece, stream_head, usage, usage_event},
};

fn text(events: &[Frame]) -> String {
    events.iter().map(Frame::text).collect()
}

fn is_done(events: &[Frame]) -> bool {
    events.last() == Some(&Frame::Data("[DONE]".to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn text_survives_any_cut_through_its_bytes() {
    let upstream = Upstream::start().await;
    let words = "Grüße 👋 — 你好";
    let Step::Send(bytes) = delta(words) else { unreachable!("a delta is bytes") };
    let mut steps = vec![stream_head()];
    steps.extend(bytes.iter().map(|byte| Step::Send(vec![*byte])));
    steps.extend([finish(), done(), Step::End]);
    upstream.plays("upstream-small", steps);
    let server = Server::start(Setup::new(&upstream)).await;

    let events = server.ask(&streamed("small")).await.events().await;

    assert_eq!(text(&events), words);
    assert!(is_done(&events));
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_line_ends_comments_and_event_names_are_understood() {
    let upstream = Upstream::start().await;
    let chunk = piece(json!([{"index": 0, "delta": {"content": "Hi"}, "finish_reason": null}]));
    let odd = format!(": a comment\r\n\r\nevent: message\r\nid: 7\r\ndata: {chunk}\r\n\r\n");
    upstream.plays("upstream-small", vec![stream_head(), Step::Send(odd.into_bytes()), finish(), done(), Step::End]);
    let server = Server::start(Setup::new(&upstream)).await;

    let events = server.ask(&streamed("small")).await.events().await;

    assert_eq!(text(&events), "Hi");
    assert!(is_done(&events));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_event_does_not_wait_for_the_second() {
    let upstream = Upstream::start().await;
    let gate = Arc::new(Semaphore::new(0));
    let rest = [delta(" there"), finish(), done(), Step::End];
    upstream.plays(
        "upstream-small",
        [stream_head(), delta("Hi"), Step::Wait(gate.clone())].into_iter().chain(rest).collect(),
    );
    let server = Server::start(Setup::new(&upstream)).await;

    let mut answer = server.ask(&streamed("small")).await;
    let first = answer.event().await.unwrap();
    gate.add_permits(1);
    let events = answer.events().await;

    assert_eq!(first.text(), "Hi");
    assert_eq!(text(&events), " there");
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_filled_with_comments() {
    let upstream = Upstream::start().await;
    upstream.plays("upstream-small", vec![stream_head(), delta("Hi"), Step::Stall]);
    let server = Server::start(Setup::new(&upstream).set("/server/heartbeat", "50ms")).await;

    let mut answer = server.ask(&streamed("small")).await;
    let mut comments = 0;
    while comments < 3 {
        comments += u32::from(matches!(answer.frame().await.unwrap(), Frame::Comment(_)));
    }

    assert!(answer.header("content-type").starts_with("text/event-stream"));
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_booked_wherever_a_provider_puts_it() {
    let upstream = Upstream::start().await;
    let mut with_choices = piece(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]));
    with_choices["usage"] = usage();
    let cases = [
        ("alone", vec![delta("Hi"), finish(), usage_event(), done()]),
        ("with choices", vec![delta("Hi"), event(&with_choices), done()]),
        ("twice", vec![delta("Hi"), event(&with_choices), usage_event(), done()]),
        ("late", vec![delta("Hi"), finish(), done(), usage_event()]),
    ];
    for (_, steps) in &cases {
        let all = [stream_head()].into_iter().chain(steps.clone()).chain([Step::End]);
        upstream.plays("upstream-small", all.collect());
    }
    let server = Server::start(Setup::new(&upstream)).await;

    for (position, (case, _)) in cases.iter().enumerate() {
        let events =
            server.chat(&streamed("small")).header("cache-control", "no-store, no-cache").send().await.events().await;

        assert!(is_done(&events), "{case}");
        assert!(!events.iter().filter_map(Frame::json).any(|chunk| chunk["usage"].is_object()), "{case}");
        let record = server.until_booked(position + 1).await.remove(position);
        if *case != "late" {
            assert_eq!(record.attempts[0].tokens, (11, 7), "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_that_never_comes_is_estimated() {
    let upstream = Upstream::start().await;
    upstream.plays("upstream-small", vec![stream_head(), delta("Hi"), finish(), done(), Step::End]);
    let server = Server::start(Setup::new(&upstream)).await;

    server.ask(&streamed("small")).await.events().await;

    let attempt = server.until_booked(1).await.remove(0).attempts.remove(0);
    assert!(attempt.tokens.0 > 0 && attempt.tokens.1 > 0, "{attempt:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_speaks_http_1_0_gets_a_stream_without_chunks() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;

    let answer = server.chat(&streamed("small")).old().send().await;

    assert_eq!(answer.header("transfer-encoding"), "");
    let body = answer.text().await;
    assert!(body.starts_with("data: {") && body.ends_with("data: [DONE]\n\n"), "{body}");
}
