//! Models that decode together: several have a say in every token of one answer.
//!
//! ```text
//! blend     the arithmetic: contrastive, proxy, gated
//! company   who belongs together: their turns, their vocabularies
//! lockstep  one answer: the leader decodes, the others are asked for their logits where they are needed
//! worker    the thread that decodes
//! ```
//!
//! The leader's engine decodes plainly and waits, inside its logits hook, for the others' logits after the same text. Turns are
//! taken in the order of the models' names, so that two answers cannot wait for each other; every wait has an end; whoever leaves
//! ends all of it at the next token. A model that is asked computes one token for nothing, which is what mistral.rs 0.8.1 makes
//! of a pass that ends at once.
//!
//! Grammar, penalties, temperature and stop strings apply to the blended logits, as they do to a single model's; the
//! log-probabilities that callers see are those of the blend. Tools are refused, because each model's template tells of them in
//! its own way.

mod blend;
mod company;
mod lockstep;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

pub(super) use self::company::Joining;
use self::{
    blend::Counts,
    company::{Company, Member},
    worker::Worker,
};
use super::{
    super::Backend,
    Inner, Local, Neighbours,
    answer::{self, Answer},
    helping::Help,
    queue::Caller,
    reply::Head,
    tools::Tooling,
};
use crate::{
    config::TogetherSettings,
    domain::{Availability, BackendError, EngineRoom, ModelCall, ModelName, Priority, Reply},
    error::Code,
    runtime::SharedClock,
};

/// A model that is several local models decoding together.
pub struct Together {
    name: ModelName,
    settings: TogetherSettings,
    clock: SharedClock,
    neighbours: Neighbours,
    worker: Result<Arc<Worker>, String>,
    counts: Arc<Counts>,
    /// The latest members whose vocabularies were held against each other.
    company: Mutex<Option<Arc<Company>>>,
}

impl Together {
    /// Returns the model; its members are other local models among `neighbours`, which load by themselves.
    pub fn start(name: ModelName, settings: TogetherSettings, neighbours: Neighbours, clock: SharedClock) -> Arc<Self> {
        let worker = Worker::start().map(Arc::new).map_err(|error| error.to_string());
        let (counts, company) = (Arc::default(), Mutex::default());
        Arc::new(Self { name, settings, clock, neighbours, worker, counts, company })
    }

    fn local(&self, name: &ModelName) -> Result<Arc<Local>, BackendError> {
        let message = format!("Model {} cannot answer now.", self.name);
        let detail = format!("{} needs {name}, which is not here", self.name);
        self.neighbours.find(name).ok_or_else(|| BackendError::new(Code::UpstreamFailed, message, detail))
    }

    fn locals(&self) -> Result<Vec<Arc<Local>>, BackendError> {
        let (leader, others) = self.settings.members();
        std::iter::once(leader).chain(others).map(|name| self.local(name)).collect()
    }

    /// Returns the members in memory, of one vocabulary, the leader first.
    async fn company(&self, call: &ModelCall) -> Result<(Arc<Inner>, Arc<Company>), BackendError> {
        let (leading, helping) = self.settings.members();
        let local = self.local(leading)?;
        let leader = Member::of(&local.inner, local.inner.awake(call).await?);
        let mut others = Vec::new();
        for name in helping {
            let other = self.local(name)?;
            others.push(Member::of(&other.inner, other.inner.awake(call).await?));
        }
        let mut latest = self.company.lock();
        if let Some(company) = latest.as_ref().filter(|company| company.is_of(&leader, &others)) {
            return Ok((Arc::clone(&local.inner), Arc::clone(company)));
        }
        let company = Arc::new(Company::new(leader, others).map_err(|reason| self.unfit(&reason))?);
        *latest = Some(Arc::clone(&company));
        Ok((Arc::clone(&local.inner), company))
    }

    fn unfit(&self, reason: &str) -> BackendError {
        let message = format!("Model {} cannot answer now.", self.name);
        BackendError::new(Code::UpstreamFailed, message, format!("the members of {} do not fit: {reason}", self.name))
    }

    fn joining(&self, company: Arc<Company>, call: &ModelCall) -> Result<Joining, BackendError> {
        let worker = self.worker.as_ref().map_err(|reason| self.unfit(reason))?;
        let (worker, counts) = (Arc::clone(worker), Arc::clone(&self.counts));
        Ok(Joining { company, settings: self.settings.clone(), worker, counts, limit: call.context.timeouts.idle })
    }

    fn check(&self, call: &ModelCall) -> Result<(), BackendError> {
        let tooling = Tooling::read(&call.chat).map_err(answer::refused)?;
        if tooling.is_none() {
            return Ok(());
        }
        let message = format!("Model {} takes no tools; leave `tools` out or choose another model.", self.name);
        let error = BackendError::new(Code::Unsupported, message, format!("{} decodes together", self.name));
        Err(BackendError { param: Some("tools".to_owned()), ..error })
    }

    fn head(&self, call: &ModelCall) -> Head {
        Head {
            id: format!("chatcmpl-{}", Uuid::now_v7().simple()),
            created: self.clock.now().as_second(),
            model: self.name.to_string(),
            wants_usage: call.chat.wants_usage,
        }
    }
}

#[async_trait]
impl Backend for Together {
    async fn chat(&self, call: ModelCall) -> Result<Reply, BackendError> {
        self.check(&call)?;
        let (leader, company) = self.company(&call).await?;
        leader.check(&call)?;
        let loaded = company.leader().loaded();
        let help = Some(Help::Company(self.joining(company, &call)?));
        let arrived = Instant::now();
        let own = async || leader.turn(&call).await;
        let seats = Help::seats(help.as_ref(), own, (&Caller::of(&call.context), call.context.deadline)).await?;
        call.context.waited.add(arrived.elapsed());
        let (head, is_streaming) = (self.head(&call), call.is_streaming);
        let answer = Box::pin(Answer::begin(loaded, call, leader.shared.clone(), (seats, help), head)).await?;
        if is_streaming {
            return Ok(Reply::Stream(answer.into_stream()));
        }
        Box::pin(answer.into_whole()).await.map(Reply::Whole)
    }

    fn availability(&self) -> Availability {
        let Ok(locals) = self.locals() else {
            return Availability::Failed { reason: "one of its members is not here".to_owned() };
        };
        let states = locals.iter().map(|local| local.availability());
        states.into_iter().find(|state| *state != Availability::Ready).unwrap_or(Availability::Ready)
    }

    fn engine_room(&self) -> Option<EngineRoom> {
        let locals = self.locals().ok()?;
        let rooms: Vec<EngineRoom> = locals.iter().filter_map(|local| local.engine_room()).collect();
        let (decoded, interventions) = self.counts.so_far();
        Some(EngineRoom {
            waiting: rooms.iter().map(|room| room.waiting).max()?,
            running: rooms.iter().map(|room| room.running).max()?,
            expected_wait: rooms.iter().map(|room| room.expected_wait).max()?,
            decoded,
            interventions,
            ..EngineRoom::default()
        })
    }

    fn expected_wait(&self, priority: Priority) -> std::time::Duration {
        let locals = self.locals().unwrap_or_default();
        locals.iter().map(|local| local.expected_wait(priority)).max().unwrap_or_default()
    }
}
