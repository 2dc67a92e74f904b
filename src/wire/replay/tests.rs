use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::chunk::ChunkFacts;

fn round_trip(whole: &Value, wants_usage: bool) -> Value {
    let mut accumulator = Accumulator::default();
    for chunk in replay(&Bytes::from(whole.to_string()), wants_usage).unwrap() {
        accumulator.push(&chunk).unwrap();
    }
    serde_json::from_slice(&accumulator.finish()).unwrap()
}

fn collected(chunks: &[&'static str]) -> Value {
    let mut accumulator = Accumulator::default();
    for chunk in chunks {
        accumulator.push(&Bytes::from_static(chunk.as_bytes())).unwrap();
    }
    serde_json::from_slice(&accumulator.finish()).unwrap()
}

#[test]
fn chunks_are_those_of_a_stream() {
    let whole = br#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}"#;

    let chunks = replay(&Bytes::from_static(whole), true).unwrap();

    let texts: Vec<_> = chunks.iter().map(|chunk| std::str::from_utf8(chunk).unwrap()).collect();
    insta::assert_snapshot!(texts.join("\n"), @r#"
    {"object":"chat.completion.chunk","id":"c","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null}
    {"object":"chat.completion.chunk","id":"c","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"hi"},"logprobs":null,"finish_reason":null}],"usage":null}
    {"object":"chat.completion.chunk","id":"c","created":1,"model":"m","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null}
    {"object":"chat.completion.chunk","id":"c","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":1}}
    "#);
}

#[test]
fn callers_who_did_not_ask_get_no_usage() {
    let whole = r#"{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":1}}"#;

    let chunks = replay(&Bytes::from(whole), false).unwrap();

    assert!(chunks.iter().all(|chunk| !String::from_utf8_lossy(chunk).contains("usage")));
}

#[test]
fn tool_calls_of_a_stream_are_put_together() {
    let whole = collected(&[
        r#"{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":""}}]}}]}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\""}}]}}]}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"arguments":":1}"}},{"index":1,"function":{"arguments":"{}"}}]}}]}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":3}}"#,
    ]);

    let expected = json!({"id": "c", "object": "chat.completion", "usage": {"prompt_tokens": 3}, "choices": [{
        "index": 0, "logprobs": null, "finish_reason": "tool_calls",
        "message": {"role": "assistant", "content": null, "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ]},
    }]});
    assert_eq!(whole, expected);
}

#[test]
fn what_is_not_a_completion_is_refused() {
    assert!(replay(&Bytes::from_static(b"[]"), true).is_err());
    assert!(replay(&Bytes::from_static(b"{}"), true).is_err());
    assert!(replay(&Bytes::from_static(br#"{"choices":[{}]}"#), true).is_err());
    assert!(Accumulator::default().push(&Bytes::from_static(br#"{"choices":7}"#)).is_err());
}

fn text() -> impl Strategy<Value = Value> {
    prop_oneof![Just(Value::Null), any::<String>().prop_map(Value::from)]
}

fn tool_calls() -> impl Strategy<Value = Option<Value>> {
    let call = ("[a-z]{1,4}", any::<String>()).prop_map(|(name, arguments)| {
        json!({"id": format!("call_{name}"), "type": "function", "function": {"name": name, "arguments": arguments}})
    });
    prop::option::of(prop::collection::vec(call, 1..4).prop_map(Value::from))
}

fn logprobs() -> impl Strategy<Value = Value> {
    let token = ("[a-z]{1,3}", -9.0_f64..0.0)
        .prop_map(|(token, logprob)| json!({"token": token, "logprob": logprob, "bytes": null, "top_logprobs": []}));
    let some = prop::collection::vec(token, 0..3).prop_map(|content| json!({"content": content, "refusal": null}));
    prop_oneof![Just(Value::Null), some]
}

prop_compose! {
    fn choice()(content in text(), reasoning in prop::option::of("[a-z ]{1,9}"), refusal in text(), tool_calls in tool_calls(),
        logprobs in logprobs(), finish in prop::sample::select(vec!["stop", "length", "tool_calls"])) -> Value {
        let mut message = json!({"role": "assistant", "content": content});
        let fields = message.as_object_mut().unwrap();
        fields.extend(refusal.is_string().then(|| ("refusal".to_owned(), refusal)));
        fields.extend(reasoning.map(|text| ("reasoning_content".to_owned(), Value::from(text))));
        fields.extend(tool_calls.map(|calls| ("tool_calls".to_owned(), calls)));
        json!({"message": message, "logprobs": logprobs, "finish_reason": finish})
    }
}

/// Empty strings are not streamed, so an empty refusal is the same as none.
fn normal(mut whole: Value) -> Value {
    for choice in whole["choices"].as_array_mut().unwrap() {
        let message = choice["message"].as_object_mut().unwrap();
        message.retain(|name, value| name == "content" || value.as_str() != Some(""));
    }
    whole
}

proptest! {
    #[test]
    fn what_is_replayed_and_collected_is_the_same_answer(
        mut choices in prop::collection::vec(choice(), 1..4),
        tokens in any::<u32>(),
        created in any::<i64>(),
    ) {
        for (at, choice) in choices.iter_mut().enumerate() {
            choice["index"] = at.into();
        }
        let whole = json!({"id": "c-1", "object": "chat.completion", "created": created, "model": "m",
            "system_fingerprint": "fp", "choices": choices, "usage": {"prompt_tokens": tokens, "completion_tokens": 2}});

        prop_assert_eq!(round_trip(&whole, true), normal(whole));
    }

    #[test]
    fn every_chunk_is_one_that_the_gateway_can_read(choice in choice()) {
        let whole = json!({"choices": [choice], "usage": {"prompt_tokens": 1}});

        let chunks = replay(&Bytes::from(whole.to_string()), true).unwrap();

        let facts: Vec<ChunkFacts> = chunks.iter().map(|chunk| ChunkFacts::read(chunk).unwrap()).collect();
        prop_assert_eq!(facts.iter().filter(|facts| facts.finish_reason.is_some()).count(), 1);
        prop_assert_eq!(facts.iter().filter(|facts| facts.usage.is_some()).count(), 1);
    }

    #[test]
    fn no_bytes_make_it_panic(text in "[\\[\\]{}\":,a-z0-9choicesmessage]{0,60}") {
        let body = Bytes::from(text);
        let mut accumulator = Accumulator::default();
        if replay(&body, true).is_ok() && accumulator.push(&body).is_ok() {
            accumulator.finish();
        }
    }
}
