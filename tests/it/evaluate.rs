//! `pointsman evaluate` on files that the project has never seen.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};

/// Runs the program in a folder.
fn pointsman(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pointsman")).args(arguments).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Writes a set of sums, which only `acme/Abacus-1` gets right, and of cities, which only `Globe-2` does.
fn lay_out(folder: &Path, splits: [&str; 2]) {
    let price = |id: &str, dollars: f64| json!({ "id": id, "in_price": dollars, "out_price": dollars });
    let meta =
        json!({ "name": "own", "license": "none", "models": [price("acme/Abacus-1", 1.0), price("Globe-2", 4.0)] });
    let record = |index: usize| {
        let is_sum = index.is_multiple_of(2);
        let prompt = match is_sum {
            true => format!("What is the sum of {} and {}?", 31 * index % 97, 17 * index % 89),
            false => format!("Which river flows through the old city of harbour {index}, and into which sea?"),
        };
        let score = if is_sum { [1, 0] } else { [0, 1] };
        json!({
            "id": format!("own:{index}"), "task": if is_sum { "sums" } else { "cities" }, "prompt": prompt,
            "split": splits[index / 2 % 2], "score": score, "in_tok": 12, "out_tok": [10, 10],
        })
    };
    let lines: Vec<String> = (0..240).map(|index| record(index).to_string()).collect();
    fs::create_dir_all(folder.join("own")).unwrap();
    fs::write(folder.join("own/meta.json"), meta.to_string()).unwrap();
    fs::write(folder.join("own/records.jsonl"), lines.join("\n")).unwrap();
}

fn line<'a>(report: &'a Value, router: &str) -> &'a Value {
    report["sets"][0]["lines"].as_array().unwrap().iter().find(|line| line["router"] == router).unwrap()
}

#[test]
fn files_of_one_s_own_are_measured_with_profiles_fitted_for_the_run() {
    let folder = tempfile::tempdir().unwrap();
    lay_out(folder.path(), ["train", "test"]);
    let arguments = ["evaluate", "--data", "own", "--rounds", "20", "--format", "json", "--predictions", "lines.jsonl"];

    let output = pointsman(folder.path(), &arguments);

    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let set = &report["sets"][0];
    assert_eq!((&set["prompts"], &set["left_out"], &set["lessons"]), (&json!(120), &json!(0), &json!(120)), "{set}");
    let profiles: Vec<&Value> = set["models"].as_array().unwrap().iter().map(|model| &model["profile"]).collect();
    assert_eq!(profiles, ["fitted", "fitted"]);
    // Category and oracle tell sums from cities; the oracle gets all right where the best single model gets half.
    assert_eq!(line(&report, "category mean")["gap_closed"]["value"].as_f64().unwrap().round(), 100.0);
    assert_eq!(line(&report, "oracle")["gain"]["value"].as_f64().unwrap().round(), 100.0);
    assert!(line(&report, "quality_cost")["gain"]["value"].as_f64().unwrap() > 50.0, "{report}");
    let written = fs::read_to_string(folder.path().join("lines.jsonl")).unwrap();
    let first: Value = serde_json::from_str(written.lines().next().unwrap()).unwrap();
    assert_eq!((written.lines().count(), &first["set"]), (120, &json!("own")));
    assert!(first["quality"]["abacus-1"].is_f64() && first["cost"]["globe-2"].is_f64(), "{first}");
    assert!(first["choices"]["quality_cost"]["shipped"].is_string(), "{first}");
}

#[test]
fn without_a_fit_unknown_models_get_the_prior_and_the_table_says_so() {
    let folder = tempfile::tempdir().unwrap();
    lay_out(folder.path(), ["val", "test"]);
    fs::write(folder.path().join("prices.csv"), "model,in_usd_per_m,out_usd_per_m\nabacus-1,10,10\n").unwrap();
    let arguments = ["evaluate", "--data", "own", "--fit", "none", "--rounds", "5", "--prices", "prices.csv"];

    let output = pointsman(folder.path(), &[&arguments[..], &["--plots", "plots", "--paraphrase"]].concat());

    let report = text(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(report.contains("takes the prior over the models that it knows: abacus-1, globe-2."), "{report}");
    assert!(report.contains("Prices: prices.csv (sha256 ") && report.contains("| 10 / 10 |"), "{report}");
    assert!(report.contains("settings were chosen on 120 others"), "{report}");
    assert!(report.contains("| lower case | 240 |"), "{report}");
    for chart in ["own-cost-quality.svg", "own-reliability.svg", "scoring-time.svg"] {
        assert!(fs::read_to_string(folder.path().join("plots").join(chart)).unwrap().starts_with("<svg "), "{chart}");
    }
}

#[test]
fn broken_data_are_told_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    lay_out(folder.path(), ["train", "test"]);
    let records = folder.path().join("own/records.jsonl");
    let whole = fs::read_to_string(&records).unwrap();
    let refusal = |text: &str| {
        fs::write(&records, text).unwrap();
        let output = pointsman(folder.path(), &["evaluate", "--data", "own"]);
        assert!(!output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };

    let cut = refusal(&whole[..whole.len() - 10]);
    let wrong = refusal(&whole.replacen("\"score\":[0,1]", "\"score\":[0,2]", 1));
    let short = refusal(&whole.replacen("\"score\":[0,1]", "\"score\":[0]", 1));
    fs::remove_file(&records).unwrap();
    let gone = pointsman(folder.path(), &["evaluate", "--data", "own"]);

    assert!(cut.contains("own/records.jsonl, line 240: "), "{cut}");
    assert!(wrong.contains("own/records.jsonl, line 2: a score is 2; scores lie between 0 and 1"), "{wrong}");
    assert!(short.contains("own/records.jsonl, line 2: 1 scores for 2 models"), "{short}");
    assert!(text(&gone.stderr).contains("own/records.jsonl"), "{gone:?}");
}

#[test]
fn models_that_no_set_has_leave_nothing_to_measure() {
    let folder = tempfile::tempdir().unwrap();
    lay_out(folder.path(), ["train", "test"]);

    let output = pointsman(folder.path(), &["evaluate", "--data", "own", "--models", "mmlu-pro-9"]);

    assert!(text(&output.stderr).contains("there is nothing to measure; check --data and --models"), "{output:?}");
}

#[test]
fn a_policy_is_measured_as_it_is_and_its_faults_are_told_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    lay_out(folder.path(), ["train", "test"]);
    let rules = "
rules:
  - { name: sums, when: { keywords: [sum] }, candidates: [abacus-1] }
strategy: { fixed: { model: globe-2 } }
";
    fs::write(folder.path().join("by-word.yaml"), format!("schema_version: 1{rules}")).unwrap();
    fs::write(folder.path().join("unknown.yaml"), "strategy: { fixed: { model: globe-3 } }").unwrap();
    let evaluate = |policy: &str| {
        let arguments = ["evaluate", "--data", "own", "--rounds", "5", "--format", "json", "--policy", policy];
        pointsman(folder.path(), &arguments)
    };

    let output = evaluate("by-word.yaml");
    let refused = evaluate("unknown.yaml");

    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    // The rule tells sums from cities, so the policy is right everywhere; the best single model is right on half.
    assert_eq!(line(&report, "policy by-word")["gain"]["value"].as_f64().unwrap().round(), 100.0);
    assert!(line(&report, "bandit, LinUCB")["gain"]["value"].is_f64() && line(&report, "capability").is_object());
    let message = text(&refused.stderr);
    assert!(!refused.status.success() && message.contains("unknown.yaml:1:"), "{message}");
    assert!(message.contains("globe-2"), "it names what there is: {message}");
}
