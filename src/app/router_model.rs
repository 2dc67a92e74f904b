//! The router's own embedding, offered as an embedding model.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    backends::Backend,
    domain::{
        Availability, BackendError, EmbedCall, ModelCall, PromptView, Reply, ScoresUnavailable, Tokens, Usage,
        WholeReply,
    },
    error::Code,
    scoring::{Live, Scorer},
    wire::embeddings::render_embeddings,
};

/// Longest time for embedding one text: far above what it takes, so that only a stuck engine meets it.
const DEADLINE: Duration = Duration::from_secs(2);

/// Embeds with the router model.
pub(super) struct RouterModel {
    scorer: Option<Arc<Live>>,
}

impl RouterModel {
    /// Returns a backend over the router model in use, if there is one.
    pub(super) fn new(scorer: Option<Arc<Live>>) -> Self {
        Self { scorer }
    }
}

#[async_trait]
impl Backend for RouterModel {
    async fn chat(&self, call: ModelCall) -> Result<Reply, BackendError> {
        let message = format!("Model {} only embeds; choose a chat model.", call.context.model);
        Err(BackendError::new(Code::Unsupported, message, "the router model was asked to chat"))
    }

    async fn embed(&self, call: EmbedCall) -> Result<WholeReply, BackendError> {
        let Some(scorer) = &self.scorer else {
            return Err(BackendError::new(Code::Unsupported, "No router model is configured.", "no router model"));
        };
        let Some(texts) = &call.embeddings.input else {
            let message = "This model reads text, not token ids; send 'input' as a string or a list of strings.";
            return Err(BackendError::new(Code::InvalidRequest, message, "token ids were sent to the router model"));
        };
        let vectors = embed_all(&*scorer.current(), texts).await?;
        let width = vectors.first().map_or(0, Vec::len);
        if call.embeddings.dimensions.is_some_and(|asked| asked != width) {
            let message = format!("This model has {width} dimensions; leave 'dimensions' out.");
            return Err(BackendError::new(Code::InvalidRequest, message, "other dimensions were asked for"));
        }
        let tokens: Tokens = texts.iter().map(|text| Tokens::estimate(text.len())).sum();
        let model = call.context.model.as_str();
        let body = render_embeddings(model, &vectors, call.embeddings.wants_base64, tokens.0);
        let usage = Usage { input: tokens, is_estimated: true, ..Usage::default() };
        Ok(WholeReply { body, usage: Some(usage), finish_reason: None, signals: Vec::new() })
    }

    fn availability(&self) -> Availability {
        match self.scorer {
            Some(_) => Availability::Ready,
            None => Availability::Failed { reason: "no router model is configured".to_owned() },
        }
    }
}

async fn embed_all(scorer: &dyn Scorer, texts: &[String]) -> Result<Vec<Vec<f32>>, BackendError> {
    let mut vectors = Vec::with_capacity(texts.len());
    for text in texts {
        let prompt =
            PromptView { text: Arc::from(text.as_str()), input_tokens: Tokens::estimate(text.len()), turns: 1 };
        vectors.push(scorer.score(&prompt, DEADLINE).await.map_err(failed)?.embedding.to_vec());
    }
    Ok(vectors)
}

fn failed(why: ScoresUnavailable) -> BackendError {
    BackendError::new(Code::Overloaded, "The router model could not embed the text; try again.", why.to_string())
}
