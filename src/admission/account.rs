//! Everything that is counted for one key.

use std::{sync::Arc, time::Duration};

use jiff::{Timestamp, civil::Date};
use parking_lot::Mutex;

use super::{
    Demand,
    budgets::{Budgets, day_of},
    concurrency::Gate,
    rates::{Bucket, RateStatus},
    refused::{AdmitError, Refused},
};
use crate::{
    domain::{KeyLimits, NanoUsd, Spending, Tokens},
    runtime::Clock,
};

/// What a request holds until it is settled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reservation {
    /// The day to which its cost belongs.
    pub(super) day: Date,
    /// Reserved tokens.
    pub(super) tokens: Tokens,
    /// Reserved money.
    pub(super) cost: NanoUsd,
}

/// The counters of one key. The lock is held for a few comparisons.
#[derive(Debug, Default)]
pub(super) struct Account {
    gate: Arc<Gate>,
    meters: Mutex<Meters>,
}

#[derive(Debug, Default)]
struct Meters {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    budgets: Budgets,
}

impl Account {
    /// Returns the gate for requests in flight.
    pub(super) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Adds what was spent before this start.
    pub(super) fn load(&self, spent: &Spending, now: Timestamp) {
        self.meters.lock().budgets.load(spent.day, spent.cost, day_of(now));
    }

    /// Takes one request and reserves the demand, all or nothing.
    pub(super) fn reserve(
        &self,
        limits: &KeyLimits,
        demand: Demand,
        clock: &dyn Clock,
    ) -> Result<(Reservation, RateStatus), AdmitError> {
        let mut meters = self.meters.lock();
        meters.refill(limits, clock.elapsed());
        match meters.take(limits, demand, day_of(clock.now())) {
            Ok(day) => Ok((Reservation { day, tokens: demand.tokens, cost: demand.cost_upper }, meters.status())),
            Err(refused) => Err(AdmitError::new(refused, meters.status())),
        }
    }

    /// Reserves `cost` more for a request that is in already; the whole moves on to the current day.
    pub(super) fn reserve_more(
        &self,
        limits: &KeyLimits,
        held: &mut Reservation,
        cost: NanoUsd,
        today: Date,
    ) -> Result<(), AdmitError> {
        let mut meters = self.meters.lock();
        let needed = held.cost + cost;
        meters.budgets.settle(held.day, held.cost, NanoUsd::ZERO);
        match meters.budgets.reserve(limits, needed, today) {
            Ok(day) => {
                *held = Reservation { day, cost: needed, ..*held };
                Ok(())
            }
            Err(exceeded) => {
                meters.budgets.hold(held.day, held.cost);
                Err(AdmitError::new(Refused::budget(exceeded, needed), meters.status()))
            }
        }
    }

    /// Replaces what was reserved by what was used.
    pub(super) fn settle(&self, held: &Reservation, tokens: Tokens, cost: NanoUsd) {
        let mut meters = self.meters.lock();
        if let Some(bucket) = &mut meters.tokens {
            // Only the difference moves: a bucket that has filled up meanwhile has no room for what was reserved, which would
            // then be taken twice.
            bucket.give_back(held.tokens.0.saturating_sub(tokens.0));
            bucket.take(tokens.0.saturating_sub(held.tokens.0));
        }
        meters.budgets.settle(held.day, held.cost, cost);
    }
}

impl Meters {
    fn refill(&mut self, limits: &KeyLimits, now: Duration) {
        refill(&mut self.requests, limits.requests_per_minute.map(u64::from), now);
        refill(&mut self.tokens, limits.tokens_per_minute, now);
    }

    fn take(&mut self, limits: &KeyLimits, demand: Demand, today: Date) -> Result<Date, Refused> {
        let tokens = demand.tokens.0;
        if let Some(bucket) = self.requests.as_ref().filter(|bucket| !bucket.has(1)) {
            return Err(Refused::TooManyRequests { limit: bucket.gauge().limit, wait: bucket.wait_for(1) });
        }
        if let Some(bucket) = self.tokens.as_ref().filter(|bucket| !bucket.has(tokens)) {
            let (limit, wait) = (bucket.gauge().limit, bucket.wait_for(tokens));
            return Err(Refused::TooManyTokens { limit, needed: tokens, wait });
        }
        let reserved = self.budgets.reserve(limits, demand.cost_upper, today);
        let day = reserved.map_err(|exceeded| Refused::budget(exceeded, demand.cost_upper))?;
        self.requests.iter_mut().for_each(|bucket| bucket.take(1));
        self.tokens.iter_mut().for_each(|bucket| bucket.take(tokens));
        Ok(day)
    }

    fn status(&self) -> RateStatus {
        RateStatus {
            requests: self.requests.as_ref().map(Bucket::gauge),
            tokens: self.tokens.as_ref().map(Bucket::gauge),
        }
    }
}

fn refill(bucket: &mut Option<Bucket>, capacity: Option<u64>, now: Duration) {
    match (bucket.as_mut(), capacity) {
        (_, None) => *bucket = None,
        (None, Some(capacity)) => *bucket = Some(Bucket::full(capacity, now)),
        (Some(bucket), Some(capacity)) => bucket.refill(capacity, now),
    }
}
