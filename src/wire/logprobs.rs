//! What an answer's `logprobs` say of its tokens.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::raw::{Edit, RawError, RawObject};

/// How likely a model held a token to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenOdds {
    /// Natural logarithm of the token's probability.
    pub logprob: f64,
    /// That of the likeliest token minus that of the second; `None` where `top_logprobs` has fewer than two.
    pub margin: Option<f64>,
}

#[derive(Deserialize)]
struct Logprobs {
    content: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    logprob: f64,
    #[serde(default)]
    top_logprobs: Option<Vec<Likely>>,
}

#[derive(Deserialize)]
struct Likely {
    logprob: f64,
}

/// Reads the `logprobs` of a choice of a chat answer; what is none of OpenAI's kind says nothing.
pub(super) fn read(raw: &str) -> Vec<TokenOdds> {
    let logprobs: Option<Logprobs> = serde_json::from_str(raw).ok();
    logprobs.and_then(|logprobs| logprobs.content).unwrap_or_default().into_iter().map(Entry::odds).collect()
}

/// Returns an answer, whole or chunk, whose choices have `logprobs: null`, for a caller who did not ask for them.
///
/// # Errors
/// It is no JSON object, or its choices are no list of objects.
pub fn without(answer: &Bytes) -> Result<Bytes, RawError> {
    let object = RawObject::parse(answer.clone(), usize::MAX)?;
    let Some(choices) = object.get("choices") else { return Ok(answer.clone()) };
    let choices: Vec<&RawValue> = serde_json::from_str(choices).map_err(|_| RawError::NotAnObject)?;
    let mut plain = Vec::with_capacity(choices.len());
    for choice in choices {
        let choice = RawObject::parse(Bytes::copy_from_slice(choice.get().as_bytes()), usize::MAX)?;
        let edits: &[Edit<'_>] = if choice.get("logprobs").is_some() { &[Edit::Set("logprobs", "null")] } else { &[] };
        plain.push(String::from_utf8_lossy(&choice.with(edits)).into_owned());
    }
    Ok(object.with(&[Edit::Set("choices", &format!("[{}]", plain.join(",")))]))
}

impl Entry {
    fn odds(self) -> TokenOdds {
        let mut top: Vec<f64> = self.top_logprobs.unwrap_or_default().iter().map(|likely| likely.logprob).collect();
        top.sort_by(|a, b| b.total_cmp(a));
        let margin = top.first().zip(top.get(1)).map(|(first, second)| first - second);
        TokenOdds { logprob: self.logprob, margin }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_tell_their_likelihood_and_the_margin_if_two_are_known() {
        let top = r#"[{"token":"b","logprob":-2.5,"bytes":null},{"token":"a","logprob":-0.5,"bytes":[97]}]"#;
        let entry = |top: &str| format!(r#"{{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":{top}}}"#);
        let raw = format!(r#"{{"content":[{},{}],"refusal":null}}"#, entry(top), entry("[]"));

        let odds = read(&raw);

        let known = TokenOdds { logprob: -0.5, margin: Some(2.0) };
        assert_eq!(odds, [known, TokenOdds { margin: None, ..known }]);
    }

    #[test]
    fn they_are_taken_out_and_the_rest_stays_as_it_was() {
        let answer = r#"{"id":"x","choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"content":[]},"x":1.0},{"index":1}],"n":1e-400}"#;

        let plain = without(&Bytes::from(answer)).unwrap();

        assert_eq!(plain, answer.replace(r#"{"content":[]}"#, "null"));
        assert!(without(&Bytes::from_static(b"[]")).is_err());
    }

    #[test]
    fn what_is_of_another_kind_says_nothing() {
        for raw in
            ["{}", "[]", r#"{"content":null}"#, r#"{"tokens":["a"],"token_logprobs":[-1.0]}"#, r#"{"content":[{}]}"#]
        {
            assert_eq!(read(raw), [], "{raw}");
        }
    }
}
