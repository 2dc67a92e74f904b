//! What a plan is run for.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::Instrument;

use super::Model;
use crate::{
    backends::Backend,
    domain::{
        AttemptJournal, BackendError, EmbedCall, Hold, KeyId, ModelCall, ModelName, NanoUsd, Priority, Reply,
        RequestId, TenantId, TextCall, Timeouts, Tokens, Waited, WholeReply, call::CallContext,
    },
    wire::{chat::ChatCall, embeddings::EmbeddingsCall, text::TextCompletionCall},
};

/// What every leg of the plan is asked.
#[derive(Clone, Debug)]
pub enum Operation {
    /// A chat answer.
    Chat {
        /// Body and typed view of the request.
        chat: Arc<ChatCall>,
        /// Whether to ask for a stream, which may differ from what the caller asked for.
        is_streaming: bool,
    },
    /// Embeddings; the reply is always whole.
    Embed(Arc<EmbeddingsCall>),
    /// A legacy text completion.
    Text(Arc<TextCompletionCall>),
}

/// One request, as far as running its plan needs it.
#[derive(Clone, Debug)]
pub struct Job {
    /// What is asked.
    pub operation: Operation,
    /// The request.
    pub request: RequestId,
    /// Who asks.
    pub tenant: TenantId,
    /// The key that asks, for fairness in local queues.
    pub key: KeyId,
    /// When the request arrived; the journal counts from here.
    pub arrived: Instant,
    /// When the whole request must be over.
    pub deadline: Instant,
    /// Where attempts are booked.
    pub journal: AttemptJournal,
    /// Most the request may cost, all attempts together.
    pub max_cost: Option<NanoUsd>,
    /// Upper estimate of the cost by model, for `max_cost`; a model that is not listed is not held back.
    pub upper_costs: Vec<(ModelName, NanoUsd)>,
    /// Estimated tokens of the prompt, for providers that report no usage.
    pub input_tokens: Tokens,
    /// The source of all chance: the jitter of pauses.
    pub seed: u64,
    /// Replaces the models' own timeouts.
    pub timeouts: Option<Timeouts>,
    /// Whether other work goes first where calls wait inside this process.
    pub priority: Priority,
    /// A text that the answer may resemble, for backends that can verify a draft.
    pub draft: Option<Arc<str>>,
    /// A local model that may draft the answer of a local model.
    pub drafter: Option<ModelName>,
}

impl Operation {
    pub(super) fn is_streaming(&self) -> bool {
        match self {
            Self::Chat { is_streaming, .. } => *is_streaming,
            Self::Embed(_) => false,
            Self::Text(text) => text.is_streaming,
        }
    }

    /// Returns the tokens of an answer whose provider reported none; embeddings generate none.
    pub(super) fn estimated_output(&self, reply: &WholeReply) -> Tokens {
        match self {
            Self::Embed(_) => Tokens::default(),
            Self::Chat { .. } | Self::Text(_) => Tokens::estimate(reply.body.len()),
        }
    }

    async fn call(&self, backend: &dyn Backend, context: CallContext) -> Result<Reply, BackendError> {
        match self {
            Self::Chat { chat, is_streaming } => {
                backend.chat(ModelCall { chat: Arc::clone(chat), is_streaming: *is_streaming, context }).await
            }
            Self::Embed(embeddings) => {
                backend.embed(EmbedCall { embeddings: Arc::clone(embeddings), context }).await.map(Reply::Whole)
            }
            Self::Text(text) => backend.complete(TextCall { text: Arc::clone(text), context }).await,
        }
    }
}

impl Job {
    pub(super) fn timeouts(&self, model: &Model) -> Timeouts {
        self.timeouts.unwrap_or(model.timeouts)
    }

    /// Returns the upper estimate and what is left of the request's money if the former exceeds the latter; what running
    /// attempts may cost is not left.
    pub(super) fn shortfall(&self, model: &ModelName) -> Option<(NanoUsd, NanoUsd)> {
        let upper = self.upper_cost(model)?;
        let left = self.max_cost? - self.journal.committed();
        (upper > left).then_some((upper, left))
    }

    /// Sets aside what an attempt may cost.
    pub(super) fn hold(&self, model: &ModelName) -> Hold {
        self.journal.hold(self.upper_cost(model).unwrap_or_default())
    }

    fn upper_cost(&self, model: &ModelName) -> Option<NanoUsd> {
        self.upper_costs.iter().find(|(name, _)| name == model).map(|(_, upper)| *upper)
    }

    /// Asks a model; `waited` is told how long the call waited for its turn.
    pub(super) async fn call(&self, model: &Model, waited: Waited) -> Result<Reply, BackendError> {
        let context = CallContext {
            request: self.request,
            tenant: self.tenant.clone(),
            key: self.key.clone(),
            model: model.facts.name.clone(),
            upstream_model: Arc::clone(&model.upstream_model),
            timeouts: self.timeouts(model),
            deadline: self.deadline,
            priority: self.priority,
            draft: self.draft.clone(),
            drafter: self.drafter.clone(),
            waited,
        };
        let span = tracing::info_span!("attempt", model.name = %model.facts.name);
        self.operation.call(&*model.backend, context).instrument(span).await
    }
}
