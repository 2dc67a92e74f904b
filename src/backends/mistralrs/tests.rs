//! The protocol on a tiny random model, and one question to the real one.

mod keeping;
mod tools;

use std::{sync::LazyLock, time::Duration};

use futures_util::{StreamExt, future::join_all};
use serde_json::{Value, json};

use super::{tiny::WINDOW, *};
use crate::{
    artifacts::Store,
    backends::contract::{Subject, chat_call, context, keeps_the_contract, model_name},
    config::{DeviceChoice, Dtype, Environment, Quantization, WeightSource},
    domain::{CallContext, EventStream, Tokens, Usage, WholeReply},
    runtime::SystemClock,
};

/// One tiny model for all tests that need no queue of their own.
static TINY: LazyLock<Arc<Local>> = LazyLock::new(|| tiny(64));

static TINY_DIR: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(dir.path());
    dir
});

fn tiny(queue: usize) -> Arc<Local> {
    start(WeightSource::Path(TINY_DIR.path().to_owned()), queue)
}

fn start(weights: WeightSource, queue: usize) -> Arc<Local> {
    let settings = LocalSettings { queue, ..LocalSettings::of(weights) };
    started(settings)
}

fn started(settings: LocalSettings) -> Arc<Local> {
    let place = WeightPlace { store: Store::new(Environment::System.data_dir()), may_fetch: false };
    Local::start(model_name("tiny"), settings, place, Arc::new(SystemClock::default()))
}

fn call(body: Value, is_streaming: bool) -> ModelCall {
    let mut body = body;
    body["model"] = "tiny".into();
    if body["messages"].is_null() {
        body["messages"] = json!([{ "role": "user", "content": "abcd" }]);
    }
    ModelCall { chat: Arc::new(chat_call(&body.to_string())), is_streaming, context: context() }
}

async fn ask(local: &Local, body: Value) -> Result<WholeReply, BackendError> {
    local.settled().await;
    match local.chat(call(body, false)).await? {
        Reply::Whole(whole) => Ok(whole),
        Reply::Stream(_) => panic!("a whole answer was asked for"),
    }
}

async fn answer(local: &Local, body: Value) -> Value {
    serde_json::from_slice(&ask(local, body).await.unwrap().body).unwrap()
}

async fn text(local: &Local, body: Value) -> String {
    content(&answer(local, body).await).to_owned()
}

fn content(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap()
}

async fn stream(local: &Local, body: Value) -> EventStream {
    local.settled().await;
    match local.chat(call(body, true)).await.unwrap() {
        Reply::Stream(events) => events,
        Reply::Whole(_) => panic!("a stream was asked for"),
    }
}

#[tokio::test]
async fn a_local_model_keeps_the_contract() {
    TINY.settled().await;

    keeps_the_contract(Subject { answering: Arc::clone(&*TINY) as Arc<dyn Backend>, slow: None }).await;
}

#[tokio::test]
async fn the_same_seed_gives_the_same_text_and_another_one_another() {
    let body = |seed: i64| json!({ "seed": seed, "max_tokens": 24 });

    let first = text(&TINY, body(5)).await;

    assert_eq!(first, text(&TINY, body(5)).await);
    assert_ne!(first, text(&TINY, body(6)).await);
}

#[tokio::test]
async fn prompts_asked_together_are_answered_as_if_asked_alone() {
    let body = |index: usize| {
        let prompt = "ab".repeat(index + 1);
        json!({ "temperature": 0, "max_tokens": 20, "messages": [{ "role": "user", "content": prompt }] })
    };
    let mut alone = Vec::new();
    for index in 0..6 {
        alone.push(text(&TINY, body(index)).await);
    }

    let together = join_all((0..6).map(|index| text(&TINY, body(index)))).await;

    assert_eq!(together, alone);
}

#[tokio::test]
async fn a_stream_says_what_the_whole_answer_says() {
    let body = || json!({ "temperature": 0.8, "seed": 3, "max_tokens": 40, "n": 2 });
    let whole = answer(&TINY, body()).await;

    let chunks: Vec<Value> =
        stream(&TINY, body()).await.map(|event| serde_json::from_slice(&event.unwrap().data).unwrap()).collect().await;

    for index in 0..2 {
        let of_choice = |chunk: &&Value| chunk["choices"][0]["index"] == index;
        let deltas = chunks.iter().filter(of_choice).map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
        let text: String = deltas.flatten().collect();
        assert_eq!(text, whole["choices"][index]["message"]["content"].as_str().unwrap());
    }
    assert_eq!(chunks.last().unwrap()["usage"], whole["usage"]);
}

#[tokio::test]
async fn an_answer_at_its_limit_ends_with_length_and_exact_usage() {
    let whole = ask(&TINY, json!({ "temperature": 0, "max_tokens": 7 })).await.unwrap();

    let Usage { input, output, .. } = whole.usage.unwrap();
    assert_eq!(whole.finish_reason.as_deref(), Some("length"));
    assert_eq!(output.0, 7);
    // <|im_start|> u se r \n ab cd <|im_end|> \n <|im_start|> a s si s ta n t \n
    assert_eq!(input.0, 18);
}

#[tokio::test]
async fn an_answer_without_a_limit_ends_with_the_context() {
    let whole = ask(&TINY, json!({ "temperature": 0, "logit_bias": {} })).await.unwrap();

    let usage = whole.usage.unwrap();
    let fills = usage.total().0 == WINDOW;
    assert_eq!(whole.finish_reason.as_deref(), Some(if fills { "length" } else { "stop" }));
    assert!(usage.total().0 <= WINDOW);
}

#[tokio::test]
async fn a_prompt_longer_than_the_context_is_refused_by_name() {
    let prompt = "x ".repeat(600);

    let error = ask(&TINY, json!({ "messages": [{ "role": "user", "content": prompt }] })).await.unwrap_err();

    assert_eq!((error.code, error.param.as_deref()), (Code::ContextLengthExceeded, Some("messages")));
}

#[tokio::test]
async fn a_configured_context_holds_where_it_is_smaller_than_the_weights_own() {
    let weights = WeightSource::Path(TINY_DIR.path().to_owned());
    let local = started(LocalSettings { context_window: Tokens(WINDOW / 4), ..LocalSettings::of(weights) });
    let prompt = |words: usize| json!({ "messages": [{ "role": "user", "content": "x ".repeat(words) }] });

    let long = ask(&local, prompt(WINDOW as usize / 4)).await.unwrap_err();
    let endless = ask(&local, prompt(1 << 20)).await.unwrap_err();
    let whole = ask(&local, json!({ "temperature": 0 })).await.unwrap();

    assert_eq!((long.code, endless.code), (Code::ContextLengthExceeded, Code::ContextLengthExceeded));
    assert!(whole.usage.unwrap().total().0 <= WINDOW / 4);
}

#[tokio::test]
async fn a_stop_string_ends_the_answer_before_it_wherever_tokens_cut_it() {
    let full = text(&TINY, json!({ "temperature": 0, "max_tokens": 40 })).await;
    let letters = full.char_indices().filter(|(_, letter)| letter.is_ascii_lowercase()).map(|(start, _)| start);
    let start = letters.clone().find(|start| full[*start..].chars().take(5).all(|letter| letter.is_ascii_lowercase()));
    let stop = &full[start.unwrap()..start.unwrap() + 5];
    let expected = full.split(stop).next().unwrap();

    let stopped = answer(&TINY, json!({ "temperature": 0, "max_tokens": 40, "stop": [stop] })).await;

    assert_eq!(content(&stopped), expected);
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn log_probabilities_are_of_the_tokens_and_sorted() {
    let body = json!({ "temperature": 0, "max_tokens": 12, "logprobs": true, "top_logprobs": 5 });

    let answer = answer(&TINY, body).await;

    let entries = answer["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert_eq!(entries.len(), 12);
    for entry in entries {
        let top: Vec<f64> =
            entry["top_logprobs"].as_array().unwrap().iter().map(|t| t["logprob"].as_f64().unwrap()).collect();
        assert_eq!(top.len(), 5);
        assert_eq!(entry["logprob"].as_f64().unwrap(), top[0], "greedy takes the likeliest");
        assert!(top.is_sorted_by(|a, b| a >= b) && top.iter().map(|logprob| logprob.exp()).sum::<f64>() <= 1.0);
    }
    let bytes = entries.iter().flat_map(|entry| entry["bytes"].as_array().unwrap());
    let bytes: Vec<u8> = bytes.map(|byte| byte.as_u64().unwrap() as u8).collect();
    assert_eq!(String::from_utf8_lossy(&bytes), content(&answer));
}

#[tokio::test]
async fn signals_are_of_every_token_and_come_before_its_text() {
    let body = || json!({ "temperature": 1, "seed": 4, "max_tokens": 20, "n": 2, "logprobs": true, "top_logprobs": 2 });
    let whole = ask(&TINY, body()).await.unwrap();
    let told: Value = serde_json::from_slice(&whole.body).unwrap();
    let entries = told["choices"][0]["logprobs"]["content"].as_array().unwrap();

    let events: Vec<_> = stream(&TINY, body()).await.map(Result::unwrap).collect().await;

    assert_eq!(whole.signals.len(), entries.len());
    for (signal, entry) in whole.signals.iter().zip(entries) {
        let top = |place: usize| entry["top_logprobs"][place]["logprob"].as_f64().unwrap();
        assert_eq!(signal.logprob, entry["logprob"].as_f64().unwrap());
        assert!((signal.margin.unwrap() - (top(0) - top(1))).abs() < 1e-6);
        // No distribution over 512 tokens has more.
        assert!((0.0..=512_f64.ln()).contains(&signal.entropy.unwrap()));
    }
    for event in &events {
        assert!(
            !event.has_content || event.signals.len() == 1 || event.data.windows(9).any(|part| part == b"\"index\":1")
        );
    }
    assert_eq!(events.iter().flat_map(|event| event.signals.clone()).collect::<Vec<_>>(), whole.signals);
}

#[tokio::test]
async fn a_banned_token_never_comes_and_the_favoured_one_always() {
    let letters = |bias: Value| json!({ "temperature": 1, "seed": 1, "max_tokens": 12, "logit_bias": bias });
    // Three special tokens come before the bytes.
    let q = (3 + b'q').to_string();

    let favoured = text(&TINY, letters(json!({ q.clone(): 100 }))).await;
    let banned = text(&TINY, json!({ "seed": 1, "max_tokens": 60, "logit_bias": { q: -100 }, "top_k": 400 })).await;

    assert_eq!(favoured, "q".repeat(12));
    // Other tokens have it with a letter up to "j" after it.
    let is_in_a_pair =
        |(place, _): (usize, &str)| banned[place + 1..].starts_with(|letter| matches!(letter, 'a'..='j'));
    assert!(banned.match_indices('q').all(is_in_a_pair), "{banned}");
}

#[tokio::test]
async fn one_candidate_is_greedy_however_it_is_asked_for() {
    let greedy = text(&TINY, json!({ "temperature": 0, "max_tokens": 16 })).await;

    for cut in [json!({ "top_k": 1 }), json!({ "min_p": 1 }), json!({ "top_p": 1e-9 })] {
        let mut body = json!({ "temperature": 1, "seed": 9, "max_tokens": 16 });
        body.as_object_mut().unwrap().extend(cut.as_object().unwrap().clone());
        assert_eq!(text(&TINY, body).await, greedy, "{cut}");
    }
}

#[tokio::test]
async fn a_schema_is_kept_token_by_token() {
    let schema = json!({ "type": "object", "properties": { "ok": { "type": "boolean" } }, "required": ["ok"],
        "additionalProperties": false });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": schema, "strict": true } });

    let text = text(&TINY, json!({ "temperature": 0, "max_tokens": 200, "response_format": format })).await;

    let value: Value = serde_json::from_str(&text).unwrap();
    assert!(value["ok"].is_boolean(), "{text}");
}

#[tokio::test]
async fn a_schema_that_cannot_be_kept_is_refused_by_name() {
    let schema = json!({ "type": "nonsense" });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": schema } });

    let error = ask(&TINY, json!({ "response_format": format })).await.unwrap_err();

    assert_eq!((error.code, error.param.as_deref()), (Code::UpstreamRejected, Some("response_format")));
}

#[tokio::test]
async fn pictures_are_refused_by_name() {
    let picture = json!([{ "type": "image_url", "image_url": { "url": "data:" } }]);

    let error = ask(&TINY, json!({ "messages": [{ "role": "user", "content": picture }] })).await.unwrap_err();

    assert_eq!((error.code, error.param.as_deref()), (Code::Unsupported, Some("messages")));
}

/// The real model. Its weights come from `pointsman models pull`, which the test command runs first.
#[tokio::test]
async fn the_real_model_knows_the_capital_of_france() {
    let local = start(WeightSource::Catalogue("smollm2-135m-instruct".to_owned()), 4);
    local.settled().await;
    assert_eq!(local.availability(), Availability::Ready, "{:?}", local.status());
    // The system prompt matters: after its own one, four bits leave "The" and "L'" equally likely as the first token.
    let system = json!({ "role": "system", "content": "You are a helpful assistant." });
    let messages = json!([system, { "role": "user", "content": "What is the capital of France?" }]);

    let text = text(&local, json!({ "temperature": 0, "max_tokens": 32, "messages": messages })).await;

    assert!(text.contains("Paris"), "{text}");
}
