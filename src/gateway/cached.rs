//! The cache stage: may this request be answered by what was answered before, and was it?

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Gateway,
    explain::as_field,
    failure::Failure,
    keep::Slot,
    names::Target,
    passing::{self, Body, Extras},
    run::Run,
};
use crate::{
    cache::{self, CacheKey, CachedAnswer, Permission, Scope},
    domain::{CacheOutcome, Endpoint},
    wire::chat::ChatCall,
};

/// What came of the lookup.
pub(super) enum LookUp {
    /// Answered before.
    Hit(Arc<CachedAnswer>),
    /// Not answered before; the answer goes into the slot, if it may be stored.
    Miss(Option<Slot>),
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
        let found = if leave.may_look_up { self.parts.cache.get(&key).await } else { None };
        if leave.may_look_up {
            let outcome = if found.is_some() { CacheOutcome::Hit } else { CacheOutcome::Miss };
            run.note_cache(outcome, started.elapsed());
        }
        match found {
            Some(hit) => {
                run.note_saved(hit.cost);
                run.note_model(&hit.model);
                LookUp::Hit(hit)
            }
            None => LookUp::Miss(leave.may_store.then(|| self.slot(key, rule.ttl, call))),
        }
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
        if !run.wants_explanation() {
            return Ok((body, Extras::default()));
        }
        let explanation = self.explain_target(target, call, run.context()).await;
        Ok((body, Extras { explanation: Some(as_field(&explanation)?), slot: None }))
    }

    fn slot(&self, key: CacheKey, ttl: Duration, call: &Arc<ChatCall>) -> Slot {
        Slot {
            chat: Arc::clone(call),
            cache: Arc::clone(&self.parts.cache),
            key,
            ttl,
            entry_bytes: self.parts.settings.cache_entry_bytes,
            tasks: self.parts.tasks.clone(),
        }
    }
}

fn key(run: &Run, target: &Target, call: &ChatCall) -> Option<CacheKey> {
    let target = match target {
        Target::Policy(policy) => cache::Target::Policy { name: &policy.name, version: policy.version },
        Target::Model(name) => cache::Target::Model(name),
    };
    let context = run.context();
    let scope = Scope {
        endpoint: Endpoint::Chat,
        tenant: &context.principal.tenant,
        target,
        preferences: &context.preferences,
    };
    CacheKey::of(&scope, &call.body)
}
