//! Is the answer in what a model wrote the right one?

use std::sync::LazyLock;

use regex::Regex;

use crate::domain::final_answer::{boxed, fenced, marked};

static SENTENCE_END: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[.!?]+(?:\s+|$)|\n+").ok());

/// Answers of at most this many words are searched whole; longer ones without a mark only in their first and last sentence.
const SHORT_WORDS: usize = 12;

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
