//! `pointsman profile`: what a model can do, learned from its answers.

use std::{path::Path, process::Output};

use pointsman::learning::probes::{Probe, ProbeSet};
use serde_json::{Value, json};

use crate::harness::{
    Server, Setup, Upstream,
    server::{lay_out, run_in},
    setup::fixed,
    soon,
    upstream::{answer, refuses},
};

fn probes() -> Vec<Probe> {
    ProbeSet::embedded().expect("the probes can be read").probes
}

/// Makes an upstream model answer the probes of these topics well and all others badly.
fn knows(upstream: &Upstream, model: &str, topics: &'static [&'static str]) {
    let probes = probes();
    upstream.plays_with(model, move |body| {
        let asked = body["messages"][0]["content"].as_str().unwrap_or_default();
        let probe = probes.iter().find(|probe| probe.prompt == asked).expect("a probe");
        let is_known = topics.contains(&&*probe.topic);
        answer(body, &if is_known { probe.good_answer() } else { probe.bad_answer().to_owned() })
    });
}

/// A gateway with a router (on RTen, which is always there) in front of the upstream.
fn routed(upstream: &Upstream) -> Setup {
    let policy = json!({"schema_version": 1, "candidates": ["small", "large"], "strategy": {"quality_cost": {}}});
    Setup::new(upstream)
        .set("/router", json!({"engine": "rten", "deadline": "10s"}))
        .policy("scored", policy.to_string())
}

fn profile(folder: &Path, setup: &Setup, arguments: &[&str]) -> Output {
    let mut all = vec!["profile", "--config", "pointsman.yaml", "--format", "json"];
    all.extend(arguments);
    tokio::task::block_in_place(|| run_in(folder, setup, &all))
}

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn line<'a>(report: &'a Value, topic: &str) -> &'a Value {
    let lines = report["lines"].as_array().expect("a list");
    lines.iter().find(|line| line["topic"] == topic).unwrap_or_else(|| panic!("no {topic} in {report}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_only_calculates_gets_a_profile_that_says_so() {
    let upstream = Upstream::start().await;
    knows(&upstream, "upstream-small", &["arithmetic", "word_problems"]);
    let setup = routed(&upstream);
    let folder = lay_out(&setup);

    let report = report(&profile(folder.path(), &setup, &["small", "--yes"]));

    let after = |topic: &str| line(&report, topic)["after"].as_f64().unwrap();
    for topic in ["arithmetic", "word_problems"] {
        assert_eq!(line(&report, topic)["mean"], 1.0, "{report}");
        assert!(after(topic) > 0.5, "{report}");
    }
    for topic in ["knowledge", "extraction", "instructions", "code_reading", "multilingual"] {
        assert_eq!(line(&report, topic)["mean"], 0.0, "{report}");
        assert!(after(topic) < 0.3 && after(topic) < after("arithmetic") - 0.3, "{report}");
    }
    assert!(report["brier"].as_f64() < report["prior_brier"].as_f64(), "{report}");
    assert!(report["cost_usd"].as_f64() > Some(0.0), "{report}");
    let asked = upstream.journal();
    assert_eq!(
        asked.len(),
        probes().iter().filter(|probe| !probe.runs_code()).count(),
        "every probe once, the code skipped"
    );
    assert!(asked.iter().all(|served| served.json()["max_tokens"] == 2048), "the request reaches the model as sent");
    let file = std::fs::read_to_string(folder.path().join("data/profiles/small.json")).expect("the profile");
    assert!(file.contains("\"artifact\""), "{file}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_gateway_is_asked_and_uses_the_profile_at_once() {
    let upstream = Upstream::start().await;
    knows(&upstream, "upstream-large", &["arithmetic", "word_problems", "code_reading", "code_writing"]);
    let setup = routed(&upstream);
    let server = Server::start(setup.clone()).await;
    let url = format!("http://{}", server.address());
    let prompt = probes().into_iter().find(|probe| &*probe.topic == "code_writing").expect("a task").prompt;
    let quality = async || {
        let body = json!({"model": "auto:scored", "messages": [{"role": "user", "content": prompt}]});
        let explained = server.admin("POST", "/admin/v1/explain").json(&body).send().await.json().await;
        let rows = explained["candidates"].as_array().cloned().unwrap_or_default();
        rows.into_iter().find(|row| row["model"] == "large").unwrap_or_default()
    };
    let before = quality().await;

    let arguments = ["large", "--yes", "--allow-code", "--limit", "216", "--url", &url];
    let report = report(&profile(server.folder(), &setup, &arguments));
    soon("the profile in use", async {
        while quality().await["is_prior"] != false {
            tokio::task::yield_now().await;
        }
    })
    .await;

    assert_eq!(before["is_prior"], true, "{before}");
    assert_eq!(line(&report, "code_writing")["mean"], 1.0, "{report}");
    let after = |topic: &str| line(&report, topic)["after"].as_f64().unwrap();
    assert!(after("code_writing") > 0.7 && after("knowledge") < 0.3, "{report}");
    assert!(quality().await["quality"].as_f64() > Some(0.7), "{report}");
    let policies = report["policies"].as_array().expect("a list");
    let change = policies.iter().find(|change| change["policy"] == "scored").expect("the policy knows the model");
    let (before, after) = (change["before"].as_f64().unwrap(), change["after"].as_f64().unwrap());
    assert!(before > 0.9 && (0.3..0.6).contains(&after), "it is chosen for what it can, four topics of nine: {report}");
    let requests = server.metric("pointsman_attempts_total", &["model=\"large\""]).await;
    assert!(requests >= 100.0, "they went through the gateway: {requests}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_pays_without_having_agreed() {
    let upstream = Upstream::start().await;
    let setup = routed(&upstream);
    let folder = lay_out(&setup);

    let output = profile(folder.path(), &setup, &["small", "--limit", "40"]);

    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    for expected in ["prompts will be asked", "at most $", "--yes"] {
        assert!(said(&output).contains(expected), "{expected:?} is missing in\n{}", said(&output));
    }
    assert!(upstream.journal().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_broke_goes_on_where_it_was() {
    let upstream = Upstream::start().await;
    let setup = routed(&upstream);
    let folder = lay_out(&setup);
    for _ in 0..40 {
        upstream.plays_with("upstream-small", |body| answer(body, "7"));
    }
    upstream.plays("upstream-small", refuses(404, "No such model."));

    let broken = profile(folder.path(), &setup, &["small", "--yes", "--concurrency", "1"]);
    let asked = upstream.journal().len();
    let other = Upstream::start().await;
    other.answers("upstream-small", "7");
    let elsewhere = setup.set("/providers/scripted/base_url", other.base_url());
    std::fs::write(folder.path().join("pointsman.yaml"), elsewhere.config.to_string()).unwrap();
    let report = report(&profile(folder.path(), &elsewhere, &["small", "--yes"]));

    assert!(!broken.status.success() && said(&broken).contains("does not answer"), "{}", said(&broken));
    assert!(asked >= 48, "{asked}");
    let all = line(&report, "all")["graded"].as_u64().unwrap() as usize;
    assert_eq!(other.journal().len(), all - 40, "what was graded before is not asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn grades_from_a_file_make_a_profile_without_asking_anyone() {
    let upstream = Upstream::start().await;
    let setup = routed(&upstream);
    let folder = lay_out(&setup);
    let triple = |probe: &Probe| {
        let score = u8::from(&*probe.topic == "arithmetic");
        json!({"prompt": probe.prompt, "model": "small", "score": score, "topic": probe.topic}).to_string()
    };
    let lines: Vec<String> = probes().iter().map(triple).collect();
    std::fs::write(folder.path().join("grades.jsonl"), lines.join("\n")).unwrap();
    std::fs::write(folder.path().join("bad.csv"), "prompt,model,score\nhello,small,good\n").unwrap();

    let good = report(&profile(folder.path(), &setup, &["small", "--from", "grades.jsonl"]));
    let bad = profile(folder.path(), &setup, &["small", "--from", "bad.csv"]);

    assert!(line(&good, "arithmetic")["after"].as_f64() > Some(0.4), "{good}");
    assert!(line(&good, "knowledge")["after"].as_f64() < Some(0.2), "{good}");
    assert!(!bad.status.success() && said(&bad).contains("bad.csv, line 2: score \"good\""), "{}", said(&bad));
    assert!(upstream.journal().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn grades_of_callers_make_a_profile() {
    let upstream = Upstream::start().await;
    let setup = routed(&upstream).set("/recording", json!({"enabled": true}));
    let server = Server::start(setup.clone()).await;
    for probe in probes().iter().filter(|probe| ["arithmetic", "knowledge"].contains(&&*probe.topic)) {
        let body = json!({"model": "small", "messages": [{"role": "user", "content": probe.prompt}]});
        let answer = server.ask(&body).await.with_status(200).await;
        let decision = answer.header("x-pointsman-decision-id").to_owned();
        answer.body().await;
        let grade =
            json!({"decision_id": decision, "thumbs": if &*probe.topic == "arithmetic" { "up" } else { "down" }});
        server.request("POST", "/v1/feedback").json(&grade).send().await.with_status(200).await;
    }
    server.signal("TERM");
    let (_, _, folder) = server.end().await;

    let report = report(&profile(folder.path(), &setup, &["small", "--from-feedback"]));

    let all = line(&report, "all");
    assert_eq!(all["graded"], 108, "{report}");
    assert!(all["mean"].as_f64() > Some(0.4) && all["mean"].as_f64() < Some(0.5), "{report}");
    assert!(report["brier"].as_f64() < report["prior_brier"].as_f64(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_not_there_is_named_with_those_that_are() {
    let upstream = Upstream::start().await;
    let setup = routed(&upstream).policy("default", fixed(&["small"]));
    let folder = lay_out(&setup);

    let output = profile(folder.path(), &setup, &["smal", "--yes"]);

    assert!(!output.status.success() && said(&output).contains("known: small, large"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn simulated_models_can_be_profiled_too() {
    let upstream = Upstream::start().await;
    let simulated = json!({"name": "made-up", "simulated": {"answer": "The answer is 7.", "first_token": "0ms", "per_token": "0ms"},
        "context_window": 8192});
    let setup = routed(&upstream).model(simulated);
    let folder = lay_out(&setup);

    let report = report(&profile(folder.path(), &setup, &["made-up", "--yes", "--limit", "100"]));

    let all = line(&report, "all");
    assert!(all["mean"].as_f64() < Some(0.1) && all["after"].as_f64() < Some(0.2), "{report}");
    assert_eq!(report["cost_usd"], 0.0);
}
