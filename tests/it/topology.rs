//! Topologies through the whole gateway.

use serde_json::{Value, json};

use crate::harness::{Ended, Frame, Server, Setup, Step, Upstream, chat, server, streamed, upstream::stream_head};

fn setup(upstream: &Upstream, topology: Value) -> Setup {
    let medium = json!({"name": "medium", "provider": "scripted", "upstream": "upstream-medium", "context_window": 32768,
        "tools": true, "prices": {"input": 2.0, "output": 4.0}});
    let policy =
        json!({"candidates": ["small", "medium", "large"], "strategy": {"topology": topology}, "fallbacks": 0});
    Setup::new(upstream).model(medium).policy("default", policy.to_string())
}

fn sequential() -> Value {
    json!({"sequential": {"draft": "small", "critic": "large", "reviser": "medium"}})
}

fn asked(upstream: &Upstream) -> Vec<String> {
    upstream.journal().iter().map(|served| served.model.trim_start_matches("upstream-").to_owned()).collect()
}

fn last_turn(upstream: &Upstream, call: usize) -> String {
    let body = upstream.journal()[call].json();
    body["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_is_criticised_and_revised_and_the_revision_is_streamed() {
    let upstream = Upstream::start().await;
    upstream.answers("upstream-small", "It is 41.");
    upstream.answers("upstream-large", "Off by one.");
    upstream.answers("upstream-medium", "It is 42.");
    let server = Server::start(setup(&upstream, sequential())).await;

    let answer = server.ask(&streamed("auto")).await;
    let plan = answer.header("x-pointsman-plan").to_owned();
    let events = answer.events().await;

    assert_eq!((plan.as_str(), events.iter().map(Frame::text).collect::<String>().as_str()), ("topology", "It is 42."));
    assert_eq!(asked(&upstream), ["small", "large", "medium"]);
    assert_eq!(last_turn(&upstream, 0), "Say hello.");
    assert!(last_turn(&upstream, 1).contains("<answer>\nIt is 41.\n</answer>"));
    let revise = last_turn(&upstream, 2);
    assert!(revise.contains("It is 41.") && revise.contains("<critique>\nOff by one.\n</critique>"), "{revise}");
    let record = server.until_booked(1).await.remove(0);
    assert_eq!((record.reason.as_deref(), record.attempts.len()), (Some("topology"), 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_draft_is_given_whole() {
    let upstream = Upstream::start().await;
    upstream.answers("upstream-small", "It is 42.");
    upstream.answers("upstream-large", "APPROVED");
    let server = Server::start(setup(&upstream, sequential())).await;

    let answer = server.chat(&chat("auto")).header("x-pointsman-explain", 1).send().await.with_status(200).await;
    let model = answer.header("x-pointsman-model").to_owned();
    let answer = answer.json().await;

    assert_eq!((model.as_str(), &answer["choices"][0]["message"]["content"]), ("small", &json!("It is 42.")));
    assert_eq!(asked(&upstream), ["small", "large"]);
    let causes: Vec<&Value> =
        answer["pointsman"]["verdicts"].as_array().unwrap().iter().map(|verdict| &verdict["cause"]).collect();
    assert_eq!(causes, ["task", "task", "approved"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_with_tools_are_answered_by_the_last_model_alone() {
    let upstream = Upstream::start().await;
    let server = Server::start(setup(&upstream, sequential())).await;
    let mut body = chat("auto");
    body["tools"] = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);

    let answer = server.ask(&body).await.with_status(200).await;

    assert_eq!((answer.header("x-pointsman-plan"), asked(&upstream)), ("single", vec!["medium".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_takes_every_task_with_it() {
    let upstream = Upstream::start().await;
    for model in ["upstream-small", "upstream-medium"] {
        upstream.plays(model, vec![stream_head(), Step::Stall]);
    }
    let parallel = json!({"parallel": {"members": ["small", "medium"], "primary": "large", "brief": 50}});
    let server = Server::start(setup(&upstream, parallel)).await;

    let connection = server.chat(&streamed("auto")).dispatch().await;
    let journal = upstream.until("both members", |all| all.len() == 2).await;
    drop(connection);

    assert!(journal.iter().all(|served| served.json()["max_tokens"] == 50));
    let journal = upstream.until("their end", |all| all.iter().all(|one| one.ended.is_some())).await;
    assert!(journal.iter().all(|served| served.ended.unwrap().0 == Ended::ClientGone));
    let record = server.until_booked(1).await.remove(0);
    assert_eq!((record.outcome.as_str(), asked(&upstream).len()), ("client_gone", 2));
}

#[tokio::test]
async fn check_tells_cycles_and_every_other_fault_of_a_topology() {
    let task =
        |name: &str, does: &str, after: &[&str]| json!({"name": name, "model": "small", "does": does, "after": after});
    let graph = |tasks: Vec<Value>| json!({"strategy": {"topology": {"graph": {"tasks": tasks}}}}).to_string();
    let members = json!({"strategy": {"topology": {"parallel": {"members": [], "primary": "large"}}}}).to_string();
    let critic =
        json!({"strategy": {"topology": {"sequential": {"draft": "small", "critic": "lage", "reviser": "large"}}}});
    let setup = Setup::new(&Upstream::start().await)
        .policy("cycle", graph(vec![task("a", "answer", &["b"]), task("b", "revise", &["a"])]))
        .policy("ends", graph(vec![task("a", "answer", &[]), task("b", "answer", &[])]))
        .policy("names", graph(vec![task("a", "answer", &["z"]), task("a", "answer", &[])]))
        .policy("last", graph(vec![task("a", "answer", &[]), task("b", "critique", &["a"])]))
        .policy("empty", members)
        .policy("critic", critic.to_string());

    let output = server::run(&setup, &["check", "--config", "pointsman.yaml"]);

    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    for expected in [
        "these tasks wait for each other: a, b",
        "one task must come last, but nothing builds on any of a, b",
        "tasks[0].after[0]: unknown task \"z\"",
        "tasks[1].name: there are two tasks \"a\"",
        "the last task must write an answer, and every other task must lead to it",
        "parallel.members: needs at least 1 item(s)",
        "sequential.critic: unknown model \"lage\"",
    ] {
        assert!(said.contains(expected), "{expected:?} is missing in\n{said}");
    }
}
