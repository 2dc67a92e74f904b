//! A cascade through the whole gateway: the upstream's journal shows exactly the legs that the plan names.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::harness::{
    Ended, Frame, Server, Setup, Step, Upstream, chat, server, streamed,
    upstream::{completion, done, event, finish, json_answer, piece, refuses, stream_head, usage_event},
};

/// A policy that asks `small` first, `large` when one of these tests says so; `judge` may be asked too.
fn policy(tests: Value) -> String {
    let rungs = json!([{"model": "small", "defer": tests}, {"model": "large"}]);
    let strategy = json!({"cascade": {"rungs": rungs}});
    json!({"candidates": ["small", "large", "judge"], "strategy": strategy, "fallbacks": 0}).to_string()
}

fn setup(upstream: &Upstream, tests: Value) -> Setup {
    let judge = json!({"name": "judge", "provider": "scripted", "upstream": "upstream-judge", "context_window": 32768,
        "prices": {"input": 2.0, "output": 2.0}});
    Setup::new(upstream).model(judge).policy("default", policy(tests))
}

/// The event of one token of this log-probability.
fn token(text: &str, logprob: f64) -> Step {
    let logprobs = json!({"content": [{"token": text, "logprob": logprob, "bytes": null, "top_logprobs": []}]});
    event(&piece(json!([{"index": 0, "delta": {"content": text}, "logprobs": logprobs, "finish_reason": null}])))
}

fn told(logprobs: &[f64], end: Vec<Step>) -> Vec<Step> {
    let tokens = logprobs.iter().map(|logprob| token("Hm. ", *logprob));
    [stream_head()].into_iter().chain(tokens).chain(end).collect()
}

fn ending() -> Vec<Step> {
    vec![finish(), usage_event(), done(), Step::End]
}

fn asked(upstream: &Upstream) -> Vec<String> {
    upstream.journal().iter().map(|served| served.model.trim_start_matches("upstream-").to_owned()).collect()
}

fn text(events: &[Frame]) -> String {
    events.iter().map(Frame::text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_passes_is_given_as_it_came_and_nobody_else_is_asked() {
    let upstream = Upstream::start().await;
    upstream.plays("upstream-small", told(&[-0.1, -0.2], ending()));
    let server = Server::start(setup(&upstream, json!([{"logprob": {"below": -1.0}}]))).await;

    let answer = server.ask(&streamed("auto")).await;
    let (plan, model) = (answer.header("x-pointsman-plan").to_owned(), answer.header("x-pointsman-model").to_owned());
    let events = answer.events().await;

    assert_eq!((plan.as_str(), model.as_str(), text(&events).as_str()), ("cascade", "small", "Hm. Hm. "));
    assert_eq!(asked(&upstream), ["small"]);
    let sent = upstream.journal()[0].json();
    assert_eq!((&sent["logprobs"], &sent["stream"]), (&json!(true), &json!(true)));
    let shown = events.iter().filter_map(Frame::json).all(|chunk| chunk["choices"][0]["logprobs"].is_null());
    assert!(shown, "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_goes_on_and_the_record_says_why() {
    let upstream = Upstream::start().await;
    upstream.answers("upstream-small", "I'm sorry, but I can't help with that.");
    upstream.answers("upstream-large", "Of course: 42.");
    let server = Server::start(setup(&upstream, json!([{"refusal": {}}]))).await;

    let answer = server.chat(&chat("auto")).header("x-pointsman-explain", 1).send().await.with_status(200).await;
    let model = answer.header("x-pointsman-model").to_owned();
    let answer = answer.json().await;

    assert_eq!((model.as_str(), &answer["choices"][0]["message"]["content"]), ("large", &json!("Of course: 42.")));
    assert_eq!(asked(&upstream), ["small", "large"]);
    let explained = &answer["pointsman"];
    assert_eq!((&explained["reason"], &explained["plan"]["kind"]), (&json!("cascade"), &json!("cascade")));
    let verdicts = json!([
        {"leg": 0, "model": "small", "ruling": "deferred", "cause": "refusal"},
        {"leg": 1, "model": "large", "ruling": "accepted", "cause": "untested"},
    ]);
    assert_eq!(explained["verdicts"], verdicts);
    let record = server.until_booked(1).await.remove(0);
    let models: Vec<_> =
        record.attempts.iter().map(|attempt| (attempt.model.as_str(), attempt.outcome.as_str())).collect();
    assert_eq!(models, [("small", "ok"), ("large", "ok")]);
    assert_eq!(serde_json::from_str::<Value>(record.verdicts.as_deref().unwrap()).unwrap(), verdicts);
    assert_eq!(record.cost_nanos, 11 * 1_000 + 7 * 2_000 + 11 * 10_000 + 7 * 20_000);
    let labels = [r#"model="small""#, r#"ruling="deferred""#, r#"cause="refusal""#];
    server.until_metric("pointsman_plan_verdicts_total", &labels, |count| count == 1.0).await;
    assert_eq!(server.metric("pointsman_fallbacks_total", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubtful_answer_is_cancelled_while_it_is_written() {
    let upstream = Upstream::start().await;
    upstream.plays("upstream-small", told(&[-3.0; 4], vec![Step::Stall]));
    upstream.answers("upstream-large", "Surely.");
    let server = Server::start(setup(&upstream, json!([{"logprob": {"below": -1.0, "after": 4}}]))).await;

    let events = server.ask(&streamed("auto")).await.events().await;

    assert_eq!(text(&events), "Surely.");
    let journal = upstream.until("the end of the first leg", |all| all.iter().all(|one| one.ended.is_some())).await;
    assert_eq!(journal[0].ended.unwrap().0, Ended::ClientGone);
    let record = server.until_booked(1).await.remove(0);
    let outcomes: Vec<_> = record.attempts.iter().map(|attempt| attempt.outcome.as_str()).collect();
    assert_eq!(outcomes, ["cancelled", "ok"]);
    assert_eq!(record.attempts[0].tokens.1, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beginning_that_the_policy_accepts_is_passed_on_token_by_token() {
    let upstream = Upstream::start().await;
    let gate = Arc::new(Semaphore::new(0));
    upstream.plays(
        "upstream-small",
        told(&[-0.1; 3], [vec![Step::Wait(gate.clone()), token("End.", -0.1)], ending()].concat()),
    );
    let rungs = json!([{"model": "small", "defer": [{"logprob": {"below": -1.0, "after": 3}}], "accept_after": 3},
        {"model": "large"}]);
    let policy = json!({"candidates": ["small", "large"], "strategy": {"cascade": {"rungs": rungs}}}).to_string();
    let server = Server::start(setup(&upstream, json!([{"refusal": {}}])).policy("default", policy)).await;

    let mut answer = server.ask(&streamed("auto")).await;
    let first = answer.event().await.unwrap();
    gate.add_permits(1);
    let rest = answer.events().await;

    assert_eq!(first.text() + &text(&rest), "Hm. Hm. Hm. End.");
    assert_eq!(asked(&upstream), ["small"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_before_an_answer_is_accepted_is_filled_with_comments() {
    let upstream = Upstream::start().await;
    let gate = Arc::new(Semaphore::new(0));
    upstream.plays("upstream-small", told(&[-0.1], [vec![Step::Wait(gate.clone())], ending()].concat()));
    let setup = setup(&upstream, json!([{"logprob": {"below": -1.0}}])).set("/server/heartbeat", "50ms");
    let server = Server::start(setup).await;

    let mut answer = server.ask(&streamed("auto")).await;
    for _ in 0..3 {
        assert!(matches!(answer.frame().await.unwrap(), Frame::Comment(_)));
    }
    gate.add_permits(1);

    assert_eq!(text(&answer.events().await), "Hm. ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_takes_the_whole_plan_with_it() {
    let upstream = Upstream::start().await;
    upstream.plays("upstream-small", told(&[-3.0], vec![Step::Stall]));
    let server = Server::start(setup(&upstream, json!([{"logprob": {"below": -1.0}}]))).await;

    let connection = server.chat(&streamed("auto")).dispatch().await;
    upstream.until("the first leg", |all| !all.is_empty()).await;
    drop(connection);

    let journal = upstream.until("its end", |all| all[0].ended.is_some()).await;
    assert_eq!((journal.len(), journal[0].ended.unwrap().0), (1, Ended::ClientGone));
    let record = server.until_booked(1).await.remove(0);
    assert_eq!((record.outcome.as_str(), record.attempts.len()), ("client_gone", 1));
    assert_eq!(asked(&upstream), ["small"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_is_a_leg_of_its_own_and_one_that_talks_nonsense_is_not_believed() {
    let upstream = Upstream::start().await;
    for grade in ["95", "12", "It is a fine answer."] {
        upstream.plays("upstream-judge", json_answer(200, &completion(grade)));
    }
    let server = Server::start(setup(&upstream, json!([{"judge": {"model": "judge", "below": 0.5}}]))).await;
    let ask = async || {
        let answer = server.chat(&chat("auto")).header("cache-control", "no-store, no-cache").send().await;
        answer.with_status(200).await.header("x-pointsman-model").to_owned()
    };

    let models = [ask().await, ask().await, ask().await];

    assert_eq!(models, ["small", "large", "large"]);
    assert_eq!(asked(&upstream), ["small", "judge", "small", "judge", "large", "small", "judge", "large"]);
    let question = upstream.journal()[1].json();
    let content = question["messages"][1]["content"].as_str().unwrap();
    assert!(content.contains("Say hello.") && content.contains("Hello there."), "{content}");
    let causes: Vec<Value> = server
        .until_booked(3)
        .await
        .iter()
        .map(|record| serde_json::from_str::<Value>(record.verdicts.as_deref().unwrap()).unwrap()[0]["cause"].clone())
        .collect();
    assert_eq!(causes, ["passed", "judge", "judge_unreadable"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_doubt_is_better_than_none() {
    let upstream = Upstream::start().await;
    upstream.plays("upstream-large", refuses(500, "down"));
    let server = Server::start(setup(&upstream, json!([{"length": {"min": 1000}}]))).await;

    let answer =
        server.chat(&chat("auto")).header("x-pointsman-explain", 1).send().await.with_status(200).await.json().await;

    assert_eq!(answer["choices"][0]["message"]["content"], "Hello there.");
    let verdicts = answer["pointsman"]["verdicts"].as_array().unwrap();
    let rulings: Vec<&Value> = verdicts.iter().map(|verdict| &verdict["ruling"]).collect();
    assert_eq!(rulings, ["deferred", "failed", "kept"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_answer_is_cached_like_any_other() {
    let upstream = Upstream::start().await;
    upstream.answers("upstream-small", "I cannot help with that.");
    let server = Server::start(setup(&upstream, json!([{"refusal": {}}]))).await;

    let first = server.ask(&chat("auto")).await.json().await;
    let again = server.ask(&streamed("auto")).await;

    assert_eq!((again.header("x-pointsman-cache"), again.header("x-pointsman-model")), ("hit", "large"));
    assert_eq!(text(&again.events().await), first["choices"][0]["message"]["content"].as_str().unwrap());
    assert_eq!(asked(&upstream), ["small", "large"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rung_starts_that_the_request_cannot_pay() {
    let upstream = Upstream::start().await;
    upstream.answers("upstream-small", "I cannot help with that.");
    let server = Server::start(setup(&upstream, json!([{"refusal": {}}]))).await;
    let mut body = chat("auto");
    body["max_tokens"] = 100.into();
    // Large may cost 0.00207 by itself; what small has cost by then leaves less.
    body["pointsman"] = json!({"max_cost": 0.00208});

    let answer = server.ask(&body).await.with_status(200).await;

    assert_eq!((answer.header("x-pointsman-model"), asked(&upstream)), ("small", vec!["small".to_owned()]));
}

#[tokio::test]
async fn check_tells_every_fault_of_a_cascade() {
    let upstream = Upstream::start().await;
    let cascade = |defer: Value| {
        let rungs = json!([{"model": "smal", "defer": defer}, {"model": "small"},
            {"model": "small", "defer": [{"refusal": {}}], "accept_after": 5}]);
        json!({"strategy": {"cascade": {"rungs": rungs}}}).to_string()
    };
    let shape = cascade(json!([
        {"logprob": {"below": 0.5}}, {"margin": {"below": -1}}, {"self_check": {"below": 1.5}}, {"prior": {"below": -0.1}},
        {"refuse": {}}, {"judge": {"below": 0.5}},
    ]));
    let sense = cascade(json!([
        {"logprob": {"statistic": "quantile", "below": -1}}, {"length": {"min": 9, "max": 3}}, {"length": {}},
        {"format": {"regex": "("}}, {"format": {"schema": 1}}, {"judge": {"model": "jugde", "below": 0.5}},
        {"refusal": {"phrases": [" "]}}, {"agreement": {"extract": {"json": {"field": "a"}}, "below": 0.5}},
    ]));
    let empty = json!({"strategy": {"cascade": {}}});
    let short = json!({"strategy": {"cascade": {"models": ["small", "small"]}}});
    let both = json!({"strategy": {"cascade": {"models": ["small"], "rungs": [{"model": "small"}]}}});
    let nan = "strategy: { cascade: { models: [small, large], defer: [{ logprob: { below: .nan } }] } }\n";
    let setup = Setup::new(&upstream)
        .policy("shape", shape)
        .policy("sense", sense)
        .policy("both", both.to_string())
        .policy("empty", empty.to_string())
        .policy("short", short.to_string())
        .policy("nan", nan);

    let output = server::run(&setup, &["check", "--config", "pointsman.yaml"]);

    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    for expected in [
        "logprob.below: 0.5 is too large: at most 0",
        "margin.below: -1 is too small: at least 0",
        "self_check.below: 1.5 is too large: at most 1",
        "prior.below: -0.1 is too small: at least 0",
        "\"refuse\" is none of prior, logprob",
        "judge.model: the key \"model\" is missing",
        "rungs[0].model: unknown model \"smal\"",
        "defer[0].logprob: \"quantile\" is missing",
        "defer[1].length: the range is empty: min is above max",
        "defer[2].length: it needs one of min and max",
        "defer[3].format.regex: the pattern does not compile: unclosed group",
        "defer[4].format.schema: a JSON schema is a mapping",
        "defer[5].judge.model: unknown model \"jugde\"",
        "defer[6].refusal.phrases: a phrase must not be blank",
        "defer[7].agreement.extract.json.field: \"a\" is no JSON pointer",
        "rungs[1]: nothing ever sends a request on from here",
        "rungs[2].defer: the last model's answer is always accepted",
        "rungs[2].accept_after: an answer can only be accepted early",
        "strategy.cascade: it names no models",
        "nothing ever sends a request on: \"defer\" is missing",
        "the model small stands twice",
        "rungs: it cannot stand beside \"models\"",
        "non-finite float",
    ] {
        assert!(said.contains(expected), "{expected:?} is missing in\n{said}");
    }
}
