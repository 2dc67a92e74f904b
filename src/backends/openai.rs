//! Any OpenAI-compatible server: the wire that the gateway itself speaks.
//!
//! The provider gets the caller's bytes. Spliced are only `model` (where the provider calls it otherwise), `stream` (where the
//! plan wants it otherwise) and, in streams, `stream_options.include_usage`, without which no stream could be billed. The
//! provider's bytes come back unchanged; the gateway looks at them and takes down what it needs.
//!
//! A stream ends well at `[DONE]`, or where the body ends after a `finish_reason` (some servers leave the mark out). A server that
//! answers a stream request with a whole completion is understood as well.

mod body;
mod stream;

use async_trait::async_trait;
use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};

use self::stream::Chunks;
use super::{
    Backend,
    http::{
        Http,
        endpoint::{Endpoint, Opened, SettingsError},
        events::events,
    },
};
use crate::{
    config::RemoteSettings,
    domain::{Availability, BackendError, CallContext, EmbedCall, Event, ModelCall, Reply, TextCall, WholeReply},
    wire::{chunk::ChunkFacts, completion::CompletionFacts, embeddings::read_embeddings, replay::replay},
};

/// One model of an OpenAI-compatible provider.
#[derive(Clone, Debug)]
pub struct OpenAi {
    chat: Endpoint,
    completions: Endpoint,
    embeddings: Endpoint,
}

impl OpenAi {
    /// Returns the backend; nothing is sent yet.
    ///
    /// # Errors
    /// The base URL, the key or a header cannot be sent.
    pub fn build(settings: &RemoteSettings, http: &Http) -> Result<Self, SettingsError> {
        let bearer = |key: &SecretString| SecretString::from(format!("Bearer {}", key.expose_secret()));
        let headers: Vec<_> = settings.api_key.iter().map(|key| ("authorization", bearer(key))).collect();
        let endpoint = |path| Endpoint::build(http, settings, path, &headers);
        Ok(Self {
            chat: endpoint("/chat/completions")?,
            completions: endpoint("/completions")?,
            embeddings: endpoint("/embeddings")?,
        })
    }
}

#[async_trait]
impl Backend for OpenAi {
    async fn chat(&self, call: ModelCall) -> Result<Reply, BackendError> {
        let body = body::generation(&call.chat.body, &call.context.upstream_model, call.is_streaming);
        generate(&self.chat, body, call.is_streaming, &call.context).await
    }

    async fn embed(&self, call: EmbedCall) -> Result<WholeReply, BackendError> {
        let body = body::named(&call.embeddings.body, &call.context.upstream_model);
        let body = self.embeddings.post(body, &call.context).await?.whole().await?;
        let Some((usage, _)) = read_embeddings(&body) else {
            return Err(self.embeddings.malformed("the body is no list of embeddings"));
        };
        Ok(WholeReply { body, usage: usage.map(Into::into), finish_reason: None, signals: Vec::new() })
    }

    async fn complete(&self, call: TextCall) -> Result<Reply, BackendError> {
        let body = body::generation(&call.text.body, &call.context.upstream_model, call.text.is_streaming);
        generate(&self.completions, body, call.text.is_streaming, &call.context).await
    }

    fn availability(&self) -> Availability {
        Availability::Ready
    }
}

async fn generate(
    endpoint: &Endpoint,
    body: Bytes,
    is_streaming: bool,
    context: &CallContext,
) -> Result<Reply, BackendError> {
    let opened = endpoint.post(body, context).await?;
    if !is_streaming {
        return whole(opened).await.map(Reply::Whole);
    }
    if opened.is_content("html") {
        return Err(endpoint.malformed("the body is HTML"));
    }
    if opened.is_content("application/json") {
        return replayed(endpoint, &whole(opened).await?);
    }
    let chunks = Chunks::new(endpoint.clone());
    Ok(Reply::Stream(events(opened, chunks)))
}

async fn whole(opened: Opened) -> Result<WholeReply, BackendError> {
    let endpoint = opened.endpoint().clone();
    let body = opened.whole().await?;
    let Some(facts) = CompletionFacts::read(&body).filter(|facts| facts.choices > 0) else {
        return Err(endpoint.malformed("the body is no completion"));
    };
    Ok(WholeReply::of(body, facts))
}

/// A whole answer where a stream was asked for.
fn replayed(endpoint: &Endpoint, whole: &WholeReply) -> Result<Reply, BackendError> {
    let is_usage_known = whole.usage.is_some();
    let chunks = replay(&whole.body, is_usage_known).map_err(|error| endpoint.malformed(&error.to_string()))?;
    let event = |data: Bytes| ChunkFacts::read(&data).map(|facts| Ok(Event::of(data, facts)));
    Ok(Reply::Stream(Box::pin(futures_util::stream::iter(chunks.into_iter().filter_map(event)))))
}

#[cfg(test)]
mod tests;
