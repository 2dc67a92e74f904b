//! What README shows is accepted by the program.

use std::{path::Path, process::Command};

/// Returns the fenced blocks of a language, in order, without their indentation.
fn blocks(language: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let mut blocks = Vec::new();
    let mut lines = readme.lines();
    while let Some(line) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        if line.trim() != format!("```{language}") {
            continue;
        }
        let body = lines.by_ref().take_while(|line| line.trim() != "```");
        blocks.push(body.map(|line| line.get(indent..).unwrap_or_default().to_owned() + "\n").collect());
    }
    blocks
}

#[test]
fn configuration_in_the_readme_has_no_faults() {
    let configurations: Vec<String> = blocks("yaml").into_iter().filter(|block| !is_policy(block)).collect();

    assert!(!configurations.is_empty());
    for block in configurations {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pointsman.yaml"), format!("schema_version: 1\n{block}")).unwrap();
        assert_no_fault(folder.path(), &block);
    }
}

#[test]
fn policies_in_the_readme_have_no_faults() {
    let policies: Vec<String> = blocks("yaml").into_iter().filter(|block| is_policy(block)).collect();

    assert!(!policies.is_empty());
    for block in policies {
        let folder = tempfile::tempdir().unwrap();
        let models = ["any", "small", "medium", "large"].map(|name| format!("{{ name: {name}, simulated: {{}} }}"));
        let config = format!("models: [{}]\npolicies: policies\n", models.join(", "));
        std::fs::write(folder.path().join("pointsman.yaml"), config).unwrap();
        std::fs::create_dir(folder.path().join("policies")).unwrap();
        std::fs::write(folder.path().join("policies/default.yaml"), &block).unwrap();
        assert_no_fault(folder.path(), &block);
    }
}

fn is_policy(block: &str) -> bool {
    block.lines().any(|line| line == "strategy:")
}

fn assert_no_fault(folder: &Path, block: &str) {
    let mut check = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    let output = check.args(["check", "--config"]).arg(folder.join("pointsman.yaml")).output().unwrap();
    assert!(output.status.success(), "{block}\n{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn every_subcommand_in_the_readme_exists() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let help = Command::new(env!("CARGO_BIN_EXE_pointsman")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let code = readme.split(['`', '\n']).filter_map(|piece| piece.strip_prefix("pointsman "));
    let commands: Vec<&str> = code.filter_map(|rest| rest.split(' ').next()).collect();

    assert!(commands.contains(&"check"));
    for command in commands {
        assert!(help.contains(&format!("\n  {command} ")), "README names `pointsman {command}`");
    }
}
