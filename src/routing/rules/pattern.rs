//! What a rule looks for in a text, in time that grows with the text alone.

use regex::{Regex, RegexBuilder};

/// Longest pattern, in bytes: longer ones are lists, and lists are keywords.
const MAX_PATTERN_BYTES: usize = 2_000;
/// Largest compiled pattern and largest cache of its automaton: `\w{1000}` is refused, what people write by hand is not.
const MAX_COMPILED_BYTES: usize = 1 << 20;
/// Deepest nesting of a pattern.
const MAX_NESTING: u32 = 32;
/// Bytes at each end of a text that are searched. Most patterns read 300 MB a second and more; a word boundary in a text beyond
/// ASCII, the slowest that was measured, reads 44 MB, and both ends take 0.75 ms.
const SEARCHED_BYTES: usize = 16 * 1_024;

/// Why a pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is no regular expression.
    #[error("the pattern does not compile at character {character}: {reason}")]
    Syntax {
        /// Where, from 1.
        character: usize,
        /// Why.
        reason: String,
    },
    /// It is too long, or grows too large when it is compiled.
    #[error("the pattern is too large: at most {MAX_PATTERN_BYTES} bytes, and 1 MiB when compiled")]
    TooLarge,
    /// A word has no characters, and so would be in every text.
    #[error("a keyword must not be blank")]
    BlankWord,
    /// It matches the empty text, and so every text.
    #[error("the pattern matches every text, also an empty one")]
    MatchesAll,
}

/// A regular expression or a list of words. Matching takes time proportional to the text (no look-around, no back references).
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles a regular expression in the syntax of the `regex` crate.
    ///
    /// # Errors
    /// It does not compile, is too large, or matches everything.
    pub fn regex(pattern: &str) -> Result<Self, PatternError> {
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(PatternError::TooLarge);
        }
        let compiled = compile(pattern)?;
        if compiled.is_match("") { Err(PatternError::MatchesAll) } else { Ok(Self(compiled)) }
    }

    /// Compiles words or phrases of which one is to be found, ignoring case. Where a word begins or ends with a letter or digit
    /// of a script that sets blanks between words, it must stand alone: `art` is not in `party`.
    ///
    /// # Errors
    /// There are none or too many, or one is blank.
    pub fn keywords(words: &[String]) -> Result<Self, PatternError> {
        if words.is_empty() || words.iter().any(|word| word.trim().is_empty()) {
            return Err(PatternError::BlankWord);
        }
        let alternatives: Vec<String> = words.iter().map(|word| whole_word(word.trim())).collect();
        compile(&format!("(?i)(?:{})", alternatives.join("|"))).map(Self)
    }

    /// Returns whether it is found in the first or the last 16 KiB of a text.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let head = text.floor_char_boundary(SEARCHED_BYTES);
        let tail = text.ceil_char_boundary(text.len().saturating_sub(SEARCHED_BYTES)).max(head);
        let finds = |part: Option<&str>| part.is_some_and(|part| self.0.is_match(part));
        finds(text.get(..head)) || finds(text.get(tail..))
    }
}

fn compile(pattern: &str) -> Result<Regex, PatternError> {
    let built = RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED_BYTES)
        .dfa_size_limit(MAX_COMPILED_BYTES)
        .nest_limit(MAX_NESTING)
        .build();
    built.map_err(|error| match error {
        regex::Error::Syntax(message) => syntax(&message),
        _ => PatternError::TooLarge,
    })
}

/// Reads place and reason off the message for people: the pattern, a caret under the fault, and `error: <reason>`.
fn syntax(message: &str) -> PatternError {
    let caret = message.lines().find(|line| line.trim_start().starts_with('^'));
    let column = caret.map_or(0, |line| line.chars().take_while(|c| *c == ' ').count());
    // The message sets the pattern in by four blanks.
    let character = column.saturating_sub(4) + 1;
    let reason = message.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or("it is not understood");
    PatternError::Syntax { character, reason: reason.to_owned() }
}

fn whole_word(word: &str) -> String {
    let start = word.chars().next().filter(|c| is_set_apart(*c)).map_or("", |_| r"\b{start-half}");
    let end = word.chars().next_back().filter(|c| is_set_apart(*c)).map_or("", |_| r"\b{end-half}");
    format!("{start}{}{end}", regex::escape(word))
}

/// Returns whether words of this character's script stand apart; Chinese, Japanese, Thai, Lao, Khmer and Burmese run on.
fn is_set_apart(c: char) -> bool {
    let runs_on = matches!(c, '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}'
        | '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}');
    c.is_alphanumeric() && !runs_on
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Pattern {
        Pattern::keywords(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_keyword_stands_alone_and_ignores_case() {
        let pattern = words(&["art", "C++", "purchase order"]);

        assert!(
            pattern.is_in("Is this ART?") && pattern.is_in("write C++ please") && pattern.is_in("a Purchase Order!")
        );
        assert!(!pattern.is_in("a party of artists"));
    }

    #[test]
    fn a_keyword_of_a_script_without_blanks_is_found_inside_a_sentence() {
        assert!(words(&["合同"]).is_in("请检查这份合同的条款"));
    }

    #[test]
    fn a_pattern_that_does_not_compile_tells_where() {
        let refused = Pattern::regex("select (from").unwrap_err();

        assert_eq!(refused.to_string(), "the pattern does not compile at character 8: unclosed group");
    }

    #[test]
    fn a_pattern_that_grows_too_large_is_refused() {
        assert_eq!(Pattern::regex(r"(\w{100}){100}").unwrap_err(), PatternError::TooLarge);
        assert_eq!(Pattern::regex(&"a".repeat(MAX_PATTERN_BYTES + 1)).unwrap_err(), PatternError::TooLarge);
        assert!(matches!(Pattern::regex(r"(a)\1"), Err(PatternError::Syntax { .. })));
        assert_eq!(Pattern::regex("a*").unwrap_err(), PatternError::MatchesAll);
    }

    #[test]
    fn both_ends_of_a_long_text_are_searched() {
        let filler = "ß".repeat(SEARCHED_BYTES);
        let pattern = words(&["needle"]);

        assert!(pattern.is_in(&format!("needle {filler}")) && pattern.is_in(&format!("{filler} needle")));
        assert!(!pattern.is_in(&format!("{filler} needle {filler}")));
    }

    #[test]
    fn a_pattern_made_to_be_slow_is_not() {
        let pattern = Pattern::regex("(a+)+b").unwrap();

        assert!(!pattern.is_in(&"a".repeat(10_000_000)));
    }
}
