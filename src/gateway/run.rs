//! What one request gathers on its way: its record, its permit, and what its response's head will say.

use std::{sync::Arc, time::Duration};

use tracing::Span;

use super::{
    answer::{Passage, Refusal, RequestContext},
    failure::Failure,
    flight::{Flight, Reader},
    names::Target,
};
use crate::{
    accounting::{Bookkeeping, Opening, RecordGuard},
    admission::{Permit, RateStatus},
    domain::{
        Ask, AttemptJournal, CacheOutcome, Decision, DecisionId, Endpoint, ModelName, NanoUsd, Outcome,
        ScoresUnavailable, StageTimes,
    },
};

/// One request under way. Dropping it books the request as abandoned by its client.
pub(super) struct Run {
    context: RequestContext,
    passage: Passage,
    permit: Option<Permit>,
    guard: RecordGuard,
    /// The flight that it leads, whose attempts are booked here.
    flight: Option<Arc<Flight>>,
}

/// The record and the permit of a leader that is done before its call is.
pub(super) struct Orphan {
    guard: RecordGuard,
    /// Held until the call has ended, because the call still counts.
    _permit: Option<Permit>,
    outcome: Outcome,
}

impl Orphan {
    /// Writes the record.
    pub(super) fn close(self) {
        self.guard.close(self.outcome);
    }
}

impl Run {
    /// Opens the record.
    pub(super) fn open(
        books: &Arc<Bookkeeping>,
        endpoint: Endpoint,
        (requested_model, is_streaming): (&str, bool),
        context: RequestContext,
    ) -> Self {
        let decision = DecisionId::fresh();
        let opening = Opening {
            request: context.request,
            decision,
            arrived: context.arrived,
            principal: context.principal.clone(),
            endpoint,
            requested_model: requested_model.to_owned(),
            is_streaming,
        };
        let mut guard = RecordGuard::open(Arc::clone(books), opening);
        let times = StageTimes { auth: Some(context.auth), parse: Some(context.parse), ..StageTimes::default() };
        *guard.times() = times;
        let passage = Passage { times, ..Passage::of(context.request, decision) };
        Self { context, passage, permit: None, guard, flight: None }
    }

    /// Returns the request's span.
    pub(super) fn span(&self) -> Span {
        self.guard.span().clone()
    }

    pub(super) fn context(&self) -> &RequestContext {
        &self.context
    }

    /// Returns the decision that is made for it.
    pub(super) fn decision(&self) -> DecisionId {
        self.passage.decision
    }

    /// Returns the source of all chance for this request.
    pub(super) fn seed(&self) -> u64 {
        self.passage.decision.seed()
    }

    pub(super) fn wants_explanation(&self) -> bool {
        self.context.preferences.explain
    }

    pub(super) fn journal(&self) -> AttemptJournal {
        self.guard.journal()
    }

    pub(super) fn note_target(&mut self, target: &Target) {
        let Target::Policy(policy) = target else { return };
        self.guard.policy(policy.name.clone(), policy.version);
        self.passage.policy = Some(policy.name.clone());
        self.passage.policy_version = policy.version;
    }

    /// Keeps the permit, which from now on follows what the attempts use up.
    pub(super) fn note_permit(&mut self, mut permit: Permit) {
        permit.follow(self.guard.journal());
        self.note_rates(permit.rates());
        self.permit = Some(permit);
    }

    /// Notes the key's rates, which a caller who was refused wants to know most.
    pub(super) fn note_rates(&mut self, rates: RateStatus) {
        self.passage.rates = Some(rates);
    }

    /// Reserves what the decision may cost.
    pub(super) fn reserve(&mut self, cost: NanoUsd) -> Result<(), Failure> {
        let Some(permit) = &mut self.permit else { return Ok(()) };
        Ok(permit.reserve(cost)?)
    }

    pub(super) fn note_cache(&mut self, outcome: CacheOutcome, took: Duration) {
        self.guard.cache(outcome);
        self.guard.times().cache = Some(took);
        self.passage.cache = outcome;
    }

    /// Replaces what came of the lookup by what came of it in the end.
    pub(super) fn note_outcome(&mut self, outcome: CacheOutcome) {
        self.guard.cache(outcome);
        self.passage.cache = outcome;
    }

    pub(super) fn note_saved(&mut self, saved: NanoUsd) {
        self.guard.saved(saved);
    }

    pub(super) fn note_score(&mut self, took: Duration, unscored: Option<ScoresUnavailable>) {
        self.guard.times().score = Some(took);
        if let Some(why) = unscored {
            self.guard.unscored(why);
        }
    }

    pub(super) fn note_decision(&mut self, ask: Ask, decision: &Decision, took: Duration) {
        self.guard.decided(decision, Some(ask));
        self.guard.times().decide = Some(took);
        self.passage.plan = Some(decision.plan.kind());
    }

    pub(super) fn note_model(&mut self, model: &ModelName) {
        self.guard.answered_by(model.clone());
        self.passage.model = Some(model.clone());
    }

    /// Ends a request that gets no answer.
    pub(super) fn refuse(mut self, failure: Failure) -> Refusal {
        let passage = Passage { cost: Some(self.cost()), ..self.head() };
        self.settle(failure.outcome());
        Refusal {
            code: failure.code,
            message: failure.message,
            param: failure.param,
            retry_after: failure.retry_after,
            passage: Some(Box::new(passage)),
        }
    }

    /// Returns what the head of the response says by now.
    pub(super) fn head(&mut self) -> Passage {
        Passage { times: *self.guard.times(), ..self.passage.clone() }
    }

    /// Notes that the first token is on its way.
    pub(super) fn first_token(&mut self) {
        self.guard.first_token();
    }

    /// Returns what the attempts so far cost.
    pub(super) fn cost(&self) -> NanoUsd {
        self.guard.totals().1
    }

    /// Ends the request.
    pub(super) fn end(mut self, outcome: Outcome) {
        self.settle(outcome);
    }

    /// Notes the flight that it leads.
    pub(super) fn note_flight(&mut self, flight: Arc<Flight>) {
        self.flight = Some(flight);
    }

    /// Notes which model answers, once a shared call knows.
    pub(super) fn note_reader(&mut self, reader: &Reader) {
        if self.passage.model.is_none()
            && let Some(model) = reader.model()
        {
            self.note_model(&model);
        }
    }

    /// Notes what sharing another request's call has saved.
    pub(super) fn note_share(&mut self, reader: &Reader) {
        if reader.is_follower() {
            self.note_saved(reader.cost());
        }
    }

    fn settle(&mut self, outcome: Outcome) {
        match self.flight.take().filter(|flight| flight.is_running()) {
            Some(flight) => {
                flight.adopt(Orphan { guard: self.guard.handed_over(), _permit: self.permit.take(), outcome });
            }
            None => self.guard.finish(outcome),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.flight.is_some() {
            let outcome = self.guard.outcome_of_drop();
            self.settle(outcome);
        }
    }
}
