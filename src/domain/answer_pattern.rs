//! A regular expression that is data: written, stored and compared as its text, compiled once for all that share it.

use std::{fmt, sync::Arc};

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// Longest pattern, in bytes.
const MAX_BYTES: usize = 2_000;
/// Largest compiled pattern: what people write by hand takes a fraction.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// A regular expression in the syntax of the `regex` crate: no look-around, so that no text takes long. Clones share it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AnswerPattern(Arc<Regex>);

/// Why a pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerPatternError {
    /// It is too long, or too large when compiled.
    #[error("the pattern is too large: at most {MAX_BYTES} bytes, and 1 MiB when compiled")]
    TooLarge,
    /// It is no regular expression.
    #[error("the pattern does not compile: {0}")]
    Syntax(String),
}

impl AnswerPattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// It does not compile, or is too large.
    pub fn parse(text: &str) -> Result<Self, AnswerPatternError> {
        if text.len() > MAX_BYTES {
            return Err(AnswerPatternError::TooLarge);
        }
        let built = RegexBuilder::new(text).size_limit(MAX_COMPILED_BYTES).build();
        built.map(|regex| Self(Arc::new(regex))).map_err(|error| match error {
            regex::Error::Syntax(message) => AnswerPatternError::Syntax(last_line(&message)),
            _ => AnswerPatternError::TooLarge,
        })
    }

    /// Returns whether it is found in a text.
    pub fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// Returns the first group that matched, or the whole match where there is no group; `None` where nothing matches.
    pub fn captured<'t>(&self, text: &'t str) -> Option<&'t str> {
        let found = self.0.captures(text)?;
        found.iter().skip(1).flatten().next().or(found.get(0)).map(|part| part.as_str())
    }
}

/// The message for people ends with the reason.
fn last_line(message: &str) -> String {
    message.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

impl PartialEq for AnswerPattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl fmt::Debug for AnswerPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AnswerPattern({:?})", self.0.as_str())
    }
}

impl TryFrom<String> for AnswerPattern {
    type Error = AnswerPatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<AnswerPattern> for String {
    fn from(pattern: AnswerPattern) -> Self {
        pattern.0.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_captured_is_the_first_group_or_the_whole_match() {
        let captured = |pattern: &str, text| AnswerPattern::parse(pattern).unwrap().captured(text);

        assert_eq!(captured(r"\d+", "about 42 or 43"), Some("42"));
        assert_eq!(captured(r"(?:answer|result): (\w+)", "result: yes"), Some("yes"));
        assert_eq!(captured("x", "abc"), None);
    }

    #[test]
    fn bad_patterns_are_refused_with_the_reason() {
        assert_eq!(AnswerPattern::parse("(").unwrap_err(), AnswerPatternError::Syntax("unclosed group".to_owned()));
        assert_eq!(AnswerPattern::parse(r"\w{5000}").unwrap_err(), AnswerPatternError::TooLarge);
        assert_eq!(AnswerPattern::parse(&"a".repeat(2_001)).unwrap_err(), AnswerPatternError::TooLarge);
    }
}
