use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt};
use serde_json::Value;

use super::*;
use crate::{
    backends::{
        contract::{Subject, chat_call, context, keeps_the_contract},
        upstream::{Act, Seen, Upstream, cut_stream, event_stream, json, response, stream_head},
    },
    domain::{Event, TokenSignal, Tokens, Usage},
    error::Code,
    runtime::Tasks,
    wire::{embeddings::EmbeddingsCall, parse::Limits, text::TextCompletionCall},
};

const WHOLE: &str = include_str!("../../../tests/fixtures/openai/whole.json");
const STREAM: &str = include_str!("../../../tests/fixtures/openai/stream.sse");
const LIMITS: Limits = Limits { messages: 10, choices: 4, depth: 64 };

async fn upstream(scripts: Vec<Vec<Act>>) -> (Upstream, OpenAi) {
    let upstream = Upstream::start(scripts).await;
    let backend = OpenAi::build(&upstream.settings(), &Http::per_worker()).unwrap();
    (upstream, backend)
}

fn call(is_streaming: bool) -> ModelCall {
    let body = r#"{"model":"auto","messages":[{"role":"user","content":"hi"}],"x_unknown":1e-400}"#;
    ModelCall { chat: Arc::new(chat_call(body)), is_streaming, context: context() }
}

async fn whole_answer(script: Vec<Act>) -> Result<WholeReply, BackendError> {
    let (_upstream, backend) = upstream(vec![script]).await;
    match backend.chat(call(false)).await? {
        Reply::Whole(whole) => Ok(whole),
        Reply::Stream(_) => panic!("a whole answer was asked for"),
    }
}

async fn stream_answer(script: Vec<Act>) -> Result<Vec<Event>, BackendError> {
    let (_upstream, backend) = upstream(vec![script]).await;
    let Reply::Stream(events) = backend.chat(call(true)).await? else { panic!("a stream was asked for") };
    events.collect::<Vec<_>>().await.into_iter().collect()
}

fn text(events: &[Event]) -> String {
    let chunks = events.iter().map(|event| serde_json::from_slice::<Value>(&event.data).unwrap());
    chunks.filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn openai_backends_keep_the_contract() {
    let whole = vec![json(200, WHOLE)];
    let (_first, answering) = upstream(vec![whole.clone(), event_stream(STREAM), event_stream(STREAM), whole]).await;
    let (_second, slow) = upstream(vec![vec![Act::Stall]]).await;

    keeps_the_contract(Subject { answering: Arc::new(answering), slow: Some(Arc::new(slow)) }).await;
}

#[tokio::test]
async fn the_provider_gets_the_callers_bytes_and_our_headers() {
    let (upstream, backend) = upstream(vec![vec![json(200, WHOLE)]]).await;
    let call = call(false);
    let id = call.context.request;

    backend.chat(call).await.unwrap();

    let Seen::Request { head, body } = upstream.next().await else { panic!("a request comes first") };
    assert!(head.starts_with("post /v1/chat/completions http/1.1\r\n"), "{head}");
    for line in ["authorization: bearer sk-canary", "x-team: blue", "content-type: application/json"] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} in {head}");
    }
    assert!(head.contains(&format!("x-request-id: {id}")) && head.contains(&format!("x-client-request-id: {id}")));
    assert!(head.contains(&format!("user-agent: pointsman/{}", env!("CARGO_PKG_VERSION"))));
    insta::assert_snapshot!(
        body,
        @r#"{"model":"upstream-toy","messages":[{"role":"user","content":"hi"}],"x_unknown":1e-400}"#
    );
}

#[tokio::test]
async fn a_whole_answer_comes_back_byte_for_byte() {
    let whole = whole_answer(vec![json(200, WHOLE)]).await.unwrap();

    assert_eq!(whole.body, WHOLE);
    assert_eq!(whole.finish_reason.as_deref(), Some("stop"));
    let usage = Usage {
        input: Tokens(11),
        output: Tokens(7),
        cached_input: Tokens(4),
        reasoning: Tokens(2),
        is_estimated: false,
    };
    assert_eq!(whole.usage, Some(usage));
}

#[tokio::test]
async fn log_probabilities_of_the_provider_become_signals() {
    let entry =
        r#"{"token":"a","logprob":-0.5,"top_logprobs":[{"token":"a","logprob":-0.5},{"token":"b","logprob":-1.5}]}"#;
    let logprobs = format!(r#""logprobs":{{"content":[{entry}]}}"#);
    let body =
        format!(r#"{{"choices":[{{"index":0,"message":{{"content":"a"}},"finish_reason":"stop",{logprobs}}}]}}"#);
    let chunk = format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"a"}},"finish_reason":"stop",{logprobs}}}]}}"#);

    let whole = whole_answer(vec![json(200, &body)]).await.unwrap();
    let events = stream_answer(event_stream(&format!("data: {chunk}\n\ndata: [DONE]\n\n"))).await.unwrap();

    let signal = TokenSignal { logprob: -0.5, entropy: None, margin: Some(1.0) };
    assert_eq!(whole.signals, [signal]);
    assert_eq!(events[0].signals, [signal]);
    assert!(whole_answer(vec![json(200, WHOLE)]).await.unwrap().signals.is_empty());
}

#[tokio::test]
async fn a_stream_cut_anywhere_gives_the_same_events() {
    let expected = stream_answer(event_stream(STREAM)).await.unwrap();
    assert_eq!(text(&expected), "Grüß Gott, 世界 👋");
    assert_eq!(expected.len(), 5);
    assert_eq!(expected[4].usage.unwrap().cached_input, Tokens(4));
    let scripts = (1..STREAM.len()).map(|at| cut_stream(STREAM, at)).collect();
    let (_upstream, backend) = upstream(scripts).await;

    for at in 1..STREAM.len() {
        let Reply::Stream(events) = backend.chat(call(true)).await.unwrap() else { panic!("a stream was asked for") };
        let events: Vec<Event> = events.map(Result::unwrap).collect().await;
        assert_eq!(events, expected, "cut after byte {at}");
    }
}

#[tokio::test]
async fn the_end_mark_may_be_missing_after_a_finish_reason() {
    let without_mark = STREAM.replace("data: [DONE]\n\n", "");

    let events = stream_answer(event_stream(&without_mark)).await.unwrap();

    assert_eq!(events.len(), 5);
}

#[tokio::test]
async fn a_stream_that_ends_without_a_finish_reason_is_cut() {
    let (half, _) = STREAM.split_at(STREAM.find("世界").unwrap());
    let (_upstream, backend) = upstream(vec![event_stream(half)]).await;
    let Reply::Stream(mut events) = backend.chat(call(true)).await.unwrap() else { panic!("a stream was asked for") };

    let (mut good, mut bad) = (0, Vec::new());
    while let Some(event) = events.next().await {
        match event {
            Ok(_) => good += 1,
            Err(error) => bad.push(error.code),
        }
    }

    // The last, half event is no JSON; the two before it are good, and nothing follows the error.
    assert_eq!((good, bad), (2, vec![Code::UpstreamMalformed]));
    let whole_events: String = STREAM.split_inclusive("\n\n").take(3).collect();
    assert_eq!(stream_answer(event_stream(&whole_events)).await.unwrap_err().code, Code::UpstreamCut);
    assert_eq!(stream_answer(event_stream("")).await.unwrap_err().code, Code::UpstreamCut);
}

#[tokio::test]
async fn a_chunked_body_that_breaks_off_is_cut() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n";
    let bytes = format!("{head}{:x}\r\n{chunk}\r\n", chunk.len());

    let error = stream_answer(vec![Act::Say(bytes.into_bytes()), Act::HangUp]).await.unwrap_err();

    assert_eq!(error.code, Code::UpstreamCut);
}

#[tokio::test]
async fn an_error_event_ends_the_stream_with_its_class() {
    let event =
        |error: &str| format!("{}data: {{\"error\":{error}}}\n\n", STREAM.split_inclusive("\n\n").next().unwrap());
    let limited = event(r#"{"message":"slow down","type":"rate_limit_error","code":429}"#);
    let failed = event(r#"{"message":"The server had an error","type":"server_error"}"#);

    assert_eq!(stream_answer(event_stream(&limited)).await.unwrap_err().code, Code::UpstreamRateLimited);
    assert_eq!(stream_answer(event_stream(&failed)).await.unwrap_err().code, Code::UpstreamFailed);
}

#[tokio::test]
async fn a_server_that_ignores_stream_is_understood() {
    let events = stream_answer(vec![json(200, WHOLE)]).await.unwrap();

    assert_eq!(text(&events), "Grüß Gott, 世界 👋");
    assert_eq!(events.iter().filter_map(|event| event.finish_reason.as_deref()).collect::<Vec<_>>(), ["stop"]);
    assert_eq!(events.iter().filter_map(|event| event.usage).next_back().unwrap().output, Tokens(7));
}

#[tokio::test]
async fn what_is_no_answer_is_malformed() {
    let html = || response(200, "content-type: text/html\r\n", "<html>please log in</html>");
    let malformed = Some(Code::UpstreamMalformed);

    assert_eq!(whole_answer(vec![html()]).await.err().map(|error| error.code), malformed);
    assert_eq!(stream_answer(vec![html()]).await.err().map(|error| error.code), malformed);
    assert_eq!(whole_answer(vec![json(200, "{}")]).await.err().map(|error| error.code), malformed);
    assert_eq!(stream_answer(vec![json(200, "[1]")]).await.err().map(|error| error.code), malformed);
    assert_eq!(stream_answer(event_stream("data: garbage\n\n")).await.err().map(|error| error.code), malformed);
}

#[tokio::test]
async fn a_refusal_keeps_status_and_waiting_time() {
    let body = r#"{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}"#;

    let error = whole_answer(vec![response(429, "retry-after: 3\r\n", body)]).await.unwrap_err();

    assert_eq!((error.code, error.upstream_status), (Code::UpstreamRateLimited, Some(429)));
    assert_eq!(error.retry_after, Some(Duration::from_secs(3)));
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let location = "location: http://127.0.0.1:1/\r\n";

    let error = whole_answer(vec![response(307, location, "")]).await.unwrap_err();

    assert_eq!((error.code, error.upstream_status), (Code::UpstreamFailed, Some(307)));
}

#[tokio::test]
async fn no_error_tells_the_key_or_the_address() {
    let (upstream, backend) = upstream(vec![vec![json(401, r#"{"error":{"message":"bad key sk-canary"}}"#)]]).await;
    let address = upstream.settings().base_url;

    let refused = backend.chat(call(false)).await.unwrap_err();
    let cut = whole_answer(vec![Act::HangUp]).await.unwrap_err();

    for error in [refused, cut] {
        let told = format!("{error:?} {}", error.message);
        assert!(!told.contains("sk-canary") && !told.contains(&address) && told.contains("acme"), "{told}");
    }
    assert!(!format!("{backend:?}").contains("sk-canary"));
}

#[tokio::test]
async fn a_closed_port_is_unreachable_and_a_hang_up_is_a_cut() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (upstream, _) = upstream(vec![vec![Act::HangUp]]).await;
    let settings = RemoteSettings { base_url: format!("http://{closed}/v1"), ..upstream.settings() };

    let unreachable = OpenAi::build(&settings, &Http::per_worker()).unwrap().chat(call(false)).await.unwrap_err();
    let cut = whole_answer(vec![Act::HangUp]).await.unwrap_err();

    assert_eq!(unreachable.code, Code::UpstreamUnreachable);
    assert_eq!(cut.code, Code::UpstreamCut);
}

#[tokio::test]
async fn settings_that_cannot_be_sent_are_refused() {
    let (upstream, _) = upstream(vec![vec![]]).await;
    let good = upstream.settings();

    let no_url = RemoteSettings { base_url: "ftp://x".to_owned(), ..good.clone() };
    let bad_header = RemoteSettings { headers: vec![("a b".to_owned(), "x".into())], ..good };

    assert!(matches!(OpenAi::build(&no_url, &Http::per_worker()), Err(SettingsError::BaseUrl(_))));
    assert!(matches!(OpenAi::build(&bad_header, &Http::per_worker()), Err(SettingsError::Header(..))));
}

#[tokio::test]
async fn silence_times_out_in_every_phase() {
    let first = STREAM.split_inclusive("\n\n").next().unwrap().as_bytes().to_vec();
    let silent = vec![Act::Stall];
    let silent_after_head = vec![stream_head(), Act::Stall];
    let silent_after_event = vec![stream_head(), Act::Say(first), Act::Stall];

    for script in [silent, silent_after_head, silent_after_event] {
        let (upstream, backend) = upstream(vec![script]).await;
        let mut call = call(true);
        call.context.timeouts.first_token = Duration::from_millis(60);
        call.context.timeouts.idle = Duration::from_millis(60);
        let error = match backend.chat(call).await {
            Ok(Reply::Stream(events)) => events.filter_map(|event| async { event.err() }).boxed().next().await.unwrap(),
            Ok(Reply::Whole(_)) => panic!("a stream was asked for"),
            Err(error) => error,
        };

        assert_eq!(error.code, Code::UpstreamTimeout);
        assert!(matches!(upstream.next().await, Seen::Request { .. }));
        assert_eq!(upstream.next().await, Seen::Left);
    }
}

fn both_modes() -> [Http; 2] {
    [Http::per_worker(), Http::shared(tokio::runtime::Handle::current(), Tasks::default())]
}

#[tokio::test]
async fn a_caller_who_leaves_before_the_answer_ends_the_exchange() {
    for http in both_modes() {
        for is_streaming in [false, true] {
            let upstream = Upstream::start(vec![vec![Act::Stall]]).await;
            let backend = OpenAi::build(&upstream.settings(), &http).unwrap();
            let mut asking = backend.chat(call(is_streaming));

            tokio::select! {
                _ = &mut asking => panic!("the provider says nothing"),
                seen = upstream.next() => assert!(matches!(seen, Seen::Request { .. })),
            }
            drop(asking);

            assert_eq!(upstream.next().await, Seen::Left);
        }
    }
}

#[tokio::test]
async fn a_caller_who_leaves_mid_stream_ends_the_exchange() {
    let first = STREAM.split_inclusive("\n\n").next().unwrap().as_bytes().to_vec();
    for http in both_modes() {
        let upstream = Upstream::start(vec![vec![stream_head(), Act::Say(first.clone()), Act::Stall]]).await;
        let backend = OpenAi::build(&upstream.settings(), &http).unwrap();
        let Reply::Stream(mut events) = backend.chat(call(true)).await.unwrap() else { panic!("no stream") };
        events.next().await.unwrap().unwrap();
        assert!(events.next().now_or_never().is_none());

        drop(events);

        assert!(matches!(upstream.next().await, Seen::Request { .. }));
        assert_eq!(upstream.next().await, Seen::Left);
    }
}

#[tokio::test]
async fn the_shared_runtime_gives_the_same_answers() {
    let upstream = Upstream::start(vec![vec![json(200, WHOLE)], event_stream(STREAM)]).await;
    let http = Http::shared(tokio::runtime::Handle::current(), Tasks::default());
    let backend = OpenAi::build(&upstream.settings(), &http).unwrap();

    let Reply::Whole(whole) = backend.chat(call(false)).await.unwrap() else { panic!("not whole") };
    let Reply::Stream(events) = backend.chat(call(true)).await.unwrap() else { panic!("no stream") };
    let events: Vec<Event> = events.map(Result::unwrap).collect().await;

    assert_eq!(whole.body, WHOLE);
    assert_eq!(text(&events), "Grüß Gott, 世界 👋");
}

#[tokio::test]
async fn embeddings_pass_through() {
    let answer = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1]}],"model":"e","usage":{"prompt_tokens":3,"total_tokens":3}}"#;
    let (upstream, backend) = upstream(vec![vec![json(200, answer)]]).await;
    let embeddings = EmbeddingsCall::parse(r#"{"model":"auto","input":"hi","user":"u"}"#.into(), &LIMITS).unwrap();

    let reply = backend.embed(EmbedCall { embeddings: Arc::new(embeddings), context: context() }).await.unwrap();

    assert_eq!(reply.body, answer);
    assert_eq!(reply.usage.unwrap().input, Tokens(3));
    let Seen::Request { head, body } = upstream.next().await else { panic!("a request comes first") };
    assert!(head.starts_with("post /v1/embeddings "));
    assert_eq!(body, r#"{"model":"upstream-toy","input":"hi","user":"u"}"#);
}

#[tokio::test]
async fn text_completions_pass_through() {
    let answer = r#"{"object":"text_completion","choices":[{"text":"x","index":0,"finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
    let (upstream, backend) = upstream(vec![vec![json(200, answer)]]).await;
    let text = TextCompletionCall::parse(r#"{"model":"auto","prompt":"hi","best_of":1}"#.into(), &LIMITS).unwrap();

    let reply = backend.complete(TextCall { text: Arc::new(text), context: context() }).await.unwrap();

    let Reply::Whole(whole) = reply else { panic!("not whole") };
    assert_eq!((whole.body.as_ref(), whole.finish_reason.as_deref()), (answer.as_bytes(), Some("length")));
    let Seen::Request { head, .. } = upstream.next().await else { panic!("a request comes first") };
    assert!(head.starts_with("post /v1/completions "));
}
