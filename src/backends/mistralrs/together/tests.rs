//! The trained pair, decoding together.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::*;
use crate::{
    artifacts::Store,
    backends::{
        contract::{Subject, chat_call, context, keeps_the_contract, model_name},
        mistralrs::WeightPlace,
    },
    config::{Environment, LocalSettings, WeightSource},
    domain::EventStream,
    runtime::SystemClock,
};

fn member(name: &str, weights: &str, neighbours: &Neighbours) -> Arc<Local> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-family").join(weights);
    let place = WeightPlace { store: Store::new(Environment::System.data_dir()), may_fetch: false };
    let settings = LocalSettings::of(WeightSource::Path(path));
    let local = Local::start(model_name(name), settings, place, Arc::new(SystemClock::default()));
    local.join(neighbours);
    local
}

/// The target as "large", the draft as "small" and once more as "tuned".
struct Family {
    neighbours: Neighbours,
    large: Arc<Local>,
    small: Arc<Local>,
    tuned: Arc<Local>,
}

impl Family {
    async fn new() -> Self {
        let neighbours = Neighbours::default();
        let large = member("large", "target", &neighbours);
        let small = member("small", "draft", &neighbours);
        let tuned = member("tuned", "draft", &neighbours);
        for local in [&large, &small, &tuned] {
            local.settled().await;
        }
        Self { neighbours, large, small, tuned }
    }

    fn together(&self, settings: TogetherSettings) -> Arc<Together> {
        let clock = Arc::new(SystemClock::default());
        Together::start(model_name("company"), settings, self.neighbours.clone(), clock)
    }

    fn contrastive(&self, alpha: f64) -> Arc<Together> {
        let (large, small) = (model_name("large"), model_name("small"));
        self.together(TogetherSettings::Contrastive { large, small, alpha, plausibility: 0.1 })
    }

    fn proxy(&self, alpha: f64) -> Arc<Together> {
        let (base, expert, anti_expert) = (model_name("large"), model_name("tuned"), model_name("small"));
        self.together(TogetherSettings::Proxy { base, expert, anti_expert, alpha })
    }

    fn gated(&self, entropy: f64, budget: f64) -> Arc<Together> {
        let (small, large) = (model_name("small"), model_name("large"));
        self.together(TogetherSettings::Gated { small, large, entropy, budget })
    }
}

fn call(question: &str, more: Value, is_streaming: bool) -> ModelCall {
    let mut body =
        json!({ "model": "company", "max_tokens": 40, "messages": [{ "role": "user", "content": question }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    ModelCall { chat: Arc::new(chat_call(&body.to_string())), is_streaming, context: context() }
}

async fn text(model: &dyn Backend, question: &str, more: Value) -> String {
    let Reply::Whole(whole) = model.chat(call(question, more, false)).await.unwrap() else { panic!("not whole") };
    let body: Value = serde_json::from_slice(&whole.body).unwrap();
    body["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

async fn stream(model: &dyn Backend, question: &str, more: Value) -> EventStream {
    let Reply::Stream(events) = model.chat(call(question, more, true)).await.unwrap() else { panic!("no stream") };
    events
}

const QUESTIONS: [&str; 4] =
    ["Count from 3 to 9.", "Sort 5 2 8.", "Past: the old horse sees a blue tree.", "Count from 11 to 30."];

/// Greedy, and drawn.
fn ways() -> [Value; 2] {
    [json!({ "temperature": 0 }), json!({ "temperature": 0.8, "seed": 11 })]
}

async fn same(one: &dyn Backend, other: &dyn Backend) {
    for question in QUESTIONS {
        for way in ways() {
            assert_eq!(text(one, question, way.clone()).await, text(other, question, way).await, "{question}");
        }
    }
}

#[tokio::test]
async fn without_weight_the_leader_is_alone() {
    let family = Family::new().await;

    same(&*family.contrastive(0.0), &*family.large).await;
    same(&*family.proxy(0.0), &*family.large).await;
}

#[tokio::test]
async fn a_proxy_of_equal_models_changes_nothing() {
    let family = Family::new().await;

    // The expert is the anti-expert, so their difference is nothing, but both are asked for every token.
    same(&*family.proxy(1.0), &*family.large).await;
    assert_eq!(family.tuned.status().room.deaths, 0);
}

#[tokio::test]
async fn a_gate_that_never_opens_is_the_small_model_and_one_that_is_always_open_the_large_one() {
    let family = Family::new().await;
    let (shut, open) = (family.gated(f64::INFINITY, 1.0), family.gated(0.0, 1.0));

    same(&*shut, &*family.small).await;
    same(&*open, &*family.large).await;

    let (shut, open) = (shut.engine_room().unwrap(), open.engine_room().unwrap());
    assert!(shut.decoded > 0 && shut.interventions == 0, "{shut:?}");
    assert_eq!(open.interventions, open.decoded);
}

#[tokio::test]
async fn a_gate_keeps_its_budget_and_a_contrast_says_something_else() {
    let family = Family::new().await;
    let gated = family.gated(0.0, 0.25);
    let mut differs = false;
    for question in QUESTIONS {
        text(&*gated, question, json!({ "temperature": 0 })).await;
        let way = || json!({ "temperature": 1, "seed": 5 });
        differs |=
            text(&*family.contrastive(2.0), question, way()).await != text(&*family.large, question, way()).await;
    }

    let room = gated.engine_room().unwrap();
    assert!(room.interventions > 0 && room.interventions as f64 <= 0.25 * room.decoded as f64, "{room:?}");
    assert!(differs);
}

#[tokio::test]
async fn a_company_keeps_the_contract() {
    let family = Family::new().await;

    keeps_the_contract(Subject { answering: family.contrastive(0.5), slow: None }).await;
}

#[tokio::test]
async fn leaving_gives_all_turns_back_within_a_token() {
    let family = Family::new().await;
    let company = family.proxy(1.0);
    let mut left =
        stream(&*company, "Count from 1 to 60.", json!({ "temperature": 1.5, "seed": 2, "max_tokens": 200 })).await;
    left.next().await.unwrap().unwrap();

    drop(left);

    for local in [&family.large, &family.small, &family.tuned] {
        let free = local.inner.shared.queue.enter(&Caller::own(), Instant::now() + Duration::from_secs(5)).await;
        assert!(free.is_ok());
    }
}

/// Two pairs that take the same engines in opposite roles, and the members on their own, all at once.
#[tokio::test]
async fn companies_of_the_same_members_do_not_wait_for_each_other_for_ever() {
    let family = Family::new().await;
    let (one, other) = (family.contrastive(0.5), family.gated(0.0, 1.0));
    let ask = async |model: &dyn Backend| text(model, "Count from 3 to 9.", json!({ "temperature": 0 })).await;
    let all = async {
        for _ in 0..5 {
            tokio::join!(ask(&*one), ask(&*other), ask(&*one), ask(&*family.large), ask(&*family.small), ask(&*other));
        }
    };

    tokio::time::timeout(Duration::from_secs(120), all).await.expect("nobody waits for ever");
}

#[tokio::test]
async fn a_stream_says_what_the_whole_answer_says_and_a_schema_is_kept() {
    let family = Family::new().await;
    let company = family.contrastive(0.5);
    let schema = json!({ "type": "object", "properties": { "count": { "type": "integer" } }, "required": ["count"],
        "additionalProperties": false });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": schema } });
    let way = || json!({ "temperature": 0, "max_tokens": 100, "response_format": format.clone() });
    let question = "Write as JSON: thing lamp, colour red, count 4.";

    let whole = text(&*company, question, way()).await;
    let events: Vec<_> = stream(&*company, question, way()).await.map(Result::unwrap).collect().await;

    let chunks = events.iter().map(|event| serde_json::from_slice::<Value>(&event.data).unwrap());
    let streamed: String =
        chunks.filter_map(|chunk| Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned())).collect();
    assert_eq!(streamed, whole);
    assert!(serde_json::from_str::<Value>(&whole).unwrap()["count"].is_i64(), "{whole}");
}

#[tokio::test]
async fn tools_and_members_that_are_not_here_are_refused() {
    let family = Family::new().await;
    let tool =
        json!({ "tools": [{ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } }] });
    let refused = family.contrastive(0.5).chat(call("a", tool, false)).await.unwrap_err();
    let stranger =
        TogetherSettings::Gated { small: model_name("small"), large: model_name("nobody"), entropy: 1.0, budget: 0.2 };
    let lonely = family.together(stranger);

    let error = lonely.chat(call("a", json!({}), false)).await.unwrap_err();

    assert_eq!((refused.code, refused.param.as_deref()), (Code::Unsupported, Some("tools")));
    assert_eq!(error.code, Code::UpstreamFailed);
    assert!(matches!(lonely.availability(), Availability::Failed { .. }));
}
