//! What an answer's `logprobs` say of its tokens.

use serde::Deserialize;

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
    fn what_is_of_another_kind_says_nothing() {
        for raw in
            ["{}", "[]", r#"{"content":null}"#, r#"{"tokens":["a"],"token_logprobs":[-1.0]}"#, r#"{"content":[{}]}"#]
        {
            assert_eq!(read(raw), [], "{raw}");
        }
    }
}
