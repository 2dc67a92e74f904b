//! What a whole answer says to its reader.

use serde::Deserialize;
use serde_json::Value;

/// The message of an answer's first choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirstMessage {
    /// Its text; `None` when it has none.
    pub content: Option<String>,
    /// Whether it calls tools.
    pub calls_tools: bool,
    /// What it says instead of an answer, where the provider marks that it declines.
    pub refusal: Option<String>,
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    tool_calls: Option<Value>,
    refusal: Option<String>,
}

impl FirstMessage {
    /// Reads the body of a whole answer; one without choices says nothing.
    ///
    /// # Errors
    /// The body is no completion.
    pub fn read(body: &[u8]) -> Result<Self, serde_json::Error> {
        let completion: Completion = serde_json::from_slice(body)?;
        let message = completion.choices.into_iter().next().map(|choice| choice.message);
        let read = |message: Message| Self {
            content: message.content,
            calls_tools: !matches!(message.tool_calls, None | Some(Value::Null)),
            refusal: message.refusal,
        };
        Ok(message.map(read).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_calls_of_the_first_choice_are_read() {
        let says = br#"{"choices":[{"message":{"role":"assistant","content":"Yes."}}]}"#;
        let declines = br#"{"choices":[{"message":{"content":null,"refusal":"No."}}]}"#;
        let calls = br#"{"choices":[{"message":{"content":"x","tool_calls":[{"id":"1"}]}}]}"#;

        let read = |body: &[u8]| FirstMessage::read(body).unwrap();

        assert_eq!(read(says), FirstMessage { content: Some("Yes.".to_owned()), ..FirstMessage::default() });
        let called = FirstMessage { content: Some("x".to_owned()), calls_tools: true, refusal: None };
        assert_eq!(read(calls), called);
        assert_eq!(read(declines).refusal.as_deref(), Some("No."));
        assert_eq!(read(br#"{"choices":[]}"#), FirstMessage::default());
        assert!(FirstMessage::read(b"{}").is_err());
    }
}
