//! What every backend must do, whatever wire or engine is behind it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::StreamExt;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::Backend;
use crate::{
    domain::{
        CallContext, Event, EventStream, KeyId, Modality, ModelCall, ModelFacts, ModelKind, ModelName, Prices,
        Priority, Reply, RequestId, TenantId, Timeouts, Tokens, Waited,
    },
    error::Code,
    wire::{chat::ChatCall, parse::Limits},
};

/// No step of the contract may take longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A question that every model answers with a few words.
const QUESTION: &str = r#"{"model":"auto","messages":[{"role":"user","content":"Say hello."}],"max_tokens":16}"#;

/// A backend under test.
pub(crate) struct Subject {
    /// Answers [`QUESTION`].
    pub(crate) answering: Arc<dyn Backend>,
    /// Takes longer than a tenth of a second for anything; `None` where that cannot be arranged.
    pub(crate) slow: Option<Arc<dyn Backend>>,
}

/// Panics unless the backend keeps the contract of [`Backend`].
pub(crate) async fn keeps_the_contract(subject: Subject) {
    let Subject { answering, slow } = subject;
    within(answers_whole(&*answering)).await;
    within(answers_as_a_stream(&*answering)).await;
    within(starts_nothing_after_the_deadline(&*answering)).await;
    within(survives_callers_who_leave(&*answering)).await;
    if let Some(slow) = slow {
        within(ends_at_the_deadline(&*slow, false)).await;
        within(ends_at_the_deadline(&*slow, true)).await;
    }
}

async fn within(step: impl Future<Output = ()>) {
    timeout(PATIENCE, step).await.expect("a step of the contract hangs");
}

async fn answers_whole(backend: &dyn Backend) {
    let Reply::Whole(whole) = backend.chat(call(false)).await.unwrap() else { panic!("a whole answer was asked for") };

    let body: Value = serde_json::from_slice(&whole.body).unwrap();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["choices"][0]["message"]["role"], "assistant");
    assert!(!body["choices"][0]["message"]["content"].as_str().unwrap().is_empty());
    assert_eq!(body["choices"][0]["finish_reason"].as_str(), whole.finish_reason.as_deref());
    assert!(whole.finish_reason.is_some());
    let usage = whole.usage.expect("usage is told");
    assert!(usage.input.0 > 0 && usage.output.0 > 0);
    assert_eq!(body["usage"]["completion_tokens"], usage.output.0);
}

async fn answers_as_a_stream(backend: &dyn Backend) {
    let events: Vec<Event> = stream(backend).await.map(Result::unwrap).collect().await;

    let chunks: Vec<Value> = events.iter().map(|event| serde_json::from_slice(&event.data).unwrap()).collect();
    assert!(chunks.iter().all(|chunk| chunk["object"] == "chat.completion.chunk"));
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert!(!text.is_empty());
    assert!(events.iter().any(|event| event.has_content));
    assert_eq!(events.iter().filter(|event| event.finish_reason.is_some()).count(), 1);
    let usage: Vec<_> = events.iter().filter_map(|event| event.usage).collect();
    assert!(usage.last().expect("usage is told").output.0 > 0);
}

async fn starts_nothing_after_the_deadline(backend: &dyn Backend) {
    let mut late = call(false);
    late.context.deadline = Instant::now();

    let error = backend.chat(late).await.unwrap_err();

    assert_eq!(error.code, Code::DeadlineExceeded);
}

/// Whether the provider notices is tested with each backend; here, that leaving does no harm.
async fn survives_callers_who_leave(backend: &dyn Backend) {
    drop(backend.chat(call(false)));
    let mut events = stream(backend).await;
    events.next().await.unwrap().unwrap();
    drop(events);

    answers_whole(backend).await;
}

async fn ends_at_the_deadline(backend: &dyn Backend, is_streaming: bool) {
    let mut call = call(is_streaming);
    let deadline = Instant::now() + Duration::from_millis(100);
    call.context.deadline = deadline;

    let error = match backend.chat(call).await {
        Err(error) => error,
        Ok(Reply::Whole(_)) => panic!("the answer came too late and was given all the same"),
        Ok(Reply::Stream(events)) => events.filter_map(|event| async { event.err() }).boxed().next().await.unwrap(),
    };

    assert_eq!(error.code, Code::DeadlineExceeded);
    assert!(Instant::now() >= deadline);
}

async fn stream(backend: &dyn Backend) -> EventStream {
    match backend.chat(call(true)).await.unwrap() {
        Reply::Stream(events) => events,
        Reply::Whole(_) => panic!("a stream was asked for"),
    }
}

fn call(is_streaming: bool) -> ModelCall {
    ModelCall { chat: Arc::new(chat_call(QUESTION)), is_streaming, context: context() }
}

/// Returns a request of this body.
pub(crate) fn chat_call(body: &str) -> ChatCall {
    let limits = Limits { messages: 100, choices: 8, depth: 64 };
    ChatCall::parse(body.to_owned().into(), &limits).unwrap()
}

/// Returns a model's name.
pub(crate) fn model_name(name: &str) -> ModelName {
    ModelName::parse(name).unwrap()
}

/// Returns a context with the usual timeouts and a deadline a minute away.
pub(crate) fn context() -> CallContext {
    CallContext {
        request: RequestId::fresh(),
        tenant: TenantId::parse("tenant").unwrap(),
        key: KeyId::parse("open").unwrap(),
        model: model_name("toy"),
        upstream_model: "upstream-toy".into(),
        timeouts: Timeouts::default(),
        deadline: Instant::now() + Duration::from_secs(60),
        priority: Priority::default(),
        draft: None,
        drafter: None,
        waited: Waited::default(),
    }
}

/// Returns the facts of a model of which nothing is known but its name.
pub(crate) fn model_facts(name: &str) -> ModelFacts {
    ModelFacts {
        name: model_name(name),
        kind: ModelKind::Chat,
        prices: Prices::default(),
        context_window: Tokens(8192),
        max_output: None,
        modalities: [Modality::Text].into(),
        has_tools: true,
        has_json_mode: true,
        has_json_schema: true,
        languages: Default::default(),
        tags: BTreeSet::new(),
        profile: None,
        first_token_ms: 1.0,
        prompt_ms: 0.0,
        per_token_ms: 1.0,
        parameters_b: None,
        released: None,
        is_local: false,
        is_simulated: false,
    }
}
