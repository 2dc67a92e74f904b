//! The request's bytes as the provider gets them.

use bytes::Bytes;

use crate::wire::raw::{Edit, RawObject, quoted};

/// Returns the body under the provider's name for the model.
pub(super) fn named(body: &RawObject, model: &str) -> Bytes {
    let model = quoted(model);
    if body.get("model") == Some(model.as_str()) {
        return body.bytes().clone();
    }
    body.with(&[Edit::Set("model", &model)])
}

/// Returns the body of a chat or text completion, which may be a stream; a stream ends with its usage.
pub(super) fn generation(body: &RawObject, model: &str, is_streaming: bool) -> Bytes {
    let model = quoted(model);
    let mut edits = Vec::new();
    if body.get("model") != Some(model.as_str()) {
        edits.push(Edit::Set("model", &model));
    }
    let options = options(body);
    if is_streaming {
        set(&mut edits, body, "stream", "true");
        set(&mut edits, body, "stream_options", &options);
    } else {
        // Servers refuse options for a stream that is none.
        edits.extend(body.get("stream_options").map(|_| Edit::Remove("stream_options")));
        edits.extend(body.get("stream").filter(|value| *value == "true").map(|_| Edit::Set("stream", "false")));
    }
    if edits.is_empty() { body.bytes().clone() } else { body.with(&edits) }
}

fn set<'a>(edits: &mut Vec<Edit<'a>>, body: &RawObject, name: &'a str, value: &'a str) {
    if body.get(name) != Some(value) {
        edits.push(Edit::Set(name, value));
    }
}

/// The caller's `stream_options` with usage asked for; one that is no object is replaced.
fn options(body: &RawObject) -> String {
    let own = body.get("stream_options").unwrap_or("{}").to_owned();
    let parsed = RawObject::parse(Bytes::from(own), usize::MAX);
    let options = parsed.map(|options| match options.get("include_usage") {
        Some("true") => options.bytes().clone(),
        _ => options.with(&[Edit::Set("include_usage", "true")]),
    });
    let text = options.ok().and_then(|options| String::from_utf8(options.into()).ok());
    text.unwrap_or_else(|| r#"{"include_usage":true}"#.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &'static str) -> RawObject {
        RawObject::parse(Bytes::from_static(text.as_bytes()), 64).unwrap()
    }

    #[test]
    fn a_body_that_fits_is_sent_as_it_came() {
        let body = object(r#"{ "model":"m" , "seed":12345678901234567890, "tiny":1e-400 }"#);

        assert_eq!(generation(&body, "m", false), *body.bytes());
        assert_eq!(named(&body, "m"), *body.bytes());
    }

    #[test]
    fn a_stream_is_asked_for_its_usage() {
        let sent = generation(&object(r#"{"model":"auto","x":1e-400}"#), "m", true);

        insta::assert_snapshot!(
            String::from_utf8_lossy(&sent),
            @r#"{"model":"m","x":1e-400,"stream":true,"stream_options":{"include_usage":true}}"#
        );
    }

    #[test]
    fn other_stream_options_are_kept() {
        let body = object(
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":false,"include_obfuscation":false}}"#,
        );

        let sent = generation(&body, "m", true);

        insta::assert_snapshot!(
            String::from_utf8_lossy(&sent),
            @r#"{"model":"m","stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}}"#
        );
    }

    #[test]
    fn a_stream_that_is_wanted_whole_loses_its_options() {
        let body = object(r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"x":1}"#);

        let sent = generation(&body, "m", false);

        insta::assert_snapshot!(String::from_utf8_lossy(&sent), @r#"{"model":"m","stream":false,"x":1}"#);
    }

    #[test]
    fn null_stream_options_are_replaced() {
        let sent = generation(&object(r#"{"model":"m","stream":true,"stream_options":null}"#), "m", true);

        insta::assert_snapshot!(
            String::from_utf8_lossy(&sent),
            @r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#
        );
    }
}
