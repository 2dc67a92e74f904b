//! Rules on the form of an answer.

use std::collections::HashSet;

use regex::Regex;
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

use crate::{domain::final_answer::json_in, wire::json_schema};

/// One rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// So many words.
    Words(Count),
    /// So many sentences.
    Sentences(Count),
    /// So many lines that are not empty.
    Lines(Count),
    /// So many lines that start with `- ` or `* `.
    Bullets(Count),
    /// So many lines that start with `1.`, `2.` and so on, in this order.
    Numbered(Count),
    /// So many blocks between empty lines.
    Paragraphs(Count),
    /// No small letter, and at least one capital.
    UpperCase,
    /// No capital letter, and at least one small one.
    LowerCase,
    /// Every line is longer than the one before.
    GrowingLines,
    /// No word occurs twice.
    DistinctWords,
    /// The first characters.
    StartsWith(String),
    /// The last characters.
    EndsWith(String),
    /// The word occurs so often, in any case.
    Contains(WordCount),
    /// None of these words occurs, in any case.
    Without(Vec<String>),
    /// None of these characters occurs.
    WithoutCharacters(String),
    /// Every line that is not empty matches.
    EachLine(Pattern),
    /// Every word, without punctuation around it, matches.
    EachWord(Pattern),
    /// The whole answer matches somewhere.
    Pattern(Pattern),
    /// No more matches than this.
    PatternAtMost(PatternCount),
    /// No fewer matches than this.
    PatternAtLeast(PatternCount),
    /// The JSON in the answer keeps to this schema.
    Schema(Value),
}

/// A range of counts.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Count {
    /// At least so many.
    pub least: usize,
    /// At most so many; `None` means no limit.
    pub most: Option<usize>,
}

/// A word and how often it occurs.
#[derive(Clone, Debug, Deserialize)]
pub struct WordCount {
    /// The word.
    pub word: String,
    /// How often.
    #[serde(flatten)]
    pub count: Count,
}

/// A pattern and how often it matches.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatternCount {
    /// The pattern.
    pub pattern: Pattern,
    /// For [`Rule::PatternAtMost`].
    #[serde(default)]
    pub most: usize,
    /// For [`Rule::PatternAtLeast`].
    #[serde(default)]
    pub least: usize,
}

/// A regular expression that compiled.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Regex::new(&text).map(Self).map_err(D::Error::custom)
    }
}

impl Count {
    fn holds(self, count: usize) -> bool {
        count >= self.least && self.most.is_none_or(|most| count <= most)
    }
}

impl Rule {
    /// Returns whether an answer, without blanks around it, keeps the rule.
    pub(super) fn holds(&self, answer: &str) -> bool {
        match self {
            Self::Words(count) => count.holds(words(answer).count()),
            Self::Sentences(count) => count.holds(sentences(answer)),
            Self::Lines(count) => count.holds(lines(answer).count()),
            Self::Bullets(count) => count.holds(lines(answer).filter(|line| is_bullet(line)).count()),
            Self::Numbered(count) => count.holds(numbered(answer)),
            Self::Paragraphs(count) => count.holds(paragraphs(answer)),
            Self::UpperCase => !answer.chars().any(char::is_lowercase) && answer.chars().any(char::is_uppercase),
            Self::LowerCase => !answer.chars().any(char::is_uppercase) && answer.chars().any(char::is_lowercase),
            Self::GrowingLines => {
                let lengths: Vec<usize> = lines(answer).map(|line| line.trim().chars().count()).collect();
                lengths.is_sorted_by(|a, b| a < b)
            }
            Self::DistinctWords => {
                let mut seen = HashSet::new();
                words(answer).all(|word| seen.insert(word.to_lowercase()))
            }
            Self::StartsWith(start) => answer.starts_with(start.as_str()),
            Self::EndsWith(end) => answer.ends_with(end.as_str()),
            Self::Contains(WordCount { word, count }) => count.holds(occurrences(answer, word)),
            Self::Without(words) => words.iter().all(|word| occurrences(answer, word) == 0),
            Self::WithoutCharacters(characters) => !answer.chars().any(|character| characters.contains(character)),
            Self::EachLine(Pattern(regex)) => lines(answer).all(|line| regex.is_match(line)),
            Self::EachWord(Pattern(regex)) => words(answer).all(|word| regex.is_match(word)),
            Self::Pattern(Pattern(regex)) => regex.is_match(answer),
            Self::PatternAtMost(limit) => limit.pattern.0.find_iter(answer).count() <= limit.most,
            Self::PatternAtLeast(limit) => limit.pattern.0.find_iter(answer).count() >= limit.least,
            Self::Schema(schema) => json_in(answer).is_some_and(|value| json_schema::keeps(&value, schema)),
        }
    }
}

/// Words without the punctuation around them; marks on their own are none.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let bare = |word: &'_ str| word.trim_matches(|character: char| !character.is_alphanumeric()).len();
    text.split_whitespace()
        .filter(move |word| bare(word) > 0)
        .map(|word| word.trim_matches(|character: char| !character.is_alphanumeric()))
}

fn occurrences(text: &str, word: &str) -> usize {
    words(text).filter(|found| found.to_lowercase() == word.to_lowercase()).count()
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim().is_empty())
}

fn is_bullet(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("- ") || line.starts_with("* ")
}

fn numbered(text: &str) -> usize {
    lines(text).fold(0, |count, line| count + usize::from(line.trim_start().starts_with(&format!("{}.", count + 1))))
}

fn paragraphs(text: &str) -> usize {
    let mut count = 0;
    let mut is_inside = false;
    for line in text.lines() {
        let is_text = !line.trim().is_empty();
        count += usize::from(is_text && !is_inside);
        is_inside = is_text;
    }
    count
}

/// Ends of sentences: a mark before a blank or the end; a rest without a mark counts too.
fn sentences(text: &str) -> usize {
    let is_end = |word: &str| word.trim_end_matches(['"', '”', '\'', ')', '*']).ends_with(['.', '!', '?']);
    let mut count = 0;
    let mut is_open = false;
    for word in text.split_whitespace() {
        is_open = !is_end(word);
        count += usize::from(!is_open);
    }
    count + usize::from(is_open)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: &str) -> Rule {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn each_rule_accepts_what_keeps_it_and_refuses_what_does_not() {
        let cases = [
            (r#"{"words": {"least": 2, "most": 3}}"#, "two - words.", "one"),
            (r#"{"sentences": {"least": 2, "most": 2}}"#, "It is. He said \"no.\"", "Only one."),
            (r#"{"lines": {"most": 2}}"#, "a\n\nb", "a\nb\nc"),
            (r#"{"bullets": {"least": 2}}"#, "- a\n* b", "- a\nb"),
            (r#"{"numbered": {"least": 2}}"#, "1. a\n2. b", "2. a\n1. b"),
            (r#"{"paragraphs": {"least": 2, "most": 2}}"#, "a\nb\n\n\nc", "a\nb"),
            (r#""upper_case""#, "ALL 5!", "All"),
            (r#""lower_case""#, "all 5!", "All"),
            (r#""growing_lines""#, "a\nbb\nccc", "a\nb"),
            (r#""distinct_words""#, "one two", "One, one"),
            (r#"{"starts_with": "Dear"}"#, "Dear all", "dear all"),
            (r#"{"ends_with": "!"}"#, "Yes!", "Yes."),
            (r#"{"contains": {"word": "sea", "least": 1, "most": 1}}"#, "The Sea.", "seaside"),
            (r#"{"without": ["sea"]}"#, "seaside", "The Sea!"),
            (r#"{"without_characters": "eE"}"#, "nothing", "anywhere"),
            (r#"{"each_line": "^a"}"#, "a\n\nab", "a\nb"),
            (r#"{"each_word": "^[a-z]{1,2}$"}"#, "ab, c.", "abc"),
            (r#"{"pattern": "^a.c$"}"#, "abc", "abcd"),
            (r#"{"pattern_at_most": {"pattern": "a", "most": 1}}"#, "abc", "aa"),
            (r#"{"pattern_at_least": {"pattern": "a", "least": 2}}"#, "aa", "abc"),
            (r#"{"schema": {"type": "array"}}"#, "[1]", "{\"a\": 1}"),
        ];

        for (json, good, bad) in cases {
            assert!(rule(json).holds(good), "{json}: {good:?}");
            assert!(!rule(json).holds(bad), "{json}: {bad:?}");
        }
    }

    #[test]
    fn a_pattern_that_does_not_compile_is_no_probe() {
        assert!(serde_json::from_str::<Rule>(r#"{"pattern": "("}"#).is_err());
    }
}
