use proptest::prelude::*;

use super::*;
use crate::error::Code;

const LIMITS: Limits = Limits { messages: 4, choices: 8, depth: 32 };

fn parse(body: &str) -> Result<ChatCall, ParseError> {
    ChatCall::parse(Bytes::copy_from_slice(body.as_bytes()), &LIMITS)
}

fn with_field(field: &str) -> Result<ChatCall, ParseError> {
    parse(&format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],{field}}}"#))
}

fn refusal(field: &str) -> (Option<String>, String) {
    let error = with_field(field).unwrap_err();
    assert_eq!(error.code, Code::InvalidRequest);
    (error.param, error.message)
}

#[test]
fn debug_output_tells_nothing_of_what_was_said() {
    let call = parse(
        r#"{"model":"canary","messages":[{"role":"user","content":"canary"}],"stop":"canary","user":"canary",
            "response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"title":"canary"}}}}"#,
    )
    .unwrap();

    let shown = format!("{call:?}");

    assert!(shown.starts_with("ChatCall") && !shown.contains("canary"), "{shown}");
}

#[test]
fn a_model_s_name_is_no_place_for_a_book() {
    let call = |bytes: usize| {
        parse(&format!(r#"{{"model":"{}","messages":[{{"role":"user","content":"hi"}}]}}"#, "m".repeat(bytes)))
    };

    let error = call(513).unwrap_err();

    assert!(call(512).is_ok());
    assert_eq!((error.param.as_deref(), error.message.contains("513 bytes")), (Some("model"), true));
}

#[test]
fn a_small_request_has_openai_defaults() {
    let call = parse(r#"{"model":"auto","messages":[{"role":"user","content":"hi"}]}"#).unwrap();

    assert_eq!(call.model, "auto");
    assert_eq!(call.messages, [Message { role: Role::User, text: "hi".to_owned(), parts: vec![] }]);
    assert!(!call.is_streaming && !call.wants_usage && !call.wants_logprobs && !call.has_tools);
    assert_eq!((call.choices, call.max_tokens, call.top_logprobs), (1, None, None));
    assert_eq!(call.sampling, Sampling::default());
    assert_eq!(call.format, ResponseFormat::Text);
    assert_eq!(call.extension, Extension::default());
}

#[test]
fn every_field_the_gateway_looks_at_is_read() {
    let call = with_field(
        r#""stream":true,"stream_options":{"include_usage":true},"n":2,"max_tokens":9,"max_completion_tokens":7,
           "temperature":0.5,"top_p":1,"top_k":40,"min_p":0.05,"seed":-3,"repetition_penalty":1.1,
           "logit_bias":{"50256":-100,"7":1.5},"presence_penalty":-2,"frequency_penalty":2,"stop":["a","b"],
           "logprobs":true,"top_logprobs":5,"tools":[{"type":"function"}],
           "response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{ "a":1e400 }}}"#,
    )
    .unwrap();

    assert!(call.is_streaming && call.wants_usage && call.wants_logprobs && call.has_tools);
    assert_eq!((call.choices, call.max_tokens, call.top_logprobs), (2, Some(7), Some(5)));
    let sampling = Sampling {
        temperature: Some(0.5),
        top_p: Some(1.0),
        top_k: Some(40),
        min_p: Some(0.05),
        seed: Some(-3),
        presence_penalty: Some(-2.0),
        frequency_penalty: Some(2.0),
        repetition_penalty: Some(1.1),
        logit_bias: vec![(50_256, -100.0), (7, 1.5)],
    };
    assert_eq!(call.sampling, sampling);
    assert_eq!(call.stop, ["a", "b"]);
    assert_eq!(call.format, ResponseFormat::JsonSchema(r#"{ "a":1e400 }"#.to_owned()));
}

#[test]
fn parts_become_text_and_kinds() {
    let call = parse(
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a\u00e4"},
        {"type":"image_url","image_url":{"url":"data:"}},{"type":"text","text":"b"},{"type":"brand_new"}]},
        {"role":"assistant","tool_calls":[]},{"role":"function","name":"f","content":null}]}"#,
    )
    .unwrap();

    let first = Message { role: Role::User, text: "aä\nb".to_owned(), parts: vec![PartKind::Image] };
    assert_eq!(call.messages[0], first);
    assert_eq!(call.messages[1].role, Role::Assistant);
    assert_eq!(call.messages[2].role, Role::Tool);
}

#[test]
fn nulls_count_as_absent() {
    let call = with_field(r#""stream":null,"stream_options":null,"stop":null,"tools":null,"n":null,"pointsman":null"#);

    assert!(!call.unwrap().body.names().any(|name| name == "pointsman"));
}

#[test]
fn the_pointsman_field_is_read_and_removed() {
    let call =
        with_field(r#""pointsman":{"quality":0.25,"tags":["eu"],"cache":"no-store, no-cache","explain":true},"z":1"#);

    let call = call.unwrap();
    assert_eq!(call.body.bytes(), &r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"z":1}"#);
    assert_eq!(call.extension.quality, Some(0.25));
    assert_eq!(call.extension.tags, ["eu"]);
    assert!(call.extension.explain);
}

#[test]
fn faults_name_their_place() {
    let body = |message: &str| format!(r#"{{"model":"m","messages":[{{"role":"user","content":""}},{message}]}}"#);
    let param = |message: &str| parse(&body(message)).unwrap_err().param.unwrap();

    assert_eq!(param("3"), "messages[1]");
    assert_eq!(param(r#"{"content":"x"}"#), "messages[1].role");
    assert_eq!(param(r#"{"role":"robot","content":"x"}"#), "messages[1].role");
    assert_eq!(param(r#"{"role":"user"}"#), "messages[1].content");
    assert_eq!(param(r#"{"role":"user","content":7}"#), "messages[1].content");
    assert_eq!(param(r#"{"role":"user","content":"\ud800"}"#), "messages[1].content");
    assert_eq!(param(r#"{"role":"user","content":[{"type":"text"}]}"#), "messages[1].content[0].text");
    assert_eq!(param(r#"{"role":"user","content":[{}]}"#), "messages[1].content[0].type");
}

#[test]
fn faults_say_what_to_do() {
    let (param, message) = refusal(r#""temperature":2.5"#);
    assert_eq!(param.as_deref(), Some("temperature"));
    assert_eq!(message, "`temperature` must be between 0 and 2, but it is 2.5.");

    assert_eq!(refusal(r#""n":0"#).1, "`n` must be between 1 and 8, but it is 0.");
    assert_eq!(refusal(r#""n":1.5"#).1, "`n` must be a whole number, but it is a number.");
    assert_eq!(refusal(r#""max_tokens":-1"#).1, "`max_tokens` must be at least 1, but it is -1.");
    assert_eq!(refusal(r#""stream":"yes""#).1, "`stream` must be a boolean, but it is a string.");
    assert_eq!(refusal(r#""stop":["1","2","3","4","5"]"#).1, "`stop` has 5 strings; at most 4 are allowed.");
    assert_eq!(refusal(r#""top_logprobs":2"#).0.as_deref(), Some("top_logprobs"));
    assert_eq!(refusal(r#""stream_options":{"include_usage":true}"#).0.as_deref(), Some("stream_options"));
    assert_eq!(refusal(r#""response_format":{"type":"xml"}"#).0.as_deref(), Some("response_format.type"));
}

#[test]
fn bad_sampling_is_refused_by_name() {
    let param = |field: &str| refusal(field).0.unwrap();

    assert_eq!(param(r#""top_k":-2"#), "top_k");
    assert_eq!(param(r#""top_k":1.5"#), "top_k");
    assert_eq!(param(r#""min_p":1.01"#), "min_p");
    assert_eq!(param(r#""repetition_penalty":0"#), "repetition_penalty");
    assert_eq!(param(r#""repetition_penalty":3"#), "repetition_penalty");
    assert_eq!(param(r#""logit_bias":[]"#), "logit_bias");
    assert_eq!(param(r#""logit_bias":{"x":1}"#), "logit_bias.x");
    assert_eq!(param(r#""logit_bias":{"7":101}"#), "logit_bias.7");
    assert_eq!(
        refusal(r#""logit_bias":{"7":-100.5}"#).1,
        "`logit_bias.7` must be between -100 and 100, but it is -100.5."
    );
    for all in [0, -1] {
        assert_eq!(with_field(&format!(r#""top_k":{all}"#)).unwrap().sampling.top_k, None);
    }
}

#[test]
fn unknown_keys_of_the_pointsman_field_get_a_hint() {
    let (param, message) = refusal(r#""pointsman":{"qualty":1}"#);

    assert_eq!(param.as_deref(), Some("pointsman.qualty"));
    assert_eq!(message, "`pointsman.qualty` is not a known field; did you mean `quality`?");
    let (param, message) = refusal(r#""pointsman":{"quality":2}"#);
    assert_eq!(param.as_deref(), Some("pointsman.quality"));
    assert_eq!(message, "`pointsman.quality` must be between 0 and 1, but it is 2.");
}

#[test]
fn too_many_messages_are_refused() {
    let messages = [r#"{"role":"user","content":"x"}"#; 5].join(",");

    let error = parse(&format!(r#"{{"model":"m","messages":[{messages}]}}"#)).unwrap_err();

    assert_eq!(error.message, "`messages` has 5 messages; at most 4 are allowed.");
}

#[test]
fn seeds_beyond_64_bits_reach_the_provider_unchanged() {
    let call = with_field(r#""seed":9223372036854776000"#).unwrap();

    assert_eq!(call.body.get("seed"), Some("9223372036854776000"));
    assert!(call.sampling.seed.is_some());
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    let error = parse("{\"model\":\n  oops}").unwrap_err();

    assert_eq!(error.code, Code::InvalidJson);
    assert!(error.message.contains("line 2"), "{}", error.message);
}

proptest! {
    #[test]
    fn no_field_value_makes_it_panic(
        name in prop::sample::select(vec!["model", "messages", "stream", "stream_options", "n", "stop", "seed", "tools",
            "response_format", "logprobs", "top_logprobs", "pointsman", "max_tokens", "top_k", "min_p", "logit_bias",
            "repetition_penalty"]),
        value in "[\\[\\]{}\":,a-z0-9.eE+-]{0,24}",
    ) {
        if let Err(error) = with_field(&format!("\"{name}\":{value}")) {
            prop_assert!(matches!(error.code, Code::InvalidJson | Code::InvalidRequest));
        }
    }
}
