//! Passes of a model over a growing text, each over the new tokens only.
//!
//! # How mistral.rs 0.8.1 is brought to this
//!
//! It has no call for "compute these tokens after those". A request with raw logits computes several tokens in one pass and gives
//! the logits after each, but begins at nothing unless its prefix cache knows the beginning, and forgets what it computed. So:
//!
//! - A second engine over the same weights has the prefix cache on. The one that serves ordinary answers has it off.
//! - Its prefix cache is planted with one entry of filler tokens (the end token, over and over). A request for the tokens after
//!   position `n` begins with `n` fillers: the entry matches exactly `n` tokens, whatever text they stand for.
//! - The entry's keys and values live in memory that is shared with a [`Store`]. After each pass the new ones are copied there,
//!   so that they are those of the text at hand.
//! - The first new token must not be the filler, or the entry would match further. It never is: an answer ends with its end token.
//! - A text of `n` tokens that shrinks (a rejected proposal) needs nothing: what lies after `n` is not matched.
//!
//! What was lost (an engine that died is started again with an empty prefix cache) shows in the number of logits, and is planted
//! again.
//!
//! A raw request computes one more token, for nothing, before the engine lets go of it: that is the price of a [`Passes::rows`].
//! A [`Passes::run`] over two tokens or more costs what plain decoding costs.
//!
//! A model answers one sequence at a time: whoever holds its turn may pass over it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use indexmap::IndexMap;
use mistralrs::{CustomLogitsProcessor, DType, Model, NormalRequest, Request, Response, SamplingParams, Tensor};
use mistralrs_core::{MessageContent, Pipeline, RequestMessage, SchedulerConfig};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{
    super::{
        engine::{self, EngineError},
        vocabulary::Vocabulary,
    },
    cells::{Cells, Store},
    tap::{Ending, Reader, Tap, one_hot},
};
use crate::wire::chat::{Message, Role};

/// A conversation as mistral.rs takes it.
pub(in super::super) type Messages = Vec<IndexMap<String, MessageContent>>;

/// Tokens by which a text may grow before an entry must be planted for it; a power of two.
const SLACK: usize = 64;

/// Room for responses that nobody waits for.
const RESPONSES: usize = 16;

/// Passes over the text of one answer after the other.
pub(in super::super) struct Passes {
    model: Model,
    pipeline: Arc<tokio::sync::Mutex<dyn Pipeline>>,
    vocabulary: Arc<Vocabulary>,
    cells: Cells,
    filler: u32,
    spare: u32,
    stores: Vec<Store>,
    /// The tokens whose keys and values are in the stores.
    held: Vec<u32>,
    /// The engine panics if the latest request's responses cannot be sent, so they can until the next request.
    unread: Option<mpsc::Receiver<Response>>,
    ids: AtomicUsize,
}

/// Plants an entry: a sequence of fillers that ends at its second token, the first that an engine lets a sequence end at.
struct Planting {
    calls: Mutex<usize>,
    spare: u32,
    end: u32,
}

impl CustomLogitsProcessor for Planting {
    fn apply(&self, logits: &Tensor, _: &[u32]) -> mistralrs::Result<Tensor> {
        let mut calls = self.calls.lock();
        *calls += 1;
        one_hot(if *calls == 1 { self.spare } else { self.end }, logits.elem_count(), logits)
    }
}

impl Passes {
    /// Returns passes of the model that `pipeline` holds.
    ///
    /// # Errors
    /// Its keys and values cannot be kept; the text says why.
    pub(in super::super) async fn new(
        pipeline: Arc<tokio::sync::Mutex<dyn Pipeline>>,
        scheduler: SchedulerConfig,
        mut config: mistralrs_core::AddModelConfig,
        vocabulary: Arc<Vocabulary>,
    ) -> Result<Self, &'static str> {
        if matches!(scheduler, SchedulerConfig::PagedAttentionMeta { .. }) {
            return Err("its attention is paged");
        }
        let cells = Cells::of(&pipeline).await.ok_or("its cache cannot be cut to a length")?;
        let spare = vocabulary.letter().ok_or("its vocabulary has no letters")?;
        let opening = opening(&pipeline, vec![engine::template_message(&hello())])
            .await
            .map_err(|_| "it has no chat template")?;
        let is_filler = |token: &u32| opening.first() != Some(token);
        let filler = vocabulary.ends().iter().copied().find(is_filler).ok_or("its prompts begin with its end token")?;
        config.engine_config.no_prefix_cache = false;
        // More than there are ever entries, so that none is dropped.
        config.engine_config.prefix_cache_n = usize::BITS as usize;
        let model =
            mistralrs::model_builder_trait::build_model_from_pipeline(Arc::clone(&pipeline), scheduler, config).await;
        let (stores, held, unread, ids) = (Vec::new(), Vec::new(), None, AtomicUsize::new(1));
        Ok(Self { model, pipeline, vocabulary, cells, filler, spare, stores, held, unread, ids })
    }

    /// Returns the model's vocabulary.
    pub(in super::super) fn vocabulary(&self) -> &Arc<Vocabulary> {
        &self.vocabulary
    }

    /// Ends the engine's thread, as a panic inside would.
    #[cfg(test)]
    pub(super) fn kill(&self) {
        self.model.inner().get_sender(None).unwrap().try_send(Request::Terminate).unwrap();
    }

    /// Forgets the text at hand.
    pub(in super::super) fn forget(&mut self) {
        self.held.clear();
    }

    /// Returns the tokens of a conversation, up to where the answer begins.
    ///
    /// # Errors
    /// The chat template refuses it, it fills the context, or it begins like no prompt of this model does.
    pub(in super::super) async fn prompt(&self, messages: Messages) -> Result<Vec<u32>, EngineError> {
        let tokens = opening(&self.pipeline, messages).await?;
        let window = self.vocabulary.window();
        if tokens.len() as u64 >= window {
            return Err(EngineError::TooLong { window });
        }
        match tokens.first() {
            Some(token) if *token != self.filler => Ok(tokens),
            _ => Err(EngineError::Rejected("a conversation cannot begin with its end".to_owned())),
        }
    }

    /// Computes what of `text` is not yet computed, in one pass, and returns the logits after each of its last `count` tokens;
    /// `None` when the engine had lost what this builds on. All but the last `count` tokens should be computed already, because
    /// logits are made for everything that is not.
    ///
    /// # Errors
    /// The engine failed.
    pub(in super::super) async fn rows(
        &mut self,
        text: &[u32],
        count: usize,
    ) -> Result<Option<Vec<Vec<f32>>>, EngineError> {
        self.held.truncate(text.len().saturating_sub(count));
        let kept = self.prepare(text).await?;
        let (sender, mut responses) = mpsc::channel(RESPONSES);
        let mut request = self.request(kept, text, sender);
        request.return_raw_logits = true;
        self.send(request).await?;
        let response = responses.recv().await;
        self.unread = Some(responses);
        let Some(Response::Raw { logits_chunks, .. }) = response else {
            self.lost();
            return Err(response.and_then(engine::failure).unwrap_or(EngineError::Died));
        };
        let logits = logits_chunks.first().ok_or(EngineError::Died)?;
        let computed = logits.dim(0).map_err(failed)?;
        if computed != text.len() - kept {
            // It computed the fillers: the entry is gone.
            self.lost();
            return Ok(None);
        }
        self.keep(kept, text, &[])?;
        let count = count.min(computed);
        let last = logits.narrow(0, computed - count, count).and_then(|last| last.to_dtype(DType::F32));
        last.and_then(|last| last.to_vec2()).map(Some).map_err(failed)
    }

    /// Waits until the engine has let go of the latest request.
    pub(in super::super) async fn settle(&mut self) {
        if let Some(mut responses) = self.unread.take() {
            while responses.recv().await.is_some() {}
        }
    }

    /// Computes what of `text` is not yet computed, then the tokens that `reader` gives, one by one. Returns these.
    ///
    /// # Errors
    /// The engine failed. If it only had to be started again, it did so before the reader was called: `Ok(None)`, try again.
    pub(in super::super) async fn run(
        &mut self,
        text: &[u32],
        reader: Reader,
    ) -> Result<Option<Vec<u32>>, EngineError> {
        let kept = self.prepare(text).await?;
        let fresh = text.len() - kept;
        let tap = Arc::new(Tap::new(reader, fresh, self.spare));
        let (sender, mut responses) = mpsc::channel(RESPONSES);
        let mut request = self.request(kept, text, sender);
        request.is_streaming = true;
        request.logits_processors = Some(vec![Arc::clone(&tap) as Arc<dyn CustomLogitsProcessor>]);
        self.send(request).await?;
        // The engine lets go of the sequence when all is done.
        let mut failure = None;
        while let Some(response) = responses.recv().await {
            failure = engine::failure(response).or(failure);
        }
        match tap.ending() {
            Ending::Lost => {
                self.lost();
                failure.map_or(Ok(None), Err)
            }
            Ending::Broken => {
                self.lost();
                Err(failure.unwrap_or(EngineError::Died))
            }
            Ending::Read(given) => {
                self.keep(kept, text, &given)?;
                Ok(Some(given))
            }
        }
    }

    /// Makes ready for a pass over `text`; returns how many of its tokens are computed. At least one is not.
    async fn prepare(&mut self, text: &[u32]) -> Result<usize, EngineError> {
        self.settle().await;
        let shared = self.held.iter().zip(text).take_while(|(held, token)| held == token).count();
        let mut kept = shared.min(text.len().saturating_sub(1));
        while kept > 0 && text.get(kept) == Some(&self.filler) {
            kept -= 1;
        }
        self.held.truncate(kept);
        let window = self.vocabulary.window();
        let longest = usize::try_from(window).unwrap_or(usize::MAX).saturating_sub(1);
        // Planting passes over the model, so there is room before the text is read.
        if self.room() <= text.len() && self.room() < longest {
            let length = length_for(text.len()).min(longest);
            // An engine that died with the request is started again by the next.
            if !self.plant(kept, length).await? && !self.plant(kept, length).await? {
                return Err(EngineError::Died);
            }
        }
        if self.room() <= kept { Err(EngineError::TooLong { window }) } else { Ok(kept) }
    }

    /// Returns the length of the longest text whose keys and values can be kept.
    fn room(&self) -> usize {
        self.stores.last().map_or(0, Store::length)
    }

    /// Plants an entry of `length` tokens, and moves the text at hand there; returns whether it did.
    async fn plant(&mut self, kept: usize, length: usize) -> Result<bool, EngineError> {
        let fillers = vec![self.filler; length];
        let (sender, mut responses) = mpsc::channel(RESPONSES);
        let mut request = self.request(0, &fillers, sender);
        request.is_streaming = true;
        let planting = Arc::new(Planting { calls: Mutex::new(0), spare: self.spare, end: self.filler });
        request.logits_processors = Some(vec![Arc::clone(&planting) as Arc<dyn CustomLogitsProcessor>]);
        self.send(request).await?;
        let mut failure = None;
        while let Some(response) = responses.recv().await {
            failure = engine::failure(response).or(failure);
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        if *planting.calls.lock() != 2 {
            return Ok(false);
        }
        let store = Store::shared(&self.cells, length).map_err(failed)?;
        if let Some(old) = self.stores.last() {
            store.take_from(old, kept).map_err(failed)?;
        }
        self.stores.push(store);
        Ok(true)
    }

    fn request(&self, kept: usize, text: &[u32], response: mpsc::Sender<Response>) -> NormalRequest {
        let fillers = std::iter::repeat_n(self.filler, kept);
        let tokens = fillers.chain(text.iter().skip(kept).copied()).collect();
        let sampling = SamplingParams { temperature: Some(0.0), ..SamplingParams::neutral() };
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        NormalRequest::new_simple(RequestMessage::CompletionTokens(tokens), sampling, response, id, None, None)
    }

    async fn send(&self, request: NormalRequest) -> Result<(), EngineError> {
        engine::deliver(&self.model, Request::Normal(Box::new(request))).await.map(drop)
    }

    /// Copies what the latest pass computed, `text` from `begin` on and the tokens `given` after it, to where the next passes
    /// find it.
    fn keep(&mut self, begin: usize, text: &[u32], given: &[u32]) -> Result<(), EngineError> {
        for store in &self.stores {
            store.take(&self.cells, begin, text.len() + given.len()).map_err(failed)?;
        }
        self.held.extend(text.iter().skip(begin));
        self.held.extend(given);
        self.held.truncate(self.room());
        Ok(())
    }

    /// Takes note that the engine has lost its entries.
    fn lost(&mut self) {
        self.stores.clear();
        self.held.clear();
    }
}

/// Returns the length of the entry to plant for a text. Planting costs what reading as many tokens does, so it begins small;
/// lengths double, so that a text that grows is moved seldom. One short of a whole block, because a sequence ends one token after
/// its prompt and must not need another block.
fn length_for(text: usize) -> usize {
    (text + SLACK).next_power_of_two() - 1
}

/// Returns the tokens of a conversation, up to where the answer begins, as the engine itself would make them.
async fn opening(pipeline: &tokio::sync::Mutex<dyn Pipeline>, messages: Messages) -> Result<Vec<u32>, EngineError> {
    let pipeline = pipeline.lock().await;
    let made = pipeline.get_processor().process(&*pipeline, messages, true, true, None, None, Vec::new());
    made.map(|(tokens, _)| tokens).map_err(|error| EngineError::Rejected(error.to_string()))
}

fn hello() -> Message {
    Message { role: Role::User, text: "Hello".to_owned(), parts: Vec::new() }
}

fn failed(error: candle_core::Error) -> EngineError {
    EngineError::Failed(error.to_string())
}
