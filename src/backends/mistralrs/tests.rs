//! The protocol on a tiny random model, and one question to the real one.

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

/// One tiny model with room for tools, which take hundreds of tokens where most tokens are bytes.
static TOOLED: LazyLock<Arc<Local>> = LazyLock::new(|| start(WeightSource::Path(TOOLED_DIR.path().to_owned()), 64));

static TOOLED_DIR: LazyLock<tempfile::TempDir> = LazyLock::new(|| roomy_dir(None));

fn roomy_dir(template: Option<&str>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(dir.path());
    set(&dir.path().join("config.json"), "max_position_embeddings", json!(8 * WINDOW));
    if let Some(template) = template {
        set(&dir.path().join("tokenizer_config.json"), "chat_template", template.into());
    }
    dir
}

fn set(path: &std::path::Path, key: &str, value: Value) {
    let mut document: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    document[key] = value;
    std::fs::write(path, document.to_string()).unwrap();
}

fn with_tools(choice: Value, more: Value) -> Value {
    let parameters = |property: &str| {
        json!({ "type": "object", "properties": { property: { "$ref": "#/$defs/flag" } }, "required": [property],
            "additionalProperties": false, "$defs": { "flag": { "type": "boolean" } } })
    };
    let tool = |name: &str, property: &str| json!({ "type": "function", "function": { "name": name, "parameters": parameters(property) } });
    let tools = json!([tool("lamp", "on"), tool("door", "open")]);
    let mut body =
        json!({ "tools": tools, "tool_choice": choice, "max_tokens": 600, "parallel_tool_calls": false, "seed": 2 });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn a_named_tool_is_called_with_arguments_that_fit() {
    let choice = json!({ "type": "function", "function": { "name": "door" } });

    let answer = answer(&TOOLED, with_tools(choice, json!({}))).await;

    let (message, finish) = (&answer["choices"][0]["message"], &answer["choices"][0]["finish_reason"]);
    let function = &message["tool_calls"][0]["function"];
    let arguments: Value = serde_json::from_str(function["arguments"].as_str().unwrap()).unwrap();
    assert_eq!((&message["content"], finish), (&Value::Null, &json!("tool_calls")));
    assert_eq!((message["tool_calls"].as_array().unwrap().len(), &function["name"]), (1, &json!("door")));
    assert!(arguments["open"].is_boolean() && arguments.as_object().unwrap().len() == 1, "{arguments}");
    assert!(message["tool_calls"][0]["id"].as_str().unwrap().starts_with("call_"));
}

#[tokio::test]
async fn a_required_tool_is_one_of_them_and_a_stream_says_the_same() {
    let body = || with_tools(json!("required"), json!({ "stream": true, "n": 2 }));
    let whole = answer(&TOOLED, body()).await;

    let events: Vec<_> = stream(&TOOLED, body()).await.map(Result::unwrap).collect().await;

    let chunks: Vec<Value> = events.iter().map(|event| serde_json::from_slice(&event.data).unwrap()).collect();
    for index in 0..2 {
        let deltas = chunks.iter().filter(|chunk| chunk["choices"][0]["index"] == index);
        let calls: Vec<&Value> = deltas.filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].get(0)).collect();
        let told = &whole["choices"][index]["message"]["tool_calls"][0];
        assert_eq!((calls.len(), &calls[0]["index"]), (1, &json!(0)));
        assert_eq!(calls[0]["function"], told["function"]);
        assert!(["lamp", "door"].contains(&told["function"]["name"].as_str().unwrap()));
    }
    assert_eq!(events.iter().filter(|event| event.finish_reason.as_deref() == Some("tool_calls")).count(), 2);
    assert_eq!(events.iter().filter(|event| event.has_content).count(), 2);
}

#[tokio::test]
async fn tools_that_may_be_called_are_part_of_the_prompt_and_those_that_may_not_are_not() {
    let tokens = async |choice: &str, more: Value| {
        let whole = ask(&TOOLED, with_tools(json!(choice), more)).await.unwrap();
        (whole.usage.unwrap().input.0, whole.finish_reason.unwrap())
    };
    let history = json!({ "max_tokens": 3, "tools": null, "tool_choice": null, "messages": [{ "role": "user", "content": "a" },
        { "role": "assistant", "content": null, "tool_calls": [
            { "id": "c1", "type": "function", "function": { "name": "lamp", "arguments": "{}" } }] },
        { "role": "tool", "tool_call_id": "c1", "content": "b" }] });
    let plain = ask(&TOOLED, json!({ "max_tokens": 3 })).await.unwrap().usage.unwrap().input.0;

    assert!(tokens("auto", json!({ "max_tokens": 3 })).await.0 > plain + 100);
    assert_eq!(tokens("none", json!({ "max_tokens": 3 })).await, (plain, "length".to_owned()));
    assert!(tokens("auto", history).await.0 > plain);
}

#[tokio::test]
async fn a_template_that_knows_tools_shows_them_itself() {
    let template = "{% if tools %}{{ tools | tojson }}{% endif %}{% for message in messages %}<|im_start|>\
        {{ message['role'] }}{{ message['content'] }}{% for call in message['tool_calls'] %}<tool_call>{{ call['function']['name'] }}\
        {% endfor %}{% endfor %}<|im_start|>assistant\n";
    let dir = roomy_dir(Some(template));
    let local = start(WeightSource::Path(dir.path().to_owned()), 4);

    let own = ask(&local, with_tools(json!("required"), json!({}))).await.unwrap();
    let ours = ask(&TOOLED, with_tools(json!("required"), json!({}))).await.unwrap();

    assert_eq!(own.finish_reason.as_deref(), Some("tool_calls"));
    // It has no instructions, which are some hundred tokens.
    assert!(own.usage.unwrap().input.0 + 100 < ours.usage.unwrap().input.0);
}

#[tokio::test]
async fn tools_that_are_none_are_refused_by_name() {
    let refusal = async |more: Value| {
        let error = ask(&TOOLED, with_tools(json!("auto"), more)).await.unwrap_err();
        (error.code, error.param.unwrap())
    };

    let search = json!({ "tools": [{ "type": "web_search" }] });
    assert_eq!(refusal(search).await, (Code::InvalidRequest, "tools[0].type".to_owned()));
    assert_eq!(refusal(json!({ "tool_choice": "often" })).await, (Code::InvalidRequest, "tool_choice".to_owned()));
    let nonsense = json!({ "type": "function", "function": { "name": "f", "parameters": { "type": "nonsense" } } });
    let required = json!({ "tools": [nonsense], "tool_choice": "required" });
    assert_eq!(refusal(required).await, (Code::UpstreamRejected, "tools".to_owned()));
}

#[tokio::test]
async fn pictures_are_refused_by_name() {
    let picture = json!([{ "type": "image_url", "image_url": { "url": "data:" } }]);

    let error = ask(&TINY, json!({ "messages": [{ "role": "user", "content": picture }] })).await.unwrap_err();

    assert_eq!((error.code, error.param.as_deref()), (Code::Unsupported, Some("messages")));
}

#[tokio::test]
async fn leaving_gives_the_turn_to_the_next() {
    let local = tiny(4);
    let long = || json!({ "temperature": 1, "seed": 1, "max_tokens": 400 });
    let mut left = stream(&local, long()).await;
    left.next().await.unwrap().unwrap();
    let begun = Instant::now();

    drop(left);

    let next = ask(&local, json!({ "max_tokens": 1 })).await.unwrap();
    assert_eq!(next.usage.unwrap().output.0, 1);
    // 400 tokens of the tiny model take far longer than the one token that leaving costs.
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_reader_who_does_not_read_stops_nobody() {
    let local = tiny(4);
    let unread = stream(&local, json!({ "seed": 1, "max_tokens": 30 })).await;

    let next = ask(&local, json!({ "max_tokens": 2 })).await.unwrap();

    assert_eq!(next.usage.unwrap().output.0, 2);
    assert!(unread.count().await > 2, "the unread answer is whole");
}

#[tokio::test]
async fn a_full_queue_refuses_and_says_when_to_come_again() {
    let local = tiny(0);
    let running = stream(&local, json!({ "seed": 1, "max_tokens": 400 })).await;

    let error = ask(&local, json!({ "max_tokens": 1 })).await.unwrap_err();

    assert_eq!(error.code, Code::Overloaded);
    assert!(error.retry_after.is_some());
    drop(running);
}

#[tokio::test]
async fn a_request_in_the_queue_ends_at_its_deadline() {
    let local = tiny(4);
    let running = stream(&local, json!({ "seed": 1, "max_tokens": 400 })).await;
    let call = call(json!({ "max_tokens": 1 }), false);
    let context = CallContext { deadline: Instant::now() + Duration::from_millis(20), ..call.context };

    let error = local.chat(ModelCall { context, ..call }).await.unwrap_err();

    assert_eq!(error.code, Code::DeadlineExceeded);
    drop(running);
}

#[tokio::test]
async fn an_engine_that_died_is_started_again() {
    let local = tiny(4);
    let body = || json!({ "temperature": 0, "max_tokens": 4 });
    let before = text(&local, body()).await;

    local.inner.loaded().unwrap().engine().kill();

    assert_eq!(text(&local, body()).await, before);
    let room = local.status().room;
    assert_eq!((room.deaths, room.restarts, room.is_out), (1, 1, false));
}

#[tokio::test]
async fn an_engine_that_keeps_dying_is_out_until_an_administrator_says_otherwise() {
    let local = tiny(4);
    local.settled().await;
    for _ in 0..5 {
        ask(&local, json!({ "max_tokens": 1 })).await.unwrap();
        local.inner.loaded().unwrap().engine().kill();
        let deaths = local.status().room.deaths;
        while local.status().room.deaths == deaths {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    let error = ask(&local, json!({ "max_tokens": 1 })).await.unwrap_err();
    let Availability::Failed { reason } = local.availability() else { panic!("it is not out") };
    local.order(EngineOrder::Load).unwrap();

    assert_eq!((error.code, local.status().room.deaths), (Code::UpstreamFailed, 5));
    assert!(reason.contains("five times"), "{reason}");
    assert!(ask(&local, json!({ "max_tokens": 1 })).await.is_ok());
}

#[tokio::test]
async fn an_idle_model_is_unloaded_and_loaded_again_at_its_next_request() {
    let weights = WeightSource::Path(TINY_DIR.path().to_owned());
    let local = started(LocalSettings { keep_alive: Some(Duration::from_millis(400)), ..LocalSettings::of(weights) });
    let body = || json!({ "temperature": 0, "max_tokens": 8 });
    let before = text(&local, body()).await;

    while local.status().phase != Phase::Asleep {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    assert_eq!((local.availability(), local.status().room.resident_bytes), (Availability::Ready, None));
    let again = local.chat(call(body(), false)).await.unwrap();
    let Reply::Whole(again) = again else { panic!("a whole answer was asked for") };
    assert_eq!(content(&serde_json::from_slice(&again.body).unwrap()), before);
}

#[tokio::test]
async fn a_model_at_work_is_not_unloaded_under_it() {
    let local = tiny(4);
    let events = stream(&local, json!({ "seed": 1, "max_tokens": 60 })).await;

    local.order(EngineOrder::Unload).unwrap();

    let events: Vec<_> = events.collect().await;
    let last = events.last().unwrap().as_ref().unwrap();
    assert!(last.usage.is_some_and(|usage| usage.output.0 > 30), "{last:?}");
    assert_eq!(local.status().phase, Phase::Asleep);
}

#[tokio::test]
async fn replicas_answer_side_by_side_and_alike() {
    let weights = WeightSource::Path(TINY_DIR.path().to_owned());
    let local = started(LocalSettings { replicas: 2, ..LocalSettings::of(weights) });
    let body = |index: usize| json!({ "seed": index, "max_tokens": 24 });
    let mut alone = Vec::new();
    for index in 0..6 {
        alone.push(text(&TINY, body(index)).await);
    }
    let held = stream(&local, json!({ "seed": 1, "max_tokens": 60 })).await;

    assert_eq!(local.status().room.running, 1);
    assert_eq!(text(&local, body(0)).await, alone[0]);
    drop(held);
    assert_eq!(join_all((0..6).map(|index| text(&local, body(index)))).await, alone);
}

#[tokio::test]
async fn a_model_that_does_not_fit_is_refused_with_its_size() {
    let weights = WeightSource::Path(TINY_DIR.path().to_owned());
    let replicas = usize::MAX / 2;
    let settings = LocalSettings { replicas, ..LocalSettings::of(weights) };
    let place = WeightPlace { store: Store::new("nowhere"), may_fetch: false };

    let error = load::load(&settings, &place, (&Report::default(), &Arc::default())).err().unwrap();

    assert!(error.to_string().contains("of memory and"), "{error}");
}

#[tokio::test]
async fn single_precision_and_quantised_weights_answer_too() {
    let weights = || WeightSource::Path(TINY_DIR.path().to_owned());
    let exact = started(LocalSettings { dtype: Dtype::F32, device: DeviceChoice::Cpu, ..LocalSettings::of(weights()) });
    let small = started(LocalSettings { quantize: Some(Quantization::Q8_0), ..LocalSettings::of(weights()) });

    for local in [exact, small] {
        local.settled().await;
        assert_eq!(local.availability(), Availability::Ready, "{:?}", local.status());
        assert_eq!(ask(&local, json!({ "max_tokens": 3 })).await.unwrap().usage.unwrap().output.0, 3);
    }
}

#[tokio::test]
async fn a_call_tells_how_long_it_waited_for_its_turn() {
    let local = tiny(4);
    local.settled().await;
    let turn = local.inner.shared.queue.enter(&Caller::own(), Instant::now()).await.unwrap();
    let waiting = call(json!({ "max_tokens": 1 }), false);
    let waited = waiting.context.waited.clone();
    let free = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(turn);
    };

    let (answer, ()) = tokio::join!(local.chat(waiting), free);

    assert!(answer.is_ok());
    assert!(waited.total() >= Duration::from_millis(100), "{:?}", waited.total());
}

#[tokio::test]
async fn a_caller_in_a_hurry_is_no_stall() {
    let local = tiny(4);
    local.settled().await;
    let mut hasty = call(json!({ "max_tokens": 4 }), false);
    hasty.context.timeouts.first_token = Duration::ZERO;

    let error = local.chat(hasty).await.unwrap_err();

    assert_eq!((error.code, local.status().room.stalls), (Code::UpstreamTimeout, 0));
    assert!(ask(&local, json!({ "max_tokens": 1 })).await.is_ok());
    assert_eq!(local.availability(), Availability::Ready);
}

#[tokio::test]
async fn silence_at_work_is_counted_and_forgotten_when_the_work_is_over() {
    let weights = WeightSource::Path(TINY_DIR.path().to_owned());
    let stall_after = Duration::from_millis(300);
    let local = started(LocalSettings { stall_after, ..LocalSettings::of(weights) });
    local.settled().await;
    // Whoever holds the turn and makes no token is what a spinning engine is.
    let turn = local.inner.shared.queue.enter(&Caller::own(), Instant::now()).await.unwrap();

    while local.status().room.stalls == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let while_silent = local.availability();
    drop(turn);

    assert_eq!(while_silent, Availability::Failed { reason: "its engine makes no tokens".to_owned() });
    assert_eq!((local.availability(), local.status().room.stalls), (Availability::Ready, 1));
}

#[tokio::test]
async fn a_further_choice_that_gets_no_turn_is_no_stall() {
    let local = tiny(4);
    local.settled().await;
    let mut call = call(json!({ "max_tokens": 1, "n": 2 }), true);
    call.context.timeouts.first_token = Duration::from_secs(3);
    let Reply::Stream(mut events) = local.chat(call).await.unwrap() else { panic!("a stream was asked for") };
    while events.next().await.unwrap().unwrap().finish_reason.is_none() {}
    let deadline = Instant::now() + Duration::from_secs(60);
    let others = local.inner.shared.queue.enter(&Caller::own(), deadline).await.unwrap();

    let error = events.next().await.unwrap().unwrap_err();

    assert_eq!((error.code, local.status().room.stalls), (Code::UpstreamTimeout, 0));
    assert_eq!(local.availability(), Availability::Ready);
    drop(others);
}

#[tokio::test]
async fn weights_that_are_not_there_fail_with_the_command_to_run() {
    let dir = tempfile::tempdir().unwrap();
    let weights = WeightSource::Catalogue("smollm2-135m-instruct".to_owned());
    let settings = LocalSettings::of(weights);
    let place = WeightPlace { store: Store::new(dir.path()), may_fetch: false };
    let local = Local::start(model_name("small"), settings, place, Arc::new(SystemClock::default()));

    local.settled().await;

    let Availability::Failed { reason } = local.availability() else { panic!("it has no weights") };
    assert!(reason.contains("pointsman models pull smollm2-135m-instruct"), "{reason}");
    assert_eq!(ask(&local, json!({})).await.unwrap_err().code, Code::UpstreamFailed);
}

#[tokio::test]
async fn a_sleeping_model_is_woken_by_its_first_request() {
    let weights = WeightSource::Path(TINY_DIR.path().to_owned());
    let settings = LocalSettings { preload: false, ..LocalSettings::of(weights) };
    let place = WeightPlace { store: Store::new("nowhere"), may_fetch: false };
    let local = Local::start(model_name("tiny"), settings, place, Arc::new(SystemClock::default()));
    assert_eq!(local.status().phase, Phase::Asleep);

    let reply = local.chat(call(json!({ "max_tokens": 1 }), false)).await;

    assert!(reply.is_ok());
    assert_eq!(local.status().phase, Phase::Ready);
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
