//! What is wrong with a document: where, why, and what to write instead.

use std::{collections::BTreeSet, fmt, ops::Range, sync::LazyLock};

use regex::Regex;
use serde::Serialize;

use super::{
    path::Path,
    yaml::{Node, Position},
};

/// Similarity above which a known name is offered for an unknown one: `gpt-5-mni` finds `gpt-5-mini`, `foo` finds nothing.
const SUGGESTION_THRESHOLD: f64 = 0.7;

/// A text with the name under which people know it.
#[derive(Clone, Debug)]
pub struct Source {
    /// Path of the file, or what stands for it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Where in the document, for instance `models[2].prices.input`; empty for its root.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// The line with a caret under the fault; credentials in it are masked.
    pub excerpt: String,
}

impl Fault {
    /// Returns a fault at a position of a file.
    pub fn new(source: &Source, position: Position, path: &Path, message: impl Into<String>) -> Self {
        Self {
            file: source.name.clone(),
            line: position.line,
            column: position.column,
            path: path.to_string(),
            message: message.into(),
            help: None,
            excerpt: excerpt(&source.text, position),
        }
    }

    /// Returns a fault about text that is not YAML.
    pub fn of_syntax(source: &Source, error: &serde_saphyr::Error) -> Self {
        let position = error.location().map_or(Position { line: 1, column: 1, length: 1 }, Position::of);
        let shown = error.without_snippet().to_string();
        // The parser repeats the place and names its own options; neither helps who wrote the file.
        let reason = shown.split(" at line ").next().unwrap_or(&shown);
        let reason = reason.split(", set ").next().unwrap_or(reason);
        Self::new(source, position, &Path::root(), reason)
    }

    /// Returns a fault of a file as a whole.
    pub fn of_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        let (file, message) = (file.into(), message.into());
        Self { file, line: 1, column: 1, path: String::new(), message, help: None, excerpt: String::new() }
    }

    /// Returns the fault with advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}", self.message)?;
        if !self.excerpt.is_empty() {
            write!(f, "\n{}", self.excerpt)?;
        }
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

/// Every fault of one or more documents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// Returns `value` when there is no fault.
    ///
    /// # Errors
    /// There are faults; they come in the order of the file.
    pub fn or<T>(mut self, value: T) -> Result<T, Self> {
        if self.0.is_empty() {
            return Ok(value);
        }
        self.sort();
        Err(self)
    }

    /// Puts the faults into the order of the files.
    pub fn sort(&mut self) {
        self.0.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Collects the faults of one document by path.
#[derive(Debug)]
pub struct Report<'a> {
    source: &'a Source,
    root: &'a Node,
    /// What was found so far.
    pub faults: Vec<Fault>,
}

impl<'a> Report<'a> {
    /// Returns an empty report on a document.
    pub fn new(source: &'a Source, root: &'a Node) -> Self {
        Self { source, root, faults: Vec::new() }
    }

    /// Adds a fault at the value of `path`, or at its nearest ancestor that is in the file.
    pub fn add(&mut self, path: &Path, message: impl Into<String>) {
        self.faults.push(Fault::new(self.source, path.find(self.root), path, message));
    }

    /// Adds a fault with advice.
    pub fn add_with_help(&mut self, path: &Path, message: impl Into<String>, help: impl Into<String>) {
        self.faults.push(Fault::new(self.source, path.find(self.root), path, message).with_help(help));
    }

    /// Adds a fault at a key.
    pub fn add_at_key(&mut self, at: Position, path: &Path, message: impl Into<String>, help: Option<String>) {
        self.faults.push(Fault { help, ..Fault::new(self.source, at, path, message) });
    }

    /// Adds a fault about a name that is not among the known ones.
    pub fn add_unknown<'n>(&mut self, path: &Path, what: &str, name: &str, known: impl Iterator<Item = &'n str>) {
        let message = format!("unknown {what} \"{name}\"");
        match advice(name, known) {
            Some(help) => self.add_with_help(path, message, help),
            None => self.add(path, message),
        }
    }
}

/// Returns the known name that `name` most likely meant, or the list of known names; `None` when nothing is known.
pub fn advice<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
    let names: BTreeSet<&str> = known.collect();
    let scored = names.iter().map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    if best.0 >= SUGGESTION_THRESHOLD {
        return Some(format!("did you mean \"{}\"?", best.1));
    }
    Some(format!("known: {}", Vec::from_iter(names).join(", ")))
}

fn excerpt(text: &str, position: Position) -> String {
    let Some(line) = text.lines().nth(position.line.saturating_sub(1)) else { return String::new() };
    let shown = masked(line);
    let width = shown.chars().count();
    let start = position.column.saturating_sub(1).min(width);
    let carets = position.length.clamp(1, width.saturating_sub(start).max(1));
    let gutter = position.line.to_string();
    let blank = " ".repeat(gutter.len());
    format!("  {gutter} | {shown}\n  {blank} | {}{}", " ".repeat(start), "^".repeat(carets))
}

static CREDENTIAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?i)[\w-]*(?:key|token|secret|password|authorization)["']?\s*:\s*(?P<value>[^,}#]*[^,}#\s])"#).ok()
});

/// Replaces what stands after a credential's key by stars of the same length, unless it is only a reference to one.
fn masked(line: &str) -> String {
    let Some(pattern) = &*CREDENTIAL else { return "*".repeat(line.chars().count()) };
    let hidden: Vec<Range<usize>> = pattern
        .captures_iter(line)
        .filter_map(|found| found.name("value"))
        .filter(|value| !is_reference(value.as_str()))
        .map(|value| value.range())
        .collect();
    let star = |(at, c): (usize, char)| if hidden.iter().any(|range| range.contains(&at)) { '*' } else { c };
    line.char_indices().map(star).collect()
}

fn is_reference(value: &str) -> bool {
    let bare = value.trim_matches(['"', '\'']);
    bare.starts_with("file:") || bare.starts_with("${") || bare.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_never_show_in_an_excerpt() {
        let text = "openai: {api_key: sk-canary, base: x}\ntoken: \"sk-canary\"\nx-api-key: Bearer sk-canary # why";

        for line in text.lines() {
            assert!(!masked(line).contains("canary"), "{}", masked(line));
        }
        assert_eq!(masked("api_key: ${OPENAI_API_KEY}"), "api_key: ${OPENAI_API_KEY}");
    }

    #[test]
    fn a_near_name_is_offered_and_a_far_one_lists_what_is_known() {
        let known = ["gpt-5-mini", "claude"];

        assert_eq!(advice("gpt-5-mni", known.into_iter()).unwrap(), "did you mean \"gpt-5-mini\"?");
        assert_eq!(advice("zzz", known.into_iter()).unwrap(), "known: claude, gpt-5-mini");
        assert_eq!(advice("zzz", std::iter::empty()), None);
    }

    #[test]
    fn the_caret_stands_under_the_value_in_characters() {
        let position = Position { line: 1, column: 6, length: 3 };

        assert_eq!(excerpt("größe: abc", position), "  1 | größe: abc\n    |      ^^^");
    }
}
