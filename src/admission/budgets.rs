//! Money per calendar day and month, in UTC.

use std::fmt;

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::domain::{KeyLimits, NanoUsd};

/// The time a budget is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// A calendar day.
    Day,
    /// A calendar month.
    Month,
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Day => "daily",
            Self::Month => "monthly",
        })
    }
}

/// A budget that has no room for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exceeded {
    pub(super) period: Period,
    pub(super) budget: NanoUsd,
    pub(super) left: NanoUsd,
    /// First day of the next period.
    pub(super) resets: Option<Date>,
}

/// What a key has spent and reserved in the current day and month.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    day: Window,
    month: Window,
}

/// Money in one period. Requests belong to the period in which they were let in, as in the ledger.
#[derive(Debug, Default)]
struct Window {
    /// First day of the period; `None` before the first request.
    start: Option<Date>,
    spent: NanoUsd,
    reserved: NanoUsd,
}

impl Budgets {
    /// Adds what was spent on `day`, if that is in the periods of `today`.
    pub(super) fn load(&mut self, day: Date, cost: NanoUsd, today: Date) {
        self.advance(today);
        self.day.book(day, cost);
        self.month.book(day.first_of_month(), cost);
    }

    /// Reserves `cost` on `today`, in both periods or in none. Returns the day it is reserved on, which is later than `today`
    /// when the clock was set back.
    pub(super) fn reserve(&mut self, limits: &KeyLimits, cost: NanoUsd, today: Date) -> Result<Date, Exceeded> {
        self.advance(today);
        check(&self.day, Period::Day, limits.daily_budget, cost)?;
        check(&self.month, Period::Month, limits.monthly_budget, cost)?;
        self.day.reserved += cost;
        self.month.reserved += cost;
        Ok(self.day.start.unwrap_or(today))
    }

    /// Puts back what was reserved on `day`, without asking.
    pub(super) fn hold(&mut self, day: Date, cost: NanoUsd) {
        self.day.hold(day, cost);
        self.month.hold(day.first_of_month(), cost);
    }

    /// Turns what was reserved on `day` into what was spent.
    pub(super) fn settle(&mut self, day: Date, reserved: NanoUsd, cost: NanoUsd) {
        self.day.release(day, reserved);
        self.day.book(day, cost);
        self.month.release(day.first_of_month(), reserved);
        self.month.book(day.first_of_month(), cost);
    }

    /// Begins new periods. The clock may be set back; periods only move on, or spending would be forgotten.
    fn advance(&mut self, today: Date) {
        self.day.advance(today);
        self.month.advance(today.first_of_month());
    }
}

impl Window {
    fn advance(&mut self, start: Date) {
        if self.start.is_none_or(|current| current < start) {
            *self = Self { start: Some(start), ..Self::default() };
        }
    }

    fn book(&mut self, start: Date, cost: NanoUsd) {
        if self.start == Some(start) {
            self.spent += cost;
        }
    }

    fn hold(&mut self, start: Date, cost: NanoUsd) {
        if self.start == Some(start) {
            self.reserved += cost;
        }
    }

    fn release(&mut self, start: Date, reserved: NanoUsd) {
        if self.start == Some(start) {
            self.reserved = self.reserved - reserved;
        }
    }
}

fn check(window: &Window, period: Period, budget: Option<NanoUsd>, cost: NanoUsd) -> Result<(), Exceeded> {
    let Some(budget) = budget else { return Ok(()) };
    let left = budget - (window.spent + window.reserved);
    if left > NanoUsd::ZERO && cost <= left {
        return Ok(());
    }
    let resets = window.start.and_then(|start| match period {
        Period::Day => start.tomorrow().ok(),
        Period::Month => start.last_of_month().tomorrow().ok(),
    });
    Err(Exceeded { period, budget, left, resets })
}

/// Returns the calendar day in UTC.
pub(super) fn day_of(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn daily(budget: u64) -> KeyLimits {
        KeyLimits { daily_budget: Some(NanoUsd(budget)), ..KeyLimits::default() }
    }

    #[test]
    fn a_new_day_has_a_new_budget_and_the_month_goes_on() {
        let limits = KeyLimits { monthly_budget: Some(NanoUsd(15)), ..daily(10) };
        let mut budgets = Budgets::default();
        budgets.load(date(2026, 3, 1), NanoUsd(10), date(2026, 3, 1));

        let same_day = budgets.reserve(&limits, NanoUsd(1), date(2026, 3, 1)).unwrap_err();
        let next_day = budgets.reserve(&limits, NanoUsd(5), date(2026, 3, 2));
        let month = budgets.reserve(&limits, NanoUsd(1), date(2026, 3, 2)).unwrap_err();
        let next_month = budgets.reserve(&limits, NanoUsd(10), date(2026, 4, 1));

        assert_eq!((same_day.period, same_day.resets), (Period::Day, Some(date(2026, 3, 2))));
        assert_eq!(next_day, Ok(date(2026, 3, 2)));
        assert_eq!((month.period, month.resets), (Period::Month, Some(date(2026, 4, 1))));
        assert_eq!(next_month, Ok(date(2026, 4, 1)));
    }

    #[test]
    fn a_clock_set_back_does_not_forget_spending() {
        let mut budgets = Budgets::default();
        budgets.load(date(2026, 3, 2), NanoUsd(10), date(2026, 3, 2));

        let refused = budgets.reserve(&daily(10), NanoUsd(1), date(2026, 3, 1));

        assert!(refused.is_err());
    }

    #[test]
    fn a_spent_budget_refuses_even_free_requests() {
        let mut budgets = Budgets::default();

        assert!(budgets.reserve(&daily(0), NanoUsd::ZERO, date(2026, 3, 1)).is_err());
    }

    proptest! {
        #[test]
        fn spending_never_exceeds_the_budget_when_calls_keep_to_their_estimates(
            budget in 1_u64..1_000,
            calls in prop::collection::vec((0_u64..200, 0.0_f64..=1.0, any::<bool>()), 1..60),
        ) {
            let (limits, today) = (daily(budget), date(2026, 3, 1));
            let mut budgets = Budgets::default();
            let mut open = Vec::new();

            for (upper, share, ends_now) in calls {
                if budgets.reserve(&limits, NanoUsd(upper), today).is_ok() {
                    open.push((upper, (upper as f64 * share) as u64));
                }
                if ends_now && let Some((reserved, cost)) = open.pop() {
                    budgets.settle(today, NanoUsd(reserved), NanoUsd(cost));
                }
                prop_assert!(budgets.day.spent + budgets.day.reserved <= NanoUsd(budget));
            }
            for (reserved, cost) in open {
                budgets.settle(today, NanoUsd(reserved), NanoUsd(cost));
            }

            prop_assert_eq!(budgets.day.reserved, NanoUsd::ZERO);
            prop_assert_eq!(budgets.month.reserved, NanoUsd::ZERO);
            prop_assert!(budgets.day.spent <= NanoUsd(budget));
        }
    }
}
