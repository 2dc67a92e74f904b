//! What one request gathers on its way: its record, its permit, and what its response's head will say.

use std::{sync::Arc, time::Duration};

use tracing::Span;

use super::{
    answer::{Passage, Refusal, RequestContext},
    failure::Failure,
    names::Target,
};
use crate::{
    accounting::{Bookkeeping, Opening, RecordGuard},
    admission::{Permit, RateStatus},
    domain::{
        Ask, AttemptJournal, CacheOutcome, Decision, DecisionId, Endpoint, ModelName, NanoUsd, Outcome,
        ScoresUnavailable, StageTimes, Usage,
    },
};

/// One request under way. Dropping it books the request as abandoned by its client.
pub(super) struct Run {
    context: RequestContext,
    passage: Passage,
    permit: Option<Permit>,
    guard: RecordGuard,
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
        Self { context, passage, permit: None, guard }
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
        self.guard.close(failure.outcome());
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

    /// Returns what the attempts so far used.
    pub(super) fn usage(&self) -> Usage {
        self.guard.totals().0
    }

    /// Returns the model whose answer the caller gets, once it is known.
    pub(super) fn model(&self) -> Option<&ModelName> {
        self.passage.model.as_ref()
    }

    /// Ends the request.
    pub(super) fn end(self, outcome: Outcome) {
        self.guard.close(outcome);
    }
}
