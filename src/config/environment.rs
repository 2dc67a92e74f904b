//! The environment: the only place that reads it.
//!
//! Credentials are never written into a file. Where one belongs, the file names an environment variable (`${NAME}`, or
//! `${NAME:-default}`) or a file (`file:/run/secrets/name`); what they hold becomes a [`SecretString`], which prints nothing.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use regex::Regex;
use secrecy::SecretString;

static REFERENCE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}").ok());

/// Where variables come from.
#[derive(Clone, Debug, Default)]
pub enum Environment {
    /// The process.
    #[default]
    System,
    /// A fixed set, for tests and for checking a configuration that is meant for another machine.
    Fixed(BTreeMap<String, String>),
}

/// Why there is no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set, or empty.
    #[error("the environment variable {0} is not set")]
    Missing(String),
    /// The file cannot be read.
    #[error("the file {path} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The secret itself stands in the document.
    #[error("a credential must not stand in the file")]
    Literal,
}

impl Environment {
    /// Returns a variable; an empty one counts as not set.
    pub fn get(&self, name: &str) -> Option<String> {
        let value = match self {
            Self::System => system(name),
            Self::Fixed(variables) => variables.get(name).cloned(),
        };
        value.filter(|text| !text.is_empty())
    }

    /// Resolves a credential: a reference, or text around references.
    ///
    /// # Errors
    /// The text holds no reference, or one that leads nowhere.
    pub fn secret(&self, text: &str) -> Result<SecretString, SecretError> {
        if let Some(path) = text.strip_prefix("file:") {
            return read(path);
        }
        let has_reference = REFERENCE.as_ref().is_some_and(|pattern| pattern.is_match(text));
        if !has_reference {
            return Err(SecretError::Literal);
        }
        self.expand(text).map(SecretString::from)
    }

    /// Resolves a header's value, which may also be plain text.
    ///
    /// # Errors
    /// A reference leads nowhere.
    pub fn header(&self, text: &str) -> Result<SecretString, SecretError> {
        match self.secret(text) {
            Err(SecretError::Literal) => Ok(SecretString::from(text)),
            other => other,
        }
    }

    fn expand(&self, text: &str) -> Result<String, SecretError> {
        let Some(pattern) = &*REFERENCE else { return Err(SecretError::Literal) };
        let mut expanded = String::new();
        let mut end = 0;
        for found in pattern.captures_iter(text) {
            let (Some(whole), Some(name)) = (found.get(0), found.name("name")) else { continue };
            expanded.push_str(text.get(end..whole.start()).unwrap_or_default());
            let default = found.name("default").map(|default| default.as_str().to_owned());
            let value = self.get(name.as_str()).or(default);
            expanded.push_str(&value.ok_or_else(|| SecretError::Missing(name.as_str().to_owned()))?);
            end = whole.end();
        }
        expanded.push_str(text.get(end..).unwrap_or_default());
        Ok(expanded)
    }

    /// Returns where models, runtimes and the ledger are kept: `POINTSMAN_DATA_DIR`, else `pointsman` in `XDG_DATA_HOME`,
    /// else `~/.local/share/pointsman`, else `.pointsman` in the working directory.
    pub fn data_dir(&self) -> PathBuf {
        if let Some(path) = self.get("POINTSMAN_DATA_DIR") {
            return PathBuf::from(path);
        }
        if let Some(path) = self.get("XDG_DATA_HOME") {
            return Path::new(&path).join("pointsman");
        }
        match self.get("HOME") {
            Some(home) => Path::new(&home).join(".local/share/pointsman"),
            None => PathBuf::from(".pointsman"),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one reader of the environment")]
fn system(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn read(path: &str) -> Result<SecretString, SecretError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(SecretString::from(text.trim())),
        Err(error) => Err(SecretError::Unreadable { path: path.to_owned(), reason: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn environment() -> Environment {
        Environment::Fixed([("A".to_owned(), "one".to_owned()), ("EMPTY".to_owned(), String::new())].into())
    }

    #[test]
    fn references_are_replaced_inside_text() {
        let secret = environment().secret("Bearer ${A}-${B:-two}").unwrap();

        assert_eq!(secret.expose_secret(), "Bearer one-two");
        assert!(!format!("{secret:?}").contains("one"));
    }

    #[test]
    fn an_empty_variable_counts_as_missing() {
        assert_eq!(environment().secret("${EMPTY}").unwrap_err(), SecretError::Missing("EMPTY".to_owned()));
    }

    #[test]
    fn a_literal_credential_is_refused_but_a_plain_header_is_not() {
        assert_eq!(environment().secret("sk-123").unwrap_err(), SecretError::Literal);
        assert_eq!(environment().header("plain").unwrap().expose_secret(), "plain");
    }

    #[test]
    fn a_file_gives_its_trimmed_text() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "sesame\n").unwrap();

        let secret = environment().secret(&format!("file:{}", file.path().display())).unwrap();

        assert_eq!(secret.expose_secret(), "sesame");
    }

    #[test]
    fn the_data_directory_follows_the_strongest_variable() {
        let variables = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "/x".to_owned())).collect();
        let place = |names: &[&str]| Environment::Fixed(variables(names)).data_dir();

        assert_eq!(place(&["POINTSMAN_DATA_DIR", "XDG_DATA_HOME", "HOME"]), Path::new("/x"));
        assert_eq!(place(&["XDG_DATA_HOME", "HOME"]), Path::new("/x/pointsman"));
        assert_eq!(place(&["HOME"]), Path::new("/x/.local/share/pointsman"));
    }
}
