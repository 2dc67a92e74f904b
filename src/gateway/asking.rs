//! The stage that asks models: from a plan to an answer that has begun.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    Gateway,
    cached::Duty,
    failure::Failure,
    flight::Reader,
    keep::Keep,
    names::Target,
    near::Aid,
    passing::Body,
    run::Run,
    stream::{self, Opening, Source},
};
use crate::{
    domain::{Ask, NanoUsd, Plan, Priority, Reply},
    error::Code,
    execute::{Job, Opened, Operation},
    wire::chat::ChatCall,
};

/// What is to be asked.
pub(super) struct Order<'a> {
    pub(super) plan: Plan,
    /// What the plan was made from.
    pub(super) ask: &'a Ask,
    /// What is owed to others who ask the same, now or later.
    pub(super) duty: Option<Box<Duty>>,
    /// What may help the model.
    pub(super) aid: Option<Aid>,
}

impl Gateway {
    /// Runs a plan until its answer is whole, or its first event has come, or the head of the response must wait no longer.
    pub(super) async fn execute(
        &self,
        run: &mut Run,
        target: &Target,
        mut order: Order<'_>,
        call: &Arc<ChatCall>,
    ) -> Result<Body, Failure> {
        let mut job = self.job(run, target, order.ask, call);
        self.help(run, &mut order, &mut job, call);
        let Order { plan, duty, .. } = order;
        let mut opening = self.parts.executor.run(plan, job);
        if let Some(duty) = duty {
            return self.lead(run, duty, opening, call).await;
        }
        if !call.is_streaming {
            return whole(run, opening.await?);
        }
        match tokio::time::timeout(self.parts.settings.head_wait, &mut opening).await {
            Ok(opened) => {
                let opened = opened?;
                run.note_model(&opened.model);
                Ok(Body::Events(Source::Open(stream::events(opened.reply)?)))
            }
            Err(_elapsed) => Ok(Body::Events(Source::Opening(opening))),
        }
    }

    /// Launches a call whose answer is kept, and which others may join.
    async fn lead(&self, run: &mut Run, duty: Box<Duty>, opening: Opening, call: &ChatCall) -> Result<Body, Failure> {
        let Duty { lead, slot, may_look_up: _ } = *duty;
        let (reader, flight) = lead.launch(opening, Keep::new(slot), call.is_streaming);
        run.note_flight(flight);
        let Some(reader) = reader else { return Err(streamed_unasked()) };
        self.read(run, reader, call).await
    }

    /// Reads a shared call as this caller asked for it.
    pub(super) async fn read(&self, run: &mut Run, mut reader: Reader, call: &ChatCall) -> Result<Body, Failure> {
        if call.is_streaming {
            let opened = tokio::time::timeout(self.parts.settings.head_wait, reader.opened()).await;
            opened.unwrap_or(Ok(()))?;
            run.note_reader(&reader);
            return Ok(Body::Events(Source::Shared(reader)));
        }
        let whole = reader.whole().await?;
        run.note_reader(&reader);
        run.note_share(&reader);
        Ok(Body::Whole(whole))
    }

    /// Returns when a request must be over.
    pub(super) fn deadline(&self, run: &Run, target: &Target) -> Instant {
        let timeout = target.limits().total_timeout.unwrap_or(self.parts.settings.request_timeout);
        run.context().arrived + timeout
    }

    fn job(&self, run: &Run, target: &Target, ask: &Ask, call: &Arc<ChatCall>) -> Job {
        let context = run.context();
        let limits = target.limits();
        Job {
            operation: Operation::Chat { chat: Arc::clone(call), is_streaming: call.is_streaming },
            request: context.request,
            tenant: context.principal.tenant.clone(),
            key: context.principal.key.clone(),
            arrived: context.arrived,
            deadline: self.deadline(run, target),
            journal: run.journal(),
            max_cost: smaller(context.preferences.max_cost, limits.max_cost),
            upper_costs: ask.candidates.iter().map(|c| (c.model.name.clone(), c.estimate.cost_upper)).collect(),
            input_tokens: ask.request.input_tokens,
            seed: run.seed(),
            timeouts: target.timeouts(),
            priority: Priority::Foreground,
            draft: None,
            drafter: None,
        }
    }
}

fn whole(run: &mut Run, opened: Opened) -> Result<Body, Failure> {
    run.note_model(&opened.model);
    match opened.reply {
        Reply::Whole(whole) => Ok(Body::Whole(whole)),
        Reply::Stream(_) => Err(streamed_unasked()),
    }
}

/// Returns the failure of a model that streams unasked.
pub(super) fn streamed_unasked() -> Failure {
    Failure::new(Code::Internal, "The model streamed where a whole answer was asked for.")
}

fn smaller(one: Option<NanoUsd>, other: Option<NanoUsd>) -> Option<NanoUsd> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
