//! What a provider means by its error body.

use reqwest::StatusCode;

use crate::wire::error_body::UpstreamErrorBody;

/// The parts of an error body; all absent when it could not be read.
#[derive(Debug)]
pub(super) struct Said(UpstreamErrorBody);

impl Said {
    pub(super) fn read(body: &[u8]) -> Self {
        Self(UpstreamErrorBody::read(body))
    }

    /// Returns whether nobody who knows the API wrote this: no type, no code.
    pub(super) fn is_bare(&self) -> bool {
        self.names().next().is_none()
    }

    pub(super) fn into_message_and_param(self) -> (Option<String>, Option<String>) {
        (self.0.message, self.0.param)
    }

    pub(super) fn is_unknown_model(&self) -> bool {
        self.is_named("model_not_found")
            || (self.is_named("not_found_error") && self.mentions("model"))
            || (self.mentions("model") && self.mentions("does not exist"))
            || self.mentions("not a valid model")
    }

    pub(super) fn is_context_length(&self) -> bool {
        let phrases = [
            "maximum context length",
            "prompt is too long",
            "context window",
            "context length",
            "exceed context limit",
        ];
        self.is_named("context_length_exceeded") || phrases.iter().any(|phrase| self.mentions(phrase))
    }

    pub(super) fn is_spent_account(&self) -> bool {
        self.is_named("insufficient_quota")
            || self.is_named("billing_error")
            || self.mentions("credit balance is too low")
    }

    /// Returns the status that an error event would have had as a response.
    pub(super) fn status(&self) -> Option<StatusCode> {
        if let Some(status) = self.0.code.as_deref().and_then(|code| code.parse::<u16>().ok()) {
            return StatusCode::from_u16(status).ok();
        }
        let status = match self.0.kind.as_deref()? {
            "invalid_request_error" => StatusCode::BAD_REQUEST,
            "authentication_error" => StatusCode::UNAUTHORIZED,
            "permission_error" => StatusCode::FORBIDDEN,
            "not_found_error" => StatusCode::NOT_FOUND,
            "request_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
            "rate_limit_error" | "rate_limit_exceeded" => StatusCode::TOO_MANY_REQUESTS,
            "timeout_error" => StatusCode::GATEWAY_TIMEOUT,
            _ => return None,
        };
        Some(status)
    }

    /// Returns type and code for the log, as far as they look like names and not like prose.
    pub(super) fn words(&self) -> String {
        let names: Vec<&str> = self.names().filter(|name| is_name(name)).collect();
        if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
    }

    fn is_named(&self, name: &str) -> bool {
        self.names().any(|said| said == name)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        [&self.0.kind, &self.0.code].into_iter().flatten().map(String::as_str)
    }

    fn mentions(&self, phrase: &str) -> bool {
        self.0.message.as_deref().is_some_and(|message| message.to_ascii_lowercase().contains(phrase))
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_never_reaches_the_log() {
        let said = Said::read(br#"{"error":{"type":"you asked: my secret prompt","code":"bad_thing"}}"#);

        assert_eq!(said.words(), " (bad_thing)");
    }
}
