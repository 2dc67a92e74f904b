//! Errors as responses: the only place where a [`Code`] becomes an HTTP status and an OpenAI error body.

use std::{fmt, time::Duration};

use actix_web::{
    HttpResponse, HttpResponseBuilder, ResponseError,
    http::{
        StatusCode,
        header::{self, ContentType},
    },
};
use bytes::Bytes;
use serde::Serialize;

use crate::{
    admission::KeyError,
    api::headers,
    domain::RequestId,
    error::{Code, Side},
    gateway::{Passage, Refusal},
    wire::{
        error_body::render_error,
        parse::ParseError,
        raw::{Edit, RawObject},
    },
};

/// An error on its way to the caller.
#[derive(Debug)]
pub(super) struct ApiError {
    code: Code,
    message: String,
    extras: Box<Extras>,
}

/// What only some errors have; boxed, because errors travel in every result of this room.
#[derive(Debug, Default)]
struct Extras {
    param: Option<String>,
    retry_after: Option<Duration>,
    passage: Option<Box<Passage>>,
    /// Known where no passage is: the error of a request that never reached a handler.
    request: Option<RequestId>,
    /// The methods that the path has.
    allow: Option<String>,
    /// A further field beside `error`, as JSON text.
    detail: Option<(&'static str, String)>,
}

impl ApiError {
    /// Returns an error with a sentence for the caller.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), extras: Box::default() }
    }

    /// Returns the error of a failure of the gateway itself; its cause belongs into the log, not into the answer.
    pub(super) fn internal() -> Self {
        Self::new(Code::Internal, "The gateway failed; its log has the cause under this request's id.")
    }

    /// Names the field, header or query parameter at fault.
    pub(super) fn about(mut self, param: impl Into<String>) -> Self {
        self.extras.param = Some(param.into());
        self
    }

    /// Names the request where no handler does.
    pub(super) fn of_request(mut self, request: RequestId) -> Self {
        self.extras.request = Some(request);
        self
    }

    /// Names the methods that the path has.
    pub(super) fn allowing(mut self, methods: String) -> Self {
        self.extras.allow = Some(methods);
        self
    }

    /// Adds a field beside `error`.
    pub(super) fn with(mut self, name: &'static str, detail: &impl Serialize) -> Self {
        self.extras.detail = serde_json::to_string(detail).ok().map(|json| (name, json));
        self
    }

    /// Returns the code if the caller is at fault and no record tells of it.
    pub(super) fn unrecorded(&self) -> Option<Code> {
        let is_callers = self.code.row().side == Side::Client;
        (is_callers && self.extras.passage.is_none()).then_some(self.code)
    }

    /// Returns the error as the gateway books it.
    pub(super) fn into_refusal(self) -> Refusal {
        let Extras { param, retry_after, passage, .. } = *self.extras;
        Refusal { code: self.code, message: self.message, param, retry_after, passage }
    }

    fn body(&self) -> Bytes {
        let body = render_error(self.code, &self.message, self.extras.param.as_deref());
        let Some((name, json)) = &self.extras.detail else { return body };
        RawObject::parse(body.clone(), usize::MAX).map_or(body, |object| object.with(&[Edit::Set(name, json)]))
    }

    fn write_headers(&self, response: &mut HttpResponseBuilder) {
        response.insert_header((headers::SHOULD_RETRY, if self.code.is_retryable() { "true" } else { "false" }));
        if let Some(after) = self.extras.retry_after {
            response.insert_header((header::RETRY_AFTER, whole_seconds(after).to_string()));
        }
        if let Some(passage) = &self.extras.passage {
            headers::write_passage(passage, response);
        }
        if let Some(request) = self.extras.request {
            response.insert_header((headers::REQUEST_ID, request.to_string()));
        }
        if let Some(allow) = &self.extras.allow {
            response.insert_header((header::ALLOW, allow.as_str()));
        }
        if self.code.status() == StatusCode::UNAUTHORIZED.as_u16() {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
    }
}

/// Rounds up, so that nobody comes back too early.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        self.write_headers(&mut response);
        response.content_type(ContentType::json());
        response.body(self.body())
    }
}

impl From<ParseError> for ApiError {
    fn from(error: ParseError) -> Self {
        let extras = Extras { param: error.param, ..Extras::default() };
        Self { code: error.code, message: error.message, extras: Box::new(extras) }
    }
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let Refusal { code, message, param, retry_after, passage } = refusal;
        Self { code, message, extras: Box::new(Extras { param, retry_after, passage, ..Extras::default() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_stand_beside_the_error() {
        let error = ApiError::new(Code::VersionConflict, "No.").with("conflict", &[1]);

        let expected = r#"{"error":{"message":"No.","type":"invalid_request_error","param":null,"code":"version_conflict"},"conflict":[1]}"#;
        assert_eq!(error.body(), expected);
    }

    #[test]
    fn retry_times_are_rounded_up() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(2)), 2);
    }
}
