//! The one table of error codes.
//!
//! A [`Code`] names what went wrong once, for everyone: its name is the `code` of the OpenAI error body and the
//! `error.type` of logs and metrics, its row gives the OpenAI `type`, the HTTP status, who is at fault and whether asking
//! again can help. Each room's own error type says which `Code` it is; only `api/` turns a `Code` into a response.
//!
//! To add an error: one variant, one row.

/// Who has to act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The caller must change the request.
    Client,
    /// This gateway or its configuration is at fault.
    Gateway,
    /// A model or provider behind the gateway failed.
    Upstream,
}

/// One row of the error table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Snake-case name; the `code` of the error body.
    pub name: &'static str,
    /// The `type` of the OpenAI error body.
    pub kind: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Who has to act.
    pub side: Side,
    /// Whether the same request may succeed later.
    pub retryable: bool,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $kind:literal, $status:literal, $side:ident, $retryable:literal;)*) => {
        /// What went wrong, in one word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, for tables and closed label sets.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// Returns the code of this name.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.name() == name)
            }

            /// Returns the row of the table.
            pub const fn row(self) -> Row {
                match self {
                    $(Code::$variant => Row { name: $name, kind: $kind, status: $status, side: Side::$side, retryable: $retryable },)*
                }
            }
        }
    };
}

codes! {
    /// No key was sent where one is needed.
    MissingApiKey = "missing_api_key", "authentication_error", 401, Client, false;
    /// The key is unknown or revoked.
    InvalidApiKey = "invalid_api_key", "authentication_error", 401, Client, false;
    /// The key may not do this.
    Forbidden = "forbidden", "permission_error", 403, Client, false;
    /// The body is not JSON.
    InvalidJson = "invalid_json", "invalid_request_error", 400, Client, false;
    /// A field is missing, of the wrong type or out of range.
    InvalidRequest = "invalid_request", "invalid_request_error", 400, Client, false;
    /// The model, alias or policy does not exist.
    ModelNotFound = "model_not_found", "invalid_request_error", 404, Client, false;
    /// No such resource.
    NotFound = "not_found", "invalid_request_error", 404, Client, false;
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed", "invalid_request_error", 405, Client, false;
    /// The stored version is not the one the caller expected.
    VersionConflict = "version_conflict", "invalid_request_error", 409, Client, false;
    /// The `Idempotency-Key` came before with another body.
    IdempotencyKeyReused = "idempotency_key_reused", "invalid_request_error", 409, Client, false;
    /// The body exceeds the limit.
    BodyTooLarge = "body_too_large", "invalid_request_error", 413, Client, false;
    /// The body did not arrive in time.
    BodyTimeout = "body_timeout", "invalid_request_error", 408, Client, true;
    /// The content type is not JSON.
    UnsupportedMediaType = "unsupported_media_type", "invalid_request_error", 415, Client, false;
    /// The headers exceed the limit.
    HeadersTooLarge = "headers_too_large", "invalid_request_error", 431, Client, false;
    /// The prompt does not fit any candidate's context window.
    ContextLengthExceeded = "context_length_exceeded", "invalid_request_error", 400, Client, false;
    /// No candidate meets the request's and the policy's hard constraints.
    NoRoute = "no_route", "invalid_request_error", 400, Client, false;
    /// Requests or tokens per minute are used up.
    RateLimited = "rate_limit_exceeded", "rate_limit_error", 429, Client, true;
    /// The key's budget is spent.
    BudgetExceeded = "insufficient_quota", "insufficient_quota", 429, Client, false;
    /// The gateway is at its concurrency limit.
    Overloaded = "overloaded", "server_error", 503, Gateway, true;
    /// The gateway is going down.
    ShuttingDown = "shutting_down", "server_error", 503, Gateway, true;
    /// A local model is still loading.
    ModelLoading = "model_loading", "server_error", 503, Gateway, true;
    /// Something in the gateway broke; the log has the cause.
    Internal = "internal_error", "server_error", 500, Gateway, true;
    /// The request's or the policy's time is up.
    DeadlineExceeded = "deadline_exceeded", "server_error", 504, Upstream, true;
    /// The provider could not be reached.
    UpstreamUnreachable = "upstream_unreachable", "upstream_error", 502, Upstream, true;
    /// The provider did not answer in time.
    UpstreamTimeout = "upstream_timeout", "upstream_error", 504, Upstream, true;
    /// The provider refused the gateway's own credentials.
    UpstreamAuth = "upstream_auth_failed", "upstream_error", 502, Gateway, false;
    /// The provider limits the gateway's rate.
    UpstreamRateLimited = "upstream_rate_limited", "rate_limit_error", 429, Upstream, true;
    /// The provider rejected the request as malformed.
    UpstreamRejected = "upstream_rejected", "invalid_request_error", 400, Client, false;
    /// The provider does not know the model.
    UpstreamModelNotFound = "upstream_model_not_found", "upstream_error", 502, Gateway, false;
    /// The provider failed.
    UpstreamFailed = "upstream_failed", "upstream_error", 502, Upstream, true;
    /// The provider's answer ended early.
    UpstreamCut = "upstream_cut", "upstream_error", 502, Upstream, true;
    /// The provider sent something that is not an answer.
    UpstreamMalformed = "upstream_malformed", "upstream_error", 502, Upstream, true;
    /// The backend does not offer this operation.
    Unsupported = "unsupported", "invalid_request_error", 400, Client, false;
}

impl Code {
    /// Returns the snake-case name.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Returns the HTTP status.
    pub const fn status(self) -> u16 {
        self.row().status
    }

    /// Returns whether the same request may succeed later.
    pub const fn is_retryable(self) -> bool {
        self.row().retryable
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Code;

    #[test]
    fn names_are_unique() {
        let names: HashSet<_> = Code::ALL.iter().map(|code| code.name()).collect();

        assert_eq!(names.len(), Code::ALL.len());
    }

    #[test]
    fn statuses_are_errors() {
        assert!(Code::ALL.iter().all(|code| (400..=504).contains(&code.status())));
    }
}
