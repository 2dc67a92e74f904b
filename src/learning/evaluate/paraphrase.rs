//! Says the same in other words: prompts whose answer stays, made by rule and without chance beyond a seed.
//!
//! Every kind leaves numbers, code and names alone, so that the question stays the question. Kinds that find nothing to change
//! in a prompt make no paraphrase of it.

use rand::Rng;

use crate::learning::encoder::stage_rng;

/// A way to say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All in lower case.
    LowerCase,
    /// Blank lines and blanks doubled or dropped.
    Blanks,
    /// Without the mark at the end, or with another one.
    EndMark,
    /// A polite phrase before.
    Politeness,
    /// Thanks after.
    Thanks,
    /// One letter in forty words swapped with its neighbour, as fast typists do.
    Typos,
    /// Contractions opened or made, and common words for others.
    Synonyms,
    /// Choices marked `(A)` for `A.` and the other way round.
    ChoiceMarks,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::LowerCase,
        Self::Blanks,
        Self::EndMark,
        Self::Politeness,
        Self::Thanks,
        Self::Typos,
        Self::Synonyms,
        Self::ChoiceMarks,
    ];

    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LowerCase => "lower case",
            Self::Blanks => "blanks",
            Self::EndMark => "end mark",
            Self::Politeness => "politeness",
            Self::Thanks => "thanks",
            Self::Typos => "typing errors",
            Self::Synonyms => "synonyms and contractions",
            Self::ChoiceMarks => "marks of choices",
        }
    }

    /// Returns the paraphrase; `None` where this kind would change nothing. The same text and seed give the same words.
    pub fn apply(self, text: &str, seed: u64) -> Option<String> {
        let said = match self {
            Self::LowerCase => text.to_lowercase(),
            Self::Blanks => blanks(text),
            Self::EndMark => end_mark(text),
            Self::Politeness => format!("{} {text}", pick(&OPENINGS, seed)),
            Self::Thanks => format!("{}\n\n{}", text.trim_end(), pick(&CLOSINGS, seed)),
            Self::Typos => typos(text, seed),
            Self::Synonyms => synonyms(text),
            Self::ChoiceMarks => choice_marks(text),
        };
        (said != text).then_some(said)
    }
}

const OPENINGS: [&str; 4] = [
    "Could you please help me with this?",
    "Hi! A quick question:",
    "Please answer the following.",
    "I would like to know:",
];
const CLOSINGS: [&str; 4] = ["Thank you!", "Thanks in advance.", "Many thanks for your help.", "Cheers!"];

/// Words for words, in both cases of the first letter; whole words only.
const SYNONYMS: [(&str, &str); 18] = [
    ("what's", "what is"),
    ("don't", "do not"),
    ("doesn't", "does not"),
    ("isn't", "is not"),
    ("can't", "cannot"),
    ("it's", "it is"),
    ("which of the following", "which one of these"),
    ("how many", "what number of"),
    ("find", "determine"),
    ("compute", "calculate"),
    ("large", "big"),
    ("begin", "start"),
    ("buys", "purchases"),
    ("show", "demonstrate"),
    ("however", "but"),
    ("therefore", "so"),
    ("because", "since"),
    ("approximately", "about"),
];

fn pick<'a>(phrases: &[&'a str], seed: u64) -> &'a str {
    let index = usize::try_from(seed % phrases.len().max(1) as u64).unwrap_or(0);
    phrases.get(index).copied().unwrap_or_default()
}

/// Blank lines vanish where there are some; elsewhere the blank after a full stop is doubled. Indented lines, which may be code,
/// keep theirs.
fn blanks(text: &str) -> String {
    if text.contains("\n\n") {
        return text.split('\n').filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("\n");
    }
    let widen = |line: &str| if line.starts_with(' ') { line.to_owned() } else { line.replace(". ", ".  ") };
    let widened: Vec<String> = text.split('\n').map(widen).collect();
    format!(" {} ", widened.join("\n"))
}

fn end_mark(text: &str) -> String {
    let trimmed = text.trim_end();
    match trimmed.chars().last() {
        Some('.' | '?' | '!' | ':') => {
            let mut characters = trimmed.chars();
            characters.next_back();
            characters.as_str().to_owned()
        }
        Some(last) if last.is_alphabetic() => format!("{trimmed}."),
        _ => text.to_owned(),
    }
}

/// Words of plain letters from five letters on: the ends stay, two inner neighbours change places.
fn typos(text: &str, seed: u64) -> String {
    const ONE_IN: u32 = 40;
    const SHORTEST: usize = 5;
    let mut rng = stage_rng(seed, 21);
    let mut has_changed = false;
    let words: Vec<&str> = text.split(' ').collect();
    let count = words.len();
    let spelled = words.into_iter().enumerate().map(|(index, word)| {
        let is_word = word.len() >= SHORTEST && word.bytes().all(|byte| byte.is_ascii_lowercase());
        // A prompt of few words gets one, if it has a word for it.
        let is_last_chance = !has_changed && index + count / 4 >= count;
        if !is_word || !(is_last_chance || rng.random_ratio(1, ONE_IN)) {
            return word.to_owned();
        }
        has_changed = true;
        swapped(word, rng.random_range(1..word.len() - 2))
    });
    spelled.collect::<Vec<_>>().join(" ")
}

fn swapped(word: &str, at: usize) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    if at + 1 < letters.len() {
        letters.swap(at, at + 1);
    }
    letters.into_iter().collect()
}

fn synonyms(text: &str) -> String {
    SYNONYMS.iter().fold(text.to_owned(), |text, (from, to)| {
        let text = replaced(&text, from, to);
        replaced(&text, &capitalised(from), &capitalised(to))
    })
}

fn capitalised(word: &str) -> String {
    let mut characters = word.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

/// Replaces whole words.
fn replaced(text: &str, from: &str, to: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(from) {
        let (before, found) = rest.split_at(at);
        let after = found.get(from.len()..).unwrap_or_default();
        let is_letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '\''));
        let is_whole = !is_letter(before.chars().last().or(out.chars().last())) && !is_letter(after.chars().next());
        out.push_str(before);
        out.push_str(if is_whole { to } else { from });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// `A. x` becomes `(A) x`; `(A) x` and `A) x` become `A. x`. The letters keep their answers.
fn choice_marks(text: &str) -> String {
    let mark = |line: &str| -> String {
        let Some((letter, mark, rest)) = choice(line) else { return line.to_owned() };
        if mark == "." { format!("({letter}) {rest}") } else { format!("{letter}. {rest}") }
    };
    let choices = text.lines().filter(|line| choice(line).is_some()).count();
    if choices < 2 { text.to_owned() } else { text.split('\n').map(mark).collect::<Vec<_>>().join("\n") }
}

fn choice(line: &str) -> Option<(char, &str, &str)> {
    let inner = line.strip_prefix('(').unwrap_or(line);
    let letter = inner.chars().next().filter(char::is_ascii_uppercase)?;
    let after = inner.get(1..)?;
    let mark = [".", ")"].into_iter().find(|mark| after.starts_with(mark))?;
    let rest = after.get(1..)?.strip_prefix(' ')?;
    Some((letter, mark, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QUESTION: &str = "What's the largest planet? Don't guess.\nA. Mars\nB. Jupiter\nC. Venus";

    #[test]
    fn each_kind_says_it_its_own_way() {
        let said = |kind: Kind| kind.apply(QUESTION, 1).unwrap();

        assert!(said(Kind::LowerCase).starts_with("what's the largest planet?"));
        assert!(said(Kind::Politeness).ends_with(QUESTION));
        assert!(said(Kind::Thanks).ends_with("Thanks in advance."));
        assert!(said(Kind::Synonyms).starts_with("What is the largest planet? Do not guess."));
        assert!(said(Kind::ChoiceMarks).ends_with("(A) Mars\n(B) Jupiter\n(C) Venus"));
        assert!(said(Kind::EndMark).ends_with("Venus."));
    }

    #[test]
    fn parts_of_words_are_no_words() {
        assert_eq!(
            replaced("finding what we find in a finder", "find", "determine"),
            "finding what we determine in a finder"
        );
    }

    #[test]
    fn nothing_to_change_gives_nothing() {
        assert_eq!(Kind::ChoiceMarks.apply("no choices here", 0), None);
        assert_eq!(Kind::LowerCase.apply("all small", 0), None);
        assert_eq!(Kind::Typos.apply("a b c 12 34", 0), None);
    }

    proptest! {
        #[test]
        fn numbers_survive_every_kind(text in "[A-Za-z0-9 .?\n()]{0,200}", seed in 0_u64..50) {
            let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();

            for kind in Kind::ALL {
                if let Some(said) = kind.apply(&text, seed) {
                    prop_assert_eq!(digits(&said), digits(&text), "{}", kind.name());
                    prop_assert_eq!(kind.apply(&text, seed), Some(said));
                }
            }
        }

        #[test]
        fn any_text_is_taken(text in any::<String>(), seed in any::<u64>()) {
            for kind in Kind::ALL {
                prop_assert!(kind.apply(&text, seed).is_none_or(|said| said != text));
            }
        }
    }
}
