//! How a local model comes to speculate: its draft, and the turns of both.

use std::{sync::Arc, thread};

use tokio::{
    sync::mpsc,
    time::{Duration, Instant},
};

use super::{
    Inner, Local,
    drawing::{Drawing, Making},
    engine::{Engine, EngineError, Running, SPARE_ROOM, template_message},
    helping::Seats,
    loaded::Loaded,
    queue::{Caller, Queue, Turn},
    speculation::{Aid, Answering, Drafting, Speculator, off},
};
use crate::{
    config::{Draft, SpeculateSettings},
    domain::{ModelCall, ModelName, Speculation},
};

/// How long a model that is ready itself waits for its draft at load.
const DRAFT_LIMIT: Duration = Duration::from_secs(600);

/// What proposes tokens for the answers of one call.
pub(super) struct Proposing {
    own: ModelName,
    speculator: Arc<Speculator>,
    draft: Option<DraftSide>,
}

/// A draft model that is loaded.
struct DraftSide {
    name: ModelName,
    queue: Arc<Queue>,
    loaded: Arc<Loaded>,
}

impl Inner {
    /// Starts speculation, on the thread that loads the model.
    pub(super) fn start_speculating(&self, loaded: &Loaded) {
        let Some(settings) = &self.settings.speculate else { return };
        if let Err(reason) = self.try_speculating(settings, loaded) {
            tracing::warn!(model = %self.name, reason, "the local model does not speculate");
            drop(loaded.no_speculation.set(reason));
        }
    }

    fn try_speculating(&self, settings: &SpeculateSettings, loaded: &Loaded) -> Result<(), String> {
        let engine = loaded.engine();
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
        drop(loaded.speculator.set(Arc::new(speculator)));
        Ok(())
    }

    /// Returns what the measurement at load is made with.
    async fn trial(&self, settings: &SpeculateSettings, engine: &Engine) -> Result<Aid, String> {
        let Draft::Model(name) = &settings.draft else { return Ok(Aid::Lookup(None)) };
        let side = self.draft(name, engine).await?;
        let turn = side.queue.enter(&Caller::own(), Instant::now() + DRAFT_LIMIT).await;
        let turn = turn.map_err(|_| format!("its draft {name} is too busy"))?;
        Ok(side.aid(turn, 0.0, (0, 0)).await)
    }

    /// Returns a draft model, loaded and of the same vocabulary.
    async fn draft(&self, name: &ModelName, engine: &Engine) -> Result<DraftSide, String> {
        let neighbours = self.neighbours.wait();
        let local = neighbours.await_model(name).await.ok_or_else(|| format!("its draft {name} is not there"))?;
        local.inner.start_loading();
        local.settled().await;
        let side = DraftSide::of(&local).ok_or_else(|| format!("its draft {name} is not loaded, or cannot be one"))?;
        let agreed = engine.vocabulary().agrees_with(side.loaded.engine().vocabulary());
        agreed.map_err(|why| format!("its draft {name} has another vocabulary: {why}"))?;
        Ok(side)
    }

    /// Returns what helps a call; `None` decodes plainly.
    pub(super) fn proposing(self: &Arc<Self>, loaded: &Arc<Loaded>, call: &ModelCall) -> Option<Proposing> {
        if !loaded.is_single() {
            return None;
        }
        let configured = self.settings.speculate.as_ref().map(|settings| &settings.draft);
        let named = call.context.drafter.clone().map(Draft::Model);
        let draft = named.as_ref().or(configured)?;
        let speculator = match draft {
            Draft::Model(name) if configured != Some(draft) => self.pair(loaded, name)?,
            Draft::Model(_) | Draft::Lookup => Arc::clone(loaded.speculator.get()?),
        };
        let side = match draft {
            Draft::Lookup => None,
            Draft::Model(name) => Some(DraftSide::of(&*self.neighbours.get()?.find(name)?)?),
        };
        speculator.is_on().then(|| Proposing { own: self.name.clone(), speculator, draft: side })
    }

    /// Returns the speculation with a draft that a policy names; one that is new is measured first, beside everything else.
    fn pair(self: &Arc<Self>, loaded: &Loaded, name: &ModelName) -> Option<Arc<Speculator>> {
        let mut pairs = loaded.pairs.lock();
        if let Some(pair) = pairs.get(name) {
            return Some(Arc::clone(pair));
        }
        let engine = Arc::clone(loaded.engine());
        let draft = Draft::Model(name.clone());
        let settings = self.settings.speculate.clone().unwrap_or_default();
        let pair = Arc::new(Speculator::start(engine.passes().ok()?, SpeculateSettings { draft, ..settings }).ok()?);
        let (inner, measured) = (Arc::clone(self), Arc::clone(&pair));
        let (named, name) = (name.clone(), name.clone());
        let measure = move || inner.measure(&name, &measured, &engine);
        thread::Builder::new().name("speculation-measure".to_owned()).spawn(measure).ok()?;
        pairs.insert(named, Arc::clone(&pair));
        Some(pair)
    }

    /// Decides on a pair, on a thread of its own.
    fn measure(&self, name: &ModelName, pair: &Speculator, engine: &Engine) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let measured = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
            runtime.block_on(async {
                let side = self.draft(name, engine).await?;
                let deadline = Instant::now() + DRAFT_LIMIT;
                let caller = Caller::own();
                let own =
                    async || self.shared.queue.enter(&caller, deadline).await.map_err(|_| "it is too busy".to_owned());
                let seats = seats((&self.name, Some(&side)), own, (&caller, deadline)).await?;
                let turn = seats.others.into_iter().next().ok_or_else(|| format!("its draft {name} is too busy"))?;
                pair.decide(side.aid(turn, 0.0, (0, 0)).await).await;
                Ok(())
            })
        });
        match measured {
            Ok(()) => tracing::info!(model = %self.name, draft = %name, "{}", pair.status().words()),
            Err(reason) => {
                tracing::warn!(model = %self.name, draft = %name, reason, "the pair does not speculate");
                pair.refuse(reason);
            }
        }
    }

    /// Returns what speculation is and does: the configured one, or the first that a policy asked for. `None` where there is none.
    pub(super) fn speculation(&self) -> Option<Speculation> {
        let Some(settings) = &self.settings.speculate else {
            return self.loaded()?.pairs.lock().values().next().map(|pair| pair.status());
        };
        let Some(loaded) = self.loaded() else { return Some(off(settings, "the model is not loaded")) };
        Some(match (loaded.speculator.get(), loaded.no_speculation.get()) {
            (Some(speculator), _) => speculator.status(),
            (None, Some(reason)) => off(settings, reason),
            (None, None) => off(settings, "the model is not loaded"),
        })
    }
}

impl DraftSide {
    fn of(local: &Local) -> Option<Self> {
        let loaded = local.inner.loaded()?;
        loaded.engine().passes().ok()?;
        Some(Self { name: local.inner.name.clone(), queue: Arc::clone(&local.inner.shared.queue), loaded })
    }

    /// Returns the drafts of one choice by the engine that the turn is for.
    async fn aid(&self, turn: Turn, temperature: f64, seed: (u64, u32)) -> Aid {
        match self.loaded.engine_at(turn.seat()).passes() {
            Ok(passes) => Aid::Draft(Box::new(Drafting::new(passes.lock_owned().await, turn, temperature, seed))),
            Err(_) => Aid::Nothing,
        }
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
async fn seats<E>(
    (name, draft): (&ModelName, Option<&DraftSide>),
    own: impl AsyncFnOnce() -> Result<Turn, E>,
    (caller, deadline): (&Caller, Instant),
) -> Result<Seats, E> {
    let Some(draft) = draft else { return Ok(Seats::alone(own().await?)) };
    // A draft that is too busy is done without.
    let drafts = async || draft.queue.enter(caller, deadline).await.ok();
    if draft.name < *name {
        let others = drafts().await.into_iter().collect();
        return Ok(Seats { own: own().await?, others });
    }
    let own = own().await?;
    Ok(Seats { own, others: drafts().await.into_iter().collect() })
}

impl Proposing {
    /// Takes the turns of one choice; `own` takes the model's.
    ///
    /// # Errors
    /// The model's own turn did not come.
    ///
    /// # Cancel safety
    /// Dropping the future leaves both queues.
    pub(super) async fn seats<E>(
        &self,
        own: impl AsyncFnOnce() -> Result<Turn, E>,
        caller: (&Caller, Instant),
    ) -> Result<Seats, E> {
        seats((&self.own, self.draft.as_ref()), own, caller).await
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
        let aid = match (&self.draft, seats.others.into_iter().next()) {
            (None, _) => Aid::Lookup(call.context.draft.clone()),
            (Some(draft), Some(turn)) => draft.aid(turn, temperature, seed).await,
            (Some(_), None) => Aid::Nothing,
        };
        let window = engine.check_length(&chat.messages)?;
        let longest = making.max_tokens.map_or(window, |tokens| tokens.min(window));
        let room = usize::try_from(longest).unwrap_or(usize::MAX / 4) + SPARE_ROOM;
        let (sender, steps) = mpsc::channel(room);
        let writing = Box::new(Answering::new(Arc::clone(engine.vocabulary()), Drawing::new(making, sender)));
        let messages = chat.messages.iter().map(template_message).collect();
        let failure = self.speculator.take(messages, (writing, aid), chat.sampling.seed.is_some(), seats.own)?;
        Ok(Running::of_worker(steps, failure, window))
    }
}
