//! The leave to go in.

use std::sync::Arc;

use super::{
    account::{Account, Reservation},
    budgets::day_of,
    concurrency::Slot,
    rates::RateStatus,
    refused::AdmitError,
};
use crate::{
    domain::{AttemptJournal, KeyLimits, NanoUsd, Usage},
    runtime::SharedClock,
};

/// What stands behind a permit.
pub(super) struct Entry {
    pub(super) account: Arc<Account>,
    pub(super) clock: SharedClock,
    pub(super) slots: Vec<Slot>,
}

/// A request's places and reservations. Dropping it frees the places and settles what is not settled yet.
#[must_use = "a permit that is dropped at once admits nothing"]
pub struct Permit {
    account: Arc<Account>,
    clock: SharedClock,
    limits: KeyLimits,
    held: Reservation,
    rates: RateStatus,
    journal: Option<AttemptJournal>,
    is_settled: bool,
    _slots: Vec<Slot>,
}

impl Permit {
    pub(super) fn new(entry: Entry, limits: KeyLimits, held: Reservation, rates: RateStatus) -> Self {
        let Entry { account, clock, slots } = entry;
        Self { account, clock, limits, held, rates, journal: None, is_settled: false, _slots: slots }
    }

    /// Returns the key's rates as they were when the request came in, for the response's headers.
    pub fn rates(&self) -> RateStatus {
        self.rates
    }

    /// Follows the attempts of the request: when the permit is dropped unsettled, what they used is what is settled.
    pub fn follow(&mut self, journal: AttemptJournal) {
        self.journal = Some(journal);
    }

    /// Reserves `cost` on top, when the decision has made known what the request may cost.
    ///
    /// # Errors
    /// The key's budget has no room for it; what was reserved before stays.
    pub fn reserve(&mut self, cost: NanoUsd) -> Result<(), AdmitError> {
        let today = day_of(self.clock.now());
        self.account.reserve_more(&self.limits, &mut self.held, cost, today)
    }

    /// Replaces what was reserved by what was used; only the first call counts. The places stay taken until the drop.
    pub fn settle(&mut self, usage: &Usage, cost: NanoUsd) {
        if !self.is_settled {
            self.is_settled = true;
            self.account.settle(&self.held, usage.total(), cost);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let attempts = self.journal.as_ref().map(AttemptJournal::snapshot).unwrap_or_default();
        let usage: Usage = attempts.iter().map(|attempt| attempt.usage).sum();
        self.settle(&usage, attempts.iter().map(|attempt| attempt.cost).sum());
    }
}
