//! A document against its JSON Schema: every fault of shape at once, each at its place.
//!
//! The schema comes from the document's own types, so there is one description of a document for serde, for editors and for
//! this check. Only what those types produce is understood: `type`, `properties`, `required`, `additionalProperties`, `items`,
//! `enum`, `const`, `oneOf`/`anyOf`, `$ref`, `minimum`, `maximum`, `exclusiveMinimum`, `minLength`, `minItems`, `pattern`.

use regex::Regex;
use serde_json::{Map, Value as Json};

use super::{
    fault::{Report, advice},
    path::Path,
    yaml::{Entry, Node, Value},
};

/// Checks a document and returns the paths of the values at fault.
pub(super) fn check(schema: &Json, node: &Node, report: &mut Report<'_>) -> Vec<Path> {
    let mut checker = Checker { root: schema, report, bad: Vec::new() };
    checker.node(schema, node, &Path::root());
    checker.bad
}

struct Checker<'a, 'r, 's> {
    root: &'a Json,
    report: &'r mut Report<'s>,
    bad: Vec<Path>,
}

impl<'a> Checker<'a, '_, '_> {
    fn node(&mut self, schema: &'a Json, node: &Node, path: &Path) {
        let schema = self.resolved(schema);
        let branches = self.branches(schema);
        if !branches.is_empty() {
            return self.choice(&branches, node, path);
        }
        if !types(schema).is_empty() && !fits(schema, node) {
            return self.refuse(path, format!("expected {}, found {}", expectation(schema), node.kind()), None);
        }
        match &node.value {
            Value::Map(entries) => self.map(schema, entries, path),
            Value::List(items) => self.list(schema, items, path),
            Value::Text(text) => self.text(schema, text, path),
            Value::Number(number) => self.number(schema, number.as_f64().unwrap_or(f64::NAN), path),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn map(&mut self, schema: &'a Json, entries: &[Entry], path: &Path) {
        let empty = Map::new();
        let properties = schema.get("properties").and_then(Json::as_object);
        for entry in entries {
            let inner = path.key(&entry.key);
            match (properties.and_then(|known| known.get(&entry.key)), schema.get("additionalProperties")) {
                (Some(known), _) => self.node(known, &entry.node, &inner),
                (None, Some(Json::Bool(false))) => self.unknown_key(entry, properties.unwrap_or(&empty), &inner),
                (None, Some(rest @ Json::Object(_))) => self.node(rest, &entry.node, &inner),
                (None, _) => {}
            }
        }
        for required in schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str) {
            if !entries.iter().any(|entry| entry.key == required) {
                self.refuse(&path.key(required), format!("the key \"{required}\" is missing"), None);
            }
        }
    }

    fn unknown_key(&mut self, entry: &Entry, known: &Map<String, Json>, path: &Path) {
        let help = advice(&entry.key, known.keys().map(String::as_str));
        self.report.add_at_key(entry.position, path, format!("unknown key \"{}\"", entry.key), help);
        self.bad.push(path.clone());
    }

    fn list(&mut self, schema: &'a Json, items: &[Node], path: &Path) {
        let least = schema.get("minItems").and_then(Json::as_u64).unwrap_or(0);
        if (items.len() as u64) < least {
            self.refuse(path, format!("needs at least {least} item(s)"), None);
        }
        let Some(inner) = schema.get("items") else { return };
        for (index, item) in items.iter().enumerate() {
            self.node(inner, item, &path.index(index));
        }
    }

    fn text(&mut self, schema: &Json, text: &str, path: &Path) {
        let known = names(schema);
        if !known.is_empty() && !known.contains(&text) {
            let help = advice(text, known.into_iter());
            return self.refuse(path, format!("unknown value \"{text}\""), help);
        }
        if schema.get("minLength").and_then(Json::as_u64).is_some_and(|least| (text.chars().count() as u64) < least) {
            return self.refuse(path, "must not be empty".to_owned(), None);
        }
        let pattern = schema.get("pattern").and_then(Json::as_str).and_then(|pattern| Regex::new(pattern).ok());
        if pattern.is_some_and(|pattern| !pattern.is_match(text)) {
            self.refuse(path, format!("\"{text}\" is not {}", expectation(schema)), example(schema));
        }
    }

    fn number(&mut self, schema: &Json, number: f64, path: &Path) {
        let bound = |name: &str| schema.get(name).and_then(Json::as_f64);
        if let Some(least) = bound("minimum").filter(|least| number < *least) {
            self.refuse(path, format!("{number} is too small: at least {least}"), None);
        }
        if let Some(least) = bound("exclusiveMinimum").filter(|least| number <= *least) {
            self.refuse(path, format!("{number} is too small: more than {least}"), None);
        }
        if let Some(most) = bound("maximum").filter(|most| number > *most) {
            self.refuse(path, format!("{number} is too large: at most {most}"), None);
        }
    }

    fn choice(&mut self, branches: &[&'a Json], node: &Node, path: &Path) {
        let fitting: Vec<&Json> = branches.iter().copied().filter(|branch| fits(branch, node)).collect();
        match (&node.value, fitting.as_slice()) {
            (_, []) => {
                let wanted: Vec<String> = branches.iter().map(|branch| expectation(branch)).collect();
                self.refuse(path, format!("expected {}, found {}", wanted.join(" or "), node.kind()), None);
            }
            (_, [only]) => self.node(only, node, path),
            (Value::Text(text), all) => self.named(all, text, path),
            (Value::Map(entries), all) => self.variant(all, entries, node, path),
            (_, [first, ..]) => self.node(first, node, path),
        }
    }

    /// One of several names.
    fn named(&mut self, branches: &[&'a Json], text: &str, path: &Path) {
        let known: Vec<&str> = branches.iter().flat_map(|branch| names(branch)).collect();
        if !known.contains(&text) {
            self.refuse(path, format!("unknown value \"{text}\""), advice(text, known.into_iter()));
        }
    }

    /// One of several mappings with one key each.
    fn variant(&mut self, branches: &[&'a Json], entries: &[Entry], node: &Node, path: &Path) {
        let tag = |branch: &'a Json| branch.pointer("/required/0").and_then(Json::as_str);
        let chosen = |branch: &&&'a Json| entries.iter().any(|entry| Some(entry.key.as_str()) == tag(branch));
        if let Some(branch) = branches.iter().find(chosen) {
            return self.node(branch, node, path);
        }
        let known: Vec<&str> = branches.iter().filter_map(|branch| tag(branch)).collect();
        let given = entries.first().map_or("", |entry| entry.key.as_str());
        self.refuse(path, format!("\"{given}\" is none of {}", known.join(", ")), advice(given, known.into_iter()));
    }

    fn refuse(&mut self, path: &Path, message: String, help: Option<String>) {
        match help {
            Some(help) => self.report.add_with_help(path, message, help),
            None => self.report.add(path, message),
        }
        self.bad.push(path.clone());
    }

    fn resolved(&self, schema: &'a Json) -> &'a Json {
        let target = schema.get("$ref").and_then(Json::as_str).and_then(|path| path.strip_prefix('#'));
        target.and_then(|pointer| self.root.pointer(pointer)).unwrap_or(schema)
    }

    fn branches(&self, schema: &'a Json) -> Vec<&'a Json> {
        let list = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Json::as_array);
        let mut found = Vec::new();
        for branch in list.into_iter().flatten().map(|branch| self.resolved(branch)) {
            let nested = self.branches(branch);
            if nested.is_empty() { found.push(branch) } else { found.extend(nested) }
        }
        found
    }
}

/// Returns the names of types that a schema allows.
fn types(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(one)) => vec![one],
        Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

fn fits(schema: &Json, node: &Node) -> bool {
    types(schema).iter().any(|kind| match &node.value {
        Value::Null => *kind == "null",
        Value::Bool(_) => *kind == "boolean",
        Value::Number(number) => *kind == "number" || (*kind == "integer" && !number.is_f64()),
        Value::Text(_) => *kind == "string",
        Value::List(_) => *kind == "array",
        Value::Map(_) => *kind == "object",
    })
}

/// Returns the fixed values that a text may have.
fn names(schema: &Json) -> Vec<&str> {
    let listed = schema.get("enum").and_then(Json::as_array).into_iter().flatten();
    listed.chain(schema.get("const")).filter_map(Json::as_str).collect()
}

fn expectation(schema: &Json) -> String {
    if let Some(title) = schema.get("title").and_then(Json::as_str).filter(|_| schema.get("pattern").is_some()) {
        return title.to_owned();
    }
    let word = |kind: &&str| match *kind {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a mapping",
        _ => "nothing",
    };
    types(schema).iter().map(word).collect::<Vec<_>>().join(" or ")
}

fn example(schema: &Json) -> Option<String> {
    let example = schema.pointer("/examples/0").and_then(Json::as_str)?;
    Some(format!("for instance \"{example}\""))
}
