//! What a backend is asked.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    ids::{KeyId, ModelName, RequestId, TenantId},
    limits::Timeouts,
    priority::Priority,
};
use crate::wire::{chat::ChatCall, embeddings::EmbeddingsCall, text::TextCompletionCall};

/// What every call carries besides its body.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// For logs and for the provider's own request id.
    pub request: RequestId,
    /// Who asks.
    pub tenant: TenantId,
    /// The key that asks, for fairness in local queues.
    pub key: KeyId,
    /// The configured name of the model.
    pub model: ModelName,
    /// What the provider calls the model.
    pub upstream_model: Arc<str>,
    /// How long each phase may take.
    pub timeouts: Timeouts,
    /// When the whole request must be over.
    pub deadline: Instant,
    /// Whether other work goes first where calls wait inside this process.
    pub priority: Priority,
    /// A text that the answer may resemble, for backends that can verify a draft faster than they write; others ignore it.
    pub draft: Option<Arc<str>>,
    /// A local model that may draft the answer, for local models, which check its tokens; others ignore it.
    pub drafter: Option<ModelName>,
}

/// One attempt at a chat leg.
#[derive(Clone, Debug)]
pub struct ModelCall {
    /// Body and typed view of the request.
    pub chat: Arc<ChatCall>,
    /// Whether to ask for a stream, which may differ from what the caller asked for.
    pub is_streaming: bool,
    /// The rest.
    pub context: CallContext,
}

/// One attempt at an embeddings call.
#[derive(Clone, Debug)]
pub struct EmbedCall {
    /// Body and typed view of the request.
    pub embeddings: Arc<EmbeddingsCall>,
    /// The rest.
    pub context: CallContext,
}

/// One attempt at a legacy text completion, passed through.
#[derive(Clone, Debug)]
pub struct TextCall {
    /// Body and typed view of the request.
    pub text: Arc<TextCompletionCall>,
    /// The rest.
    pub context: CallContext,
}
