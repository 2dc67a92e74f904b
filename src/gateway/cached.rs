//! The cache stage: may this request be answered by what was answered before, and was it?

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    Gateway, RequestContext,
    explain::as_field,
    failure::Failure,
    flight::{Lead, Reader, Seat},
    keep::Slot,
    names::Target,
    passing::{self, Body, Extras},
    run::Run,
};
use crate::{
    cache::{CacheKey, CachedAnswer, Permission, Provenance, Scope},
    domain::{CacheOutcome, CacheRule, Endpoint},
    error::Code,
    wire::chat::ChatCall,
};

/// What came of the lookup.
pub(super) enum LookUp {
    /// Answered before.
    Hit(Arc<CachedAnswer>),
    /// Being answered now, for another request.
    Join(Reader),
    /// Not answered before; whoever asks has a duty, if the answer may be kept.
    Miss(Option<Box<Duty>>),
}

/// To launch the call that others may join, and to keep its answer.
pub(super) struct Duty {
    pub(super) lead: Lead,
    pub(super) slot: Slot,
    /// Whether something else may answer in place of the call.
    pub(super) may_look_up: bool,
}

impl Gateway {
    /// Looks the request up, as far as the policy's rule and the request's own wishes allow.
    pub(super) async fn look_up(&self, run: &mut Run, target: &Target, call: &Arc<ChatCall>) -> LookUp {
        let rule = target.cache_rule();
        let control = run.context().preferences.cache;
        let leave = Permission::of(call, &rule, &control);
        if !leave.may_look_up && !leave.may_store {
            return LookUp::Miss(None);
        }
        let started = Instant::now();
        let scope = self.scope(run.context(), target);
        let Some(key) = CacheKey::of(&scope, &call.body) else { return LookUp::Miss(None) };
        let (found, outcome) = self.find(key, leave, &rule).await;
        if leave.may_look_up {
            run.note_cache(outcome, started.elapsed());
        }
        match found {
            Found::Answer(hit) => {
                if outcome == CacheOutcome::Stale {
                    self.renew(run, key, call);
                }
                run.note_saved(hit.cost);
                run.note_model(&hit.model);
                LookUp::Hit(hit)
            }
            Found::Flight(reader) => LookUp::Join(reader),
            Found::Nothing(lead) => {
                let may_look_up = leave.may_look_up;
                let slot = |lead| Duty { lead, slot: self.slot((run, target), key, &rule, call), may_look_up };
                LookUp::Miss(lead.map(|lead| Box::new(slot(lead))))
            }
        }
    }

    fn outcome(&self, hit: &CachedAnswer, rule: &CacheRule) -> CacheOutcome {
        let age = self.parts.books.clock.now().duration_since(hit.provenance.stored);
        let is_stale = !rule.stale.is_zero() && age.unsigned_abs() >= rule.ttl;
        if is_stale { CacheOutcome::Stale } else { CacheOutcome::Hit }
    }

    async fn find(&self, key: CacheKey, leave: Permission, rule: &CacheRule) -> (Found, CacheOutcome) {
        let entry_bytes = self.parts.settings.cache_entry_bytes;
        if leave.may_look_up
            && let Some(hit) = self.parts.cache.get(&key).await
        {
            let outcome = self.outcome(&hit, rule);
            return (Found::Answer(hit), outcome);
        }
        if !leave.may_store {
            return (Found::Nothing(None), CacheOutcome::Miss);
        }
        if !leave.may_look_up || !rule.joins {
            return (Found::Nothing(Some(Lead::alone(entry_bytes))), CacheOutcome::Miss);
        }
        loop {
            match self.flights.board(key, entry_bytes) {
                Seat::Follower(reader) if reader.is_launched().await => {
                    return (Found::Flight(reader), CacheOutcome::Joined);
                }
                // Its leader left before anything was asked.
                Seat::Follower(_) => {}
                Seat::Leader(lead) => {
                    // A flight may have ended since the first look.
                    return match self.parts.cache.get(&key).await {
                        Some(hit) => {
                            let outcome = self.outcome(&hit, rule);
                            (Found::Answer(hit), outcome)
                        }
                        None => (Found::Nothing(Some(lead)), CacheOutcome::Miss),
                    };
                }
            }
        }
    }

    /// Passes on what is being answered for another request; `None` when that one's time was over before this one's, and nothing
    /// has been passed on yet.
    pub(super) async fn answer_along(
        &self,
        run: &mut Run,
        target: &Target,
        reader: Reader,
        call: &ChatCall,
    ) -> Result<Option<(Body, Extras)>, Failure> {
        let deadline = self.deadline(run, target);
        let body = match tokio::time::timeout_at(deadline, self.read(run, reader, call)).await {
            Ok(Err(failure)) if failure.code == Code::DeadlineExceeded && Instant::now() < deadline => return Ok(None),
            Ok(body) => body?,
            Err(_elapsed) => {
                let message = "The answer that this request shares with others did not come in time.";
                return Err(Failure::new(Code::DeadlineExceeded, message).after_trying());
            }
        };
        Ok(Some((body, self.explained_again(run, target, call).await?)))
    }

    /// Gives a stored answer again. Nothing was decided for it now, so its explanation says what would be: policy, version and
    /// preferences are part of the key, and the answer was chosen by the same.
    pub(super) async fn answer_again(
        &self,
        run: &Run,
        target: &Target,
        hit: &CachedAnswer,
        call: &ChatCall,
    ) -> Result<(Body, Extras), Failure> {
        let body = passing::replayed(hit, call)?;
        Ok((body, self.explained_again(run, target, call).await?))
    }

    async fn explained_again(&self, run: &Run, target: &Target, call: &ChatCall) -> Result<Extras, Failure> {
        if !run.wants_explanation() {
            return Ok(Extras::default());
        }
        let explanation = self.explain_target(target, call, run.context()).await;
        Ok(Extras { explanation: Some(as_field(&explanation)?) })
    }

    /// Returns what an answer depends on besides the request's body.
    pub(super) fn scope<'a>(&self, context: &'a RequestContext, target: &'a Target) -> Scope<'a> {
        Scope {
            endpoint: Endpoint::Chat,
            tenant: &context.principal.tenant,
            target: self.parts.settings.origins.of(target),
            preferences: &context.preferences,
        }
    }

    fn slot(&self, (run, target): (&Run, &Target), key: CacheKey, rule: &CacheRule, call: &Arc<ChatCall>) -> Slot {
        let clock = &self.parts.books.clock;
        let context = run.context();
        let provenance = Provenance {
            key,
            tenant: context.principal.tenant.clone(),
            policy: target.policy_name().cloned(),
            tags: context.preferences.cache_tags.iter().cloned().collect(),
            stored: clock.now(),
        };
        Slot {
            chat: Arc::clone(call),
            cache: Arc::clone(&self.parts.cache),
            provenance,
            clock: Arc::clone(clock),
            ttl: rule.ttl,
            stale: rule.stale,
            is_kept: true,
            entry_bytes: self.parts.settings.cache_entry_bytes,
            tasks: self.parts.tasks.clone(),
            journal: run.journal(),
            lesson: None,
        }
    }
}

enum Found {
    Answer(Arc<CachedAnswer>),
    Flight(Reader),
    Nothing(Option<Lead>),
}
