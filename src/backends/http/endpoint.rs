//! One address of one provider: requests go out with its headers, answers come back inside the call's time.

use bytes::{Bytes, BytesMut};
use reqwest::{
    Method, Request, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};

use super::{Body, Http, HttpError, refusal::refused};
use crate::{
    backends::pace::{Pace, Phase},
    config::RemoteSettings,
    domain::{BackendError, CallContext, ProviderName},
    error::Code,
};

/// Most bytes of a whole answer: room for two thousand embeddings of 1 536 numbers, and far above any chat answer.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Most bytes of an error body that are read.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// Why a provider's settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The base URL is none.
    #[error("provider {0}: the base URL is not an http or https URL")]
    BaseUrl(ProviderName),
    /// A header or the key has characters that HTTP does not allow.
    #[error("provider {0}: header {1} has a name or value that HTTP does not allow")]
    Header(ProviderName, String),
}

/// Where one kind of request goes.
#[derive(Clone, Debug)]
pub(in crate::backends) struct Endpoint {
    http: Http,
    provider: ProviderName,
    url: Url,
    headers: HeaderMap,
}

impl Endpoint {
    /// Returns the endpoint at `path` below the provider's base URL. `headers` come first, the configured ones win.
    pub(in crate::backends) fn build(
        http: &Http,
        settings: &RemoteSettings,
        path: &str,
        headers: &[(&str, SecretString)],
    ) -> Result<Self, SettingsError> {
        let provider = settings.provider.clone();
        let address = format!("{}{path}", settings.base_url.trim_end_matches('/'));
        let url = Url::parse(&address).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or_else(|| SettingsError::BaseUrl(provider.clone()))?;
        let mut map = HeaderMap::new();
        map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let configured = settings.headers.iter().map(|(name, value)| (name.as_str(), value));
        for (name, value) in headers.iter().map(|(name, value)| (*name, value)).chain(configured) {
            insert(&mut map, name, value).ok_or_else(|| SettingsError::Header(provider.clone(), name.to_owned()))?;
        }
        Ok(Self { http: http.clone(), provider, url, headers: map })
    }

    /// Returns the provider's name.
    pub(in crate::backends) fn provider(&self) -> &ProviderName {
        &self.provider
    }

    /// Posts a JSON body and returns the answer once its head says success.
    ///
    /// # Cancel safety
    /// Dropping the future, or the answer, closes the exchange.
    pub(in crate::backends) async fn post(&self, body: Bytes, context: &CallContext) -> Result<Opened, BackendError> {
        let pace = Pace::start(format!("Provider {}", self.provider), context);
        let request = self.request(body, context);
        let sent = pace.wait(Phase::First, self.http.send(request, context.timeouts.connect)).await?;
        let incoming = sent.map_err(|error| self.failed(&error))?;
        let mut opened = Opened { endpoint: self.clone(), pace, headers: incoming.headers, body: incoming.body };
        if incoming.status.is_success() {
            return Ok(opened);
        }
        // A refusal is told by its status; a body that does not come only makes it poorer.
        let said = opened.read(MAX_ERROR_BYTES).await.unwrap_or_default();
        Err(refused(&self.provider, incoming.status, &opened.headers, &said))
    }

    fn request(&self, body: Bytes, context: &CallContext) -> Request {
        let mut request = Request::new(Method::POST, self.url.clone());
        *request.headers_mut() = self.headers.clone();
        if let Ok(id) = HeaderValue::try_from(context.request.to_string()) {
            request.headers_mut().insert("x-request-id", id.clone());
            request.headers_mut().insert("x-client-request-id", id);
        }
        *request.body_mut() = Some(body.into());
        request
    }

    fn failed(&self, error: &HttpError) -> BackendError {
        let provider = &self.provider;
        let message = match error.code() {
            Code::UpstreamUnreachable => format!("Provider {provider} could not be reached; try again."),
            Code::UpstreamCut => format!("The answer of provider {provider} broke off; try again."),
            Code::ShuttingDown => "The gateway is going down; try again elsewhere.".to_owned(),
            _ => "The gateway cannot send requests; its log says why.".to_owned(),
        };
        BackendError::new(error.code(), message, format!("{provider}: {error}"))
    }

    /// Returns the error for an answer that is none.
    pub(in crate::backends) fn malformed(&self, detail: &str) -> BackendError {
        let message = format!("Provider {} sent something that is not an answer; try again.", self.provider);
        BackendError::new(Code::UpstreamMalformed, message, format!("{}: {detail}", self.provider))
    }

    /// Returns the error for an answer that ended before it was complete.
    pub(in crate::backends) fn cut(&self, detail: &str) -> BackendError {
        self.failed(&HttpError::Cut(detail.to_owned()))
    }
}

fn insert(headers: &mut HeaderMap, name: &str, value: &SecretString) -> Option<()> {
    let name = HeaderName::try_from(name).ok()?;
    let mut value = HeaderValue::try_from(value.expose_secret()).ok()?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Some(())
}

/// An answer whose head says success, its body still to come.
#[derive(Debug)]
pub(in crate::backends) struct Opened {
    endpoint: Endpoint,
    pace: Pace,
    headers: HeaderMap,
    body: Body,
}

impl Opened {
    /// Returns where it came from.
    pub(in crate::backends) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns whether the content type holds `part`; a missing one holds nothing.
    pub(in crate::backends) fn is_content(&self, part: &str) -> bool {
        let content_type = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        content_type.is_some_and(|value| value.to_ascii_lowercase().contains(part))
    }

    /// Returns the next chunk, or `None` at the end.
    pub(in crate::backends) async fn chunk(&mut self, phase: Phase) -> Result<Option<Bytes>, BackendError> {
        let chunk = self.pace.wait(phase, self.body.chunk()).await?;
        chunk.map_err(|error| self.endpoint.failed(&error))
    }

    /// Reads the body to its end.
    ///
    /// # Errors
    /// It is larger than any answer, broke off, or took too long.
    pub(in crate::backends) async fn whole(mut self) -> Result<Bytes, BackendError> {
        self.read(MAX_ANSWER_BYTES).await
    }

    async fn read(&mut self, limit: usize) -> Result<Bytes, BackendError> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk(Phase::Next).await? {
            if whole.len() + chunk.len() > limit {
                return Err(self.endpoint.malformed(&format!("the body has more than {limit} bytes")));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }
}
