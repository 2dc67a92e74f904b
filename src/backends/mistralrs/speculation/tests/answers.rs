//! Whole answers: what a model that speculates says is what it says alone.

use std::{path::Path, sync::Arc, time::Duration};

use futures_util::{StreamExt, future::join_all};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::TINY_DIR;
use crate::{
    artifacts::Store,
    backends::{
        Backend,
        contract::{Subject, chat_call, context, keeps_the_contract, model_name},
        mistralrs::{Local, Neighbours, WeightPlace},
    },
    config::{Draft, Environment, LocalSettings, SpeculateSettings, SpeculateWhen, WeightSource},
    domain::{EventStream, ModelCall, Reply, Speculation},
    runtime::SystemClock,
};

fn speculate(draft: Draft, when: SpeculateWhen) -> SpeculateSettings {
    SpeculateSettings { draft, gamma: 4, adapts: true, when }
}

fn always() -> SpeculateSettings {
    speculate(Draft::Lookup, SpeculateWhen::Always)
}

pub(super) fn never() -> SpeculateSettings {
    speculate(Draft::Lookup, SpeculateWhen::Never)
}

pub(super) fn with_draft() -> SpeculateSettings {
    speculate(Draft::Model(model_name("draft")), SpeculateWhen::Always)
}

pub(super) fn start(
    name: &str,
    weights: WeightSource,
    speculate: SpeculateSettings,
    neighbours: &Neighbours,
) -> Arc<Local> {
    let settings = LocalSettings { speculate: Some(speculate), ..LocalSettings::of(weights) };
    let place = WeightPlace { store: Store::new(Environment::System.data_dir()), may_fetch: false };
    let local = Local::start(model_name(name), settings, place, Arc::new(SystemClock::default()));
    local.join(neighbours);
    local
}

async fn tiny(speculate: SpeculateSettings) -> Arc<Local> {
    let local = start("tiny", folder(TINY_DIR.path()), speculate, &Neighbours::default());
    local.settled().await;
    local
}

/// Returns a model whose draft has the same weights, and the draft.
async fn pair(target: &str) -> (Arc<Local>, Arc<Local>) {
    let neighbours = Neighbours::default();
    let target = start(target, folder(TINY_DIR.path()), with_draft(), &neighbours);
    let draft = start("draft", folder(TINY_DIR.path()), never(), &neighbours);
    target.settled().await;
    (target, draft)
}

pub(super) fn folder(path: &Path) -> WeightSource {
    WeightSource::Path(path.to_owned())
}

fn call(mut body: Value, is_streaming: bool, draft: Option<&str>) -> ModelCall {
    body["model"] = "tiny".into();
    if body["messages"].is_null() {
        body["messages"] = json!([{ "role": "user", "content": "abcd abcd abcd ab" }]);
    }
    let mut context = context();
    context.draft = draft.map(Arc::from);
    ModelCall { chat: Arc::new(chat_call(&body.to_string())), is_streaming, context }
}

pub(super) async fn answer(local: &Local, body: Value) -> Value {
    resembling(local, body, None).await
}

async fn resembling(local: &Local, body: Value, draft: Option<&str>) -> Value {
    let Reply::Whole(whole) = local.chat(call(body, false, draft)).await.unwrap() else { panic!("not whole") };
    let mut answer: Value = serde_json::from_slice(&whole.body).unwrap();
    // What differs from answer to answer.
    answer["id"].take();
    answer["created"].take();
    answer["model"].take();
    answer
}

async fn stream(local: &Local, body: Value) -> EventStream {
    let Reply::Stream(events) = local.chat(call(body, true, None)).await.unwrap() else { panic!("not a stream") };
    events
}

pub(super) fn content(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap()
}

pub(super) fn speculation(local: &Local) -> Speculation {
    local.status().speculation.unwrap()
}

#[tokio::test]
async fn a_speculating_model_keeps_the_contract() {
    let local = tiny(always()).await;

    keeps_the_contract(Subject { answering: local as Arc<dyn Backend>, slow: None }).await;
}

/// Requests of every kind, greedy ones and with a seed.
fn requests() -> Vec<Value> {
    let schema = json!({ "type": "object", "properties": { "ok": { "type": "boolean" }, "no": { "type": "boolean" } },
        "required": ["ok", "no"], "additionalProperties": false });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": schema, "strict": true } });
    vec![
        json!({ "temperature": 0, "max_tokens": 40 }),
        json!({ "temperature": 0, "max_tokens": 1 }),
        json!({ "temperature": 0, "max_tokens": 2 }),
        json!({ "temperature": 0 }),
        json!({ "temperature": 0, "max_tokens": 24, "logprobs": true, "top_logprobs": 3 }),
        json!({ "temperature": 0, "max_tokens": 40, "frequency_penalty": 1.5, "presence_penalty": 0.5 }),
        json!({ "temperature": 0, "max_tokens": 60, "response_format": format }),
        json!({ "temperature": 0, "max_tokens": 40, "stop": ["e", "a"] }),
        json!({ "temperature": 0, "max_tokens": 12, "n": 3 }),
    ]
}

/// Likelihoods differ in the last digits, because sums are made in another order; four digits are compared.
fn rounded(mut answer: Value) -> Value {
    fn round(value: &mut Value) {
        match value {
            Value::Number(number) if number.is_f64() => *value = json!((number.as_f64().unwrap() * 1e4).round() / 1e4),
            Value::Array(values) => values.iter_mut().for_each(round),
            Value::Object(fields) => fields.values_mut().for_each(round),
            _ => {}
        }
    }
    round(&mut answer);
    answer
}

#[tokio::test]
async fn every_kind_of_greedy_answer_is_that_of_plain_decoding() {
    let (plain, speculating) = (tiny(never()).await, tiny(always()).await);

    for body in requests() {
        let alone = answer(&plain, body.clone()).await;

        assert_eq!(rounded(answer(&speculating, body.clone()).await), rounded(alone.clone()), "{body}");
        // The answer itself as what it may resemble: most tokens come of passes.
        let near = resembling(&speculating, body.clone(), Some(content(&alone))).await;
        assert_eq!(rounded(near), rounded(alone), "{body}");
    }
    let status = speculation(&speculating);
    assert!(status.accepted > 0 && status.tokens_per_pass().unwrap() > 1.0, "{status:?}");
    assert_eq!(speculation(&plain).passes, 0);
}

#[tokio::test]
async fn a_draft_model_changes_no_greedy_answer_whichever_name_comes_first() {
    let plain = tiny(never()).await;

    for name in ["a-target", "target"] {
        let (target, draft) = pair(name).await;
        for body in requests() {
            assert_eq!(
                rounded(answer(&target, body.clone()).await),
                rounded(answer(&plain, body.clone()).await),
                "{body}"
            );
        }
        let status = speculation(&target);
        assert!(status.is_on && status.accepted * 2 > status.proposed, "{status:?}");
        assert!(draft.chat(call(json!({ "max_tokens": 1 }), false, None)).await.is_ok(), "its turn came back");
    }
}

#[tokio::test]
async fn clients_of_target_and_draft_do_not_wait_for_each_other_for_ever() {
    let (target, draft) = pair("target").await;
    let body = |index: usize| json!({ "temperature": 0, "max_tokens": 12, "messages": [{ "role": "user", "content": "ab".repeat(index + 1) }] });
    let mut alone = Vec::new();
    for index in 0..4 {
        alone.push((
            answer(&target, body(index)).await["choices"].take(),
            answer(&draft, body(index)).await["choices"].take(),
        ));
    }

    let both = |index: usize| {
        let (target, draft) = (Arc::clone(&target), Arc::clone(&draft));
        async move { tokio::join!(answer(&target, body(index)), answer(&draft, body(index))) }
    };
    let together = join_all((0..4).map(both)).await;

    let together: Vec<_> =
        together.into_iter().map(|(mut t, mut d)| (t["choices"].take(), d["choices"].take())).collect();
    assert_eq!(together, alone);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_text_with_a_draft() {
    let (target, _draft) = pair("target").await;
    let body = |seed: i64| json!({ "seed": seed, "max_tokens": 24 });

    let first = answer(&target, body(5)).await;

    assert_eq!(first, answer(&target, body(5)).await);
    assert_ne!(first, answer(&target, body(6)).await);
}

#[tokio::test]
async fn a_stream_says_what_the_whole_answer_says() {
    let local = tiny(always()).await;
    let body = || json!({ "temperature": 0.8, "seed": 3, "max_tokens": 40, "n": 2 });
    let whole = answer(&local, body()).await;

    let chunks: Vec<Value> =
        stream(&local, body()).await.map(|event| serde_json::from_slice(&event.unwrap().data).unwrap()).collect().await;

    for index in 0..2 {
        let of_choice = |chunk: &&Value| chunk["choices"][0]["index"] == index;
        let deltas = chunks.iter().filter(of_choice).map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
        let text: String = deltas.flatten().collect();
        assert_eq!(text, whole["choices"][index]["message"]["content"].as_str().unwrap());
    }
    assert_eq!(chunks.last().unwrap()["usage"], whole["usage"]);
}

#[tokio::test]
async fn leaving_gives_both_turns_to_the_next() {
    let (target, draft) = pair("target").await;
    for index in 0..6 {
        let mut left = stream(&target, json!({ "temperature": 1, "seed": index, "max_tokens": 400 })).await;
        for _ in 0..index {
            left.next().await.unwrap().unwrap();
        }
        let begun = Instant::now();

        drop(left);

        for local in [&target, &draft] {
            assert_eq!(answer(local, json!({ "max_tokens": 1 })).await["usage"]["completion_tokens"], 1);
        }
        // 400 tokens of the tiny model take far longer than the pass that leaving costs.
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn an_engine_that_died_is_started_again_and_plants_anew() {
    let local = tiny(always()).await;
    let body = || json!({ "temperature": 0, "max_tokens": 16 });
    let before = answer(&local, body()).await;

    local.inner.loaded().unwrap().engine().passes().unwrap().lock().await.kill();

    assert_eq!(answer(&local, body()).await, before);
}

#[tokio::test]
async fn a_draft_that_does_not_fit_is_left_out_and_said_so() {
    let neighbours = Neighbours::default();
    let settings = speculate(Draft::Model(model_name("gone")), SpeculateWhen::Always);
    let real = WeightSource::Catalogue("smollm2-135m-instruct".to_owned());
    let stranger = start("gone", real, never(), &neighbours);
    let local = start("tiny", folder(TINY_DIR.path()), settings, &neighbours);
    local.settled().await;
    stranger.settled().await;

    let status = speculation(&local);

    assert!(!status.is_on && status.reason.contains("another vocabulary"), "{status:?}");
    assert_eq!(answer(&local, json!({ "max_tokens": 2 })).await["usage"]["completion_tokens"], 2);
}

#[tokio::test]
async fn a_pair_that_a_policy_names_is_measured_once_and_then_used() {
    let neighbours = Neighbours::default();
    // What is configured says when, the policy says with whom.
    let target = start("target", folder(TINY_DIR.path()), always(), &neighbours);
    let draft = start("partner", folder(TINY_DIR.path()), never(), &neighbours);
    target.settled().await;
    draft.settled().await;
    let alone = answer(&target, json!({ "temperature": 0, "max_tokens": 8 })).await;
    let ask = async || {
        let mut call = call(json!({ "temperature": 0, "max_tokens": 8 }), false, None);
        call.context.drafter = Some(model_name("partner"));
        let Reply::Whole(whole) = target.chat(call).await.unwrap() else { panic!("not whole") };
        serde_json::from_slice::<Value>(&whole.body).unwrap()
    };

    let mut passes = 0;
    // The first answers may come before the pair is decided on, which happens beside them.
    for _ in 0..200 {
        assert_eq!(content(&ask().await), content(&alone));
        passes = target.inner.loaded().unwrap().pairs.lock()["partner"].status().passes;
        if passes > 0 {
            break;
        }
    }

    assert!(passes > 0);
    assert_eq!(target.inner.loaded().unwrap().pairs.lock().len(), 1);
}

#[tokio::test]
async fn what_is_measured_at_load_decides_and_is_told() {
    let local = tiny(speculate(Draft::Lookup, SpeculateWhen::Pays)).await;

    let status = speculation(&local);

    let (plain, speculative) = (status.plain_tokens_per_second.unwrap(), status.speculative_tokens_per_second.unwrap());
    assert!(plain > 0.0 && speculative > 0.0);
    assert_eq!(status.is_on, speculative > 1.05 * plain, "{status:?}");
}

/// The real model rewrites a text; its weights come from `pointsman models pull`.
#[tokio::test]
async fn the_real_model_rewrites_a_text_with_more_than_one_token_per_pass() {
    let real = || WeightSource::Catalogue("smollm2-135m-instruct".to_owned());
    let neighbours = Neighbours::default();
    let plain = start("plain", real(), never(), &neighbours);
    plain.settled().await;
    let local = start("real", real(), always(), &neighbours);
    local.settled().await;
    let text = "The points send each train down the right line. The line to the harbour is the longest of them all.";
    let task = format!("Repeat this text word for word: {text}");
    let body = json!({ "temperature": 0, "max_tokens": 32, "messages": [{ "role": "user", "content": task }] });

    let speculative = answer(&local, body.clone()).await;

    let status = speculation(&local);
    assert_eq!(content(&speculative), content(&answer(&plain, body).await), "{status:?}");
    assert!(status.tokens_per_pass().unwrap() > 1.5, "{status:?}");
}
