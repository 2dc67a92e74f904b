//! Do two answers say the same?

use super::marks::Marks;
use crate::wire::first_message::FirstMessage;

/// Returns the text of a completion's first choice; `None` when it has none, or calls tools.
pub fn text_of(body: &[u8]) -> Option<String> {
    let message = FirstMessage::read(body).ok()?;
    message.content.filter(|_| !message.calls_tools)
}

/// Returns whether two answers are equal but for case, blanks and marks at their ends.
pub fn are_equal(one: &str, other: &str) -> bool {
    normalised(one) == normalised(other)
}

/// Returns whether nothing that embeddings overlook tells two answers apart: numbers, names, negations.
pub fn may_agree(one: &str, other: &str) -> bool {
    Marks::of(one).conflict(&Marks::of(other)).is_none()
}

fn normalised(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    words.join(" ").trim_end_matches(['.', '!', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_choices_text_is_read() {
        let body = br#"{"choices":[{"message":{"role":"assistant","content":"Yes."}}]}"#;
        let calls = br#"{"choices":[{"message":{"content":"x","tool_calls":[{"id":"1"}]}}]}"#;

        assert_eq!(text_of(body).as_deref(), Some("Yes."));
        assert_eq!(text_of(calls), None);
        assert_eq!(text_of(b"{}"), None);
    }

    #[test]
    fn case_blanks_and_end_marks_do_not_part_answers() {
        assert!(are_equal("It is Paris.", "it  is\nParis"));
        assert!(!are_equal("It is Paris.", "It is Rome."));
        assert!(!are_equal("1", "-1"));
    }

    #[test]
    fn numbers_and_negations_part_answers() {
        assert!(may_agree("There are 12 of them.", "Of them there are 12!"));
        assert!(!may_agree("There are 12.", "There are 13."));
        assert!(!may_agree("It is safe.", "It is not safe."));
    }
}
