//! Finding the answer in what a model wrote.

use std::sync::LazyLock;

use regex::Regex;

use super::check::fenced;

/// A regular expression written here; one that does not compile matches nothing, and the tests of this file would show it.
fn pattern(text: &str) -> Option<Regex> {
    Regex::new(text).ok()
}

static NUMBER: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"[-+]?(?:\d{1,3}(?:[,'\u{a0}\u{202f}]\d{3})+|\d+)(?:\.\d+)?|[-+]?\.\d+"));
static MARKER: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"(?i)\b(?:final\s+answer|answer|result)\b\W{0,6}(?:\bis\b|:|=)\W*?|####\s*"));
static SENTENCE_END: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"[.!?]+(?:\s+|$)|\n+"));

/// Two numbers count as equal up to this share of the larger one: the last digits of decimals.
const TOLERANCE: f64 = 1e-6;

/// Answers of at most this many words are searched whole; longer ones without a mark only in their first and last sentence.
const SHORT_WORDS: usize = 12;

/// Returns whether two numbers are the same but for rounding of the representation.
pub(super) fn numbers_equal(a: f64, b: f64) -> bool {
    (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1e-3)
}

/// Returns the number that an answer comes to: in the last box, after the last "answer is", or the last one of all.
pub(super) fn number(answer: &str) -> Option<f64> {
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

fn boxed(text: &str) -> Option<&str> {
    let (_, rest) = text.rsplit_once("\\boxed{")?;
    rest.split_once('}').map(|(inside, _)| inside)
}

/// Returns what follows the last mark of an answer.
fn marked(text: &str) -> Option<&str> {
    let last = MARKER.as_ref()?.find_iter(text).last()?;
    text.get(last.end()..).filter(|rest| !rest.trim().is_empty())
}

/// Returns whether an answer says one of the accepted texts where it says its answer.
pub(super) fn says_one_of(answer: &str, accepted: &[String]) -> bool {
    let places = places(answer);
    accepted.iter().any(|text| places.iter().any(|place| says(place, text)))
}

/// Returns where an answer says its answer.
fn places(answer: &str) -> Vec<&str> {
    if let Some(inside) = boxed(answer) {
        return vec![inside];
    }
    if let Some(line) = marked(answer).and_then(|rest| rest.lines().find(|line| !line.trim().is_empty())) {
        return vec![line];
    }
    if answer.split_whitespace().count() <= SHORT_WORDS {
        return vec![answer];
    }
    let Some(end) = &*SENTENCE_END else { return vec![answer] };
    let sentences: Vec<&str> = end.split(answer).filter(|sentence| !sentence.trim().is_empty()).collect();
    sentences.first().into_iter().chain(sentences.last()).copied().collect()
}

fn says(place: &str, text: &str) -> bool {
    let (place, text) = (normalised(place), normalised(text));
    // Scripts without blanks between words, and with endings glued to them.
    if text.chars().any(|character| character >= '\u{e00}') {
        return place.contains(&text);
    }
    format!(" {place} ").contains(&format!(" {text} "))
}

/// Lower case, everything but letters, their marks and digits turned into single blanks.
fn normalised(text: &str) -> String {
    let is_kept = |character: char| character.is_alphanumeric() || is_mark(character);
    let spaced: String = text.chars().map(|character| if is_kept(character) { character } else { ' ' }).collect();
    spaced.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Vowel signs and tone marks that are no letters of their own, in Indic and Thai script.
fn is_mark(character: char) -> bool {
    matches!(character, '\u{900}'..='\u{903}' | '\u{93a}'..='\u{94f}' | '\u{e31}'..='\u{e4e}')
}

/// Returns whether an answer gives exactly this output: fenced, as its last lines, or all of it.
pub(super) fn is_output(answer: &str, expected: &str) -> bool {
    let text = fenced(answer).unwrap_or(answer).trim().trim_matches('`');
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let expected: Vec<&str> = expected.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let bare = |line: &str| line.trim().trim_matches('`').to_owned();
    lines.ends_with(&expected) || lines.last().map(|line| bare(line)) == Some(expected.join("\n"))
}

#[cfg(test)]
mod tests {
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
    fn short_texts_are_found_with_their_aliases() {
        let accepted = ["Gödel".to_owned(), "Godel".to_owned()];

        for good in ["Gödel", "It was Kurt Godel, in 1931.", "After some thought.\nAnswer: Kurt **Gödel**"] {
            assert!(says_one_of(good, &accepted), "{good}");
        }
        for bad in ["Hilbert", "Godelian logic", "Some say Gödel.\nAnswer: Hilbert"] {
            assert!(!says_one_of(bad, &accepted), "{bad}");
        }
    }

    #[test]
    fn long_answers_are_searched_where_answers_stand() {
        let accepted = ["Canberra".to_owned()];
        let middle = "Many people believe that it is the largest city. Canberra is often named too. I would say that it must be Sydney in the end.";

        assert!(says_one_of(
            "Canberra is the capital. It lies inland, between the two largest cities of the country.",
            &accepted
        ));
        assert!(!says_one_of(middle, &accepted));
    }

    #[test]
    fn scripts_without_blanks_are_searched_within_words() {
        assert!(says_one_of("서울입니다.", &["서울".to_owned()]));
        assert!(says_one_of("首都は東京です。", &["東京".to_owned()]));
        assert!(!says_one_of("부산입니다.", &["서울".to_owned()]));
    }

    #[test]
    fn outputs_must_be_exact() {
        for good in ["[1, 2]", "```\n[1, 2]\n```", "It prints:\n[1, 2]", "`[1, 2]`"] {
            assert!(is_output(good, "[1, 2]"), "{good}");
        }
        for bad in ["[1,2]", "[1, 2, 3]", "", "[1, 2] and more"] {
            assert!(!is_output(bad, "[1, 2]"), "{bad}");
        }
        assert!(is_output("```text\na\nb\n```", "a\nb") && !is_output("b\na", "a\nb"));
    }
}
