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
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pointsman.yaml");
    let yaml = blocks("yaml");

    assert!(!yaml.is_empty());
    for block in yaml {
        std::fs::write(&file, format!("schema_version: 1\n{block}")).unwrap();
        let output =
            Command::new(env!("CARGO_BIN_EXE_pointsman")).args(["check", "--config"]).arg(&file).output().unwrap();
        assert!(output.status.success(), "{block}\n{}", String::from_utf8_lossy(&output.stdout));
    }
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
