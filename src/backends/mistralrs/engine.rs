//! A loaded model, and how a sequence gets into it.
//!
//! On a CPU a decode batch of more than one mixes its sequences up, so callers hold a [`Turn`] while theirs runs. The engine's
//! own answers are never read but for errors; the tokens come from the [`Hook`]. The response channel has room for all of them,
//! so a slow reader never stops the engine.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use either::Either;
use indexmap::IndexMap;
use mistralrs::{Model, NormalRequest, Request, Response, SamplingParams};
use mistralrs_core::{MessageContent, Pipeline, RequestMessage};
use tokio::{
    sync::{
        Mutex,
        mpsc::{self, Sender, error::TrySendError},
        oneshot,
    },
    time::{Instant, sleep},
};

use super::{
    drawing::{Drawing, Making, Step},
    health::Health,
    hook::Hook,
    queue::Turn,
    speculation::Passes,
    tools::{Opening, Tooling},
    vocabulary::Vocabulary,
};
use crate::wire::chat::{Message, Role};

/// Room in a channel besides the tokens: beginning, end, an error.
pub(super) const SPARE_ROOM: usize = 16;

/// A dead engine is started again by asking for its sender; sends fail until it listens, about 100 ms later.
const REVIVAL_LIMIT: Duration = Duration::from_secs(1);

const REVIVAL_PAUSE: Duration = Duration::from_millis(20);

/// How long an engine that gave up a sequence may take to say why.
const LAST_WORDS_LIMIT: Duration = Duration::from_millis(500);

/// Why a sequence does not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EngineError {
    /// The request is not one the model can take.
    #[error("{0}")]
    Rejected(String),
    /// The response format is not one that can be kept.
    #[error("the response format cannot be kept: {0}")]
    BadFormat(String),
    /// The prompt does not fit.
    #[error("the prompt exceeds the context of {window} tokens")]
    TooLong {
        /// The context of the model.
        window: u64,
    },
    /// The engine failed.
    #[error("{0}")]
    Failed(String),
    /// The engine died without a word.
    #[error("the engine died")]
    Died,
}

/// A loaded model.
pub(super) struct Engine {
    model: Model,
    pipeline: Arc<Mutex<dyn Pipeline>>,
    vocabulary: Arc<Vocabulary>,
    passes: Result<Arc<Mutex<Passes>>, &'static str>,
    health: Arc<Health>,
    life: parking_lot::Mutex<Life>,
    ids: AtomicUsize,
}

/// What is known of an engine's thread.
#[derive(Default)]
struct Life {
    /// How the thread was reached last; closed when the thread has ended.
    sender: Option<Sender<Request>>,
    /// Whether its end was counted, and its restart was not.
    is_dead: bool,
}

/// A running answer. Dropping it ends the sequence at its next token.
pub(super) struct Running {
    steps: mpsc::Receiver<Step>,
    reason: Reason,
    window: u64,
}

/// Where it is told why an answer broke off.
enum Reason {
    /// By the engine itself.
    Engine(mpsc::Receiver<Response>),
    /// By who decodes with it.
    Worker(oneshot::Receiver<EngineError>),
}

impl Engine {
    pub(super) fn new(
        (model, pipeline): (Model, Arc<Mutex<dyn Pipeline>>),
        vocabulary: Arc<Vocabulary>,
        passes: Result<Passes, &'static str>,
        health: Arc<Health>,
    ) -> Self {
        let passes = passes.map(|passes| Arc::new(Mutex::new(passes)));
        // 0 is what the engine calls its own trial runs.
        Self { model, pipeline, vocabulary, passes, health, life: Default::default(), ids: AtomicUsize::new(1) }
    }

    /// Counts the death of the engine's thread, if it has died since anybody looked.
    pub(super) fn notice_death(&self) {
        let mut life = self.life.lock();
        if life.sender.take_if(|sender| sender.is_closed()).is_some() {
            life.is_dead = true;
            self.health.died();
        }
    }

    /// Returns what the tokens mean.
    pub(super) fn vocabulary(&self) -> &Arc<Vocabulary> {
        &self.vocabulary
    }

    /// Returns passes over several tokens at once, for those who have the turn.
    ///
    /// # Errors
    /// The model's kind has none; the text says why.
    pub(super) fn passes(&self) -> Result<Arc<Mutex<Passes>>, &'static str> {
        self.passes.clone()
    }

    /// Returns the context of the model, if the messages can fit.
    ///
    /// # Errors
    /// They cannot.
    pub(super) fn check_length(&self, messages: &[Message]) -> Result<u64, EngineError> {
        let window = self.vocabulary.window();
        let least = messages.iter().map(|message| self.vocabulary.at_least(&message.text)).sum::<u64>();
        if least >= window { Err(EngineError::TooLong { window }) } else { Ok(window) }
    }

    /// Starts an answer to `messages`.
    ///
    /// # Errors
    /// The messages do not fit, or the engine is dead and did not come back.
    ///
    /// # Cancel safety
    /// Dropping the future starts nothing, or a sequence that ends at its first token.
    pub(super) async fn start(&self, messages: &[Message], making: Making, turn: Turn) -> Result<Running, EngineError> {
        let window = self.check_length(messages)?;
        let chat = RequestMessage::Chat {
            messages: messages.iter().map(template_message).collect(),
            enable_thinking: None,
            reasoning_effort: None,
        };
        self.launch(chat, making, turn, window).await
    }

    /// Starts an answer that may call tools.
    ///
    /// # Errors
    /// As [`Engine::start`]; or the tools' schemas cannot be kept.
    ///
    /// # Cancel safety
    /// As [`Engine::start`].
    pub(super) async fn start_with_tools(
        &self,
        (messages, tooling): (&[Message], &Tooling),
        making: Making,
        turn: Turn,
    ) -> Result<Running, EngineError> {
        let window = self.check_length(messages)?;
        let Opening { tokens, style } = tooling.open(&*self.pipeline, messages).await?;
        if tokens.len() as u64 >= window {
            return Err(EngineError::TooLong { window });
        }
        let calls = tooling.grammar(style).map_err(EngineError::BadFormat)?;
        let making = Making { calls, shows_marks: true, ..making };
        self.launch(RequestMessage::CompletionTokens(tokens), making, turn, window).await
    }

    async fn launch(
        &self,
        message: RequestMessage,
        making: Making,
        turn: Turn,
        window: u64,
    ) -> Result<Running, EngineError> {
        let longest = making.max_tokens.map_or(window, |tokens| tokens.min(window));
        let room = usize::try_from(longest).unwrap_or(usize::MAX / 4) + SPARE_ROOM;
        let (step_sender, steps) = mpsc::channel(room);
        let (response, responses) = mpsc::channel(room);
        let hook = Hook::new(Arc::clone(&self.vocabulary), Drawing::new(making, step_sender), turn);
        self.send(self.request(message, room, response, hook)).await?;
        Ok(Running { steps, reason: Reason::Engine(responses), window })
    }

    /// Ends the engine's thread, as a panic inside would.
    #[cfg(test)]
    pub(super) fn kill(&self) {
        self.model.inner().get_sender(None).unwrap().try_send(Request::Terminate).unwrap();
    }

    fn request(&self, message: RequestMessage, room: usize, response: mpsc::Sender<Response>, hook: Hook) -> Request {
        // Greedy, because the hook leaves one possible token; the limit is the hook's, this one only a last resort.
        let sampling = SamplingParams { temperature: Some(0.0), max_len: Some(room), ..SamplingParams::neutral() };
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let mut request = NormalRequest::new_simple(message, sampling, response, id, None, None);
        request.is_streaming = true;
        request.logits_processors = Some(vec![Arc::new(hook)]);
        Request::Normal(Box::new(request))
    }

    async fn send(&self, request: Request) -> Result<(), EngineError> {
        self.notice_death();
        let sender = deliver(&self.model, request).await?;
        let mut life = self.life.lock();
        if std::mem::take(&mut life.is_dead) {
            self.health.restarted();
        }
        life.sender = Some(sender);
        Ok(())
    }
}

/// Hands a request to a model's engine and returns how it was reached; one that died is started again.
///
/// # Errors
/// It did not come back.
pub(super) async fn deliver(model: &Model, mut request: Request) -> Result<Sender<Request>, EngineError> {
    let give_up = Instant::now() + REVIVAL_LIMIT;
    loop {
        let sender = model.inner().get_sender(None).map_err(|error| EngineError::Failed(error.to_string()))?;
        request = match sender.try_send(request) {
            Ok(()) => return Ok(sender),
            Err(TrySendError::Closed(request) | TrySendError::Full(request)) => request,
        };
        if Instant::now() >= give_up {
            return Err(EngineError::Died);
        }
        sleep(REVIVAL_PAUSE).await;
    }
}

/// Returns why an engine gave a sequence up; `None` when the response is no refusal.
pub(super) fn failure(response: Response) -> Option<EngineError> {
    match response {
        Response::ValidationError(error) => Some(EngineError::Rejected(error.to_string())),
        Response::InternalError(error) => Some(EngineError::Failed(error.to_string())),
        Response::ModelError(error, _) | Response::CompletionModelError(error, _) => Some(EngineError::Failed(error)),
        _ => None,
    }
}

impl Running {
    /// Returns an answer that comes of `steps`.
    pub(super) fn of_worker(steps: mpsc::Receiver<Step>, failure: oneshot::Receiver<EngineError>, window: u64) -> Self {
        Self { steps, reason: Reason::Worker(failure), window }
    }

    /// Waits for the next step; after [`Step::Ended`] there is none.
    ///
    /// # Errors
    /// The engine gave the sequence up.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Step, EngineError> {
        match self.steps.recv().await {
            Some(Step::BadFormat(reason)) => Err(EngineError::BadFormat(reason)),
            Some(Step::Stuck) => Err(EngineError::Failed("no token is possible".to_owned())),
            Some(step) => Ok(step),
            None => Err(self.last_words().await),
        }
    }

    async fn last_words(&mut self) -> EngineError {
        let give_up = Instant::now() + LAST_WORDS_LIMIT;
        let responses = match &mut self.reason {
            Reason::Engine(responses) => responses,
            Reason::Worker(failure) => {
                return tokio::time::timeout_at(give_up, failure)
                    .await
                    .ok()
                    .and_then(Result::ok)
                    .unwrap_or(EngineError::Died);
            }
        };
        while let Ok(Some(response)) = tokio::time::timeout_at(give_up, responses.recv()).await {
            match response {
                Response::ValidationError(error) if error.to_string().contains("sequence length") => {
                    return EngineError::TooLong { window: self.window };
                }
                response => {
                    if let Some(failure) = failure(response) {
                        return failure;
                    }
                }
            }
        }
        EngineError::Died
    }
}

/// Returns a message as mistral.rs takes it.
pub(super) fn template_message(message: &Message) -> IndexMap<String, MessageContent> {
    let role = match message.role {
        Role::System | Role::Developer => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let text = |text: &str| Either::Left(text.to_owned());
    IndexMap::from([("role".to_owned(), text(role)), ("content".to_owned(), text(&message.text))])
}
