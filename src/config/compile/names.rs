//! Names that lead to other names: aliases, the catch-all, the baseline.

use std::collections::{BTreeMap, BTreeSet};

use super::Compiler;
use crate::{config::path::Path, domain::ModelName};

impl Compiler<'_, '_> {
    /// Checks every name that refers to another.
    pub(super) fn check_names(&mut self) {
        let aliases = &self.document.aliases;
        for (alias, target) in aliases {
            let at = Path::root().key("aliases").key(alias);
            if let Err(error) = ModelName::parse(alias) {
                self.report.add(&at, error.to_string());
            }
            if self.document.models.iter().any(|model| model.name == *alias) {
                self.report.add(&at, format!("\"{alias}\" is already the name of a model"));
            } else if is_reserved(alias) {
                self.report.add(&at, format!("\"{alias}\" already means a policy"));
            }
            self.check_target(target, &at);
            self.check_loop(alias, &at);
        }
        if let Some(target) = &self.document.catch_all {
            self.check_target(target, &Path::root().key("catch_all"));
        }
        if let Some(name) = &self.document.accounting.baseline {
            self.check_model(name, &Path::root().key("accounting").key("baseline"));
        }
    }

    /// Returns every alias with the name at the end of its chain, so that nobody follows chains later.
    pub(super) fn resolved_aliases(&self) -> BTreeMap<String, String> {
        let aliases = &self.document.aliases;
        let end = |target: &String| {
            let mut name = target;
            // A chain without a loop is shorter than the number of aliases; loops are refused elsewhere.
            for _ in aliases {
                name = aliases.get(name).unwrap_or(name);
            }
            name.clone()
        };
        aliases.iter().map(|(alias, target)| (alias.clone(), end(target))).collect()
    }

    fn check_target(&mut self, target: &str, at: &Path) {
        if target == "auto" {
            return;
        }
        if let Some(policy) = target.strip_prefix("auto:") {
            return self.check_policy(policy, at);
        }
        if self.document.aliases.contains_key(target) {
            return;
        }
        self.check_model(target, at);
    }

    pub(super) fn check_policy(&mut self, name: &str, at: &Path) {
        let Some(known) = self.policies.as_ref().filter(|known| !known.iter().any(|known| known == name)) else {
            return;
        };
        self.report.add_unknown(at, "policy", name, known.iter().map(String::as_str));
    }

    fn check_model(&mut self, name: &str, at: &Path) {
        let models = &self.document.models;
        if !models.iter().any(|model| model.name == name) {
            self.report.add_unknown(at, "model", name, models.iter().map(|model| model.name.as_str()));
        }
    }

    /// Tells of a loop once, at the alias that comes first by name.
    fn check_loop(&mut self, alias: &str, at: &Path) {
        let mut way = vec![alias];
        let mut seen = BTreeSet::from([alias]);
        let mut current = alias;
        while let Some(next) = self.document.aliases.get(current) {
            way.push(next);
            if !seen.insert(next) {
                let is_first = next == alias && seen.first() == Some(&alias);
                if is_first {
                    self.report.add(at, format!("aliases lead in a circle: {}", way.join(" -> ")));
                }
                return;
            }
            current = next;
        }
    }
}

/// Returns whether routing itself owns a name.
pub(super) fn is_reserved(name: &str) -> bool {
    name == "auto" || name.starts_with("auto:")
}
