//! The interpreter of a [`Plan`]: what was decided is done here.
//!
//! ```text
//! execute    Executor::run(plan, job)     one arm per kind of plan
//! cascade    rungs in order               an answer is held back until it has passed its tests
//! routed     one answer at a time         stop or ask another, by what is believed of each
//! ensemble   several answers at once      a vote, or a judge; the rest is cancelled once it is decided
//! hedged     a second leg when the first is slow; whoever begins first answers
//! topology   tasks that build on others   the last one's answer is passed on
//! gather     an answer under watch        given up while it is written, when its tokens are doubtful
//! deferral   the tests                    pure
//! legs       what such plans share        asking a leg, holding its answer back, verdicts
//! agreement  further samples              legs of their own
//! judge      a model that grades          a leg of its own
//! single     legs in order                deadline, money left, breaker; then the next leg
//! retry      one leg                      again only where it is safe, with a pause, inside a budget
//! attempt    one call of one backend      books itself exactly once, however it ends
//! opening    the head of a stream         nothing is given out before the first token
//! ```
//!
//! # Invariants
//!
//! - Until the first token everything can still be retried or fall back; after it nothing is spliced: a later error is the
//!   stream's last item.
//! - Every attempt that reached a backend is in the journal exactly once: when it ends, fails, or is dropped.
//! - No leg starts that could cost more than is left, and what running legs may cost is not left.
//! - Dropping the future of [`Executor::run`], or the stream it returned, cancels what runs upstream.
//! - An error that is the request's own fault ends the plan at once; no other model is bothered with it.
//! - An open breaker moves a leg behind the others, it never leaves a request without an attempt.
//!
//! To add a kind of plan: a variant of [`Plan`], a file here, an arm in [`Executor::run`].

mod agree;
mod agreement;
mod answer;
mod attempt;
mod breaker;
mod cascade;
mod deadlines;
mod deferral;
mod ensemble;
mod error;
mod gather;
mod hedge_budget;
mod hedged;
mod job;
mod judge;
mod latency;
mod legs;
mod model;
mod models;
mod opening;
mod retry;
mod routed;
mod single;
#[cfg(test)]
mod tests;
mod topology;

use std::sync::Arc;

use futures_util::future::BoxFuture;

pub use breaker::BreakerState;
pub use error::ExecuteError;
pub use job::{Job, Operation};
pub use model::{Model, ModelParts};
pub use models::Models;

use single::Course;

use crate::{
    config::settings::ResilienceSettings,
    domain::{ModelName, Plan, Reply},
};

/// An answer that has begun: a whole one, or a stream whose first token is there.
#[derive(Debug)]
pub struct Opened {
    /// The model that answers.
    pub model: ModelName,
    /// The position of its leg in the plan, from 0.
    pub leg: u32,
    /// How many attempts it took, this one included.
    pub attempts: u32,
    /// The answer.
    pub reply: Reply,
}

/// Runs plans.
pub struct Executor {
    models: Arc<Models>,
    settings: ResilienceSettings,
}

impl Executor {
    /// Returns an executor over these models.
    pub fn new(models: Arc<Models>, settings: ResilienceSettings) -> Self {
        Self { models, settings }
    }

    /// Runs a plan until an answer begins.
    ///
    /// # Errors
    /// No leg of the plan answered; the error says why and whether asking again can help.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the running attempt upstream and books it as cancelled.
    pub fn run(self: &Arc<Self>, plan: Plan, job: Job) -> BoxFuture<'static, Result<Opened, ExecuteError>> {
        let executor = Arc::clone(self);
        match plan {
            Plan::Single { leg, fallbacks } => Box::pin(single::run(executor, Course::of(leg, fallbacks), job)),
            Plan::Speculative { leg, draft, fallbacks } => {
                let job = Job { drafter: Some(draft), ..job };
                Box::pin(single::run(executor, Course::of(leg, fallbacks), job))
            }
            Plan::Topology(plan) => Box::pin(topology::run(executor, plan, job)),
            Plan::Hedged(plan) => Box::pin(hedged::run(executor, plan, job)),
            Plan::Ensemble(plan) => Box::pin(ensemble::run(executor, plan, job)),
            Plan::CascadeRouting(plan) => Box::pin(routed::run(executor, plan, job)),
            Plan::Agree(plan) => Box::pin(agree::run(executor, plan, job)),
            Plan::Cascade(cascade) => Box::pin(cascade::run(executor, cascade, job)),
        }
    }
}
