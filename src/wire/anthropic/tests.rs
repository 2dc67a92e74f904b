use bytes::Bytes;
use serde_json::Value;

use super::{
    request::{MapError, Target, to_messages},
    response::to_completion,
    stream::{Step, Translator},
};
use crate::wire::{
    chat::ChatCall,
    parse::Limits,
    sse::{SseEvent, SseParser},
};

const WHOLE: &str = include_str!("../../../tests/fixtures/anthropic/whole.json");
const STREAM: &str = include_str!("../../../tests/fixtures/anthropic/stream.sse");
const TARGET: Target<'_> = Target { model: "claude", is_streaming: false, max_tokens: 100 };

fn chat(body: &str) -> ChatCall {
    ChatCall::parse(body.to_owned().into(), &Limits { messages: 100, choices: 8, depth: 64 }).unwrap()
}

fn map(fields: &str) -> Result<String, MapError> {
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"q"}}],{fields}}}"#);
    let mapped = to_messages(&chat(&body), TARGET)?;
    let prefix =
        r#"{"model":"claude","max_tokens":100,"messages":[{"role":"user","content":[{"type":"text","text":"q"}]}]"#;
    Ok(String::from_utf8(mapped.to_vec()).unwrap().replace(prefix, ""))
}

fn map_messages(messages: &str) -> Result<String, MapError> {
    let mapped = to_messages(&chat(&format!(r#"{{"model":"m","messages":[{messages}]}}"#)), TARGET)?;
    Ok(String::from_utf8(mapped.to_vec()).unwrap().replace(r#"{"model":"claude","max_tokens":100,"#, ""))
}

#[test]
fn system_and_developer_messages_become_the_system_field() {
    let mapped = map_messages(
        r#"{"role":"system","content":"a"},{"role":"user","content":"q"},{"role":"developer","content":[{"type":"text","text":"b","cache_control":{"type":"ephemeral"}}]}"#,
    );

    insta::assert_snapshot!(
        mapped.unwrap(),
        @r#""system":[{"type":"text","text":"a"},{"type":"text","text":"b","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":[{"type":"text","text":"q"}]}]}"#
    );
}

#[test]
fn a_round_of_tool_calls_becomes_one_turn_each_way() {
    let mapped = map_messages(
        r#"{"role":"user","content":"weather?"},
           {"role":"assistant","content":null,"tool_calls":[
             {"id":"a","type":"function","function":{"name":"weather","arguments":"{\"at\": 1e-400}"}},
             {"id":"b","type":"function","function":{"name":"clock","arguments":""}}]},
           {"role":"tool","tool_call_id":"a","content":"sunny"},
           {"role":"tool","tool_call_id":"b","content":[{"type":"text","text":"noon"}]},
           {"role":"user","content":"thanks"}"#,
    );

    insta::assert_snapshot!(
        mapped.unwrap(),
        @r#""messages":[{"role":"user","content":[{"type":"text","text":"weather?"}]},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"weather","input":{"at": 1e-400}},{"type":"tool_use","id":"b","name":"clock","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"sunny"},{"type":"tool_result","tool_use_id":"b","content":[{"type":"text","text":"noon"}]},{"type":"text","text":"thanks"}]}]}"#
    );
}

#[test]
fn pictures_and_documents_become_sources() {
    let mapped = map_messages(
        r#"{"role":"user","content":[
             {"type":"image_url","image_url":{"url":"data:image/png;base64,AAA=","detail":"low"}},
             {"type":"image_url","image_url":{"url":"https://example.com/a.png"}},
             {"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,BBB="}},
             {"type":"text","text":""}]}"#,
    );

    insta::assert_snapshot!(
        mapped.unwrap(),
        @r#""messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAA="}},{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}},{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"BBB="},"title":"a.pdf"}]}]}"#
    );
}

#[test]
fn tools_and_their_choice_are_carried_over() {
    let tools = r#""tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","x":1.0},"strict":true}},{"type":"web_search_20250305","name":"web_search"}]"#;

    insta::assert_snapshot!(
        map(tools).unwrap(),
        @r#","tools":[{"name":"f","description":"d","input_schema":{"type":"object","x":1.0},"strict":true},{"type":"web_search_20250305","name":"web_search"}]}"#
    );
    let choice = |choice: &str| {
        let mapped = map(&format!("{tools},{choice}")).unwrap();
        mapped.split_once(r#""tool_choice":"#).map_or(String::new(), |(_, choice)| choice.to_owned())
    };
    assert_eq!(choice(r#""tool_choice":"auto""#), r#"{"type":"auto"}}"#);
    assert_eq!(choice(r#""tool_choice":"none","parallel_tool_calls":false"#), r#"{"type":"none"}}"#);
    assert_eq!(choice(r#""tool_choice":"required","parallel_tool_calls":true"#), r#"{"type":"any"}}"#);
    assert_eq!(choice(r#""parallel_tool_calls":false"#), r#"{"type":"auto","disable_parallel_tool_use":true}}"#);
    assert_eq!(
        choice(r#""tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false"#),
        r#"{"type":"tool","name":"f","disable_parallel_tool_use":true}}"#
    );
    assert_eq!(choice(r#""tool_choice":{"type":"any"}"#), r#"{"type":"any"}}"#);
}

#[test]
fn limits_and_sampling_are_carried_over() {
    insta::assert_snapshot!(
        map(r#""temperature":1.5,"top_p":0.25,"stop":["a","b"],"user":"u-1""#).unwrap(),
        @r#","temperature":1.0,"top_p":0.25,"stop_sequences":["a","b"],"metadata":{"user_id":"u-1"}}"#
    );
    assert!(map(r#""max_completion_tokens":7"#).unwrap().contains(r#""max_tokens":7,"#));
}

#[test]
fn a_schema_becomes_structured_output_beside_the_callers_own_settings() {
    let format = r#""response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"object","minimum":1e-400}}}"#;

    insta::assert_snapshot!(
        map(format).unwrap(),
        @r#","output_config":{"format":{"type":"json_schema","schema":{"type":"object","minimum":1e-400}}}}"#
    );
    insta::assert_snapshot!(
        map(&format!(r#"{format},"output_config":{{"effort":"low","format":1}}"#)).unwrap(),
        @r#","output_config":{"effort":"low","format":{"type":"json_schema","schema":{"type":"object","minimum":1e-400}}}}"#
    );
}

#[test]
fn fields_that_only_anthropic_knows_pass_as_they_came() {
    let fields = r#""thinking":{"type":"enabled","budget_tokens":1024},"top_k":5,"output_config":{"effort":"low"}"#;

    insta::assert_snapshot!(
        map(fields).unwrap(),
        @r#","output_config":{"effort":"low"},"thinking":{"type":"enabled","budget_tokens":1024},"top_k":5}"#
    );
}

#[test]
fn hints_are_dropped() {
    let fields = r#""seed":1,"store":true,"service_tier":"auto","reasoning_effort":"low","n":1,"logprobs":false,"presence_penalty":0,"frequency_penalty":0.0,"logit_bias":{},"stream_options":null"#;

    assert_eq!(map(fields).unwrap(), "}");
}

#[test]
fn what_would_change_the_answer_is_refused() {
    let fields = [
        (r#""n":2"#, "n"),
        (r#""logprobs":true"#, "logprobs"),
        (r#""presence_penalty":0.5"#, "presence_penalty"),
        (r#""logit_bias":{"1":2}"#, "logit_bias"),
        (r#""response_format":{"type":"json_object"}"#, "response_format.type=json_object"),
    ];

    for (field, param) in fields {
        assert_eq!(map(field).unwrap_err(), MapError::Unsupported(param.to_owned()), "{field}");
    }
    let audio = r#"{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"","format":"wav"}}]}"#;
    assert!(matches!(map_messages(audio), Err(MapError::Unsupported(_))));
}

#[test]
fn shapes_that_cannot_be_read_are_named() {
    let arguments = r#"{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{oops"}}]}"#;

    assert_eq!(map_messages(arguments).unwrap_err().param(), "messages.tool_calls.function.arguments");
    assert_eq!(map_messages(r#"{"role":"tool","content":"x"}"#).unwrap_err().param(), "messages.tool_call_id");
}

#[test]
fn thinking_comes_back_to_anthropic_as_it_was_handed_out() {
    let completion: Value = serde_json::from_slice(&to_completion(WHOLE.as_bytes(), 0).unwrap()).unwrap();
    let answer = completion["choices"][0]["message"].to_string();

    let mapped = map_messages(&format!(r#"{{"role":"user","content":"hi"}},{answer}"#)).unwrap();

    assert!(
        mapped.contains(
            r#"{"role":"assistant","content":[{"type":"thinking","thinking":"They greet.","signature":"c2ln"},"#
        ),
        "{mapped}"
    );
    assert!(
        mapped.contains(r#"{"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Wien","days":1.0}}"#)
    );
}

#[test]
fn a_message_becomes_a_chat_completion() {
    let completion = to_completion(WHOLE.as_bytes(), 42).unwrap();

    insta::assert_snapshot!(
        String::from_utf8_lossy(&completion),
        @r#"{"id":"msg_1","object":"chat.completion","created":42,"model":"claude-toy-1","choices":[{"index":0,"message":{"role":"assistant","content":"Grüß Gott 👋","refusal":null,"reasoning_content":"They greet.","thinking_blocks":[{"type":"thinking","thinking":"They greet.","signature":"c2ln"}],"tool_calls":[{"id":"toolu_1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Wien\",\"days\":1.0}"}}]},"logprobs":null,"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":33,"completion_tokens":9,"total_tokens":42,"prompt_tokens_details":{"cached_tokens":20},"completion_tokens_details":{"reasoning_tokens":4},"cache_creation_input_tokens":3,"cache_read_input_tokens":20}}"#
    );
}

#[test]
fn every_stop_reason_has_its_finish_reason() {
    let reason = |stop: &str| {
        let body = format!(r#"{{"id":"m","model":"c","content":[],"stop_reason":"{stop}"}}"#);
        let completion: Value = serde_json::from_slice(&to_completion(body.as_bytes(), 0).unwrap()).unwrap();
        completion["choices"][0]["finish_reason"].as_str().unwrap().to_owned()
    };

    assert_eq!(["end_turn", "stop_sequence", "pause_turn", "new_one"].map(reason), ["stop"; 4]);
    assert_eq!(["max_tokens", "model_context_window_exceeded"].map(reason), ["length"; 2]);
    assert_eq!(["tool_use", "refusal"].map(reason), ["tool_calls", "content_filter"]);
}

#[test]
fn what_is_no_message_is_no_completion() {
    for body in ["", "{}", "[]", r#"{"type":"error","error":{}}"#, r#"{"id":1,"model":"m","content":[]}"#] {
        assert!(to_completion(body.as_bytes(), 0).is_err(), "{body}");
    }
}

fn events() -> Vec<SseEvent> {
    let mut parser = SseParser::new(1 << 20);
    parser.push(Bytes::from_static(STREAM.as_bytes()));
    std::iter::from_fn(|| parser.next_event().unwrap()).collect()
}

#[test]
fn events_become_chunks() {
    let mut translator = Translator::new(42);
    let mut chunks = Vec::new();

    let steps: Vec<Step> = events().iter().map(|event| translator.push(&event.data, &mut chunks).unwrap()).collect();

    assert_eq!(steps.iter().filter(|step| **step == Step::End).count(), 1);
    assert_eq!(steps.last(), Some(&Step::End));
    let choices: Vec<String> = chunks.iter().map(|chunk| summary(chunk)).collect();
    insta::assert_snapshot!(choices.join("\n"), @r#"
    {"role":"assistant","content":""} null
    {"reasoning_content":"They greet."} null
    {"thinking_blocks":[{"type":"thinking","thinking":"They greet.","signature":"c2ln"}]} null
    {"content":"Grüß "} null
    {"content":"Gott 👋"} null
    {"tool_calls":[{"index":0,"id":"toolu_1","type":"function","function":{"name":"weather","arguments":""}}]} null
    {"tool_calls":[{"index":0,"function":{"arguments":"{\"city\": \"Wi"}}]} null
    {"tool_calls":[{"index":0,"function":{"arguments":"en\"}"}}]} null
    {"tool_calls":[{"index":1,"id":"toolu_2","type":"function","function":{"name":"clock","arguments":""}}]} null
    {"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]} null
    {} "tool_calls"
    usage 33 + 9
    "#);
}

fn summary(chunk: &[u8]) -> String {
    let chunk: Value = serde_json::from_slice(chunk).unwrap();
    assert_eq!(
        (&chunk["id"], &chunk["model"], &chunk["created"]),
        (&"msg_1".into(), &"claude-toy-1".into(), &42.into())
    );
    match chunk["choices"].as_array().unwrap().first() {
        Some(choice) => format!("{} {}", choice["delta"], choice["finish_reason"]),
        None => format!("usage {} + {}", chunk["usage"]["prompt_tokens"], chunk["usage"]["completion_tokens"]),
    }
}

#[test]
fn errors_and_nonsense_are_told_apart() {
    let mut translator = Translator::new(0);
    let mut chunks = Vec::new();

    let error = translator.push(br#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#, &mut chunks);
    let unknown = translator.push(br#"{"type":"something_new","index":3}"#, &mut chunks);
    let nonsense = translator.push(b"{}", &mut chunks);

    assert_eq!((error.unwrap(), unknown.unwrap()), (Step::Error, Step::More));
    assert!(nonsense.is_err() && chunks.is_empty());
}

#[test]
fn input_that_comes_at_once_is_not_lost() {
    let mut translator = Translator::new(0);
    let mut chunks = Vec::new();
    let start = br#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{"a":1}}}"#;

    translator.push(start, &mut chunks).unwrap();
    translator.push(br#"{"type":"content_block_stop","index":0}"#, &mut chunks).unwrap();

    let chunk: Value = serde_json::from_slice(&chunks[0]).unwrap();
    assert_eq!(chunks.len(), 1);
    assert_eq!(chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"], r#"{"a":1}"#);
}
