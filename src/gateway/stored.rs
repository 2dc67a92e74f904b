//! What the caches hold, for admins: found and evicted by where it comes from, or by what a prompt means.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{Gateway, Refusal, failure::Failure};
use crate::{
    cache::{CacheStore, CachedAnswer, Filter, Held, semantic::Kept},
    domain::{PromptView, Tokens},
    error::Code,
};

/// Time for embedding the prompt of a search.
const EMBEDDING: Duration = Duration::from_secs(10);

/// One of the caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Store {
    /// Answers by what was asked.
    Exact,
    /// Answers by what was meant.
    Semantic,
}

/// What an admin looks for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// In which cache; `None` means in both.
    pub store: Option<Store>,
    /// Which answers.
    pub filter: Filter,
    /// The most similar prompts first, and only the semantic cache.
    pub near: Option<String>,
}

/// A stored answer, without what was asked and without what it says.
#[derive(Clone, Debug, Serialize)]
pub struct Stored {
    /// Where it lies.
    pub store: Store,
    /// The request that it answered: 64 hex digits.
    pub key: String,
    /// Who asked.
    pub tenant: String,
    /// The policy that chose the model.
    pub policy: Option<String>,
    /// The model that gave it.
    pub model: String,
    /// What the caller marked it with.
    pub tags: Vec<String>,
    /// When it was stored.
    pub stored: Timestamp,
    /// When it goes.
    pub expires: Timestamp,
    /// Bytes that it takes.
    pub bytes: usize,
    /// What a hit saves, in US dollars.
    pub saves_usd: f64,
    /// How often asking again showed that it was right, and how often that it was wrong; of semantic entries only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    /// Cosine of its prompt and the one looked for, where one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub similarity: Option<f32>,
}

/// What asking again showed of a semantic entry.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Labels {
    /// How often it was right.
    pub right: usize,
    /// How often it was wrong.
    pub wrong: usize,
}

impl Gateway {
    /// Returns the stored answers that are wanted: the newest first, or the nearest. Linear in what is held.
    ///
    /// # Errors
    /// A prompt is looked for and cannot be embedded.
    pub async fn stored(&self, wanted: &Wanted) -> Result<Vec<Stored>, Refusal> {
        let now = self.parts.books.clock.now();
        let fits = |answer: &CachedAnswer| wanted.filter.fits(answer, now);
        if let Some(text) = &wanted.near {
            let vector = self.embedded(text).await?;
            let found = self.parts.meanings.closest(&vector, |answer| fits(answer), usize::MAX);
            let near = |(similarity, kept)| Stored { similarity: Some(similarity), ..of_kept(&kept, now) };
            return Ok(found.into_iter().map(near).collect());
        }
        let mut found = Vec::new();
        if wanted.store != Some(Store::Semantic) {
            found.extend(self.parts.cache.list(&fits).iter().map(|held| of_held(held, now)));
        }
        if wanted.store != Some(Store::Exact) {
            found.extend(self.parts.meanings.list(|answer| fits(answer)).iter().map(|kept| of_kept(kept, now)));
        }
        found.sort_by(|one, other| other.stored.cmp(&one.stored).then_with(|| one.key.cmp(&other.key)));
        Ok(found)
    }

    /// Removes the stored answers that are wanted. What is under way now is stored when it ends.
    pub async fn evict(&self, store: Option<Store>, filter: &Filter) {
        let now = self.parts.books.clock.now();
        let fits = |answer: &CachedAnswer| filter.fits(answer, now);
        if store != Some(Store::Semantic) {
            for held in self.parts.cache.list(&fits) {
                self.parts.cache.remove(&held.answer.provenance.key).await;
            }
        }
        if store != Some(Store::Exact) {
            self.parts.meanings.evict(|answer| fits(answer));
        }
    }

    /// Returns the exact cache.
    pub fn exact(&self) -> &Arc<dyn CacheStore> {
        &self.parts.cache
    }

    /// Returns the semantic cache.
    pub fn meanings(&self) -> &Arc<super::Meanings> {
        &self.parts.meanings
    }

    async fn embedded(&self, text: &str) -> Result<Arc<[f32]>, Refusal> {
        let Some(scorer) = self.scorer() else {
            return Err(refusal(Code::Unsupported, "Prompts are compared by the router model; set `router.enabled`."));
        };
        let prompt = PromptView { text: Arc::from(text), input_tokens: Tokens::estimate(text.len()), turns: 1 };
        let scores = scorer.score(&prompt, EMBEDDING).await;
        let message = "The router model did not embed the prompt in time; try again.";
        Ok(scores.map_err(|_| refusal(Code::Overloaded, message))?.embedding)
    }
}

fn refusal(code: Code, message: &str) -> Refusal {
    let Failure { code, message, param, retry_after, .. } = Failure::new(code, message).at("near");
    Refusal { code, message, param, retry_after, passage: None }
}

fn of_held(held: &Held, now: Timestamp) -> Stored {
    of(&held.answer, (Store::Exact, held.answer.bytes()), held.left, now)
}

fn of_kept(kept: &Kept<Arc<CachedAnswer>>, now: Timestamp) -> Stored {
    let (right, wrong) = kept.labels;
    let labels = Some(Labels { right, wrong });
    Stored { labels, ..of(&kept.answer, (Store::Semantic, kept.bytes), kept.left, now) }
}

fn of(answer: &CachedAnswer, (store, bytes): (Store, usize), left: Duration, now: Timestamp) -> Stored {
    let found = &answer.provenance;
    let left = SignedDuration::try_from(left).unwrap_or(SignedDuration::MAX);
    Stored {
        store,
        key: found.key.to_string(),
        tenant: found.tenant.to_string(),
        policy: found.policy.as_ref().map(ToString::to_string),
        model: answer.model.to_string(),
        tags: found.tags.iter().map(|tag| tag.0.clone()).collect(),
        stored: found.stored,
        expires: now.checked_add(left).unwrap_or(Timestamp::MAX),
        bytes,
        saves_usd: answer.cost.dollars(),
        labels: None,
        similarity: None,
    }
}
