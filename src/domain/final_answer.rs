//! Finding the answer in what a model wrote.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Deserializer, Value};

/// A regular expression written here; one that does not compile matches nothing, and the tests of this file would show it.
fn pattern(text: &str) -> Option<Regex> {
    Regex::new(text).ok()
}

static NUMBER: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"[-+]?(?:\d{1,3}(?:[,'\u{a0}\u{202f}]\d{3})+|\d+)(?:\.\d+)?|[-+]?\.\d+"));
static MARKER: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"(?i)\b(?:final\s+answer|answer|result)\b\W{0,6}(?:\bis\b|:|=)\W*?|####\s*"));

/// Two numbers count as equal up to this share of the larger one: the last digits of decimals.
const TOLERANCE: f64 = 1e-6;

/// Returns whether two numbers are the same but for rounding of the representation.
pub fn numbers_equal(a: f64, b: f64) -> bool {
    (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1e-3)
}

/// Returns the number that an answer comes to: in the last box, after the last "answer is", or the last one of all.
pub fn number(answer: &str) -> Option<f64> {
    let plain = answer.replace("{,}", ",").replace('−', "-").replace("**", "").replace(['$', '`'], "");
    if let Some(number) = boxed(&plain).and_then(|inside| numbers(inside).last().copied()) {
        return Some(number);
    }
    if let Some(number) = marked(&plain).and_then(number_of_line) {
        return Some(number);
    }
    numbers(&plain).last().copied()
}

/// After a mark the first line with a number counts, there what follows the last equals sign.
fn number_of_line(rest: &str) -> Option<f64> {
    let line = rest.lines().find(|line| !numbers(line).is_empty())?;
    let result = line.rsplit_once('=').map_or(line, |(_, result)| result);
    numbers(result).first().or(numbers(line).first()).copied()
}

fn numbers(text: &str) -> Vec<f64> {
    let Some(regex) = &*NUMBER else { return Vec::new() };
    let found = regex.find_iter(text).map(|found| {
        // A hyphen between digits or letters is no sign: 5-3, step-2.
        let before = text.get(..found.start()).and_then(|before| before.chars().next_back());
        let is_sign = !before.is_some_and(char::is_alphanumeric);
        let digits = if is_sign { found.as_str() } else { found.as_str().trim_start_matches(['-', '+']) };
        digits.replace([',', '\'', '\u{a0}', '\u{202f}'], "")
    });
    found.filter_map(|digits| digits.parse().ok()).collect()
}

/// Returns what stands in the last box.
pub fn boxed(text: &str) -> Option<&str> {
    let (_, rest) = text.rsplit_once("\\boxed{")?;
    rest.split_once('}').map(|(inside, _)| inside)
}

/// Returns what follows the last mark of an answer.
pub fn marked(text: &str) -> Option<&str> {
    let last = MARKER.as_ref()?.find_iter(text).last()?;
    text.get(last.end()..).filter(|rest| !rest.trim().is_empty())
}

/// Returns what follows the thoughts that some models put before their answer.
pub fn without_thoughts(answer: &str) -> &str {
    answer.rsplit_once("</think>").map_or(answer, |(_, rest)| rest)
}

/// Returns the content of the last fenced block.
pub fn fenced(answer: &str) -> Option<&str> {
    let (before, _) = answer.rsplit_once("```")?;
    let (_, block) = before.rsplit_once("```")?;
    // The rest of the opening line names the language.
    Some(block.split_once('\n').map_or(block, |(_, content)| content))
}

/// Returns the first JSON object or list in a text; a fenced block is looked at first.
pub fn json_in(text: &str) -> Option<Value> {
    fenced(text).and_then(first_value).or_else(|| first_value(text))
}

fn first_value(text: &str) -> Option<Value> {
    let starts = text.char_indices().filter(|(_, character)| matches!(character, '{' | '['));
    let values = starts.filter_map(|(start, _)| text.get(start..));
    values.filter_map(|rest| Deserializer::from_str(rest).into_iter::<Value>().next()?.ok()).next()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_found_however_they_are_wrapped() {
        let good = [
            "42",
            "The answer is 42.",
            "6 * 7 = 42",
            "**Answer:** 42",
            "Answer: 6 * 7 = 42 apples (of 50)",
            "First 17, then 25. #### 42",
            "So we get $\\boxed{42}$ for n = 3.",
            "Final answer: **42**\n",
            "The result is:\n\n42.0",
        ];

        for answer in good {
            assert_eq!(number(answer), Some(42.0), "{answer}");
        }
    }

    #[test]
    fn signs_separators_and_decimals_are_read() {
        for (answer, expected) in [
            ("It is 1,234,567.", 1_234_567.0),
            ("1{,}234", 1_234.0),
            ("The answer is −4 degrees", -4.0),
            ("217.80 dollars", 217.8),
            ("between 3-5", 5.0),
            ("1'000", 1_000.0),
        ] {
            assert_eq!(number(answer), Some(expected), "{answer}");
        }
        assert_eq!(number("I do not know."), None);
    }

    #[test]
    fn other_numbers_are_wrong() {
        assert!(numbers_equal(217.8, 217.800_000_01) && numbers_equal(0.0, 0.0));
        assert!(!numbers_equal(217.8, 217.9) && !numbers_equal(0.0, 1.0) && !numbers_equal(41.0, 42.0));
    }

    #[test]
    fn json_is_found_bare_fenced_and_after_words() {
        let expected = json!({"a": 1});

        for text in ["{\"a\": 1}", "Here:\n```json\n{\"a\": 1}\n```", "Sure [as asked]: {\"a\": 1} - done"] {
            assert_eq!(json_in(text), Some(expected.clone()), "{text}");
        }
        assert_eq!(json_in("no JSON {here}"), None);
    }

    #[test]
    fn the_last_fenced_block_counts() {
        assert_eq!(fenced("First:\n```python\na\n```\nthen\n```\nb\n```\nDone."), Some("b\n"));
        assert_eq!(fenced("nothing fenced"), None);
    }
}
