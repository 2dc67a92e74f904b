//! The last stages: what the cache or a model answered becomes what the caller gets.

use serde_json::value::RawValue;

use super::{
    Gateway,
    answer::{Answer, Bill, Passage, Refusal},
    explain::with_verdicts,
    failure::Failure,
    run::Run,
    stream::{self, Passing, Source, View},
};
use crate::{
    cache::CachedAnswer,
    domain::{Outcome, Reply, WholeReply},
    error::Code,
    wire::{chat::ChatCall, chunk::UsageView, completion::with_extension, raw::RawError, replay::ReplayError},
};

/// An answer before the caller's view of it.
pub(super) enum Body {
    /// All of it.
    Whole(WholeReply),
    /// As it comes.
    Events(Source),
}

/// What is done with an answer besides passing it on.
#[derive(Default)]
pub(super) struct Extras {
    /// What goes into its `pointsman` field.
    pub(super) explanation: Option<Box<RawValue>>,
}

impl Gateway {
    /// Hands an answer to the caller; a stream takes the run with it.
    pub(super) fn pass(&self, run: Run, body: Body, extras: Extras, wants_usage: bool) -> Result<Answer, Refusal> {
        match body {
            Body::Whole(whole) => pass_whole(run, whole, extras),
            Body::Events(source) => Ok(self.pass_events(run, source, extras, wants_usage)),
        }
    }

    fn pass_events(&self, mut run: Run, source: Source, extras: Extras, wants_usage: bool) -> Answer {
        let passage = run.head();
        let bill = Bill::default();
        let view = View { usage: UsageView::new(wants_usage), explanation: extras.explanation };
        let passing = Passing::new(source, run, view, (bill.clone(), self.parts.stop.clone()));
        Answer { reply: Reply::Stream(Box::pin(passing)), passage, bill }
    }
}

fn pass_whole(mut run: Run, whole: WholeReply, extras: Extras) -> Result<Answer, Refusal> {
    let explanation = extras.explanation.map(|explanation| with_verdicts(explanation, &run.journal().verdicts()));
    let shown = match &explanation {
        Some(explanation) => with_extension(&whole.body, explanation.get()),
        None => Ok(whole.body.clone()),
    };
    let body = match shown {
        Ok(body) => body,
        Err(error) => return Err(run.refuse(unreadable(&error))),
    };
    run.first_token();
    let cost = run.cost();
    let passage = Passage { cost: Some(cost), ..run.head() };
    let bill = Bill::default();
    bill.set(cost);
    run.end(Outcome::Success);
    Ok(Answer { reply: Reply::Whole(WholeReply { body, ..whole }), passage, bill })
}

/// Turns a stored answer into what this caller asked for: whole, or a stream as a model would have sent it.
pub(super) fn replayed(hit: &CachedAnswer, call: &ChatCall) -> Result<Body, Failure> {
    if call.is_streaming {
        return Ok(Body::Events(Source::Open(stream::replayed(&hit.reply)?)));
    }
    Ok(Body::Whole(hit.reply.clone()))
}

/// Returns the failure of a stream whose chunks make no whole answer.
pub(super) fn uncollected(error: &ReplayError) -> Failure {
    tracing::error!(error = %error, "a stream could not be told as a whole answer");
    Failure::new(Code::UpstreamMalformed, "The model sent something that is not a completion.").after_trying()
}

fn unreadable(error: &RawError) -> Failure {
    tracing::error!(error = %error, "an answer could not be read");
    let message = "The model sent something that is not a completion.";
    Failure::new(Code::UpstreamMalformed, message).after_trying()
}
