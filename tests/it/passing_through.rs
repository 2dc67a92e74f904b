//! What a caller sends reaches the provider, and what the provider answers reaches the caller, untouched but for what must change.

use serde_json::{Value, json};

use crate::harness::{
    Frame, Server, Setup, Upstream, chat, streamed,
    upstream::{answer, completion, json_answer},
};

fn text_of(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_reach_the_provider_byte_for_byte() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;
    // Numbers that lose digits in a float, escapes, odd spacing and key order: all must survive.
    let rest = r#""seed":18446744073709551615, "x_tiny":1e-400,"z":{"b":[1.0,2.50],"a":"\u00e9\/"},  "messages":[{"role":"user","content":"hi","name":"\ud83d\ude00"}]"#;
    let body = format!(r#"{{ "model":"small", "pointsman":{{"cache":"no-store"}}, {rest} }}"#);

    let request = server.request("POST", "/v1/chat/completions").header("content-type", "application/json").bytes(body);
    let answer = request.send().await;

    answer.with_status(200).await;
    let served = upstream.journal().remove(0);
    let sent = text_of(&served.body);
    assert!(sent.contains(rest), "{sent}");
    assert!(sent.contains(r#""model":"upstream-small""#), "{sent}");
    assert!(!sent.contains("pointsman"), "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_own_credential_goes_upstream_and_the_callers_does_not() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;

    server.chat(&chat("small")).key("sk-callers-own").header("x-callers-own", "1").header("cookie", "a=b").send().await;

    let served = upstream.journal().remove(0);
    assert_eq!(served.headers["authorization"], "Bearer sk-upstream");
    assert!(!served.headers.values().any(|value| value.contains("callers-own")));
    assert!(
        !served.headers.contains_key("x-callers-own") && !served.headers.contains_key("cookie"),
        "{:?}",
        served.headers
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_an_answer_that_nobody_knows_reach_the_caller() {
    let upstream = Upstream::start().await;
    let mut body = completion("Hi.");
    body["x_provider"] = json!({"reasoning": [1, 2, 3]});
    body["choices"][0]["message"]["refusal"] = Value::Null;
    upstream.plays("upstream-small", json_answer(200, &body));
    let server = Server::start(Setup::new(&upstream)).await;

    let answer = server.ask(&chat("small")).await.json().await;

    assert_eq!(answer["x_provider"], body["x_provider"]);
    assert_eq!(answer["choices"], body["choices"]);
    assert_eq!(answer["usage"], body["usage"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_asked_for_upstream_and_shown_only_to_who_asked() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;

    let silent = server.ask(&streamed("small")).await.events().await;
    let mut asking = streamed("large");
    asking["stream_options"] = json!({"include_usage": true});
    let told = server.ask(&asking).await.events().await;

    assert!(upstream.journal().iter().all(|served| served.json()["stream_options"]["include_usage"] == true));
    let chunks = |events: &[Frame]| events.iter().filter_map(Frame::json).collect::<Vec<_>>();
    for chunk in chunks(&silent) {
        assert!(chunk.get("usage").is_none_or(Value::is_null), "{chunk}");
        assert_ne!(chunk["choices"], json!([]), "a chunk without choices belongs to usage alone");
    }
    let told = chunks(&told);
    let (last, before) = told.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["total_tokens"], 18);
    assert!(before.iter().all(|chunk| chunk["usage"].is_null()), "{before:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_says_which_way_it_went() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;

    let answer = server.ask(&chat("auto")).await;

    assert_eq!(answer.status, 200);
    assert!(answer.header("x-request-id").starts_with("req-"));
    assert!(answer.header("x-pointsman-decision-id").starts_with("dec-"));
    assert_eq!(answer.header("x-pointsman-model"), "small");
    assert!(answer.header("x-pointsman-policy").starts_with("default@"));
    assert_eq!(answer.header("x-pointsman-plan"), "single");
    assert_eq!(answer.header("x-pointsman-cache"), "miss");
    // 11 tokens at 1 dollar and 7 at 2 dollars per million.
    assert_eq!(answer.header("x-pointsman-cost-usd"), "0.000025000");
    assert!(answer.header("server-timing").contains("auth;dur="), "{}", answer.header("server-timing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_asks_gets_the_whole_decision() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;

    let answer = server.chat(&chat("auto")).header("x-pointsman-explain", 1).send().await.json().await;

    let decision = &answer["pointsman"];
    assert!(decision.to_string().contains("\"large\""), "every candidate is in it: {decision}");
    assert_eq!(answer["choices"][0]["message"]["content"], "Hello there.");
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_listed_and_found_by_name() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream).set("/aliases", json!({"gpt": "small"}))).await;

    let list = server.request("GET", "/v1/models").send().await.json().await;
    let one = server.request("GET", "/v1/models/small").send().await;
    let alias = server.ask(&chat("gpt")).await;
    let missing = server.request("GET", "/v1/models/nobody").send().await;

    let names: Vec<_> = list["data"].as_array().unwrap().iter().filter_map(|model| model["id"].as_str()).collect();
    for name in ["auto", "auto:default", "small", "large"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    assert_eq!(list["object"], "list");
    assert_eq!(one.status, 200);
    assert_eq!(one.json().await["object"], "model");
    assert_eq!(alias.header("x-pointsman-model"), "small");
    assert_eq!(missing.status, 404);
    assert_eq!(missing.json().await["error"]["code"], "model_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catch_all_takes_names_that_nobody_knows() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream).set("/catch_all", "large")).await;

    let answer = server.ask(&chat("some-model-of-tomorrow")).await;

    assert_eq!(answer.header("x-pointsman-model"), "large");
}

#[tokio::test(flavor = "multi_thread")]
async fn embeddings_and_text_completions_pass_through() {
    let upstream = Upstream::start().await;
    let embedder =
        json!({"name": "embedder", "provider": "scripted", "upstream": "upstream-embedder", "kind": "embedding"});
    let server = Server::start(Setup::new(&upstream).model(embedder)).await;

    let embeddings =
        server.request("POST", "/v1/embeddings").json(&json!({"model": "embedder", "input": "hi", "x": 1}));
    let embeddings = embeddings.send().await.json().await;
    let text = server.request("POST", "/v1/completions").json(&json!({"model": "small", "prompt": "hi", "y": 2}));
    let text = text.send().await.json().await;

    assert_eq!(embeddings["data"][0]["embedding"], json!([0.25, -0.5]));
    assert_eq!(text["choices"][0]["text"], "hello");
    let journal = upstream.journal();
    assert_eq!((journal[0].path.as_str(), &journal[0].json()["x"]), ("/v1/embeddings", &json!(1)));
    assert_eq!((journal[1].path.as_str(), &journal[1].json()["y"]), ("/v1/completions", &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_and_schemas_pass_through_both_ways() {
    let upstream = Upstream::start().await;
    let call = json!([{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Jena\"}"}}]);
    let mut body = completion("");
    body["choices"][0]["message"]["tool_calls"] = call.clone();
    upstream.plays("upstream-small", json_answer(200, &body));
    let server = Server::start(Setup::new(&upstream)).await;
    let mut request = chat("small");
    request["tools"] = json!([{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]);
    request["response_format"] =
        json!({"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}});

    let answer = server.ask(&request).await.json().await;

    assert_eq!(answer["choices"][0]["message"]["tool_calls"], call);
    let sent = upstream.journal()[0].json();
    assert_eq!((&sent["tools"], &sent["response_format"]), (&request["tools"], &request["response_format"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_can_be_named_with_a_slash() {
    let upstream = Upstream::start().await;
    upstream.plays_with("vendor/x:free", |body| answer(body, "From the vendor."));
    let model = json!({"name": "router/vendor/x:free", "provider": "scripted", "upstream": "vendor/x:free"});
    let server = Server::start(Setup::new(&upstream).model(model)).await;

    let found = server.request("GET", "/v1/models/router/vendor/x:free").send().await;
    let answer = server.ask(&chat("router/vendor/x:free")).await.json().await;

    assert_eq!(found.status, 200);
    assert_eq!(answer["choices"][0]["message"]["content"], "From the vendor.");
}
