//! What a good answer is.

use serde::Deserialize;
use serde_json::Value;

use super::{final_answer, json, rules::Rule};
use crate::domain::final_answer::{json_in, number, numbers_equal, without_thoughts};

/// What a good answer is.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// This number.
    Number(f64),
    /// One of these texts, whatever the case and the punctuation.
    Text(Vec<String>),
    /// Exactly this text, line by line.
    Output(String),
    /// This JSON value; strings count the same in any case.
    Json(Value),
    /// All of these hold of the answer's form.
    Rules(Vec<Rule>),
    /// The answer's Python code passes these assertions.
    Python(String),
}

impl Check {
    /// Returns whether an answer is good; `None` when only running its code could tell.
    pub fn accepts(&self, answer: &str) -> Option<bool> {
        let answer = without_thoughts(answer).trim();
        Some(match self {
            Self::Number(expected) => number(answer).is_some_and(|found| numbers_equal(found, *expected)),
            Self::Text(accepted) => final_answer::says_one_of(answer, accepted),
            Self::Output(expected) => final_answer::is_output(answer, expected),
            Self::Json(expected) => json_in(answer).is_some_and(|found| json::equals(&found, expected)),
            Self::Rules(rules) => !answer.is_empty() && rules.iter().all(|rule| rule.holds(answer)),
            Self::Python(_) => return None,
        })
    }

    /// Returns the plainest good answer, where one follows from the check.
    pub(super) fn answer(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(accepted) => accepted.first().cloned().unwrap_or_default(),
            Self::Output(text) => text.clone(),
            Self::Json(value) => value.to_string(),
            Self::Rules(_) | Self::Python(_) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_are_not_graded() {
        let check = Check::Number(7.0);

        assert_eq!(check.accepts("<think>Is it 9? No.</think>\n7"), Some(true));
        assert_eq!(check.accepts("<think>It is 7.</think>\nI say 9."), Some(false));
    }
}
