//! A status that is no success: whose fault it is, what the caller may hear, when to come again.
//!
//! The caller hears the provider's own words only where the caller is at fault. Everything else (a refused key, a spent
//! account, an unknown model) is the gateway's or the provider's own trouble and is told in the gateway's words.

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822};
use reqwest::{
    StatusCode,
    header::{DATE, HeaderMap, RETRY_AFTER},
};

use super::said::Said;
use crate::{
    domain::{BackendError, ProviderName},
    error::Code,
};

/// Returns the error that a response of this status, with these headers and this body, stands for.
pub(in crate::backends) fn refused(
    provider: &ProviderName,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> BackendError {
    let said = Said::read(body);
    let mut error = told(provider, class(status, &said), said);
    error.detail = format!("{provider} answered HTTP {}{}", status.as_u16(), error.detail);
    error.upstream_status = Some(status.as_u16());
    error.retry_after = retry_after(headers);
    error
}

/// Returns the error that an error event inside a stream stands for. Its HTTP status was a success, so its words decide.
pub(in crate::backends) fn broke_off(provider: &ProviderName, body: &[u8]) -> BackendError {
    let said = Said::read(body);
    let status = said.status().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut error = told(provider, class(status, &said), said);
    error.detail = format!("{provider} sent an error inside the stream{}", error.detail);
    error
}

/// `detail` is left as the provider's error words in brackets, for the callers above to put a beginning to.
fn told(provider: &ProviderName, code: Code, said: Said) -> BackendError {
    let detail = said.words();
    let (message, param) = match code {
        Code::UpstreamRejected | Code::ContextLengthExceeded => said.into_message_and_param(),
        _ => (None, None),
    };
    let message = message.unwrap_or_else(|| our_words(provider, code));
    BackendError { param, ..BackendError::new(code, message, detail) }
}

fn class(status: StatusCode, said: &Said) -> Code {
    match status.as_u16() {
        _ if said.is_spent_account() => Code::UpstreamAuth,
        401..=403 => Code::UpstreamAuth,
        404 if said.is_bare() => Code::UpstreamModelNotFound,
        400 | 404 | 405 | 409..=422 if said.is_unknown_model() => Code::UpstreamModelNotFound,
        400 | 409..=422 if said.is_context_length() => Code::ContextLengthExceeded,
        400 | 404 | 405 | 409..=422 => Code::UpstreamRejected,
        408 | 504 | 524 => Code::UpstreamTimeout,
        429 => Code::UpstreamRateLimited,
        _ => Code::UpstreamFailed,
    }
}

fn our_words(provider: &ProviderName, code: Code) -> String {
    match code {
        Code::UpstreamAuth => {
            format!("Provider {provider} refused the gateway's own account; tell the gateway's operator.")
        }
        Code::UpstreamModelNotFound => {
            format!("Provider {provider} does not know the model; tell the gateway's operator.")
        }
        Code::UpstreamRejected => format!("Provider {provider} rejected the request without saying why."),
        Code::ContextLengthExceeded => "The prompt does not fit the model's context window; shorten it.".to_owned(),
        Code::UpstreamTimeout => format!("Provider {provider} did not answer in time."),
        Code::UpstreamRateLimited => format!("Provider {provider} limits the gateway's rate; try again later."),
        _ => format!("Provider {provider} failed; try again."),
    }
}

/// `retry-after-ms` (OpenAI's own), or `retry-after` as seconds or as a date. A date counts from the response's own `date`, so
/// that the two clocks need not agree.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    if let Some(milliseconds) = number(text(headers, "retry-after-ms")) {
        return Duration::try_from_secs_f64(milliseconds / 1000.0).ok();
    }
    let value = text(headers, RETRY_AFTER.as_str())?;
    if let Some(seconds) = number(Some(value)) {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let wait = date(value)?.duration_since(date(text(headers, DATE.as_str())?)?);
    Some(Duration::try_from(wait).unwrap_or_default())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn number(text: Option<&str>) -> Option<f64> {
    text?.trim().parse().ok()
}

fn date(text: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn provider() -> ProviderName {
        ProviderName::parse("acme").unwrap()
    }

    fn refusal(status: u16, body: &str) -> BackendError {
        refused(&provider(), StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn every_status_has_its_class() {
        let of = |status| refusal(status, r#"{"error":{"message":"m","type":"t"}}"#).code;

        for status in [400, 404, 409, 413, 422] {
            assert_eq!(of(status), Code::UpstreamRejected, "{status}");
        }
        for status in [401, 402, 403] {
            assert_eq!(of(status), Code::UpstreamAuth, "{status}");
        }
        for status in [408, 504, 524] {
            assert_eq!(of(status), Code::UpstreamTimeout, "{status}");
        }
        for status in [302, 500, 502, 503, 520, 529] {
            assert_eq!(of(status), Code::UpstreamFailed, "{status}");
        }
        assert_eq!(of(429), Code::UpstreamRateLimited);
    }

    #[test]
    fn the_caller_hears_the_provider_only_about_its_own_faults() {
        let body = r#"{"error":{"message":"Your key sk-123 is bad","type":"t","param":"temperature"}}"#;

        let rejected = refusal(400, body);
        let refused = refusal(401, body);

        assert_eq!(rejected.message, "Your key sk-123 is bad");
        assert_eq!(rejected.param.as_deref(), Some("temperature"));
        assert!(refused.message.contains("acme") && !refused.message.contains("sk-123"));
        assert_eq!(refused.param, None);
        assert!(!refused.detail.contains("sk-123") && !rejected.detail.contains("sk-123"));
    }

    #[test]
    fn a_prompt_that_is_too_long_is_told_apart() {
        let openai = r#"{"error":{"message":"too big","code":"context_length_exceeded"}}"#;
        let anthropic =
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 > 8"}}"#;

        assert_eq!(refusal(400, openai).code, Code::ContextLengthExceeded);
        assert_eq!(refusal(400, anthropic).code, Code::ContextLengthExceeded);
    }

    #[test]
    fn an_unknown_model_is_the_gateways_fault() {
        let openai = r#"{"error":{"message":"The model `x` does not exist","code":"model_not_found"}}"#;
        let anthropic = r#"{"type":"error","error":{"type":"not_found_error","message":"model: claude-x"}}"#;

        assert_eq!(refusal(404, openai).code, Code::UpstreamModelNotFound);
        assert_eq!(refusal(404, anthropic).code, Code::UpstreamModelNotFound);
        assert_eq!(refusal(404, "<html>").code, Code::UpstreamModelNotFound);
    }

    #[test]
    fn a_spent_account_is_not_asked_again() {
        let openai =
            refusal(429, r#"{"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}"#);
        let anthropic =
            refusal(400, r#"{"error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}"#);

        assert_eq!((openai.code, openai.is_retryable()), (Code::UpstreamAuth, false));
        assert_eq!(anthropic.code, Code::UpstreamAuth);
    }

    #[test]
    fn waiting_time_is_read_in_all_three_notations() {
        let wait = |pairs: &[(&'static str, &'static str)]| {
            let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
            retry_after(&headers.collect())
        };

        assert_eq!(wait(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(wait(&[("retry-after", "7"), ("retry-after-ms", "1500")]), Some(Duration::from_millis(1500)));
        let dates = [("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT"), ("date", "Sun, 06 Nov 1994 08:49:37 GMT")];
        assert_eq!(wait(&dates), Some(Duration::from_secs(3)));
        let past = [("retry-after", "Sun, 06 Nov 1994 08:49:30 GMT"), ("date", "Sun, 06 Nov 1994 08:49:37 GMT")];
        assert_eq!(wait(&past), Some(Duration::ZERO));
        for nonsense in ["soon", "-3", "NaN", "1e400"] {
            assert_eq!(wait(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
    }
}
