//! The red-team command against a gateway's own policy.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{
    Setup, Upstream,
    server::{lay_out, run_in},
};

fn policy() -> String {
    let objective = json!({"cost": 0.1, "latency": 0.0});
    json!({"schema_version": 1, "strategy": {"quality_cost": objective}}).to_string()
}

fn write_prompts(folder: &Path) {
    std::fs::create_dir_all(folder.join("own")).unwrap();
    let meta = json!({"name": "own", "licence": "Apache-2.0", "models": [{"id": "any"}]});
    std::fs::write(folder.join("own/meta.json"), meta.to_string()).unwrap();
    let line = |number: u32| json!({"id": number.to_string(), "task": "sums", "prompt": format!("Add {number} and 7."), "score": [1.0]});
    let lines: Vec<String> = (0..12).map(|number| line(number).to_string()).collect();
    std::fs::write(folder.join("own/records.jsonl"), lines.join("\n")).unwrap();
}

#[tokio::test]
async fn the_found_prefix_is_measured_on_other_prompts() {
    let setup = Setup::new(&Upstream::start().await)
        .set("/router", json!({"enabled": true, "engine": "rten", "deadline": "1s"}))
        .set("/models/0/profile", "llama-3.1-8b-instruct")
        .set("/models/1/profile", "gpt-4o-2024-08-06")
        .policy("default", policy());
    let folder = lay_out(&setup);
    write_prompts(&folder.path().join("prompts"));

    let arguments = ["redteam", "--config", "pointsman.yaml", "--data", "prompts", "--prompts", "12", "--rounds", "3"];
    let output = run_in(folder.path(), &setup, &[&arguments[..], &["--tries", "2", "--format", "json"]].concat());

    let findings: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!(findings["prefix"].as_str().unwrap().split(' ').count(), 10, "{findings}");
    for effect in [&findings["found"], &findings["random"]] {
        assert_eq!(effect["prompts"], 9);
        let shares = ["upgraded", "downgraded", "to_dearest"].map(|name| effect[name].as_f64().unwrap());
        assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)), "{findings}");
    }
}

#[tokio::test]
async fn a_gateway_without_router_model_has_nothing_to_game() {
    let setup = Setup::new(&Upstream::start().await);
    let folder = lay_out(&setup);

    let output = run_in(folder.path(), &setup, &["redteam", "--config", "pointsman.yaml", "--data", "prompts"]);

    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("router.enabled"), "{output:?}");
}
