//! What a backend is asked.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    ids::{KeyId, ModelName, RequestId, TenantId},
    limits::Timeouts,
    priority::Priority,
};
use crate::wire::{chat::ChatCall, embeddings::EmbeddingsCall, text::TextCompletionCall};

/// How long a call waited for its turn inside this process; clones share it.
///
/// It is written down where the waiting is done and read where times are booked, so that a model does not look slow because
/// many asked for it.
#[derive(Clone, Debug, Default)]
pub struct Waited(Arc<AtomicU64>);

impl Waited {
    /// Adds to it.
    pub fn add(&self, more: Duration) {
        self.0.fetch_add(u64::try_from(more.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Returns it, to the microsecond.
    pub fn total(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

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
    /// Where waiting for a turn is written down.
    pub waited: Waited,
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
