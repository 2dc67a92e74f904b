//! What `deploy/` says about metrics is true.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use pointsman::{
    config::{Config, Environment, Source},
    telemetry::metrics::TABLE,
};
use regex::Regex;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

fn metrics_named_in(text: &str) -> BTreeSet<String> {
    // `gen_ai_...` also starts label names; a metric is what stands before a brace, a bracket or a range.
    let metric = Regex::new(r"\b((?:pointsman|gen_ai)_[a-z_]+)\s*(?:\{|\[|==|\s*$|,\s*instance\)|\))").unwrap();
    metric.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

/// Returns the name of the table's row that a series belongs to.
fn row_of(series: &str) -> &str {
    ["_bucket", "_sum", "_count"].iter().find_map(|suffix| series.strip_suffix(suffix)).unwrap_or(series)
}

fn is_in_the_table(series: &str) -> bool {
    TABLE.iter().any(|row| row.name == series || (!row.buckets.is_empty() && row.name == row_of(series)))
}

fn is_a_label(name: &str) -> bool {
    TABLE.iter().any(|row| row.labels.contains(&name))
}

fn unknown_metrics(text: &str) -> Vec<String> {
    metrics_named_in(text).into_iter().filter(|name| !is_in_the_table(name) && !is_a_label(name)).collect()
}

#[test]
fn every_metric_that_rules_and_boards_name_exists() {
    for file in ["prometheus/alerts.yaml", "prometheus/alerts.test.yaml", "grafana/boards/pointsman.json"] {
        let text = fs::read_to_string(deploy().join(file)).unwrap();

        assert!(metrics_named_in(&text).len() > 4, "{file} names hardly any metric; is the pattern still right?");
        assert_eq!(unknown_metrics(&text), Vec::<String>::new(), "in {file}");
    }
}

#[test]
fn every_metric_is_on_the_board() {
    let board = fs::read_to_string(deploy().join("grafana/boards/pointsman.json")).unwrap();

    for row in TABLE {
        assert!(board.contains(row.name), "{} is on no panel", row.name);
    }
}

#[test]
fn a_metric_that_does_not_exist_is_found() {
    let found = unknown_metrics("expr: rate(pointsman_typos_total[5m]) / rate(pointsman_requests_total[5m])");

    assert_eq!(found, ["pointsman_typos_total"]);
}

#[test]
fn alert_rules_pass_their_own_tests() {
    let Some(output) = promtool(&["test", "rules", "alerts.test.yaml"]) else { return };

    assert!(output.status.success(), "{output:?}");
}

/// Runs promtool in `deploy/prometheus`; `None` where it is not installed, which CI does not accept.
pub(crate) fn promtool(arguments: &[&str]) -> Option<std::process::Output> {
    let ran = Command::new("promtool").args(arguments).current_dir(deploy().join("prometheus")).output();
    if ran.is_err() {
        assert!(std::env::var_os("CI").is_none(), "promtool is missing; it is in Debian's package `prometheus`");
    }
    ran.ok()
}

#[test]
fn the_configuration_of_the_image_has_no_fault_and_needs_keys() {
    let read = |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let text = read("config/pointsman.yaml") + &read("deploy/docker/network.yaml");
    let source = Source { name: "image".to_owned(), text };
    let environment = Environment::Fixed([("POINTSMAN_ADMIN_TOKEN".to_owned(), "unused".to_owned())].into());

    let config = Config::compile(&source, None, &environment).unwrap();

    assert!(config.keys.required && config.admin.token.is_some() && !config.server.listen.ip().is_loopback());
}

/// Where there is a GPU, the check takes an hour and is for people to start.
#[test]
fn the_check_of_a_gpu_says_where_there_is_none() {
    if Command::new("nvidia-smi").output().is_ok() {
        return;
    }

    let ran = Command::new("sh").arg(deploy().join("gpu-check.sh")).output().unwrap();

    assert!(ran.status.success());
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "no NVIDIA GPU here: nothing was checked\n");
}
