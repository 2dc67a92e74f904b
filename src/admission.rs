//! Who may go in now: keys, rates, concurrency, budgets.
//!
//! [`KeyStore::authenticate`] says who is asking; [`Admission::admit`] says whether they may go in, and returns a [`Permit`].
//! What a request may use up is reserved before dispatch, by estimate, and settled afterwards, by what was really used. A permit
//! that is dropped gives back its places and what is left of its reservation: it settles by the attempts in the journal it
//! follows, so that a client that leaves early pays for what was already used and for nothing else.
//!
//! # Invariants
//! - Requests in flight never exceed the limits of the gateway, the policy and the key.
//! - A key's spending never exceeds its budget by more than calls cost above their own upper estimates.
//! - Every reservation comes back, on every way out.
//!
//! # Drop order
//! A permit that follows a journal must be dropped after the stream whose attempt books itself there, like the record guard of
//! `accounting`.
//!
//! To add a limit: a meter in `account.rs`, a field in [`KeyLimits`](crate::domain::KeyLimits), a variant of [`Refused`].

mod account;
mod budgets;
mod concurrency;
pub mod keys;
mod permit;
mod rates;
mod refused;

use std::{num::NonZeroUsize, sync::Arc};

use dashmap::DashMap;

use self::{
    account::Account,
    concurrency::{Gate, Slot},
    permit::Entry,
};
use crate::{
    domain::{KeyId, Limits, NanoUsd, PolicyName, Principal, Spending, Tokens},
    runtime::{Phase, SharedClock, Stop},
};

pub use self::{
    budgets::Period,
    keys::{KeyError, KeyInfo, KeyStore, KeyStoreError, NewKey},
    permit::Permit,
    rates::{Gauge, RateStatus},
    refused::{AdmitError, Refused},
};

/// What a request is expected to use up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Tokens, prompt and answer.
    pub tokens: Tokens,
    /// Upper estimate of the cost; zero while it is not known, to be added by [`Permit::reserve`].
    pub cost_upper: NanoUsd,
}

/// Lets requests in.
pub struct Admission {
    clock: SharedClock,
    stop: Stop,
    capacity: u32,
    gateway: Arc<Gate>,
    policies: DashMap<PolicyName, Arc<Gate>>,
    accounts: DashMap<KeyId, Arc<Account>>,
}

impl Admission {
    /// Returns an admission for at most `max_concurrency` requests at once.
    pub fn new(clock: SharedClock, stop: Stop, max_concurrency: NonZeroUsize) -> Self {
        Self {
            clock,
            stop,
            capacity: u32::try_from(max_concurrency.get()).unwrap_or(u32::MAX),
            gateway: Arc::default(),
            policies: DashMap::new(),
            accounts: DashMap::new(),
        }
    }

    /// Counts what keys have spent before this start, as the ledger sums it up. Days outside the current month are ignored.
    pub fn load(&self, spending: impl IntoIterator<Item = Spending>) {
        let now = self.clock.now();
        for spent in spending {
            self.account(&spent.key).load(&spent, now);
        }
    }

    /// Returns how many requests are in flight.
    pub fn in_flight(&self) -> u32 {
        self.gateway.in_flight()
    }

    /// Lets a request in and reserves what it is expected to use up.
    ///
    /// `policy` is the policy that will decide, `None` when the caller names a model: keys that are restricted to some
    /// policies may use nothing else.
    ///
    /// # Errors
    /// The gateway is ending, a limit is reached, or the key may not do this. Nothing stays reserved then.
    pub fn admit(
        &self,
        principal: &Principal,
        policy: Option<&PolicyName>,
        limits: &Limits,
        demand: Demand,
    ) -> Result<Permit, AdmitError> {
        if self.stop.phase() == Phase::Ending {
            return Err(Refused::ShuttingDown.into());
        }
        check_policy(principal, policy)?;
        let account = self.account(&principal.key);
        let slots = self.enter(principal, policy, limits, &account)?;
        let (reservation, rates) = account.reserve(&principal.limits, demand, &*self.clock)?;
        let entry = Entry { account, clock: Arc::clone(&self.clock), slots };
        Ok(Permit::new(entry, principal.limits.clone(), reservation, rates))
    }

    /// Takes a place at every gate, or none.
    fn enter(
        &self,
        principal: &Principal,
        policy: Option<&PolicyName>,
        limits: &Limits,
        account: &Account,
    ) -> Result<Vec<Slot>, Refused> {
        let mut slots = vec![Gate::enter(&self.gateway, self.capacity).ok_or(Refused::GatewayBusy)?];
        if let (Some(policy), Some(limit)) = (policy, limits.max_concurrency) {
            let gate = Arc::clone(&self.policies.entry(policy.clone()).or_default());
            slots.push(Gate::enter(&gate, limit).ok_or_else(|| Refused::PolicyBusy { policy: policy.clone(), limit })?);
        }
        if let Some(limit) = principal.limits.max_concurrency {
            slots.push(Gate::enter(account.gate(), limit).ok_or(Refused::KeyBusy { limit })?);
        }
        Ok(slots)
    }

    fn account(&self, key: &KeyId) -> Arc<Account> {
        if let Some(account) = self.accounts.get(key) {
            return Arc::clone(&account);
        }
        Arc::clone(&self.accounts.entry(key.clone()).or_default())
    }
}

fn check_policy(principal: &Principal, policy: Option<&PolicyName>) -> Result<(), Refused> {
    let is_allowed = principal.policies.is_empty() || policy.is_some_and(|policy| principal.policies.contains(policy));
    if is_allowed { Ok(()) } else { Err(Refused::Forbidden { allowed: principal.policies.clone() }) }
}

#[cfg(test)]
mod tests;
