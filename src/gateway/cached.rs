//! The cache stage: may this request be answered by what was answered before, and was it?

use std::{sync::Arc, time::Duration};

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
    cache::{self, CacheKey, CachedAnswer, Permission, Scope},
    domain::{CacheOutcome, CacheRule, Endpoint},
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
        let Some(key) = key(run, target, call) else { return LookUp::Miss(None) };
        let (found, outcome) = self.find(key, leave, &rule).await;
        if leave.may_look_up {
            run.note_cache(outcome, started.elapsed());
        }
        match found {
            Found::Answer(hit) => {
                run.note_saved(hit.cost);
                run.note_model(&hit.model);
                LookUp::Hit(hit)
            }
            Found::Flight(reader) => LookUp::Join(reader),
            Found::Nothing(lead) => {
                LookUp::Miss(lead.map(|lead| Box::new(Duty { lead, slot: self.slot(run, key, rule.ttl, call) })))
            }
        }
    }

    async fn find(&self, key: CacheKey, leave: Permission, rule: &CacheRule) -> (Found, CacheOutcome) {
        let entry_bytes = self.parts.settings.cache_entry_bytes;
        if leave.may_look_up
            && let Some(hit) = self.parts.cache.get(&key).await
        {
            return (Found::Answer(hit), CacheOutcome::Hit);
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
                        Some(hit) => (Found::Answer(hit), CacheOutcome::Hit),
                        None => (Found::Nothing(Some(lead)), CacheOutcome::Miss),
                    };
                }
            }
        }
    }

    /// Passes on what is being answered for another request.
    pub(super) async fn answer_along(
        &self,
        run: &mut Run,
        target: &Target,
        reader: Reader,
        call: &ChatCall,
    ) -> Result<(Body, Extras), Failure> {
        let body = self.read(run, reader, call).await?;
        Ok((body, self.explained_again(run, target, call).await?))
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

    fn slot(&self, run: &Run, key: CacheKey, ttl: Duration, call: &Arc<ChatCall>) -> Slot {
        Slot {
            chat: Arc::clone(call),
            cache: Arc::clone(&self.parts.cache),
            key,
            ttl,
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

fn key(run: &Run, target: &Target, call: &ChatCall) -> Option<CacheKey> {
    CacheKey::of(&scope(run.context(), target), &call.body)
}

/// Returns what an answer depends on besides the request's body.
pub(super) fn scope<'a>(context: &'a RequestContext, target: &'a Target) -> Scope<'a> {
    let target = match target {
        Target::Policy(policy) => cache::Target::Policy { name: &policy.name, version: policy.version },
        Target::Model(name) => cache::Target::Model(name),
    };
    Scope { endpoint: Endpoint::Chat, tenant: &context.principal.tenant, target, preferences: &context.preferences }
}
