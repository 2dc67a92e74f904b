use std::sync::Arc;

use futures_util::StreamExt;
use jiff::Timestamp;
use serde_json::Value;

use super::*;
use crate::{
    backends::{
        contract::{Subject, chat_call, context, keeps_the_contract, model_facts},
        upstream::{Act, Seen, Upstream, cut_stream, event_stream, json, response, stream_head},
    },
    domain::{Event, Tokens, Usage},
    runtime::TestClock,
};

const WHOLE: &str = include_str!("../../../tests/fixtures/anthropic/whole.json");
const STREAM: &str = include_str!("../../../tests/fixtures/anthropic/stream.sse");

async fn upstream(scripts: Vec<Vec<Act>>) -> (Upstream, Anthropic) {
    let upstream = Upstream::start(scripts).await;
    let clock = Arc::new(TestClock::at(Timestamp::UNIX_EPOCH));
    let backend = Anthropic::build(&upstream.settings(), &model_facts("toy"), &Http::per_worker(), clock).unwrap();
    (upstream, backend)
}

fn call_of(body: &str, is_streaming: bool) -> ModelCall {
    ModelCall { chat: Arc::new(chat_call(body)), is_streaming, context: context() }
}

fn call(is_streaming: bool) -> ModelCall {
    call_of(r#"{"model":"auto","messages":[{"role":"user","content":"hi"}]}"#, is_streaming)
}

async fn events_of(backend: &Anthropic) -> Vec<Result<Event, BackendError>> {
    let Reply::Stream(events) = backend.chat(call(true)).await.unwrap() else { panic!("a stream was asked for") };
    events.collect().await
}

async fn refusal(act: Act) -> BackendError {
    let (_upstream, backend) = upstream(vec![vec![act]]).await;
    backend.chat(call(false)).await.unwrap_err()
}

#[tokio::test]
async fn anthropic_backends_keep_the_contract() {
    let whole = vec![json(200, WHOLE)];
    let (_first, answering) = upstream(vec![whole.clone(), event_stream(STREAM), event_stream(STREAM), whole]).await;
    let (_second, slow) = upstream(vec![vec![Act::Stall]]).await;

    keeps_the_contract(Subject { answering: Arc::new(answering), slow: Some(Arc::new(slow)) }).await;
}

#[tokio::test]
async fn the_provider_gets_its_own_wire() {
    let (upstream, backend) = upstream(vec![vec![json(200, WHOLE)]]).await;

    backend.chat(call(false)).await.unwrap();

    let Seen::Request { head, body } = upstream.next().await else { panic!("a request comes first") };
    assert!(head.starts_with("post /v1/messages http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nx-api-key: sk-canary\r\n") && head.contains("\r\nanthropic-version: 2023-06-01\r\n"));
    assert!(!head.contains("authorization"));
    insta::assert_snapshot!(
        body,
        @r#"{"model":"upstream-toy","max_tokens":4096,"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]}"#
    );
}

#[tokio::test]
async fn usage_counts_cached_tokens_in() {
    let (_upstream, backend) = upstream(vec![vec![json(200, WHOLE)]]).await;

    let Reply::Whole(whole) = backend.chat(call(false)).await.unwrap() else { panic!("not whole") };

    let usage = Usage {
        input: Tokens(33),
        output: Tokens(9),
        cached_input: Tokens(20),
        reasoning: Tokens(4),
        is_estimated: false,
    };
    assert_eq!(whole.usage, Some(usage));
    assert_eq!(whole.finish_reason.as_deref(), Some("tool_calls"));
}

#[tokio::test]
async fn a_stream_cut_anywhere_gives_the_same_events() {
    let (_upstream, backend) = upstream(vec![event_stream(STREAM)]).await;
    let expected: Vec<Event> = events_of(&backend).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(expected.last().unwrap().usage.unwrap().input, Tokens(33));
    let scripts = (1..STREAM.len()).map(|at| cut_stream(STREAM, at)).collect();
    let (_upstream, backend) = upstream(scripts).await;

    for at in 1..STREAM.len() {
        let events: Vec<Event> = events_of(&backend).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(events, expected, "cut after byte {at}");
    }
}

#[tokio::test]
async fn a_stream_without_message_stop_is_cut() {
    let without_end = STREAM.replace("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", "");
    let (_upstream, backend) = upstream(vec![event_stream(&without_end)]).await;

    let last = events_of(&backend).await.pop().unwrap();

    assert_eq!(last.unwrap_err().code, Code::UpstreamCut);
}

#[tokio::test]
async fn an_error_event_ends_the_stream_with_its_class() {
    let start = STREAM.split_inclusive("\n\n").next().unwrap();
    let event = |kind: &str| {
        format!(
            "{start}event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"{kind}\",\"message\":\"m\"}}}}\n\n"
        )
    };
    let kinds = [
        ("overloaded_error", Code::UpstreamFailed),
        ("api_error", Code::UpstreamFailed),
        ("rate_limit_error", Code::UpstreamRateLimited),
        ("timeout_error", Code::UpstreamTimeout),
        ("invalid_request_error", Code::UpstreamRejected),
    ];

    for (kind, code) in kinds {
        let (_upstream, backend) = upstream(vec![event_stream(&event(kind))]).await;
        let mut events = events_of(&backend).await;
        assert_eq!((events.len(), events.pop().unwrap().unwrap_err().code), (2, code), "{kind}");
    }
}

#[tokio::test]
async fn refusals_have_their_class() {
    let body = |kind: &str| format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"m"}},"request_id":"r"}}"#);

    assert_eq!(refusal(json(401, &body("authentication_error"))).await.code, Code::UpstreamAuth);
    assert_eq!(refusal(json(400, &body("invalid_request_error"))).await.code, Code::UpstreamRejected);
    assert_eq!(refusal(json(413, &body("request_too_large"))).await.code, Code::UpstreamRejected);
    assert_eq!(refusal(json(429, &body("rate_limit_error"))).await.code, Code::UpstreamRateLimited);
    assert_eq!(refusal(json(529, &body("overloaded_error"))).await.code, Code::UpstreamFailed);
}

#[tokio::test]
async fn what_is_no_answer_is_malformed() {
    let html = || response(200, "content-type: text/html\r\n", "<html>");
    let (_upstream, backend) = upstream(vec![vec![html()]]).await;

    assert_eq!(refusal(html()).await.code, Code::UpstreamMalformed);
    assert_eq!(backend.chat(call(true)).await.unwrap_err().code, Code::UpstreamMalformed);
}

#[tokio::test]
async fn what_anthropic_does_not_offer_is_refused_before_anything_is_sent() {
    let (_upstream, backend) = upstream(vec![vec![Act::Stall]]).await;
    let body = r#"{"model":"auto","n":2,"messages":[{"role":"user","content":"hi"}]}"#;

    let error = backend.chat(call_of(body, false)).await.unwrap_err();

    assert_eq!((error.code, error.param.as_deref()), (Code::Unsupported, Some("n")));
    assert!(error.allows_fallback());
}

#[tokio::test]
async fn a_caller_who_leaves_ends_the_exchange() {
    let first = STREAM.split_inclusive("\n\n").next().unwrap().as_bytes().to_vec();
    let (upstream, backend) = upstream(vec![vec![stream_head(), Act::Say(first), Act::Stall]]).await;
    let Reply::Stream(mut events) = backend.chat(call(true)).await.unwrap() else { panic!("no stream") };
    let role: Value = serde_json::from_slice(&events.next().await.unwrap().unwrap().data).unwrap();
    assert_eq!(role["choices"][0]["delta"]["role"], "assistant");

    drop(events);

    assert!(matches!(upstream.next().await, Seen::Request { .. }));
    assert_eq!(upstream.next().await, Seen::Left);
}
