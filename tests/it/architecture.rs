//! The layers and fences of the design, read off the sources.
//!
//! The steps come from the map in `src/lib.rs`, so the map cannot lie. Comments and string literals are blanked out first; what
//! is left is searched for paths into the crate and for the names of fenced crates.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use regex::Regex;

/// Imports that break the rule on purpose: the room that imports, the room it imports, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("main", "app", "the command line starts what the composition root puts together"),
    (
        "wire",
        "error",
        "a body that cannot be parsed names its row in the table of codes, and error bodies are made of rows",
    ),
];

/// Crates and modules that only some places may name.
const FENCES: &[(&str, &[&str])] = &[
    (r"\bactix_\w+\s*::|\buse\s+actix_\w+", &["src/api.rs", "src/api/", "src/app.rs", "src/app/"]),
    (r"\breqwest\s*::|\buse\s+reqwest\b", &["src/backends.rs", "src/backends/"]),
    (r"(?:^|[^:\w])(?:::)?ort\s*::|\buse\s+ort\b", &["src/scoring/"]),
    (r"\brten\w*\s*::|\buse\s+rten", &["src/scoring/"]),
    (r"(?:^|[^:\w]\s*)mistralrs\w*\s*::|\buse\s+mistralrs", &["src/backends/mistralrs.rs", "src/backends/mistralrs/"]),
    (r"\bmoka\s*::|\buse\s+moka\b", &["src/cache/"]),
    (r"\busearch\s*::|\buse\s+usearch\b", &["src/cache/semantic/graph.rs"]),
    (r"\brusqlite\s*::|\buse\s+rusqlite\b", &["src/accounting/"]),
    (r"(?:^|[^:\w])prometheus\s*::|\buse\s+prometheus\b", &["src/telemetry/metrics.rs"]),
    (r"\benv\s*::\s*(?:vars?(?:_os)?|set_var|remove_var)\b", &["src/config.rs", "src/config/"]),
    (r"\b(?:todo|unimplemented|dbg)!", &[]),
];

/// Something that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// The step of every room on the map.
struct Steps(BTreeMap<String, u32>);

impl Steps {
    /// Reads lines such as `//! 3 telemetry artifacts   2 config` from the crate's own documentation.
    fn read(lib: &str) -> Self {
        let map_line = Regex::new(r"^//! \d [a-z]").unwrap();
        let mut steps = BTreeMap::new();
        for line in lib.lines().filter(|line| map_line.is_match(line)) {
            let mut step = 0;
            for word in line.trim_start_matches("//!").split_whitespace() {
                match word.parse() {
                    Ok(number) => step = number,
                    Err(_) => drop(steps.insert(word.to_owned(), step)),
                }
            }
        }
        Self(steps)
    }

    /// Returns why `from` must not import `to`.
    fn forbids(&self, from: &str, to: &str) -> Option<String> {
        if from == to || EXCEPTIONS.iter().any(|(importer, imported, _)| (*importer, *imported) == (from, to)) {
            return None;
        }
        let Some(&upper) = self.0.get(from) else {
            return Some(format!("the room `{from}` is not on the map in src/lib.rs"));
        };
        let Some(&lower) = self.0.get(to) else {
            return Some(format!("`crate::{to}` is not a room on the map in src/lib.rs"));
        };
        match upper.cmp(&lower) {
            std::cmp::Ordering::Greater => None,
            std::cmp::Ordering::Equal => {
                Some(format!("`{from}` imports `{to}`, which stands on the same step ({lower})"))
            }
            std::cmp::Ordering::Less => {
                Some(format!("`{from}` (step {upper}) imports upwards from `{to}` (step {lower})"))
            }
        }
    }
}

/// Returns the room of a file under `src/`; the command line is one room with `main.rs`.
fn room(file: &str) -> &str {
    let inner = file.trim_start_matches("src/");
    let room = inner.split('/').next().unwrap_or(inner).trim_end_matches(".rs");
    if room == "cli" { "main" } else { room }
}

/// Returns the source with comments and literals blanked out, so that positions stay what they were.
fn code_of(source: &str) -> String {
    let ignored =
        Regex::new(r##"(?s)//[^\n]*|/\*.*?\*/|b?r#".*?"#|b?"(?:[^"\\]|\\.)*"|'(?:[^'\\\n]|\\[^\n]{1,8})'"##).unwrap();
    let blank =
        |found: &regex::Captures<'_>| found[0].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect::<String>();
    ignored.replace_all(source, blank).into_owned()
}

fn line_at(code: &str, position: usize) -> usize {
    code[..position].matches('\n').count() + 1
}

/// Returns the rooms that a file imports, each with its position.
fn imports(code: &str) -> Vec<(usize, String)> {
    let path = Regex::new(r"\bcrate\s*::\s*(\{|[a-z_][a-z0-9_]*)").unwrap();
    let mut found = Vec::new();
    for captures in path.captures_iter(code) {
        let target = captures.get(1).unwrap();
        if target.as_str() == "{" {
            found.extend(braced(code, target.end()));
        } else {
            found.push((target.start(), target.as_str().to_owned()));
        }
    }
    found
}

/// Returns the first names of a braced import list whose opening brace ends at `start`.
fn braced(code: &str, start: usize) -> Vec<(usize, String)> {
    let name = Regex::new(r"^[a-z_][a-z0-9_]*").unwrap();
    let (mut depth, mut expects_name, mut found) = (1, true, Vec::new());
    for (offset, character) in code[start..].char_indices() {
        let position = start + offset;
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => expects_name = true,
            _ if character.is_whitespace() => {}
            _ if depth == 1 && expects_name => {
                expects_name = false;
                found.extend(name.find(&code[position..]).map(|name| (position, name.as_str().to_owned())));
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

fn layer_violations(steps: &Steps, file: &str, source: &str) -> Vec<Violation> {
    let code = code_of(source);
    let from = room(file);
    let judged = imports(&code).into_iter().filter_map(|(position, to)| {
        let what = steps.forbids(from, &to)?;
        Some(Violation { file: file.to_owned(), line: line_at(&code, position), what })
    });
    judged.collect()
}

/// Returns what stands before the unit tests, which come last in a file and may look at the machine they run on.
fn without_tests(source: &str) -> &str {
    source.split("#[cfg(test)]\nmod tests {").next().unwrap_or(source)
}

fn fence_violations(file: &str, source: &str) -> Vec<Violation> {
    let code = code_of(without_tests(source));
    let mut violations = Vec::new();
    for (pattern, places) in FENCES.iter().filter(|(_, places)| !places.iter().any(|place| file.starts_with(place))) {
        let pattern = Regex::new(&format!("(?m){pattern}")).unwrap();
        for found in pattern.find_iter(&code) {
            let what = format!("`{}` belongs into {places:?} only", found.as_str().trim());
            violations.push(Violation { file: file.to_owned(), line: line_at(&code, found.end()), what });
        }
    }
    violations
}

/// Returns every source file of the program, by its path from the repository's root.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                files.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

fn steps() -> Steps {
    Steps::read(&fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap())
}

fn listed(violations: &[Violation]) -> String {
    violations.iter().map(|violation| format!("\n  {violation}")).collect()
}

#[test]
fn imports_point_downwards() {
    let steps = steps();

    let violations: Vec<_> = sources()
        .iter()
        .filter(|(file, _)| file != "src/lib.rs")
        .flat_map(|(file, source)| layer_violations(&steps, file, source))
        .collect();

    assert!(violations.is_empty(), "{}", listed(&violations));
}

#[test]
fn outside_crates_stay_behind_their_fences() {
    let violations: Vec<_> = sources().iter().flat_map(|(file, source)| fence_violations(file, source)).collect();

    assert!(violations.is_empty(), "{}", listed(&violations));
}

#[test]
fn every_room_is_on_the_map() {
    let steps = steps();

    for (file, _) in sources().iter().filter(|(file, _)| file != "src/lib.rs") {
        assert!(steps.0.contains_key(room(file)), "{file}: the room `{}` is not on the map in src/lib.rs", room(file));
    }
}

mod the_checks_themselves {
    use super::*;

    const LIB: &str = "//! ```text\n//! 8 app main   4 cache routing\n//! 1 domain   0 wire\n//! ```\n";

    fn judged(file: &str, source: &str) -> Vec<(usize, String)> {
        layer_violations(&Steps::read(LIB), file, source).into_iter().map(|found| (found.line, found.what)).collect()
    }

    #[test]
    fn the_map_is_read_with_several_steps_on_a_line() {
        let steps = Steps::read(LIB);

        assert_eq!(steps.0["main"], 8);
        assert_eq!(steps.0["routing"], 4);
        assert_eq!(steps.0["domain"], 1);
        assert_eq!(steps.0["wire"], 0);
    }

    #[test]
    fn an_import_upwards_is_found_with_its_line() {
        let found = judged("src/domain/plan.rs", "use std::fmt;\n\nuse crate::cache::CacheKey;\n");

        assert_eq!(found, [(3, "`domain` (step 1) imports upwards from `cache` (step 4)".to_owned())]);
    }

    #[test]
    fn an_import_sideways_is_found_inside_nested_braces() {
        let source = "use crate::{\n    domain::{Ask, Plan},\n    routing::{self, Strategy},\n};\n";

        let found = judged("src/cache.rs", source);

        assert_eq!(found, [(3, "`cache` imports `routing`, which stands on the same step (4)".to_owned())]);
    }

    #[test]
    fn a_path_in_an_expression_counts_as_an_import() {
        let found = judged("src/wire/chat.rs", "fn f() { crate::domain::Tokens(1); }");

        assert_eq!(found.len(), 1);
    }

    #[test]
    fn imports_downwards_and_into_the_own_room_pass() {
        let source = "use crate::{cache::key, domain::Ask};\nuse crate::wire::chat::ChatCall;\n";

        assert!(judged("src/cache/memory.rs", source).is_empty());
    }

    #[test]
    fn comments_and_texts_are_no_imports() {
        let source =
            "/// See [`crate::cache`].\n/* crate::cache */ const A: &str = \"crate::cache \\\" crate::cache\";\n";

        assert!(judged("src/domain.rs", source).is_empty());
    }

    #[test]
    fn a_room_that_is_not_on_the_map_is_found() {
        assert_eq!(judged("src/utils.rs", "use crate::domain::Ask;").len(), 1);
        assert_eq!(judged("src/cache.rs", "use crate::utils::join;").len(), 1);
    }

    #[test]
    fn a_fenced_crate_is_found_outside_its_fence_only() {
        let source = "use actix_web::web;\nfn f() { reqwest::Client::builder(); }\n";

        let found = fence_violations("src/gateway.rs", source);

        assert_eq!(found.iter().map(|found| found.line).collect::<Vec<_>>(), [1, 2]);
        assert!(fence_violations("src/api/chat.rs", "use actix_web::web;").is_empty());
    }

    #[test]
    fn every_fence_catches_its_crate() {
        for source in [
            "use ort::session::Session;",
            "let s = ort::init();",
            "use rten::Model;",
            "use rten_tensor::NdTensor;",
            "use mistralrs::Model;",
            "use mistralrs_core::Engine;",
            "use moka::future::Cache;",
            "use rusqlite::Connection;",
            "use prometheus::Registry;",
            "let key = std::env::var(\"KEY\");",
            "env::vars_os()",
            "todo!()",
            "dbg!(x)",
        ] {
            assert_eq!(fence_violations("src/gateway.rs", source).len(), 1, "{source}");
        }
    }

    #[test]
    fn words_that_only_look_like_a_crate_pass() {
        let source = "let port::Port = x; use crate::telemetry::prometheus_text; effort::low(); env!(\"X\"); use crate::backends::mistralrs::Local;";

        assert!(fence_violations("src/gateway.rs", source).is_empty());
    }
}
