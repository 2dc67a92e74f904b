use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{canonical::write_value, *};
use crate::domain::{CacheControl, Probability, Tag};

fn body(text: &str) -> RawObject {
    RawObject::parse(Bytes::copy_from_slice(text.as_bytes()), 200).unwrap()
}

fn key_for(tenant: &str, text: &str) -> CacheKey {
    let model = ModelName::parse("m").unwrap();
    let scope = Scope {
        endpoint: Endpoint::Chat,
        tenant: &TenantId::parse(tenant).unwrap(),
        target: Target::Model { name: &model, origin: origin("here") },
        preferences: &Preferences::default(),
    };
    CacheKey::of(&scope, &body(text)).unwrap()
}

fn origin(word: &str) -> Origin {
    Origin::of([word])
}

fn key(text: &str) -> CacheKey {
    key_for("acme", text)
}

fn canonical(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    write_value(text, &mut out)?;
    Some(out)
}

#[test]
fn the_same_request_written_differently_has_the_same_key() {
    let plain = r#"{"messages":[{"role":"user","content":"hé"}],"temperature":0,"seed":7}"#;
    let other =
        "{ \"seed\" : 7.0,\n\"temperature\":-0e5, \"messages\": [ {\"content\":\"h\\u00e9\", \"role\":\"user\"} ] }";

    assert_eq!(key(plain), key(other));
}

#[test]
fn a_key_is_read_as_it_is_written() {
    let one = key("{}");

    assert_eq!(CacheKey::parse(&one.to_string()), Some(one));
    assert_eq!(CacheKey::parse("abc"), None);
}

#[test]
fn how_an_answer_travels_and_whose_books_it_is_in_do_not_count() {
    let plain = r#"{"messages":[],"model":"a"}"#;
    let other = r#"{"messages":[],"model":"alias","stream":true,"stream_options":{"include_usage":true},"user":"u",
        "metadata":{"a":"b"},"store":true,"service_tier":"flex","safety_identifier":"s","prompt_cache_key":"p"}"#;

    assert_eq!(key(plain), key(other));
}

#[test]
fn fields_that_nobody_knows_count() {
    assert_ne!(key(r#"{"messages":[]}"#), key(r#"{"messages":[],"brand_new":1}"#));
    assert_ne!(key(r#"{"messages":[]}"#), key(r#"{"messages":[],"nested":{"user":"u"}}"#));
}

#[test]
fn the_last_of_several_equal_fields_counts() {
    assert_eq!(key(r#"{"seed":1,"seed":2}"#), key(r#"{"seed":2}"#));
    assert_eq!(key(r#"{"a":{"b":1,"c":0,"b":2}}"#), key(r#"{"a":{"b":2,"c":0}}"#));
}

#[test]
fn tenants_never_share_a_key() {
    assert_ne!(key_for("acme", "{}"), key_for("rival", "{}"));
}

#[test]
fn whatever_moves_the_choice_of_the_model_counts() {
    let (tenant, model, policy) =
        (TenantId::parse("acme").unwrap(), ModelName::parse("same").unwrap(), PolicyName::parse("same").unwrap());
    let plain = Preferences::default();
    let wishes = [
        Preferences { quality: Some(Probability::clamped(0.5)), ..plain.clone() },
        Preferences { max_cost: Some(crate::domain::NanoUsd(5)), ..plain.clone() },
        Preferences { max_latency: Some(Duration::from_millis(5)), ..plain.clone() },
        Preferences { tags: BTreeSet::from([Tag("eu".to_owned())]), ..plain.clone() },
        Preferences { scope: Some("team".to_owned()), ..plain.clone() },
    ];
    let (here, there) = (origin("here"), origin("there"));
    let policy_at = |version| Target::Policy { name: &policy, version, origin: here };
    let of = |endpoint, target, preferences| {
        CacheKey::of(&Scope { endpoint, tenant: &tenant, target, preferences }, &body("{}")).unwrap()
    };

    let mut keys = vec![
        of(Endpoint::Chat, Target::Model { name: &model, origin: here }, &plain),
        of(Endpoint::Chat, Target::Model { name: &model, origin: there }, &plain),
        of(Endpoint::Completions, Target::Model { name: &model, origin: here }, &plain),
        of(Endpoint::Chat, policy_at(1), &plain),
        of(Endpoint::Chat, policy_at(2), &plain),
        of(Endpoint::Chat, Target::Policy { name: &policy, version: 1, origin: there }, &plain),
    ];
    keys.extend(wishes.iter().map(|wish| of(Endpoint::Chat, policy_at(1), wish)));

    let different: std::collections::HashSet<_> = keys.iter().collect();
    assert_eq!(different.len(), keys.len());
}

#[test]
fn asking_for_an_explanation_or_a_fresh_answer_does_not_change_the_key() {
    let (tenant, model) = (TenantId::parse("acme").unwrap(), ModelName::parse("m").unwrap());
    let asks = Preferences {
        explain: true,
        cache: CacheControl { no_cache: true, no_store: false },
        ..Preferences::default()
    };
    let here = origin("here");
    let target = Target::Model { name: &model, origin: here };
    let scope = Scope { endpoint: Endpoint::Chat, tenant: &tenant, target, preferences: &asks };

    assert_eq!(CacheKey::of(&scope, &body("{}")), Some(key("{}")));
}

#[test]
fn numbers_are_the_same_by_value_and_exact() {
    for same in
        [["1", "1.0"], ["1", "1e0"], ["1", "10e-1"], ["0", "-0.0"], ["0", "0e99999999999999999999"], ["120", "1.2E+2"]]
    {
        assert_eq!(canonical(same[0]), canonical(same[1]), "{same:?}");
    }
    for different in
        [["9007199254740993", "9007199254740992"], ["1", "-1"], ["1", "10"], ["0.1", "0.01"], ["1", "\"1\""]]
    {
        assert_ne!(canonical(different[0]), canonical(different[1]), "{different:?}");
    }
}

#[test]
fn what_has_no_canonical_form_is_not_cached() {
    let deep = format!("{}1{}", "[".repeat(129), "]".repeat(129));

    for text in [deep.as_str(), "1e99999999999999999999", r#""\ud800""#, "tru", "[1,]", "{\"a\"}", "1 2", ""] {
        assert_eq!(canonical(text), None, "{text}");
    }
}

#[test]
fn values_that_look_alike_when_joined_are_told_apart() {
    let texts =
        [r#"["a","b"]"#, r#"["ab"]"#, r#"[["a"],"b"]"#, r#"{"a":"b"}"#, r#""a""#, "[]", "{}", "null", r#""null""#];

    let written: std::collections::HashSet<_> = texts.iter().map(|text| canonical(text).unwrap()).collect();

    assert_eq!(written.len(), texts.len());
}

fn without_words(text: &str, messages: usize) -> Option<CacheKey> {
    let (tenant, model) = (TenantId::parse("acme").unwrap(), ModelName::parse("m").unwrap());
    let preferences = Preferences::default();
    let here = origin("here");
    let target = Target::Model { name: &model, origin: here };
    let scope = Scope { endpoint: Endpoint::Chat, tenant: &tenant, target, preferences: &preferences };
    CacheKey::without_last_words(&scope, &body(text), &Matched { artifact: "artifact", key: None, messages })
}

#[test]
fn only_the_words_of_the_last_message_are_left_out() {
    let said = |first: &str, last: &str, more: &str| {
        let messages = format!(r#"[{{"role":"system","content":"{first}"}},{{"role":"user","content":"{last}"}}]"#);
        without_words(&format!(r#"{{"messages":{messages}{more}}}"#), 1).unwrap()
    };

    assert_eq!(said("be kind", "hello", ""), said("be kind", "hi", ""));
    assert_ne!(said("be kind", "hello", ""), said("be rude", "hello", ""));
    assert_ne!(said("be kind", "hello", ""), said("be kind", "hello", r#","max_tokens":3"#));
}

#[test]
fn as_many_messages_lose_their_words_as_are_matched() {
    let said = |first: &str, second: &str, matched| {
        let message = |role: &str, text: &str| format!(r#"{{"role":"{role}","content":"{text}"}}"#);
        let messages = [message("user", first), message("assistant", second), message("user", "and?")].join(",");
        without_words(&format!(r#"{{"messages":[{messages}]}}"#), matched)
    };

    assert_ne!(said("a", "b", 1), said("a", "c", 1));
    assert_eq!(said("a", "b", 2), said("a", "c", 2));
    assert_ne!(said("a", "b", 2), said("x", "b", 2));
    assert_eq!(said("a", "b", 3), said("x", "y", 3));
    assert_ne!(said("a", "b", 2), said("a", "b", 3));
    assert_eq!(said("a", "b", 4), None);
}

#[test]
fn pictures_beside_the_words_count() {
    let asked = |text: &str, url: &str| {
        let picture = format!(r#"{{"type":"image_url","image_url":{{"url":"{url}"}}}}"#);
        let parts = format!(r#"[{{"type":"text","text":"{text}"}},{picture}]"#);
        without_words(&format!(r#"{{"messages":[{{"role":"user","content":{parts}}}]}}"#), 1).unwrap()
    };

    assert_eq!(asked("what is this", "a"), asked("what do you see", "a"));
    assert_ne!(asked("what is this", "a"), asked("what is this", "b"));
}

#[test]
fn a_last_message_without_content_has_no_such_key() {
    assert_eq!(without_words(r#"{"messages":[{"role":"assistant","content":null}]}"#, 1), None);
    assert_eq!(without_words(r#"{"messages":[{"role":"assistant"}]}"#, 1), None);
    assert_eq!(without_words(r#"{"messages":[]}"#, 1), None);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(".{0,4}", inner, 0..5).prop_map(|map| json!(map)),
        ]
    })
}

/// Writes a value with members backwards, with blanks, and with every character of its strings escaped.
fn disguised(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[ {} ]", items.iter().map(disguised).collect::<Vec<_>>().join("\t,\n")),
        Value::Object(map) => {
            let members = map.iter().rev().map(|(name, value)| format!("{} : {}", escaped(name), disguised(value)));
            format!("{{\r\n{}}}", members.collect::<Vec<_>>().join(" , "))
        }
        Value::String(text) => escaped(text),
        Value::Number(number) if number.is_u64() => format!("{number}.000e0"),
        other => other.to_string(),
    }
}

fn escaped(text: &str) -> String {
    format!("\"{}\"", text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>())
}

proptest! {
    #[test]
    fn order_blanks_and_escapes_do_not_matter(value in any_json()) {
        prop_assert_eq!(canonical(&value.to_string()), canonical(&disguised(&value)));
        prop_assert!(canonical(&value.to_string()).is_some());
    }

    #[test]
    fn different_values_are_written_differently(a in any_json(), b in any_json()) {
        prop_assert_eq!(a == b, canonical(&a.to_string()) == canonical(&b.to_string()));
    }

    #[test]
    fn no_input_panics(text in "\\PC{0,40}", json_like in "[\\[\\]{}:,\"\\\\0-9eE.+\\-a-z ü]{0,40}") {
        canonical(&text);
        canonical(&json_like);
    }
}

/// A request as parts: what decides its answer, and what does not.
fn any_request() -> impl Strategy<Value = Value> {
    let message =
        ("(system|user|assistant)", ".{0,12}").prop_map(|(role, text)| json!({"role": role, "content": text}));
    let number = prop_oneof![(0_u32..3).prop_map(|n| json!(n)), any::<u64>().prop_map(Value::from)];
    let fields = prop::collection::btree_map("(seed|max_tokens|top_k|[a-c]{1,2})", number, 0..4);
    let deep = prop::collection::btree_map("(tools|response_format|stop|x)", any_json(), 0..3);
    (prop::collection::vec(message, 1..4), fields, deep).prop_map(|(messages, fields, deep)| {
        let mut request = json!({"model": "m", "messages": messages});
        for (name, value) in fields.into_iter().chain(deep) {
            request[name] = value;
        }
        request
    })
}

/// Spells a request as no client would: every member first with another value, members backwards, escapes, other numbers.
fn misspelled(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[ {} ]", items.iter().map(misspelled).collect::<Vec<_>>().join("\t,\n")),
        Value::Object(map) => {
            let stale = map.keys().map(|name| format!("{} : \"stale\"", escaped(name)));
            let members = map.iter().rev().map(|(name, value)| format!("{} : {}", escaped(name), misspelled(value)));
            format!("{{\r\n{}}}", stale.chain(members).collect::<Vec<_>>().join(" , "))
        }
        Value::String(text) => escaped(text),
        Value::Number(number) if number.as_u64() == Some(0) => "-0.0e7".to_owned(),
        Value::Number(number) if number.is_u64() => format!("{number}00.0e-2"),
        Value::Number(number) if number.is_i64() => format!("{number}.0E+0"),
        other => other.to_string(),
    }
}

/// Returns every request that differs from this one in one leaf.
fn neighbours(value: &Value) -> Vec<Value> {
    let changed =
        |rebuild: &dyn Fn(Value) -> Value, inner: &Value| neighbours(inner).into_iter().map(rebuild).collect();
    match value {
        Value::Object(map) => {
            let each = |name: &String| -> Vec<Value> {
                let rebuild = |inner| {
                    let mut other = map.clone();
                    other.insert(name.clone(), inner);
                    Value::Object(other)
                };
                changed(&rebuild, &map[name])
            };
            map.keys().flat_map(each).collect()
        }
        Value::Array(items) => {
            let each = |at: usize| -> Vec<Value> {
                let rebuild = |inner| {
                    let mut other = items.clone();
                    other[at] = inner;
                    Value::Array(other)
                };
                changed(&rebuild, &items[at])
            };
            (0..items.len()).flat_map(each).chain([json!([items, "more"])]).collect()
        }
        Value::String(text) => vec![json!(format!("{text} ")), json!([text])],
        Value::Number(number) => vec![json!(number.to_string()), Value::Null],
        Value::Bool(is) => vec![json!(!is)],
        Value::Null => vec![json!(0)],
    }
}

proptest! {
    #[test]
    fn two_byte_identical_requests_always_meet(request in any_request()) {
        prop_assert_eq!(key(&request.to_string()), key(&request.to_string()));
    }

    #[test]
    fn two_spellings_of_a_request_meet(request in any_request()) {
        prop_assert_eq!(key(&request.to_string()), key(&misspelled(&request)));
    }

    #[test]
    fn two_requests_that_differ_in_meaning_never_meet(request in any_request()) {
        let own = key(&request.to_string());
        let plain = |request: &Value| {
            let mut counted = request.clone();
            counted.as_object_mut().unwrap().remove("model");
            counted
        };
        for other in neighbours(&request) {
            let is_same = plain(&other) == plain(&request);
            prop_assert_eq!(is_same, own == key(&other.to_string()), "{} and {}", request, other);
        }
    }

    #[test]
    fn one_request_of_two_scopes_never_meets_itself(request in any_request(), one in "[a-z]{1,6}", other in "[a-z]{1,6}") {
        let text = request.to_string();
        prop_assert_eq!(one == other, key_for(&one, &text) == key_for(&other, &text));
    }
}
