//! The subcommands that do not serve.

use serde_json::{Value, json};

use crate::harness::{
    Server, Setup, Upstream, chat,
    server::{lay_out, run, run_in},
    soon,
};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn check_accepts_what_serve_accepts() {
    let setup = Setup::new(&Upstream::start().await);

    let output = run(&setup, &["check", "--config", "pointsman.yaml"]);

    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn check_tells_every_fault_at_once_with_its_place_and_the_fix() {
    let setup =
        Setup::new(&Upstream::start().await).set("/server/listen", "nowhere").set("/models/0/provider", "scriptd");

    let output = run(&setup, &["check", "--config", "pointsman.yaml"]);

    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout) + &text(&output.stderr);
    for expected in ["pointsman.yaml:1:", "\"nowhere\"", "\"scriptd\"", "did you mean \"scripted\"", "^^^"] {
        assert!(said.contains(expected), "{expected:?} is missing in\n{said}");
    }
}

#[tokio::test]
async fn check_reads_the_policies_too() {
    let typo = "schema_version: 1\nstrategy:\n  fixed: { model: smal }\n";
    let setup = Setup::new(&Upstream::start().await).policy("typo", typo).policy("second", typo);

    let output = run(&setup, &["check", "--config", "pointsman.yaml"]);

    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout) + &text(&output.stderr);
    for expected in ["typo.yaml:3", "second.yaml:3", "smal", "small"] {
        assert!(said.contains(expected), "{expected:?} is missing in\n{said}");
    }
}

#[tokio::test]
async fn check_writes_json_for_programs() {
    let setup = Setup::new(&Upstream::start().await).set("/server/listen", "nowhere");

    let output = run(&setup, &["check", "--config", "pointsman.yaml", "--format", "json"]);

    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert!(report.to_string().contains("nowhere"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_made_and_revoked_on_the_command_line_counts_at_once() {
    let setup = Setup::new(&Upstream::start().await).set("/keys/required", "always");
    let server = Server::start(setup.clone()).await;
    let keys = |arguments: &[&str]| {
        let mut all = vec!["keys", "--config", "pointsman.yaml", "--format", "json"];
        all.extend(arguments);
        let output = run_in(server.folder(), &setup, &all);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    };
    let until = async |key: &str, status: u16| {
        soon(&format!("status {status}"), async {
            while server.request("GET", "/v1/models").key(key).send().await.status != status {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };

    let made = keys(&["create", "laptop", "--tenant", "acme"]);
    let key = made["key"].as_str().expect("the key is shown once").to_owned();
    until(&key, 200).await;
    let listed = keys(&["list"]).to_string();
    let id = key.split('-').nth(1).unwrap();
    keys(&["revoke", id]);
    until(&key, 401).await;

    assert!(listed.contains("acme") && listed.contains(id), "{listed}");
    assert!(!listed.contains(&key), "the list shows the key itself");
    let file = std::fs::read_to_string(server.folder().join("data/keys.json")).unwrap();
    assert!(!file.contains(&key) && !file.contains(key.split('-').nth(2).unwrap()), "the file holds the key itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn route_prints_what_explain_answers_and_calls_nobody() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream);
    let server = Server::start(setup.clone()).await;

    let explained = server.admin("POST", "/admin/v1/explain").json(&chat("auto")).send().await;
    let status = explained.status;
    let explained = explained.json().await;
    let folder = lay_out(&setup);
    let arguments = ["route", "Say hello.", "--config", "pointsman.yaml", "--format", "json"];
    let output = run_in(folder.path(), &setup, &arguments);
    let routed: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));

    assert_eq!(status, 200, "{explained}");
    assert_eq!(explained["plan"]["leg"]["model"], "small");
    assert_eq!(routed["plan"], explained["plan"]);
    let models = |value: &Value| {
        json!(
            value["candidates"].as_array().map(|rows| rows.iter().map(|row| row["model"].clone()).collect::<Vec<_>>())
        )
    };
    assert_eq!(models(&routed), models(&explained));
    assert!(upstream.journal().is_empty());
}

#[tokio::test]
async fn every_subcommand_explains_itself() {
    let setup = Setup::new(&Upstream::start().await);

    for subcommand in [
        "serve",
        "check",
        "route",
        "demo",
        "models",
        "runtime",
        "train",
        #[cfg(feature = "local")]
        "train-tiny",
        "evaluate",
        "profile",
        "redteam",
        "plans",
        "keys",
        "completions",
    ] {
        let output = run(&setup, &[subcommand, "--help"]);

        assert!(output.status.success(), "{subcommand}: {output:?}");
        assert!(text(&output.stdout).contains("Usage:"), "{subcommand}");
    }
}

#[tokio::test]
async fn a_reader_that_has_had_enough_is_no_fault() {
    let setup = Setup::new(&Upstream::start().await);
    let folder = lay_out(&setup);

    let line = format!("{} route hello --config pointsman.yaml | true", env!("CARGO_BIN_EXE_pointsman"));
    let arguments = ["-o", "pipefail", "-c", line.as_str()];
    let mut bash = std::process::Command::new("bash");
    let output = bash.args(arguments).current_dir(folder.path()).env("UPSTREAM_KEY", "unused").output().unwrap();

    assert!(output.status.success() && !text(&output.stderr).contains("panicked"), "{output:?}");
}
