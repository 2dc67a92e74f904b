//! Hedged requests through the whole gateway.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::harness::{
    Ended, Frame, Server, Setup, Step, Upstream, chat, server, streamed,
    upstream::{delta, done, finish, stream_head},
};

fn setup(upstream: &Upstream, start: &str) -> Setup {
    let policy = json!({"candidates": ["small", "large"], "strategy": {"fixed": {"model": "small"}},
        "hedge": {"start": start, "share": 1.0}});
    Setup::new(upstream).policy("default", policy.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_slow_to_begin_is_overtaken_cancelled_and_booked() {
    for is_streaming in [true, false] {
        let upstream = Upstream::start().await;
        upstream.plays("upstream-small", vec![stream_head(), Step::Stall]);
        upstream.answers("upstream-large", "Here I am.");
        let server = Server::start(setup(&upstream, "50ms")).await;

        let answer =
            server.ask(&if is_streaming { streamed("auto") } else { chat("auto") }).await.with_status(200).await;
        let plan = answer.header("x-pointsman-plan").to_owned();
        let text = if is_streaming {
            answer.events().await.iter().map(Frame::text).collect::<String>()
        } else {
            answer.json().await["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
        };

        assert_eq!((plan.as_str(), text.as_str()), ("hedged", "Here I am."));
        let journal = upstream.until("the end of both legs", |all| all.iter().all(|one| one.ended.is_some())).await;
        let ends: Vec<_> = journal.iter().map(|served| (served.model.as_str(), served.ended.unwrap().0)).collect();
        assert_eq!(ends, [("upstream-small", Ended::ClientGone), ("upstream-large", Ended::Played)]);
        let record = server.until_booked(1).await.remove(0);
        let outcomes: Vec<_> = record.attempts.iter().map(|attempt| attempt.outcome.as_str()).collect();
        assert_eq!(outcomes, ["cancelled", "ok"]);
        let verdicts: Value = serde_json::from_str(record.verdicts.as_deref().unwrap()).unwrap();
        assert_eq!((&verdicts[0]["cause"], &verdicts[1]["cause"]), (&json!("late"), &json!("first_token")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_begins_in_time_is_not() {
    let upstream = Upstream::start().await;
    let gate = Arc::new(Semaphore::new(0));
    upstream.plays(
        "upstream-small",
        vec![stream_head(), delta("Hi"), Step::Wait(gate.clone()), finish(), done(), Step::End],
    );
    let server = Server::start(setup(&upstream, "10s")).await;

    let mut answer = server.ask(&streamed("auto")).await;
    let first = answer.event().await.unwrap();
    gate.add_permits(1);
    answer.events().await;

    assert_eq!((first.text().as_str(), upstream.journal().len()), ("Hi", 1));
}

#[tokio::test]
async fn check_tells_every_fault_of_a_hedge() {
    let policy = |hedge: Value, fallbacks: u32| {
        json!({"strategy": {"fixed": {"model": "small"}}, "hedge": hedge, "fallbacks": fallbacks}).to_string()
    };
    let setup = Setup::new(&Upstream::start().await)
        .policy("alone", policy(json!({}), 0))
        .policy("range", policy(json!({"quantile": 0.2, "share": 1.5, "start": "soon"}), 2));

    let output = server::run(&setup, &["check", "--config", "pointsman.yaml"]);

    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    for expected in [
        "hedge: there is nobody to hedge with",
        "hedge.quantile: 0.2 is too small",
        "hedge.share: 1.5 is too large",
        "hedge.start: \"soon\" is not a length of time",
    ] {
        assert!(said.contains(expected), "{expected:?} is missing in\n{said}");
    }
}
