//! Does an answer decline to answer?

use crate::execute::answer::Answer;

/// Characters at the beginning of an answer in which a refusal shows: models that decline say so first.
const HEAD: usize = 160;

/// What refusals of today's models begin with, in lower case with straight apostrophes. English only: policies add their own.
const PHRASES: &[&str] = &[
    "i can't assist",
    "i can't help",
    "i can't provide",
    "i cannot answer",
    "i cannot assist",
    "i cannot help",
    "i cannot provide",
    "i'm not able to",
    "i am not able to",
    "i'm unable to",
    "i am unable to",
    "i won't be able to",
    "i must decline",
    "i don't know",
    "i do not know",
    "as an ai",
    "as a language model",
];

/// The `finish_reason` of an answer that the provider held back.
const FILTERED: &str = "content_filter";

/// Returns whether an answer declines: the provider marks it so, or it begins with one of the usual phrases or of these.
pub(super) fn declines(answer: &Answer, phrases: &[String]) -> bool {
    let Some(text) = answer.text() else { return answer.is_refusal() };
    let head: String = text.trim_start().chars().take(HEAD).flat_map(char::to_lowercase).collect();
    let head = head.replace('\u{2019}', "'");
    let has = |phrase: &str| head.contains(phrase);
    answer.is_refusal()
        || answer.finish_reason() == Some(FILTERED)
        || PHRASES.iter().copied().any(has)
        || phrases.iter().any(|phrase| has(&phrase.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{domain::WholeReply, wire::raw::quoted};

    fn answer(message: &str, finish_reason: &str) -> Answer {
        let body = format!(r#"{{"choices":[{{"message":{message},"finish_reason":"{finish_reason}"}}]}}"#);
        Answer::of_whole(WholeReply::read(Bytes::from(body))).unwrap()
    }

    fn declines_in(text: &str) -> bool {
        declines(&answer(&format!(r#"{{"content":{}}}"#, quoted(text)), "stop"), &["Leider kann ich".to_owned()])
    }

    #[test]
    fn refusals_are_known_by_how_they_begin() {
        for text in
            ["I\u{2019}m sorry, but I can't help with that.", "As an AI model, ...", "Leider kann ich das nicht."]
        {
            assert!(declines_in(text), "{text}");
        }
        let late = format!("{} I don't know whether that was asked.", "The answer is 42, and this is why. ".repeat(8));
        for text in ["The capital is Paris.", "I can help.", late.as_str(), ""] {
            assert!(!declines_in(text), "{text}");
        }
    }

    #[test]
    fn what_the_provider_marks_counts() {
        assert!(declines(&answer(r#"{"content":null,"refusal":"No."}"#, "stop"), &[]));
        assert!(declines(&answer(r#"{"content":""}"#, "content_filter"), &[]));
        assert!(!declines(&answer(r#"{"content":null,"tool_calls":[{"id":"1"}]}"#, "tool_calls"), &[]));
    }
}
