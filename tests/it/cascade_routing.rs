//! Cascade routing through the whole gateway.

use serde_json::{Value, json};

use crate::harness::{
    Frame, Server, Setup, Step, Upstream, chat, server, streamed,
    upstream::{done, event, finish, piece, stream_head, usage_event},
};

/// Without a router model both are expected to do equally well, so the cheap one is asked first, and the other where what is seen
/// of its answer is bad enough.
fn setup(upstream: &Upstream) -> Setup {
    let routed = json!({"cost": 0.1, "evidence": [{"logprob": {"low": -2.0, "high": 0.0, "noise": 0.05}}],
        "reject": [{"refusal": {}}]});
    let policy = json!({"candidates": ["large", "small"], "strategy": {"cascade_routing": routed}});
    Setup::new(upstream).policy("default", policy.to_string())
}

fn tells(upstream: &Upstream, model: &str, text: &str, logprob: f64) {
    let logprobs = json!({"content": [{"token": text, "logprob": logprob, "bytes": null, "top_logprobs": []}]});
    let token = piece(json!([{"index": 0, "delta": {"content": text}, "logprobs": logprobs, "finish_reason": null}]));
    upstream.plays(model, vec![stream_head(), event(&token), finish(), usage_event(), done(), Step::End]);
}

fn asked(upstream: &Upstream) -> Vec<String> {
    upstream.journal().iter().map(|served| served.model.trim_start_matches("upstream-").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sure_answer_ends_the_plan() {
    let upstream = Upstream::start().await;
    tells(&upstream, "upstream-small", "Paris.", -0.01);
    let server = Server::start(setup(&upstream)).await;

    let answer = server.ask(&streamed("auto")).await;
    let plan = answer.header("x-pointsman-plan").to_owned();
    let events = answer.events().await;

    assert_eq!((plan.as_str(), asked(&upstream)), ("cascade_routing", vec!["small".to_owned()]));
    assert_eq!(events.iter().map(Frame::text).collect::<String>(), "Paris.");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsure_answer_is_followed_by_another_and_the_better_one_is_given() {
    let upstream = Upstream::start().await;
    tells(&upstream, "upstream-small", "Lyon?", -1.9);
    tells(&upstream, "upstream-large", "Paris.", -0.01);
    let server = Server::start(setup(&upstream)).await;

    let answer = server.chat(&chat("auto")).header("x-pointsman-explain", 1).send().await.with_status(200).await;
    let answer = answer.json().await;

    assert_eq!(answer["choices"][0]["message"]["content"], "Paris.");
    assert_eq!(asked(&upstream), ["small", "large"]);
    let verdicts = answer["pointsman"]["verdicts"].as_array().unwrap();
    let rulings: Vec<(&Value, &Value)> =
        verdicts.iter().map(|verdict| (&verdict["model"], &verdict["ruling"])).collect();
    assert_eq!(rulings, [(&json!("small"), &json!("deferred")), (&json!("large"), &json!("accepted"))]);
    let believed: Vec<f64> = verdicts.iter().map(|verdict| verdict["value"].as_f64().unwrap()).collect();
    assert!(believed[0] < 0.2 && believed[1] > 0.8, "{believed:?}");
    assert_eq!(server.until_booked(1).await[0].attempts.len(), 2);
}

#[tokio::test]
async fn check_tells_every_fault_of_cascade_routing() {
    let routed = |evidence: Value, reject: Value| {
        json!({"strategy": {"cascade_routing": {"evidence": evidence, "reject": reject}}}).to_string()
    };
    let upside_down = json!([{"logprob": {"low": -0.1, "high": -2.0}}, {"judge": {"model": "jugde"}}]);
    let setup = Setup::new(&Upstream::start().await)
        .policy("none", routed(json!([]), json!([])))
        .policy("sense", routed(upside_down, json!([{"self_check": {"below": 0.5}}])))
        .policy("range", routed(json!([{"logprob": {"low": 1, "noise": 2}}]), json!([])));

    let output = server::run(&setup, &["check", "--config", "pointsman.yaml"]);

    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    for expected in [
        "evidence: needs at least 1 item(s)",
        "evidence[0].logprob: low must be below high, but -0.1 is not below -2",
        "evidence[1].judge.model: unknown model \"jugde\"",
        "reject[0]: it is no test of an answer alone",
        "logprob.low: 1 is too large: at most 0",
        "logprob.noise: 2 is too large: at most 1",
    ] {
        assert!(said.contains(expected), "{expected:?} is missing in\n{said}");
    }
}
