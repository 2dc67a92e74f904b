//! What the gateway must know of a whole answer, and what it splices into one.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    logprobs::{self, TokenOdds},
    raw::{Edit, RawError, RawObject},
    usage::UsageFields,
};

/// What a whole chat or text completion says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CompletionFacts {
    /// `finish_reason` of the first choice.
    pub finish_reason: Option<String>,
    /// Its `usage`.
    pub usage: Option<UsageFields>,
    /// Number of choices.
    pub choices: usize,
    /// What `logprobs` say of the tokens of the first choice.
    pub odds: Vec<TokenOdds>,
}

#[derive(Deserialize)]
struct Completion<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(borrow, default)]
    logprobs: Option<&'a RawValue>,
}

impl CompletionFacts {
    /// Reads a body; `None` when it is not a completion.
    pub fn read(body: &[u8]) -> Option<Self> {
        let completion: Completion<'_> = serde_json::from_slice(body).ok()?;
        let choices = completion.choices.len();
        let first = completion.choices.into_iter().next();
        let logprobs = first.as_ref().and_then(|choice| choice.logprobs);
        Some(Self {
            choices,
            usage: completion.usage.and_then(|raw| UsageFields::read(raw.get())),
            odds: logprobs.map(|raw| logprobs::read(raw.get())).unwrap_or_default(),
            finish_reason: first.and_then(|choice| choice.finish_reason),
        })
    }
}

/// Returns an answer, whole or chunk, with a top-level `pointsman` field; `extension` must be JSON.
///
/// # Errors
/// The body is not a JSON object.
pub fn with_extension(body: &Bytes, extension: &str) -> Result<Bytes, RawError> {
    Ok(RawObject::parse(body.clone(), usize::MAX)?.with(&[Edit::Set("pointsman", extension)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"model":"a","choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":1},"x":1.0 }"#;

    #[test]
    fn what_matters_is_read() {
        let facts = CompletionFacts::read(BODY.as_bytes()).unwrap();

        assert_eq!(facts.finish_reason.as_deref(), Some("stop"));
        assert_eq!((facts.choices, facts.usage.unwrap().prompt), (1, 1));
        assert_eq!(CompletionFacts::read(br#"{"error":{}}"#), None);
    }

    #[test]
    fn only_the_spliced_field_changes() {
        let body = Bytes::from_static(BODY.as_bytes());

        let explained = with_extension(&body, r#"{"plan":1}"#).unwrap();

        assert_eq!(explained, BODY.replacen("1.0 }", r#"1.0,"pointsman":{"plan":1} }"#, 1));
    }
}
