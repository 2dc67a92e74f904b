//! How a local model comes to speculate: its draft, and the turns of both.

use std::sync::Arc;

use tokio::{
    sync::{Mutex, mpsc},
    time::{Duration, Instant},
};

use super::{
    Inner, Local,
    engine::{Engine, EngineError, Running, SPARE_ROOM, template_message},
    hook::Making,
    queue::{Queue, Turn},
    speculation::{Aid, Answering, Drafting, Passes, Speculator, off},
};
use crate::{
    config::{Draft, SpeculateSettings},
    domain::{ModelCall, ModelName, Speculation},
};

/// How long a model that is ready itself waits for its draft at load.
const DRAFT_LIMIT: Duration = Duration::from_secs(600);

/// What helps the answers of one call along.
pub(super) struct Help {
    own: ModelName,
    speculator: Arc<Speculator>,
    draft: Option<DraftSide>,
}

/// A draft model that is loaded.
struct DraftSide {
    name: ModelName,
    queue: Arc<Queue>,
    passes: Arc<Mutex<Passes>>,
}

/// The turns of one choice.
pub(super) struct Seats {
    own: Turn,
    /// `None` where no draft model helps, or where it was too busy.
    draft: Option<Turn>,
}

impl Inner {
    /// Starts speculation, on the thread that loads the model.
    pub(super) fn start_speculating(&self, engine: &Engine) {
        let Some(settings) = &self.settings.speculate else { return };
        if let Err(reason) = self.try_speculating(settings, engine) {
            tracing::warn!(model = %self.name, reason, "the local model does not speculate");
            drop(self.no_speculation.set(reason));
        }
    }

    fn try_speculating(&self, settings: &SpeculateSettings, engine: &Engine) -> Result<(), String> {
        let passes = engine.passes()?;
        let told = |error: std::io::Error| error.to_string();
        let speculator = Speculator::start(passes, settings.clone()).map_err(told)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(told)?;
        runtime.block_on(async {
            let aid = self.trial(settings, engine).await?;
            speculator.decide(aid).await;
            Ok::<_, String>(())
        })?;
        let status = speculator.status();
        tracing::info!(
            model = %self.name, speculation.on = status.is_on, speculation.plain = status.plain_tokens_per_second,
            speculation.with = status.speculative_tokens_per_second, "speculation is measured: {}", status.reason
        );
        drop(self.speculator.set(Arc::new(speculator)));
        Ok(())
    }

    /// Returns what the measurement at load is made with.
    async fn trial(&self, settings: &SpeculateSettings, engine: &Engine) -> Result<Aid, String> {
        let Draft::Model(name) = &settings.draft else { return Ok(Aid::Lookup(None)) };
        let neighbours = self.neighbours.wait();
        let local = neighbours.await_model(name).await.ok_or_else(|| format!("its draft {name} is not there"))?;
        local.inner.start_loading();
        local.settled().await;
        let side = DraftSide::of(&local).ok_or_else(|| format!("its draft {name} is not loaded, or cannot be one"))?;
        let draft = local.inner.engine.get().ok_or_else(|| format!("its draft {name} is not loaded"))?;
        let agreed = engine.vocabulary().agrees_with(draft.vocabulary());
        agreed.map_err(|why| format!("its draft {name} has another vocabulary: {why}"))?;
        let turn = side.queue.enter(Instant::now() + DRAFT_LIMIT).await;
        let turn = turn.map_err(|_| format!("its draft {name} is too busy"))?;
        Ok(side.aid(turn, 0.0, (0, 0)).await)
    }

    /// Returns what helps a call; `None` decodes plainly.
    pub(super) fn help(&self, _call: &ModelCall) -> Option<Help> {
        let speculator = self.speculator.get().filter(|speculator| speculator.is_on())?;
        let draft = match &self.settings.speculate.as_ref()?.draft {
            Draft::Lookup => None,
            Draft::Model(name) => Some(DraftSide::of(&*self.neighbours.get()?.find(name)?)?),
        };
        Some(Help { own: self.name.clone(), speculator: Arc::clone(speculator), draft })
    }

    /// Returns what speculation is and does; `None` where none is configured.
    pub(super) fn speculation(&self) -> Option<Speculation> {
        let settings = self.settings.speculate.as_ref()?;
        Some(match (self.speculator.get(), self.no_speculation.get()) {
            (Some(speculator), _) => speculator.status(),
            (None, Some(reason)) => off(settings, reason),
            (None, None) => off(settings, "the model is not loaded"),
        })
    }
}

impl DraftSide {
    fn of(local: &Local) -> Option<Self> {
        let passes = local.inner.engine.get()?.passes().ok()?;
        Some(Self { name: local.inner.name.clone(), queue: Arc::clone(&local.inner.shared.queue), passes })
    }

    async fn aid(&self, turn: Turn, temperature: f64, seed: (u64, u32)) -> Aid {
        let passes = Arc::clone(&self.passes).lock_owned().await;
        Aid::Draft(Box::new(Drafting::new(passes, turn, temperature, seed)))
    }
}

/// Takes the turns of one choice. Everyone takes turns in the order of the models' names, so that nobody waits for one who waits
/// for him.
///
/// # Errors
/// The model's own turn did not come.
///
/// # Cancel safety
/// Dropping the future leaves both queues.
pub(super) async fn seats<E>(
    help: Option<&Help>,
    own: impl AsyncFnOnce() -> Result<Turn, E>,
    deadline: Instant,
) -> Result<Seats, E> {
    let Some(help) = help else { return Ok(Seats { own: own().await?, draft: None }) };
    if help.is_draft_first() {
        let draft = help.draft_turn(deadline).await;
        return Ok(Seats { own: own().await?, draft });
    }
    let own = own().await?;
    Ok(Seats { own, draft: help.draft_turn(deadline).await })
}

impl Seats {
    /// Returns the model's own turn; the draft's is given back.
    pub(super) fn own(self) -> Turn {
        self.own
    }
}

impl Help {
    fn is_draft_first(&self) -> bool {
        self.draft.as_ref().is_some_and(|draft| draft.name < self.own)
    }

    /// Waits for the draft's turn; `None` without a draft, or when it is too busy: the model then decodes alone.
    async fn draft_turn(&self, deadline: Instant) -> Option<Turn> {
        self.draft.as_ref()?.queue.enter(deadline).await.ok()
    }

    /// Starts a choice.
    ///
    /// # Errors
    /// The messages do not fit, or nobody decodes any more.
    pub(super) async fn start(
        &self,
        engine: &Engine,
        call: &ModelCall,
        (making, seed): (Making, (u64, u32)),
        seats: Seats,
    ) -> Result<Running, EngineError> {
        let chat = &call.chat;
        let temperature = chat.sampling.temperature.unwrap_or(1.0);
        let aid = match (&self.draft, seats.draft) {
            (None, _) => Aid::Lookup(call.context.draft.clone()),
            (Some(draft), Some(turn)) => draft.aid(turn, temperature, seed).await,
            (Some(_), None) => Aid::Nothing,
        };
        let window = engine.check_length(&chat.messages)?;
        let longest = making.max_tokens.map_or(window, |tokens| tokens.min(window));
        let room = usize::try_from(longest).unwrap_or(usize::MAX / 4) + SPARE_ROOM;
        let (sender, steps) = mpsc::channel(room);
        let writing = Box::new(Answering::new(Arc::clone(engine.vocabulary()), making, sender));
        let messages = chat.messages.iter().map(template_message).collect();
        let failure = self.speculator.take(messages, (writing, aid), chat.sampling.seed.is_some(), seats.own)?;
        Ok(Running::of_worker(steps, failure, window))
    }
}
