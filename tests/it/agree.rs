//! Probe and agree through the whole gateway, with a committee that was fitted to recorded answers.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::harness::{Ended, Frame, Server, Setup, Upstream, chat, streamed};

/// Fits a committee to answers of `small` and `medium`, which agree where they are right, two times of three, and differ where
/// they are not, and of `large`, which is always right and costs ten times as much.
fn fit(folder: &Path) {
    let record = |index: usize| {
        let (answers, score) = if index.is_multiple_of(3) { ("ABC", [0, 0, 1]) } else { ("CCC", [1, 1, 1]) };
        json!({
            "task": format!("t{}", index % 2), "score": score, "pred": answers, "in_tok": 20, "out_tok": [10, 10, 10],
            "cost": [0.0005, 0.0005, 0.005],
        })
        .to_string()
    };
    let models = json!({"name": "answers", "models": [{"id": "small"}, {"id": "medium"}, {"id": "large"}]});
    fs::create_dir_all(folder.join("answers")).unwrap();
    fs::write(folder.join("answers/meta.json"), models.to_string()).unwrap();
    fs::write(folder.join("answers/records.jsonl"), (0..400).map(record).collect::<Vec<_>>().join("\n")).unwrap();
    let fitted = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["plans", "fit", "--data", "answers", "--out", "committee.json"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(fitted.status.success(), "{}", String::from_utf8_lossy(&fitted.stderr));
}

fn setup(upstream: &Upstream, folder: &Path) -> Setup {
    let medium = json!({"name": "medium", "provider": "scripted", "upstream": "upstream-medium", "context_window": 32768,
        "prices": {"input": 1.0, "output": 2.0}});
    let agree = json!({"model": "exam", "extract": {"choice": {}}, "cost": 0.3});
    let policy = json!({"candidates": ["small", "medium", "large"], "strategy": {"agree": agree}, "fallbacks": 0});
    let file = folder.join("committee.json").to_str().unwrap().to_owned();
    Setup::new(upstream).model(medium).set("/agreements", json!({"exam": file})).policy("default", policy.to_string())
}

fn asked(upstream: &Upstream) -> Vec<String> {
    upstream.journal().iter().map(|served| served.model.trim_start_matches("upstream-").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn cheap_models_that_agree_spare_the_dear_one_and_where_they_differ_it_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    fit(folder.path());
    let upstream = Upstream::start().await;
    upstream.answers("upstream-small", "The answer is B.");
    upstream.answers("upstream-medium", "(B)");
    upstream.answers("upstream-large", "D");
    let server = Server::start(setup(&upstream, folder.path())).await;

    let answer = server.ask(&streamed("auto")).await;
    let plan = answer.header("x-pointsman-plan").to_owned();
    let text = answer.events().await.iter().map(Frame::text).collect::<String>();

    assert_eq!(plan, "agree");
    let mut cheap = asked(&upstream);
    cheap.sort();
    assert_eq!(cheap, ["medium", "small"]);
    assert!(text == "The answer is B." || text == "(B)", "{text}");

    let upstream = Upstream::start().await;
    upstream.answers("upstream-small", "The answer is B.");
    upstream.answers("upstream-medium", "(C)");
    upstream.answers("upstream-large", "D");
    let server = Server::start(setup(&upstream, folder.path())).await;

    let answer = server.ask(&chat("auto")).await.with_status(200).await;
    let model = answer.header("x-pointsman-model").to_owned();

    assert_eq!((model.as_str(), &answer.json().await["choices"][0]["message"]["content"]), ("large", &json!("D")));
    assert_eq!(asked(&upstream).last().unwrap(), "large");
    let journal = upstream.until("the end of every leg", |all| all.iter().all(|one| one.ended.is_some())).await;
    assert!(journal.len() == 3 && journal.iter().all(|served| served.ended.unwrap().0 == Ended::Played), "{journal:?}");
    let record = server.until_booked(1).await.remove(0);
    let verdicts: Vec<Value> = serde_json::from_str(record.verdicts.as_deref().unwrap()).unwrap();
    let accepted: Vec<&Value> = verdicts.iter().filter(|verdict| verdict["ruling"] == "accepted").collect();
    assert_eq!(
        (accepted.len(), &accepted[0]["model"], &accepted[0]["cause"]),
        (1, &json!("large"), &json!("agreement"))
    );
    assert!(accepted[0]["value"].as_f64().unwrap() > 0.5);
}

/// Returns what `pointsman check` says of a policy with this strategy, beside a committee in `committee.json`.
fn checked(folder: &Path, agree: &Value, candidates: &[&str]) -> String {
    let models: Vec<Value> = ["small", "medium", "large"].map(|name| json!({"name": name, "simulated": {}})).to_vec();
    let agreements = json!({"exam": "committee.json", "gone": "gone.json"});
    let config = json!({"models": models, "policies": "policies", "agreements": agreements});
    fs::create_dir_all(folder.join("policies")).unwrap();
    fs::write(folder.join("pointsman.yaml"), config.to_string()).unwrap();
    let policy = json!({"candidates": candidates, "strategy": {"agree": agree}});
    fs::write(folder.join("policies/default.yaml"), policy.to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["check", "--config", "pointsman.yaml"])
        .current_dir(folder)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_committee_that_cannot_be_used_is_told_with_its_place_and_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    fit(folder.path());
    let agree = |model: &str| json!({"model": model, "extract": {"number": {}}});
    let all = ["small", "medium", "large"];

    let unknown = checked(folder.path(), &agree("exm"), &all);
    let gone = checked(folder.path(), &agree("gone"), &all);
    let alone = checked(folder.path(), &agree("exam"), &["small"]);
    let negative = checked(folder.path(), &json!({"model": "exam", "extract": {"text": {}}, "cost": -1.0}), &all);
    let sound = checked(folder.path(), &agree("exam"), &all);

    assert!(unknown.contains("strategy.agree.model: the configuration has no agreement model \"exm\""), "{unknown}");
    assert!(unknown.contains("known: exam, gone"), "{unknown}");
    assert!(gone.contains("gone.json cannot be used"), "{gone}");
    assert!(alone.contains("1 of its members are candidates, and 2 must be"), "{alone}");
    assert!(negative.contains("strategy.agree.cost"), "{negative}");
    assert!(!sound.contains("strategy.agree"), "{sound}");

    let text = fs::read_to_string(folder.path().join("committee.json")).unwrap();
    fs::write(folder.path().join("committee.json"), text.replace("\"model\":\"small\"", "\"model\":\"smal\"")).unwrap();
    let foreign = checked(folder.path(), &agree("exam"), &all);
    assert!(foreign.contains("unknown model \"smal\""), "{foreign}");
}
