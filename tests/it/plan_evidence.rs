//! `pointsman plans evaluate` on files that the project has never seen.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

fn evaluate(folder: &Path, arguments: &[&str]) -> (String, String) {
    plans(folder, &[&["evaluate", "--data", "."], arguments].concat())
}

fn plans(folder: &Path, arguments: &[&str]) -> (String, String) {
    let arguments = [&["plans"], arguments].concat();
    let output = Command::new(env!("CARGO_BIN_EXE_pointsman")).args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

fn lay_out(folder: &Path, name: &str, models: &[&str], records: impl Iterator<Item = Value>) {
    let models: Vec<Value> = models.iter().map(|id| json!({ "id": id })).collect();
    let lines: Vec<String> = records.map(|record| record.to_string()).collect();
    fs::create_dir_all(folder.join(name)).unwrap();
    fs::write(folder.join(name).join("meta.json"), json!({ "name": name, "models": models }).to_string()).unwrap();
    fs::write(folder.join(name).join("records.jsonl"), lines.join("\n")).unwrap();
}

/// Two cheap models that agree where both are right, which is two times of three; a dear one that always is.
fn lay_out_answers(folder: &Path) {
    let record = |index: usize| {
        let (answers, score) = if index.is_multiple_of(3) { ("ABC", [0, 0, 1]) } else { ("CCC", [1, 1, 1]) };
        json!({
            "prompt": format!("question {index}"), "score": score, "pred": answers, "in_tok": 20,
            "out_tok": [10, 10, 10], "cost": [0.001, 0.001, 0.1],
        })
    };
    lay_out(folder, "letters", &["Small-1", "Small-2", "Large"], (0..300).map(record));
}

/// A small model that is right where it is sure; records have no prompt text.
fn lay_out_signals(folder: &Path) {
    let record = |index: usize| {
        let is_sure = index.is_multiple_of(2);
        json!({
            "prompt": "", "score": [if is_sure { 1 } else { 0 }, 1], "out_tok": [10, 10], "self_verify": 0.5,
            "avg_logp": if is_sure { -0.1 } else { -1.2 }, "avg_entropy": 0.4,
        })
    };
    lay_out(folder, "signals", &["Small", "Large"], (0..200).map(record));
}

#[test]
fn agreement_of_cheap_models_reaches_the_dear_one_and_signals_tell_when_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    lay_out_answers(folder.path());
    lay_out_signals(folder.path());
    let arguments = ["--seeds", "2", "--rounds", "20"];

    let (report, error) = evaluate(folder.path(), &[&arguments[..], &["--format", "json"]].concat());
    let (tables, _) = evaluate(folder.path(), &arguments);

    let report: Value = serde_json::from_str(&report).unwrap_or_else(|fault| panic!("{fault}: {error}"));
    let plan = &report["probes"][0];
    assert_eq!(
        (&plan["set"], &plan["best_single"], &plan["prompts"]),
        (&json!("letters"), &json!("large"), &json!(300))
    );
    assert_eq!(plan["lines"][0]["quality"]["value"].as_f64().unwrap(), 0.0, "{plan}");
    // A third of the prompts cost the dear model and all cost two probes: 33.3 % and 2 %.
    let cost = plan["lines"][0]["cost"]["value"].as_f64().unwrap();
    assert!((cost - 35.3).abs() < 0.2, "{cost}");
    assert_eq!(plan["probes"][0]["models"], json!(["small-1", "small-2"]));
    let tests = report["deferral"][0]["tests"].as_array().unwrap();
    let area = |name: &str| tests.iter().find(|test| test[0] == name).unwrap()[1]["value"].as_f64().unwrap();
    assert!(area("mean log-probability") > 0.99 && area("learned over all of them") > 0.99, "{tests:?}");
    let titles = ["## letters: plans against each other", "## letters: always probing", "## signals: deferral"];
    assert!(titles.iter().all(|title| tables.contains(title)), "{tables}");
}

#[test]
fn plans_are_held_against_each_other_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    lay_out_answers(folder.path());
    let arguments = ["--seeds", "1", "--rounds", "20", "--plots", "charts", "--format", "json"];

    let (report, error) = evaluate(folder.path(), &arguments);

    let report: Value = serde_json::from_str(&report).unwrap_or_else(|fault| panic!("{fault}: {error}"));
    let contest = &report["contests"][0];
    let line = |plan: &str| contest["plans"].as_array().unwrap().iter().find(|line| line["plan"] == plan).unwrap();
    let agree = line("probe and agree");
    let parity = |of: usize| agree["parity"][of]["value"].as_f64().unwrap();
    // Two cheap calls for each prompt, the dear one for a third of them.
    assert!(parity(0).abs() < 0.5 && parity(1) < 36.0, "{agree}");
    let gap = |plan: &str| line(plan)["gap_closed"]["value"].as_f64().unwrap();
    assert!(gap("probe and agree") > 90.0 && gap("routing by category") < 20.0, "{contest}");
    let chart = fs::read_to_string(folder.path().join("charts/letters-plans.svg")).unwrap();
    assert!(chart.starts_with("<svg") && chart.contains("cascade routing"));
}

#[test]
fn files_without_answers_and_malformed_ones_are_told() {
    let folder = tempfile::tempdir().unwrap();
    lay_out(folder.path(), "plain", &["a", "b"], std::iter::once(json!({ "prompt": "x", "score": [1, 0] })));

    let (_, nothing) = evaluate(folder.path(), &[]);
    lay_out(folder.path(), "plain", &["a", "b"], std::iter::once(json!({ "score": [1, 0], "pred": "ABC" })));
    let (_, malformed) = evaluate(folder.path(), &[]);

    assert!(nothing.contains("no set has answers of cheap models"), "{nothing}");
    assert!(malformed.contains("line 1: 3 entries of `pred or ans` for 2 models"), "{malformed}");
}

#[test]
fn a_model_is_fitted_to_ones_own_answers_under_the_names_of_the_gateway() {
    let folder = tempfile::tempdir().unwrap();
    lay_out_answers(folder.path());
    let fit = |more: &[&str]| {
        plans(folder.path(), &[&["fit", "--data", "letters", "--out", "agreement.json"], more].concat())
    };

    let (told, error) = fit(&["--name", "Large=house/large", "--quality-loss", "0.3"]);
    let (_, unknown) = fit(&["--name", "Lrge=house/large"]);
    let (_, nobody) = fit(&["--models", "Nobody"]);

    assert!(told.contains("300 prompts; 3 members") && told.contains("Promise (at most 0.300"), "{told}{error}");
    let document: Value = serde_json::from_slice(&fs::read(folder.path().join("agreement.json")).unwrap()).unwrap();
    assert_eq!(document["members"][0]["model"], "house/large");
    let document: pointsman::routing::agreement::AgreementDocument = serde_json::from_value(document).unwrap();
    assert_eq!(document.compile(|name| name.as_str() != "small-2").unwrap_err().faults.len(), 1);
    assert!(unknown.contains("no such model; there are: small-1, small-2, large"), "{unknown}");
    assert!(nobody.contains("0 sets in letters have answers"), "{nobody}");
}
