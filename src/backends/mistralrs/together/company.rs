//! Who decodes together.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::Instant};

use super::{
    super::{
        Inner,
        drawing::{Drawing, Making},
        engine::{Engine, EngineError, Running, SPARE_ROOM, template_message},
        helping::Seats,
        loaded::Loaded,
        queue::{Caller, Queue, Turn},
        speculation::Answering,
    },
    blend::{Blend, Counts},
    lockstep::Lockstep,
    worker::{Job, Worker},
};
use crate::{
    config::TogetherSettings,
    domain::{BackendError, ModelCall, ModelName},
    error::Code,
};

/// A model that belongs to a company, in memory.
pub(super) struct Member {
    name: ModelName,
    queue: Arc<Queue>,
    loaded: Arc<Loaded>,
}

/// Models of one vocabulary.
pub(super) struct Company {
    leader: Member,
    others: Vec<Member>,
}

/// How the answers of one call are decoded together.
pub(in super::super) struct Joining {
    pub(super) company: Arc<Company>,
    pub(super) settings: TogetherSettings,
    pub(super) worker: Arc<Worker>,
    pub(super) counts: Arc<Counts>,
    /// How long a model may take for its logits.
    pub(super) limit: Duration,
}

impl Member {
    pub(super) fn of(inner: &Inner, loaded: Arc<Loaded>) -> Self {
        Self { name: inner.name.clone(), queue: Arc::clone(&inner.shared.queue), loaded }
    }

    pub(super) fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.loaded)
    }
}

impl Company {
    /// Holds the vocabularies against each other.
    ///
    /// # Errors
    /// They have different vocabularies, or one cannot be asked for its logits; the text says which.
    pub(super) fn new(leader: Member, others: Vec<Member>) -> Result<Self, String> {
        let company = Self { leader, others };
        for member in company.members() {
            let passes = member.loaded.engine().passes();
            passes.map_err(|reason| format!("{}: {reason}", member.name))?;
        }
        let leader = &company.leader;
        for other in &company.others {
            let agreed = leader.loaded.engine().vocabulary().agrees_with(other.loaded.engine().vocabulary());
            agreed.map_err(|why| format!("{} has another vocabulary than {}: {why}", other.name, leader.name))?;
        }
        Ok(company)
    }

    /// Returns every member, the leader first.
    fn members(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(&self.leader).chain(&self.others)
    }

    /// Returns whether it is of these members, as they are in memory now.
    pub(super) fn is_of(&self, leader: &Member, others: &[Member]) -> bool {
        let is_same = |(own, other): (&Member, &Member)| Arc::ptr_eq(&own.loaded, &other.loaded);
        self.others.len() == others.len() && self.members().zip(std::iter::once(leader).chain(others)).all(is_same)
    }

    pub(super) fn leader(&self) -> &Member {
        &self.leader
    }
}

impl Joining {
    /// Takes a turn of every member, in the order of their names.
    ///
    /// # Errors
    /// One of them is too busy.
    ///
    /// # Cancel safety
    /// Dropping the future leaves all queues.
    pub(in super::super) async fn seats(
        &self,
        own: impl AsyncFnOnce() -> Result<Turn, BackendError>,
        (caller, deadline): (&Caller, Instant),
    ) -> Result<Seats, BackendError> {
        let Company { leader, others } = &*self.company;
        let mut order: Vec<(usize, &Member)> = others.iter().enumerate().collect();
        order.sort_by_key(|(_, member)| &member.name);
        let (before, after): (Vec<_>, Vec<_>) = order.into_iter().partition(|(_, member)| member.name < leader.name);
        let mut turns = Vec::new();
        let take = async |(place, member): (usize, &Member)| {
            let turn = member.queue.enter(caller, deadline).await.map_err(|_| busy(&member.name))?;
            Ok::<_, BackendError>((place, turn))
        };
        for member in before {
            turns.push(take(member).await?);
        }
        let own = own().await?;
        for member in after {
            turns.push(take(member).await?);
        }
        turns.sort_by_key(|(place, _)| *place);
        Ok(Seats { own, others: turns.into_iter().map(|(_, turn)| turn).collect() })
    }

    /// Starts a choice.
    ///
    /// # Errors
    /// The messages do not fit into the context of each, or nobody decodes any more.
    pub(in super::super) fn start(
        &self,
        engine: &Engine,
        call: &ModelCall,
        making: Making,
        seats: Seats,
    ) -> Result<Running, EngineError> {
        let messages = &call.chat.messages;
        let engines = self.company.members().map(|member| member.loaded.engine());
        let windows: Result<Vec<u64>, EngineError> = engines.map(|engine| engine.check_length(messages)).collect();
        let window = windows?.into_iter().min().unwrap_or(0);
        let longest = making.max_tokens.map_or(window, |tokens| tokens.min(window));
        let room = usize::try_from(longest).unwrap_or(usize::MAX / 4) + SPARE_ROOM;
        let (sender, steps) = mpsc::channel(room);
        let making = Making { max_tokens: Some(longest), ..making };
        let writing = Box::new(Answering::new(Arc::clone(engine.vocabulary()), Drawing::new(making, sender)));
        let passes: Result<Vec<_>, _> = self.company.members().map(|member| member.loaded.engine().passes()).collect();
        let passes = passes.map_err(|reason| EngineError::Failed(reason.to_owned()))?;
        let lockstep = Lockstep {
            writing,
            blend: Blend::new(self.settings.clone()),
            counts: Arc::clone(&self.counts),
            limit: self.limit,
        };
        let messages = messages.iter().map(template_message).collect();
        let turns = std::iter::once(seats.own).chain(seats.others).collect();
        let failed = self.worker.take(Job { passes, messages, lockstep, turns })?;
        Ok(Running::of_worker(steps, failed, window))
    }
}

fn busy(name: &ModelName) -> BackendError {
    let message = format!("Model {name} is busy; try again soon.");
    BackendError::new(Code::Overloaded, message, format!("{name}, which decodes together with others, is busy"))
}
