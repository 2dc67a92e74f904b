//! Whatever goes wrong, the caller gets an OpenAI-shaped error that says whose fault it is.

use serde_json::{Value, json};

use crate::harness::{
    Frame, Response, Server, Setup, Step, Upstream, chat, streamed,
    upstream::{delta, event, refuses, stream_head},
};

/// Checks the shape and the status of an error and returns its `error` object.
async fn refused(answer: Response, status: u16, code: &str) -> Value {
    let (got, request) = (answer.status, answer.header("x-request-id").to_owned());
    let body = answer.json().await;
    assert_eq!(got, status, "{body}");
    assert!(request.starts_with("req-"), "no request id");
    let error = body["error"].as_object().unwrap_or_else(|| panic!("no error in {body}"));
    for key in ["message", "type", "param", "code"] {
        assert!(error.contains_key(key), "{key} is missing in {body}");
    }
    assert_eq!(error["code"], code, "{body}");
    assert!(error["message"].as_str().is_some_and(|message| message.len() > 10), "{body}");
    body["error"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_by_itself_has_the_same_shape() {
    let upstream = Upstream::start().await;
    let server =
        Server::start(Setup::new(&upstream).set("/server/limits", json!({"body": "16KiB", "depth": 16}))).await;
    let post = |body: &str| {
        let request = server.request("POST", "/v1/chat/completions").header("content-type", "application/json");
        request.bytes(body.to_owned())
    };

    refused(server.request("GET", "/v1/nothing").send().await, 404, "not_found").await;
    refused(server.request("GET", "/v1/chat/completions").send().await, 405, "method_not_allowed").await;
    refused(
        server
            .request("POST", "/v1/chat/completions")
            .header("content-type", "text/plain")
            .bytes("model=small")
            .send()
            .await,
        415,
        "unsupported_media_type",
    )
    .await;
    refused(post("{\"model\": ").send().await, 400, "invalid_json").await;
    refused(post("[]").send().await, 400, "invalid_request").await;
    refused(post(&"[".repeat(100_000)).send().await, 413, "body_too_large").await;
    refused(post(&format!("{{\"x\": {}1{}}}", "[".repeat(50), "]".repeat(50))).send().await, 400, "invalid_request")
        .await;

    assert!(upstream.journal().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_field_is_named() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;
    let with = |field: &str, value: Value| {
        let mut body = chat("small");
        body[field] = value;
        body
    };

    for (field, value) in [
        ("messages", json!([])),
        ("messages", json!("hi")),
        ("temperature", json!(7)),
        ("n", json!(0)),
        ("n", json!(1000)),
        ("stream", json!("yes")),
    ] {
        let error = refused(server.ask(&with(field, value)).await, 400, "invalid_request").await;
        assert!(error["param"].as_str().is_some_and(|param| param.starts_with(field)), "{error}");
    }
    refused(server.ask(&json!({"messages": [{"role": "user", "content": "hi"}]})).await, 400, "invalid_request").await;
    refused(server.ask(&with("pointsman", json!({"qualty": 1}))).await, 400, "invalid_request").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_error_keeps_its_class() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;
    let cases = [
        (400, 400, "upstream_rejected"),
        (401, 502, "upstream_auth_failed"),
        (403, 502, "upstream_auth_failed"),
        (404, 502, "upstream_model_not_found"),
        (429, 429, "upstream_rate_limited"),
        (500, 502, "upstream_failed"),
        (503, 502, "upstream_failed"),
    ];
    for (upstream_status, _, _) in cases {
        let said = if upstream_status == 404 { "The model `x` does not exist" } else { "the provider's own words" };
        upstream.plays("upstream-small", refuses(upstream_status, said));
    }

    for (upstream_status, status, code) in cases {
        let answer = server.ask(&chat("small")).await;

        let error = refused(answer, status, code).await;
        let message = error["message"].as_str().unwrap();
        assert_eq!(message.contains("the provider's own words"), upstream_status == 400, "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_none_is_malformed() {
    let upstream = Upstream::start().await;
    let html = |body: &str| {
        let head = Step::Head(200, vec![("content-type", "text/html".to_owned())]);
        vec![head, Step::Send(body.as_bytes().to_vec()), Step::End]
    };
    upstream.plays("upstream-small", html("<html>Bad gateway</html>"));
    upstream.plays("upstream-large", vec![Step::Cut]);
    let server = Server::start(Setup::new(&upstream)).await;

    refused(server.ask(&chat("small")).await, 502, "upstream_malformed").await;
    refused(server.ask(&streamed("small")).await, 502, "upstream_malformed").await;
    let cut = server.ask(&chat("large")).await;
    cut.with_status(502).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_not_there_is_unreachable() {
    let upstream = Upstream::start().await;
    // Port 1 is reserved and never listened on.
    let setup = Setup::new(&upstream).set("/providers/scripted/base_url", "http://127.0.0.1:1/v1");
    let server = Server::start(setup).await;

    refused(server.ask(&chat("small")).await, 502, "upstream_unreachable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_provider_is_given_up() {
    let upstream = Upstream::start().await;
    upstream.plays("upstream-small", vec![Step::Stall]);
    let server = Server::start(Setup::new(&upstream).set("/providers/scripted/timeouts/first_token", "200ms")).await;

    refused(server.ask(&chat("small")).await, 504, "upstream_timeout").await;

    upstream.until("the call ends", |journal| journal[0].ended.is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_first_byte_an_error_is_an_event_and_nothing_follows() {
    let upstream = Upstream::start().await;
    let error = json!({"error": {"message": "out of memory", "type": "server_error", "param": null, "code": null}});
    upstream.plays("upstream-small", vec![stream_head(), delta("Begun"), event(&error), Step::End]);
    upstream.plays(
        "upstream-large",
        vec![stream_head(), delta("Begun"), Step::Send(b"data: {nonsense\n\n".to_vec()), Step::End],
    );
    let stalls =
        json!({"name": "stalls", "provider": "scripted", "upstream": "upstream-stalls", "timeouts": {"idle": "200ms"}});
    upstream.plays("upstream-stalls", vec![stream_head(), delta("Begun"), Step::Stall]);
    let server = Server::start(Setup::new(&upstream).model(stalls)).await;

    for (model, code) in [("small", "upstream_failed"), ("large", "upstream_malformed"), ("stalls", "upstream_timeout")]
    {
        let events = server.ask(&streamed(model)).await.events().await;

        let (last, before) = events.split_last().unwrap();
        let last = last.json().expect("an error object");
        assert_eq!(last["error"]["code"], code, "{last}");
        assert_eq!(before.iter().map(Frame::text).collect::<String>(), "Begun");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_valid_key_is_refused_where_keys_are_needed() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream).set("/keys/required", "always")).await;

    refused(server.ask(&chat("small")).await, 401, "missing_api_key").await;
    refused(server.chat(&chat("small")).key("sk-wrong").send().await, 401, "invalid_api_key").await;
    refused(server.request("GET", "/v1/models").send().await, 401, "missing_api_key").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_model_or_policy_is_named() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;

    let error = refused(server.ask(&chat("smal")).await, 404, "model_not_found").await;
    assert_eq!(error["param"], "model");
    refused(server.ask(&chat("auto:nothing")).await, 404, "model_not_found").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_says_what_the_request_cost() {
    let upstream = Upstream::start().await;
    upstream.plays("upstream-small", refuses(500, "out of memory"));
    let server = Server::start(Setup::new(&upstream)).await;

    let unasked = server.ask(&chat("smal")).await;
    let failed = server.ask(&chat("small")).await;

    assert_eq!(unasked.header("x-pointsman-cost-usd"), "0.000000000");
    assert_eq!(failed.header("x-pointsman-cost-usd"), "0.000000000");
    assert!(server.until_booked(2).await.iter().all(|record| record.cost_nanos == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_understood_is_booked_too() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream).set("/server/limits", json!({"body": "1KiB"}))).await;
    let post = |path: &str, body: &str| {
        server.request("POST", path).header("content-type", "application/json").bytes(body.to_owned())
    };

    refused(post("/v1/chat/completions", "{\"model\": ").send().await, 400, "invalid_json").await;
    refused(post("/v1/embeddings", "{\"model\": \"small\"}").send().await, 400, "invalid_request").await;
    refused(post("/v1/completions", &" ".repeat(2000)).send().await, 413, "body_too_large").await;

    let booked = server.until_booked(3).await;
    assert!(booked.iter().all(|record| record.outcome == "refused" && record.attempts.is_empty()), "{booked:?}");
    assert!(upstream.journal().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_asked_only_for_what_it_is_for() {
    let upstream = Upstream::start().await;
    let embedder = json!({"name": "embedder", "provider": "scripted", "kind": "embedding", "context_window": 512});
    let server = Server::start(Setup::new(&upstream).model(embedder)).await;
    let embeddings =
        |model: &str| server.request("POST", "/v1/embeddings").json(&json!({"model": model, "input": "hello"}));

    let chats = refused(server.ask(&chat("embedder")).await, 400, "invalid_request").await;
    let embeds = refused(embeddings("small").send().await, 400, "invalid_request").await;

    assert_eq!((&chats["param"], &embeds["param"]), (&json!("model"), &json!("model")));
    assert!(upstream.journal().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nothing_answers_to_is_told_with_the_way_out() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream).set("/catch_all", "small");
    let setup = setup.set("/providers/sleeping", json!({"base_url": upstream.base_url(), "api_key": "${NO_SUCH_KEY}"}));
    let setup = setup.model(json!({"name": "dreamer", "provider": "sleeping", "context_window": 512}));
    let server = Server::start(setup).await;

    let typo = refused(server.ask(&chat("auto:defautl")).await, 404, "model_not_found").await;
    let asleep = server.ask(&chat("dreamer")).await;
    let caught = server.ask(&chat("anything")).await;

    assert!(typo["message"].as_str().unwrap().contains("auto:default"), "{typo}");
    let asleep = refused(asleep, 404, "model_not_found").await;
    assert!(asleep["message"].as_str().unwrap().contains("NO_SUCH_KEY"), "{asleep}");
    assert_eq!(caught.status, 200);
}
