//! Who has used up the share of strong models that a policy allows each key.
//!
//! Requests are counted by policy and key in two windows, the running one and the one before; the count of the last `window` is
//! the running one plus the part of the one before that still lies in it. What is used up goes into the ask, so that the
//! decision stays pure and can be replayed. Requests that are decided at the same moment may exceed the share by their number.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::{
    domain::{KeyId, ModelName, PolicyName, Quota},
    policy::Policy,
};

/// Counts by policy and key; both come from the configuration, which bounds them.
#[derive(Default)]
pub(super) struct Quotas {
    uses: Mutex<HashMap<(PolicyName, KeyId), Use>>,
}

/// How often a key asked, and how often a strong model was chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Count {
    all: f64,
    strong: f64,
}

#[derive(Debug, Default)]
struct Use {
    /// Number of the running window since the epoch.
    window: i64,
    current: Count,
    previous: Count,
    was_told: bool,
}

impl Quotas {
    /// Returns the models that this policy no longer gives to this key.
    pub(super) fn withheld(&self, policy: &Policy, key: &KeyId, now: Timestamp) -> BTreeSet<ModelName> {
        let Some(quota) = &policy.quota else { return BTreeSet::new() };
        let mut uses = self.uses.lock();
        let Some(used) = uses.get_mut(&(policy.name.clone(), key.clone())) else { return BTreeSet::new() };
        if used.allows_another(quota, now) {
            return BTreeSet::new();
        }
        if !std::mem::replace(&mut used.was_told, true) {
            tracing::warn!(policy = %policy.name, key = %key, share = quota.share.value(),
                "key has used up its share of strong models; other models answer it until the window has passed");
        }
        quota.models.clone()
    }

    /// Counts a decision.
    pub(super) fn note(&self, policy: &Policy, key: &KeyId, now: Timestamp, chosen: Option<&ModelName>) {
        let Some(quota) = &policy.quota else { return };
        let is_strong = chosen.is_some_and(|model| quota.models.contains(model));
        let mut uses = self.uses.lock();
        uses.entry((policy.name.clone(), key.clone())).or_default().add(quota, now, is_strong);
    }
}

impl Use {
    fn add(&mut self, quota: &Quota, now: Timestamp, is_strong: bool) {
        self.advance(window_of(now, quota.window).0);
        self.current.all += 1.0;
        self.current.strong += f64::from(u8::from(is_strong));
    }

    fn allows_another(&mut self, quota: &Quota, now: Timestamp) -> bool {
        let (window, passed) = window_of(now, quota.window);
        self.advance(window);
        let left = 1.0 - passed;
        let all = self.current.all + self.previous.all * left;
        let strong = self.current.strong + self.previous.strong * left;
        strong + 1.0 <= f64::from(quota.grace).max(quota.share.value() * (all + 1.0))
    }

    fn advance(&mut self, window: i64) {
        if window <= self.window {
            return;
        }
        self.previous = if window == self.window + 1 { self.current } else { Count::default() };
        *self = Self { window, previous: self.previous, ..Self::default() };
    }
}

/// Returns the number of the window that `now` lies in, and how much of it has passed, in `[0, 1)`.
fn window_of(now: Timestamp, window: Duration) -> (i64, f64) {
    let length = i64::try_from(window.as_millis()).unwrap_or(i64::MAX).max(1);
    let millis = now.as_millisecond();
    (millis.div_euclid(length), millis.rem_euclid(length) as f64 / length as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Probability;

    const HOUR: i64 = 3_600;

    fn quota(share: f64, grace: u32) -> Quota {
        let models = [ModelName::parse("strong").unwrap()].into();
        Quota { models, share: Probability::clamped(share), window: Duration::from_secs(3_600), grace }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn whoever_always_wants_the_strong_model_gets_it_at_the_share() {
        let (quota, mut used) = (quota(0.3, 0), Use::default());
        let mut strong = 0;

        for second in 0..1_000 {
            let is_strong = used.allows_another(&quota, at(second));
            used.add(&quota, at(second), is_strong);
            strong += u32::from(is_strong);
        }

        assert_eq!(strong, 300);
    }

    #[test]
    fn a_key_with_few_requests_has_its_grace() {
        let (quota, mut used) = (quota(0.1, 3), Use::default());

        let allowed: Vec<bool> = (0..5)
            .map(|second| {
                let is_allowed = used.allows_another(&quota, at(second));
                used.add(&quota, at(second), is_allowed);
                is_allowed
            })
            .collect();

        assert_eq!(allowed, [true, true, true, false, false]);
    }

    #[test]
    fn what_was_used_is_forgotten_with_its_window() {
        let (quota, mut used) = (quota(0.0, 1), Use::default());
        used.add(&quota, at(0), true);

        assert!(!used.allows_another(&quota, at(HOUR / 2)));
        assert!(!used.allows_another(&quota, at(HOUR + HOUR / 2)));
        assert!(used.allows_another(&quota, at(2 * HOUR)));
    }
}
