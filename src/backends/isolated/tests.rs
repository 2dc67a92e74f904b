//! A real process of this very test program, which runs the tiny model.

use std::{process::Command, sync::LazyLock};

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::*;
use crate::{
    backends::contract::{Subject, chat_call, context, keeps_the_contract, model_name},
    backends::mistralrs::tiny,
    config::WeightSource,
    error::Code,
};

static TINY_DIR: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(dir.path());
    dir
});

/// The other side: other tests start this program with this test alone.
#[test]
#[ignore = "only as the process of a model"]
fn the_child() {
    serve().unwrap();
}

fn program() -> Program {
    let arguments = ["backends::isolated::tests::the_child", "--exact", "--ignored", "--nocapture"];
    Program { path: std::env::current_exe().unwrap(), arguments: arguments.map(str::to_owned).to_vec() }
}

fn start(change: impl FnOnce(&mut LocalSettings)) -> Arc<Isolated> {
    let mut settings = LocalSettings::of(WeightSource::Path(TINY_DIR.path().to_owned()));
    change(&mut settings);
    Isolated::start(model_name("tiny"), settings, TINY_DIR.path().to_owned(), program())
}

async fn until(model: &Isolated, is_so: impl Fn(&Isolated) -> bool) {
    let waiting = async {
        while !is_so(model) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it came to be");
}

async fn ready() -> Arc<Isolated> {
    let model = start(|_| ());
    until(&model, |model| model.availability() == Availability::Ready).await;
    model
}

fn call(body: Value, is_streaming: bool) -> ModelCall {
    let mut body = body;
    body["model"] = "tiny".into();
    body["messages"] = json!([{ "role": "user", "content": "abcd" }]);
    ModelCall { chat: Arc::new(chat_call(&body.to_string())), is_streaming, context: context() }
}

async fn whole(model: &Isolated, body: Value) -> Value {
    let Reply::Whole(whole) = model.chat(call(body, false)).await.unwrap() else {
        panic!("a whole answer was asked for")
    };
    serde_json::from_slice(&whole.body).unwrap()
}

async fn stream(model: &Isolated, body: Value) -> EventStream {
    let Reply::Stream(events) = model.chat(call(body, true)).await.unwrap() else { panic!("a stream was asked for") };
    events
}

fn kill(model: &Isolated) {
    let process = model.engine_room().unwrap().process.unwrap();
    assert!(Command::new("kill").args(["-9", &process.to_string()]).status().unwrap().success());
}

#[tokio::test]
async fn a_model_in_a_process_keeps_the_contract() {
    let model = ready().await;

    keeps_the_contract(Subject { answering: model, slow: None }).await;
}

#[tokio::test]
async fn a_stream_says_what_the_whole_answer_says_with_its_signals() {
    let model = ready().await;
    let body = || json!({ "seed": 3, "max_tokens": 20 });

    let whole = whole(&model, body()).await;
    let events: Vec<_> = stream(&model, body()).await.map(Result::unwrap).collect().await;

    let chunks = events.iter().map(|event| serde_json::from_slice::<Value>(&event.data).unwrap());
    let text: String =
        chunks.filter_map(|chunk| Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned())).collect();
    assert_eq!(text, whole["choices"][0]["message"]["content"]);
    assert!(events.iter().map(|event| event.signals.len()).sum::<usize>() >= 10);
    assert!(model.engine_room().unwrap().resident_bytes.unwrap() > 1 << 20);
}

#[tokio::test]
async fn a_process_killed_in_the_middle_ends_its_streams_and_is_started_again() {
    let model = ready().await;
    let body = || json!({ "temperature": 0, "max_tokens": 8 });
    let before = whole(&model, body()).await;
    let mut running = stream(&model, json!({ "seed": 1, "max_tokens": 400 })).await;
    running.next().await.unwrap().unwrap();

    kill(&model);
    let rest: Vec<_> = running.collect().await;

    assert_eq!(rest.last().unwrap().as_ref().unwrap_err().code, Code::UpstreamFailed);
    until(&model, |model| model.engine_room().unwrap().restarts == 1 && model.availability() == Availability::Ready)
        .await;
    assert_eq!(model.engine_room().unwrap().deaths, 1);
    assert_eq!(whole(&model, body()).await["choices"], before["choices"]);
}

#[tokio::test]
async fn a_process_that_keeps_dying_is_out_until_an_administrator_says_otherwise() {
    let model = ready().await;
    for deaths in 1..=5 {
        until(&model, |model| model.engine_room().unwrap().process.is_some()).await;
        kill(&model);
        until(&model, |model| model.engine_room().unwrap().deaths == deaths).await;
    }

    let refused = model.chat(call(json!({}), false)).await.unwrap_err();
    assert_eq!((refused.code, model.engine_room().unwrap().is_out), (Code::UpstreamFailed, true));
    model.order(EngineOrder::Load).unwrap();

    until(&model, |model| model.availability() == Availability::Ready).await;
    assert_eq!(whole(&model, json!({ "max_tokens": 2 })).await["usage"]["completion_tokens"], 2);
}

#[tokio::test]
async fn a_process_that_hangs_is_killed_and_started_again() {
    let model = start(|settings| settings.stall_after = Duration::from_millis(500));
    until(&model, |model| model.availability() == Availability::Ready).await;
    let process = model.engine_room().unwrap().process.unwrap().to_string();

    assert!(Command::new("kill").args(["-STOP", &process]).status().unwrap().success());

    until(&model, |model| model.engine_room().unwrap().restarts == 1 && model.availability() == Availability::Ready)
        .await;
    let room = model.engine_room().unwrap();
    assert_eq!((room.stalls, room.deaths), (1, 1));
}

#[tokio::test]
async fn leaving_an_answer_frees_the_turn_in_the_process() {
    let model = ready().await;
    let mut left = stream(&model, json!({ "seed": 1, "max_tokens": 400 })).await;
    left.next().await.unwrap().unwrap();

    drop(left);

    assert_eq!(whole(&model, json!({ "max_tokens": 1 })).await["usage"]["completion_tokens"], 1);
    until(&model, |model| model.engine_room().unwrap().running == 0).await;
}

#[tokio::test]
async fn refusals_come_through_with_their_place() {
    let model = ready().await;
    let schema = json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": { "type": "nonsense" } } });

    let error = model.chat(call(json!({ "response_format": schema }), false)).await.unwrap_err();

    assert_eq!((error.code, error.param.as_deref()), (Code::UpstreamRejected, Some("response_format")));
}

#[tokio::test]
async fn the_process_ends_with_its_model() {
    let model = ready().await;
    let process = model.engine_room().unwrap().process.unwrap();

    drop(model);

    let is_there = || Command::new("kill").args(["-0", &process.to_string()]).status().unwrap().success();
    let gone = async {
        while is_there() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
}
