//! Anthropic's Messages API. The mapping both ways is [`crate::wire::anthropic`]; here are its addresses, headers and errors.
//!
//! Anthropic offers no embeddings and no legacy completions.

mod stream;

use async_trait::async_trait;
use secrecy::SecretString;

use self::stream::Messages;
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
    domain::{Availability, BackendError, ModelCall, ModelFacts, Reply, WholeReply},
    error::Code,
    runtime::SharedClock,
    wire::{
        anthropic::{
            request::{MapError, Target, to_messages},
            response::to_completion,
        },
        completion::CompletionFacts,
    },
};

/// The version of the API whose shapes are known here.
const VERSION: &str = "2023-06-01";

/// The answer's limit of a model whose own is not configured: every model of Anthropic's allows this much.
const MAX_TOKENS: u64 = 4096;

/// One model of Anthropic's, or of a server that speaks its wire.
#[derive(Clone)]
pub struct Anthropic {
    messages: Endpoint,
    max_tokens: u64,
    clock: SharedClock,
}

impl Anthropic {
    /// Returns the backend; nothing is sent yet. The clock dates its answers, which Anthropic does not.
    ///
    /// # Errors
    /// The base URL, the key or a header cannot be sent.
    pub fn build(
        settings: &RemoteSettings,
        facts: &ModelFacts,
        http: &Http,
        clock: SharedClock,
    ) -> Result<Self, SettingsError> {
        let mut headers = vec![("anthropic-version", SecretString::from(VERSION))];
        headers.extend(settings.api_key.iter().map(|key| ("x-api-key", key.clone())));
        let messages = Endpoint::build(http, settings, "/messages", &headers)?;
        Ok(Self { messages, max_tokens: facts.max_output.map_or(MAX_TOKENS, |tokens| tokens.0), clock })
    }

    async fn whole(&self, opened: Opened) -> Result<WholeReply, BackendError> {
        let body = opened.whole().await?;
        let completion = to_completion(&body, self.created());
        let body = completion.map_err(|_| self.messages.malformed("the body is no message"))?;
        let facts = CompletionFacts::read(&body).unwrap_or_default();
        Ok(WholeReply {
            body,
            usage: facts.usage.map(Into::into),
            finish_reason: facts.finish_reason,
            signals: Vec::new(),
        })
    }

    fn created(&self) -> i64 {
        self.clock.now().as_second()
    }
}

#[async_trait]
impl Backend for Anthropic {
    async fn chat(&self, call: ModelCall) -> Result<Reply, BackendError> {
        let target = Target {
            model: &call.context.upstream_model,
            is_streaming: call.is_streaming,
            max_tokens: self.max_tokens,
        };
        let body = to_messages(&call.chat, target).map_err(|error| unmapped(&error))?;
        let opened = self.messages.post(body, &call.context).await?;
        if !call.is_streaming {
            return self.whole(opened).await.map(Reply::Whole);
        }
        if !opened.is_content("event-stream") {
            return Err(self.messages.malformed("the body is no event stream"));
        }
        let messages = Messages::new(self.messages.clone(), self.created());
        Ok(Reply::Stream(events(opened, messages)))
    }

    fn availability(&self) -> Availability {
        Availability::Ready
    }
}

/// Another model may well offer what this one does not; a shape that cannot be read here is not readable elsewhere.
fn unmapped(error: &MapError) -> BackendError {
    let code = match error {
        MapError::Unsupported(_) => Code::Unsupported,
        MapError::Shape(..) => Code::InvalidRequest,
    };
    let detail = format!("the field {} has no counterpart in the messages api", error.param());
    BackendError { param: Some(error.param().to_owned()), ..BackendError::new(code, error.to_string(), detail) }
}

#[cfg(test)]
mod tests;
