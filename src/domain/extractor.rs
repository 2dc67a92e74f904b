//! What of an answer is compared with other answers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    answer_pattern::AnswerPattern,
    final_answer::{boxed, json_in, marked, number, without_thoughts},
};

/// Reads off an answer what it comes to; two answers agree when that is the same text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extractor {
    /// The letter of a choice, A to Z.
    Choice,
    /// The number that it comes to; equal but for the seventh digit is the same.
    Number,
    /// The value at this place of the JSON in it, as a JSON pointer (`/answer`); empty for all of it.
    Json(String),
    /// What the first group of a pattern captures, or its whole match.
    Pattern(AnswerPattern),
    /// All of it, but for case, blanks and marks at its ends.
    Text,
}

impl Extractor {
    /// Returns what an answer comes to, in one spelling; `None` when it does not say.
    pub fn read(&self, answer: &str) -> Option<String> {
        let answer = without_thoughts(answer).trim();
        match self {
            Self::Choice => choice(answer).map(|letter| letter.to_string()),
            Self::Number => number(answer).map(same_number),
            Self::Json(pointer) => json_in(answer)?.pointer(pointer).map(same_value),
            Self::Pattern(pattern) => pattern.captured(answer).map(same_text).filter(|text| !text.is_empty()),
            Self::Text => Some(same_text(answer)).filter(|text| !text.is_empty()),
        }
    }
}

/// Returns the letter in the last box, or the first that stands alone after the last "answer is", or the first of an answer that
/// begins with one, or the last that stands in brackets.
fn choice(answer: &str) -> Option<char> {
    if let Some(letter) = boxed(answer).and_then(lone_letter) {
        return Some(letter);
    }
    if let Some(letter) = marked(answer).and_then(lone_letter) {
        return Some(letter);
    }
    let is_start =
        |letter: &char| answer.trim_start_matches(['(', '*', '[']).starts_with([*letter, letter.to_ascii_lowercase()]);
    lone_letter(answer).filter(is_start).or_else(|| bracketed_letter(answer))
}

/// Returns the first word that is one capital letter, or one letter in any case where it is the only word.
fn lone_letter(text: &str) -> Option<char> {
    let mut words =
        text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()).peekable();
    let first = words.next()?;
    let single = |word: &str| word.chars().next().filter(|letter| word.len() == 1 && letter.is_ascii_alphabetic());
    if words.peek().is_none() {
        return single(first).map(|letter| letter.to_ascii_uppercase());
    }
    // "A" and "I" also are words; an answer that begins with one of them goes on with a lower-case word.
    let is_word = matches!(first, "A" | "I") && words.peek().is_some_and(|next| next.starts_with(char::is_lowercase));
    let candidates = std::iter::once(first).filter(|_| !is_word).chain(words);
    candidates.filter_map(single).find(char::is_ascii_uppercase)
}

fn bracketed_letter(text: &str) -> Option<char> {
    let bytes = text.as_bytes();
    let found =
        bytes.windows(3).rev().find(|window| matches!(window, [b'(', letter, b')'] if letter.is_ascii_alphabetic()));
    found.and_then(|window| window.get(1)).map(|letter| char::from(letter.to_ascii_uppercase()))
}

fn same_number(number: f64) -> String {
    // Minus zero is zero.
    format!("{:.6e}", number + 0.0)
}

fn same_text(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    words.join(" ").trim_matches(|character: char| !character.is_alphanumeric()).to_owned()
}

fn same_value(value: &Value) -> String {
    match value {
        Value::String(text) => same_text(text),
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), same_number),
        Value::Null | Value::Bool(_) => value.to_string(),
        Value::Array(items) => items.iter().map(same_value).collect::<Vec<_>>().join(","),
        Value::Object(fields) => {
            let mut fields: Vec<String> =
                fields.iter().map(|(name, value)| format!("{name}:{}", same_value(value))).collect();
            fields.sort();
            fields.join(",")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_read_however_they_are_given() {
        for answer in [
            "B",
            "b",
            "(B)",
            "B.",
            "B) because it is.",
            "The answer is B.",
            "**Answer:** (B) 42",
            "\\boxed{B}",
            "It must be (b)",
            "A is wrong, C too. Answer: B",
            "<think>Is it A? A!</think> B",
        ] {
            assert_eq!(Extractor::Choice.read(answer).as_deref(), Some("B"), "{answer}");
        }
        for answer in ["", "I do not know.", "A good question, it is hard to say.", "It depends."] {
            assert_eq!(Extractor::Choice.read(answer), None, "{answer}");
        }
    }

    #[test]
    fn numbers_agree_by_value() {
        let read = |answer| Extractor::Number.read(answer);

        assert_eq!(read("So x = 1,234.50"), read("#### 1234.5"));
        assert_eq!(read("-0"), read("0"));
        assert_ne!(read("1.5"), read("1.6"));
        assert_eq!(read("none"), None);
    }

    #[test]
    fn values_of_json_agree_by_what_they_say() {
        let read = |pointer: &str, answer| Extractor::Json(pointer.to_owned()).read(answer);

        assert_eq!(read("/answer", r#"{"answer": " Yes. "}"#), read("/answer", "```json\n{\"answer\":\"yes\"}\n```"));
        assert_eq!(read("", r#"{"a":1,"b":[2.0]}"#), read("", r#"{"b":[2],"a":1.0}"#));
        assert_eq!((read("/other", r#"{"answer":1}"#), read("/answer", "no JSON")), (None, None));
    }

    #[test]
    fn texts_and_captures_agree_but_for_case_and_blanks() {
        let captured = Extractor::Pattern(AnswerPattern::parse(r"(?i)verdict: (.*)").unwrap());

        assert_eq!(captured.read("So.\nVerdict: Not  Guilty."), captured.read("verdict: not guilty"));
        assert_eq!((captured.read("none"), Extractor::Text.read("  !? ")), (None, None));
        assert_eq!(Extractor::Text.read(" It is\nParis. ").as_deref(), Some("it is paris"));
    }
}
