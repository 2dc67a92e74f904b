//! An ensemble through the whole gateway.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::harness::{
    Ended, Frame, Server, Setup, Step, Upstream, chat, server, streamed,
    upstream::{completion, delta, done, finish, json_answer, stream_head},
};

/// Three members, of which `large` counts as the other two; and one model that only judges.
fn setup(upstream: &Upstream, choose: Value) -> Setup {
    let more = |name: &str| {
        json!({"name": name, "provider": "scripted", "upstream": format!("upstream-{name}"), "context_window": 32768,
            "prices": {"input": 1.0, "output": 2.0}})
    };
    let members = json!([{"model": "small"}, {"model": "medium"}, {"model": "large"}]);
    let ensemble = json!({"members": members, "extract": {"choice": {}}, "choose": choose});
    let candidates = ["small", "medium", "large", "judge"];
    let policy = json!({"candidates": candidates, "strategy": {"ensemble": ensemble}, "fallbacks": 0});
    Setup::new(upstream).model(more("medium")).model(more("judge")).policy("default", policy.to_string())
}

fn asked(upstream: &Upstream) -> Vec<String> {
    let mut asked: Vec<String> =
        upstream.journal().iter().map(|served| served.model.trim_start_matches("upstream-").to_owned()).collect();
    asked.sort();
    asked
}

fn rulings(record: &str) -> Vec<(String, String)> {
    let verdicts: Vec<Value> = serde_json::from_str(record).unwrap();
    let text = |verdict: &Value, key: &str| verdict[key].as_str().unwrap().to_owned();
    let mut all: Vec<_> = verdicts.iter().map(|verdict| (text(verdict, "model"), text(verdict, "ruling"))).collect();
    all.sort();
    all
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(model, ruling)| ((*model).to_owned(), (*ruling).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_agree_decide_and_the_third_is_cancelled_and_booked() {
    let upstream = Upstream::start().await;
    upstream.answers("upstream-small", "The answer is B.");
    upstream.answers("upstream-medium", "(B)");
    upstream.plays("upstream-large", vec![stream_head(), delta("The"), Step::Stall]);
    let server = Server::start(setup(&upstream, json!({"vote": {}}))).await;

    let answer = server.ask(&streamed("auto")).await;
    let plan = answer.header("x-pointsman-plan").to_owned();
    let events = answer.events().await;

    assert_eq!(plan, "ensemble");
    assert_eq!(events.iter().map(Frame::text).collect::<String>(), "The answer is B.");
    let journal = upstream.until("the end of every leg", |all| all.iter().all(|one| one.ended.is_some())).await;
    let large = journal.iter().find(|served| served.model == "upstream-large").unwrap();
    assert_eq!((journal.len(), large.ended.unwrap().0), (3, Ended::ClientGone));
    let record = server.until_booked(1).await.remove(0);
    let expected = pairs(&[("large", "abandoned"), ("medium", "agreed"), ("small", "accepted")]);
    assert_eq!(rulings(record.verdicts.as_deref().unwrap()), expected);
    let mut outcomes: Vec<_> =
        record.attempts.iter().map(|attempt| (attempt.model.as_str(), attempt.outcome.as_str())).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, [("large", "cancelled"), ("medium", "ok"), ("small", "ok")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_picks_the_best_of_all() {
    let upstream = Upstream::start().await;
    upstream.answers("upstream-small", "A");
    upstream.answers("upstream-medium", "A");
    upstream.answers("upstream-large", "C");
    upstream.plays_with("upstream-judge", |body| {
        let is_c = body["messages"][1]["content"].as_str().unwrap().contains("<answer>\nC\n");
        json_answer(200, &completion(if is_c { "90" } else { "20" }))
    });
    let server = Server::start(setup(&upstream, json!({"judge": {"model": "judge"}}))).await;

    let answer = server.ask(&chat("auto")).await.with_status(200).await;
    let model = answer.header("x-pointsman-model").to_owned();

    assert_eq!((model.as_str(), &answer.json().await["choices"][0]["message"]["content"]), ("large", &json!("C")));
    assert_eq!(asked(&upstream), ["judge", "judge", "judge", "large", "medium", "small"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_takes_every_member_with_it() {
    let upstream = Upstream::start().await;
    for model in ["upstream-small", "upstream-medium", "upstream-large"] {
        upstream.plays(model, vec![stream_head(), Step::Stall]);
    }
    let server = Server::start(setup(&upstream, json!({"vote": {}}))).await;

    let connection = server.chat(&streamed("auto")).dispatch().await;
    upstream.until("all legs", |all| all.len() == 3).await;
    drop(connection);

    let journal = upstream.until("their end", |all| all.iter().all(|one| one.ended.is_some())).await;
    assert!(journal.iter().all(|served| served.ended.unwrap().0 == Ended::ClientGone));
    let record = server.until_booked(1).await.remove(0);
    assert_eq!((record.outcome.as_str(), record.attempts.len()), ("client_gone", 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_never_answers_costs_patience_and_no_more() {
    let upstream = Upstream::start().await;
    let gate = Arc::new(Semaphore::new(0));
    upstream.answers("upstream-small", "A");
    upstream.answers("upstream-medium", "B");
    upstream.plays("upstream-large", vec![stream_head(), Step::Wait(gate), delta("B"), finish(), done(), Step::End]);
    let mut patient = setup(&upstream, json!({"vote": {}}));
    let mut policy: Value = serde_json::from_str(&patient.policies[0].1).unwrap();
    policy["strategy"]["ensemble"]["patience"] = "100ms".into();
    patient = patient.policy("default", policy.to_string());
    let server = Server::start(patient).await;

    let answer = server.ask(&chat("auto")).await.with_status(200).await;

    assert_eq!(answer.header("x-pointsman-model"), "small");
    let record = server.until_booked(1).await.remove(0);
    let expected = pairs(&[("large", "abandoned"), ("medium", "outvoted"), ("small", "accepted")]);
    assert_eq!(rulings(record.verdicts.as_deref().unwrap()), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_of_one_model_differ_in_temperature_and_seed() {
    let upstream = Upstream::start().await;
    upstream.answers("upstream-small", "A");
    let ensemble = json!({"members": [{"model": "small", "samples": 3}], "extract": {"choice": {}}});
    let policy = json!({"candidates": ["small"], "strategy": {"ensemble": ensemble}}).to_string();
    let server = Server::start(Setup::new(&upstream).policy("default", policy)).await;
    let mut body = chat("auto");
    body["seed"] = 7.into();

    server.ask(&body).await.with_status(200).await;

    let sent: Vec<Value> = upstream.journal().iter().map(crate::harness::upstream::Served::json).collect();
    assert!(sent.iter().all(|body| body["temperature"] == 0.7), "{sent:?}");
    let mut seeds: Vec<i64> = sent.iter().map(|body| body["seed"].as_i64().unwrap()).collect();
    seeds.sort_unstable();
    assert_eq!(seeds[..2], [7, 8]);
}

#[tokio::test]
async fn check_tells_every_fault_of_an_ensemble() {
    let ensemble = |members: Value, extract: Value, choose: Value| {
        json!({"strategy": {"ensemble": {"members": members, "extract": extract, "choose": choose}}}).to_string()
    };
    let two = || json!([{"model": "small"}, {"model": "large"}]);
    let faulty = json!([{"model": "smal"}, {"model": "small", "weight": 0}, {"model": "large"}, {"model": "large"}]);
    let setup = Setup::new(&Upstream::start().await)
        .policy("empty", ensemble(json!([]), json!({"choice": {}}), json!({"vote": {}})))
        .policy("one", ensemble(json!([{"model": "small"}]), json!({"choice": {}}), json!({"vote": {}})))
        .policy("members", ensemble(faulty, json!({"json": {"field": "answer"}}), json!({"judge": {"model": "jugde"}})))
        .policy("regex", ensemble(two(), json!({"regex": {"pattern": "("}}), json!({"vote": {}})))
        .policy("words", ensemble(two(), json!({"letter": {}}), json!({"votes": {}})))
        .policy(
            "nan",
            "strategy: { ensemble: { members: [{ model: small, weight: .nan }], extract: { choice: {} } } }\n",
        );

    let output = server::run(&setup, &["check", "--config", "pointsman.yaml"]);

    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    for expected in [
        "members: needs at least 1 item(s)",
        "an ensemble makes 2 to 16 calls, not 1",
        "members[0].model: unknown model \"smal\"",
        "members[1].weight: a vote counts more than 0",
        "members[3].model: the model \"large\" is a member already",
        "\"answer\" is no JSON pointer",
        "choose.judge.model: unknown model \"jugde\"",
        "extract.regex.pattern: the pattern does not compile",
        "\"letter\" is none of choice, number, json, regex, text",
        "\"votes\" is none of vote, consistency, judge",
        "non-finite float",
    ] {
        assert!(said.contains(expected), "{expected:?} is missing in\n{said}");
    }
}
