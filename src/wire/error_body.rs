//! Error bodies: rendered as OpenAI renders them, and read in the shapes that servers send.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::Code;

/// Longest message taken over from a provider, in characters.
const MESSAGE_CHARS: usize = 2000;

#[derive(Serialize)]
struct Body<'a> {
    error: ErrorObject<'a>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: &'a str,
}

/// Renders an error with all four keys of the OpenAI shape. The same bytes serve as body and as the data of an SSE event.
pub fn render_error(code: Code, message: &str, param: Option<&str>) -> Bytes {
    let body = Body { error: ErrorObject { message, r#type: code.row().kind, param, code: code.name() } };
    // Strings always serialise.
    Bytes::from(serde_json::to_vec(&body).unwrap_or_default())
}

/// What a provider's error says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamErrorBody {
    /// Its message; `None` when the body has none that a person could read.
    pub message: Option<String>,
    /// The field at fault.
    pub param: Option<String>,
    /// Its own code.
    pub code: Option<String>,
    /// Its own type.
    pub kind: Option<String>,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow)]
    param: Option<&'a RawValue>,
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
}

impl UpstreamErrorBody {
    /// Reads any body: the OpenAI shape, `{"error": "..."}`, `{"message": ...}`, FastAPI's `{"detail": ...}`, a list with one of
    /// these, or plain text. HTML gives no message.
    pub fn read(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let text = text.trim();
        match serde_json::from_str::<&RawValue>(text) {
            Ok(raw) => Self::read_json(raw.get()),
            Err(_) if text.starts_with('<') => Self::default(),
            Err(_) => Self { message: readable(text), ..Self::default() },
        }
    }

    fn read_json(raw: &str) -> Self {
        if let Ok(text) = serde_json::from_str::<String>(raw) {
            return Self { message: readable(&text), ..Self::default() };
        }
        if let Some(first) = first_item(raw) {
            return Self::read_object(first);
        }
        Self::read_object(raw)
    }

    fn read_object(raw: &str) -> Self {
        let Ok(document) = serde_json::from_str::<Document<'_>>(raw) else { return Self::default() };
        if let Some(error) = document.error.map(RawValue::get) {
            return match scalar(error) {
                Some(text) => Self { message: readable(&text), ..Self::default() },
                None => Self::read_object(error),
            };
        }
        let field = |raw: Option<&RawValue>| raw.and_then(|raw| scalar(raw.get()));
        Self {
            message: field(document.message).and_then(|text| readable(&text)).or_else(|| read_detail(document.detail)),
            param: field(document.param),
            code: field(document.code),
            kind: field(document.r#type),
        }
    }
}

fn first_item(raw: &str) -> Option<&str> {
    let items: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    items.first().map(|item| item.get())
}

/// Reads FastAPI's `detail`: a text, or a list of faults with `msg` and `loc`.
fn read_detail(raw: Option<&RawValue>) -> Option<String> {
    #[derive(Deserialize)]
    struct Fault {
        msg: String,
    }

    let raw = raw?.get();
    if let Some(text) = scalar(raw) {
        return readable(&text);
    }
    let faults: Vec<Fault> = serde_json::from_str(raw).ok()?;
    let messages: Vec<String> = faults.into_iter().map(|fault| fault.msg).collect();
    readable(&messages.join("; "))
}

/// Returns a string as its text and a number or boolean as written; `None` for anything else.
fn scalar(raw: &str) -> Option<String> {
    match raw.as_bytes().first()? {
        b'"' => serde_json::from_str(raw).ok(),
        b'{' | b'[' | b'n' => None,
        _ => Some(raw.to_owned()),
    }
}

fn readable(text: &str) -> Option<String> {
    let text: String = text.trim().chars().take(MESSAGE_CHARS).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(body: &str) -> Option<String> {
        UpstreamErrorBody::read(body.as_bytes()).message
    }

    #[test]
    fn errors_have_all_four_keys() {
        let body = render_error(Code::InvalidRequest, "No \"n\".", None);

        let expected =
            r#"{"error":{"message":"No \"n\".","type":"invalid_request_error","param":null,"code":"invalid_request"}}"#;
        assert_eq!(body, expected);
    }

    #[test]
    fn what_is_rendered_is_read_again() {
        let body = render_error(Code::RateLimited, "Slow down.", Some("n"));

        let read = UpstreamErrorBody::read(&body);

        assert_eq!(read.message.as_deref(), Some("Slow down."));
        assert_eq!((read.param.as_deref(), read.code.as_deref()), (Some("n"), Some("rate_limit_exceeded")));
        assert_eq!(read.kind.as_deref(), Some("rate_limit_error"));
    }

    #[test]
    fn every_common_shape_gives_its_message() {
        let expected = Some("oops".to_owned());

        assert_eq!(message(r#"{"error":"oops"}"#), expected);
        assert_eq!(message(r#"{"error":{"message":"oops","code":429,"status":"X"}}"#), expected);
        assert_eq!(message(r#"[{"error":{"message":"oops"}}]"#), expected);
        assert_eq!(message(r#"{"object":"error","message":"oops","code":400}"#), expected);
        assert_eq!(message(r#"{"detail":"oops"}"#), expected);
        assert_eq!(message(r#"{"detail":[{"msg":"oops","loc":["body","n"]}]}"#), expected);
        assert_eq!(message("  oops\n"), expected);
        assert_eq!(message(r#""oops""#), expected);
        assert_eq!(message("<html><body>502</body></html>"), None);
        assert_eq!(message(""), None);
        assert_eq!(message("{}"), None);
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..100), json in "[\\[\\]{}\":,a-z0-9error]{0,40}") {
            UpstreamErrorBody::read(&body);
            UpstreamErrorBody::read(json.as_bytes());
        }
    }
}
