//! Legacy text completion requests, passed through.

use bytes::Bytes;

use super::{
    chat::{Extension, take_extension},
    parse::{Fields, Limits, ParseError, parse_body, parse_stream},
    raw::RawObject,
};

/// A text completion request.
#[derive(Clone, Debug)]
pub struct TextCompletionCall {
    /// The body as it came, without the `pointsman` field.
    pub body: RawObject,
    /// `model`.
    pub model: String,
    /// `stream`.
    pub is_streaming: bool,
    /// `stream_options.include_usage`.
    pub wants_usage: bool,
    /// Bytes of `prompt`, to estimate tokens.
    pub prompt_bytes: usize,
    /// `max_tokens`.
    pub max_tokens: Option<u64>,
    /// The `pointsman` field.
    pub extension: Extension,
}

impl TextCompletionCall {
    /// Parses a request body.
    ///
    /// # Errors
    /// The body is not a JSON object within `limits`, or a field that the gateway looks at is missing, of the wrong type or out
    /// of range.
    pub fn parse(bytes: Bytes, limits: &Limits) -> Result<Self, ParseError> {
        let (body, extension) = take_extension(parse_body(bytes, limits)?)?;
        let fields = Fields(&body);
        let (is_streaming, wants_usage) = parse_stream(&fields)?;
        fields.integer("n", 1..=u64::from(limits.choices))?;
        Ok(Self {
            model: fields.model()?,
            is_streaming,
            wants_usage,
            prompt_bytes: fields.raw("prompt").map_or(0, str::len),
            max_tokens: fields.integer("max_tokens", 0..=u64::MAX)?,
            extension,
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gateway_needs_is_read_and_the_rest_kept() {
        let body = r#"{"model":"m","prompt":"hello","stream":true,"max_tokens":5,"best_of":3}"#;
        let limits = Limits { messages: 1, choices: 1, depth: 4 };

        let call = TextCompletionCall::parse(Bytes::from(body), &limits).unwrap();

        assert_eq!((call.model.as_str(), call.is_streaming, call.max_tokens), ("m", true, Some(5)));
        assert_eq!(call.prompt_bytes, r#""hello""#.len());
        assert_eq!(call.body.bytes(), &body);
    }

    #[test]
    fn the_pointsman_field_is_read_and_taken_out() {
        let body = r#"{"model":"m","pointsman":{"max_cost":0.5},"prompt":"hello"}"#;
        let limits = Limits { messages: 1, choices: 1, depth: 4 };

        let call = TextCompletionCall::parse(Bytes::from(body), &limits).unwrap();

        assert_eq!(call.extension.max_cost, Some(0.5));
        assert_eq!(call.body.bytes(), &r#"{"model":"m","prompt":"hello"}"#);
    }
}
