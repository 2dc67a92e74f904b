//! Who is asked: the gateway in this process, or one that runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use pointsman::{
    backends::{Backend, http::Http, openai::OpenAi},
    config::RemoteSettings,
    domain::{
        CacheControl, CallContext, KeyId, ModelCall, NanoUsd, Preferences, Priority, ProviderName, Reply, RequestId,
        TenantId, Tokens, Usage, WholeReply,
    },
    gateway::Gateway,
    learning::profiling::{Answered, AskError, Subject},
    wire::{chat::ChatCall, first_message::FirstMessage, parse::Limits},
};
use secrecy::SecretString;
use serde_json::json;
use tokio::time::Instant;

use super::{Ground, change};

/// For one answer, all tries of the gateway included.
const PATIENCE: Duration = Duration::from_secs(600);

/// Writes requests. Some models refuse `temperature` or the older name of the limit; what one refusal taught is kept.
pub(super) struct Requests {
    model: String,
    longest: u64,
    limits: Limits,
    has_new_limit: AtomicBool,
    is_without_temperature: AtomicBool,
}

impl Requests {
    pub(super) fn of(ground: &Ground, longest: u64) -> Self {
        Self {
            model: ground.facts().name.to_string(),
            longest,
            limits: change::limits(ground),
            has_new_limit: AtomicBool::new(false),
            is_without_temperature: AtomicBool::new(false),
        }
    }

    fn call(&self, prompt: &str) -> Result<ChatCall, AskError> {
        let limit = if self.has_new_limit.load(Ordering::Relaxed) { "max_completion_tokens" } else { "max_tokens" };
        let messages = json!([{ "role": "user", "content": prompt }]);
        let body = match self.is_without_temperature.load(Ordering::Relaxed) {
            true => json!({ "model": self.model, "messages": messages, limit: self.longest }),
            false => json!({ "model": self.model, "messages": messages, limit: self.longest, "temperature": 0 }),
        };
        let bytes = Bytes::from(body.to_string());
        ChatCall::parse(bytes, &self.limits).map_err(|error| hopeless(error.message))
    }

    /// Returns whether a refusal taught to ask otherwise.
    fn learn(&self, message: &str) -> bool {
        if message.contains("max_completion_tokens") && !self.has_new_limit.swap(true, Ordering::Relaxed) {
            return true;
        }
        message.contains("temperature") && !self.is_without_temperature.swap(true, Ordering::Relaxed)
    }

    fn refused(&self, message: String, is_retryable: bool, retry_after: Option<Duration>) -> AskError {
        if !is_retryable && self.learn(&message) {
            return AskError { message, is_retryable: true, retry_after: Some(Duration::ZERO) };
        }
        AskError { message, is_retryable, retry_after }
    }
}

fn hopeless(message: impl Into<String>) -> AskError {
    AskError { message: message.into(), is_retryable: false, retry_after: None }
}

/// The gateway in this process.
pub(super) struct InProcess {
    pub(super) gateway: Arc<Gateway>,
    pub(super) requests: Requests,
}

#[async_trait]
impl Subject for InProcess {
    async fn answer(&self, prompt: &str) -> Result<Answered, AskError> {
        let call = self.requests.call(prompt)?;
        let cache = CacheControl { no_store: true, no_cache: true };
        let context = change::context(Preferences { cache, ..Preferences::default() });
        let context = context.map_err(|error| hopeless(error.to_string()))?;
        match self.gateway.chat(call, context).await {
            Ok(answer) => read(answer.reply, |_| answer.passage.cost.unwrap_or_default()),
            Err(refusal) => {
                Err(self.requests.refused(refusal.message, refusal.code.row().retryable, refusal.retry_after))
            }
        }
    }
}

/// A gateway that runs, reached as any OpenAI-compatible server.
pub(super) struct Remote {
    backend: OpenAi,
    context: CallContext,
    prices: pointsman::domain::Prices,
    requests: Requests,
}

impl Remote {
    /// Returns the gateway at a base URL, with or without `/v1`.
    pub(super) fn at(
        url: &str,
        key: Option<&str>,
        (ground, requests): (&Ground, Requests),
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let base = url.trim_end_matches('/');
        let base_url = if base.ends_with("/v1") { base.to_owned() } else { format!("{base}/v1") };
        let name = &ground.facts().name;
        let settings = RemoteSettings {
            provider: ProviderName::parse("gateway")?,
            base_url,
            api_key: key.map(SecretString::from),
            headers: vec![("cache-control".to_owned(), SecretString::from("no-store, no-cache"))],
            upstream_model: Arc::from(name.as_str()),
        };
        let context = CallContext {
            request: RequestId::fresh(),
            tenant: TenantId::parse("default")?,
            key: KeyId::parse("open")?,
            model: name.clone(),
            upstream_model: Arc::clone(&settings.upstream_model),
            timeouts: ground.model.timeouts,
            deadline: Instant::now(),
            priority: Priority::default(),
            draft: None,
            drafter: None,
            waited: pointsman::domain::Waited::default(),
        };
        let backend = OpenAi::build(&settings, &Http::per_worker())?;
        Ok(Self { backend, context, prices: ground.facts().prices, requests })
    }
}

#[async_trait]
impl Subject for Remote {
    async fn answer(&self, prompt: &str) -> Result<Answered, AskError> {
        let chat = Arc::new(self.requests.call(prompt)?);
        let context =
            CallContext { request: RequestId::fresh(), deadline: Instant::now() + PATIENCE, ..self.context.clone() };
        match self.backend.chat(ModelCall { chat, is_streaming: false, context }).await {
            Ok(reply) => read(reply, |usage| self.prices.cost(usage)),
            Err(error) => {
                let is_retryable = error.is_retryable();
                Err(self.requests.refused(error.message, is_retryable, error.retry_after))
            }
        }
    }
}

/// Reads a whole answer; one without text is an empty one, and wrong.
fn read(reply: Reply, cost: impl FnOnce(&Usage) -> NanoUsd) -> Result<Answered, AskError> {
    let Reply::Whole(WholeReply { body, usage, .. }) = reply else {
        return Err(hopeless("a stream came though none was asked for"));
    };
    let message =
        FirstMessage::read(&body).map_err(|error| hopeless(format!("the answer is no completion: {error}")))?;
    let text = message.content.unwrap_or_default();
    let usage =
        usage.unwrap_or_else(|| Usage { output: Tokens::estimate(text.len()), is_estimated: true, ..Usage::default() });
    Ok(Answered { text, cost: cost(&usage), usage })
}
