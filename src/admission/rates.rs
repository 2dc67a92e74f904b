//! Amounts per minute: token buckets in exact integers.
//!
//! `governor` does not fit here: what is reserved has to come back, and callers are told what remains.

use std::time::Duration;

const MINUTE_NANOS: i128 = 60_000_000_000;

/// A bucket that holds one minute's allowance and refills evenly. Its level may fall below zero, when a request used more
/// than it had reserved; then it takes longer to fill.
#[derive(Debug)]
pub(super) struct Bucket {
    capacity: u64,
    /// In units of which [`MINUTE_NANOS`] make one: a nanosecond adds exactly `capacity` of them.
    level: i128,
    filled: Duration,
}

impl Bucket {
    /// Returns a full bucket.
    pub(super) fn full(capacity: u64, now: Duration) -> Self {
        Self { capacity, level: units(capacity), filled: now }
    }

    /// Adds what time has brought; `capacity` may have changed since.
    pub(super) fn refill(&mut self, capacity: u64, now: Duration) {
        let passed = now.saturating_sub(self.filled).as_nanos().cast_signed();
        let brought = passed.saturating_mul(i128::from(self.capacity));
        self.capacity = capacity;
        self.level = self.level.saturating_add(brought).min(units(capacity));
        self.filled = self.filled.max(now);
    }

    /// Returns whether `amount` is there.
    pub(super) fn has(&self, amount: u64) -> bool {
        self.level >= units(amount)
    }

    /// Returns the time until `amount` is there; `None` when it never will be.
    pub(super) fn wait_for(&self, amount: u64) -> Option<Duration> {
        (amount <= self.capacity).then(|| self.time_to(units(amount)))
    }

    /// Takes `amount`, also below zero.
    pub(super) fn take(&mut self, amount: u64) {
        self.level -= units(amount);
    }

    /// Gives `amount` back.
    pub(super) fn give_back(&mut self, amount: u64) {
        self.level = (self.level + units(amount)).min(units(self.capacity));
    }

    /// Returns what callers are told.
    pub(super) fn gauge(&self) -> Gauge {
        Gauge {
            limit: self.capacity,
            remaining: u64::try_from(self.level / MINUTE_NANOS).unwrap_or(0),
            reset: self.time_to(units(self.capacity)),
        }
    }

    fn time_to(&self, level: i128) -> Duration {
        let missing = level.saturating_sub(self.level).max(0).cast_unsigned();
        let nanos = missing.div_ceil(u128::from(self.capacity.max(1)));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

fn units(amount: u64) -> i128 {
    i128::from(amount) * MINUTE_NANOS
}

/// One limit as callers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gauge {
    /// Amount per minute.
    pub limit: u64,
    /// What is left now.
    pub remaining: u64,
    /// Time until all of it is there again.
    pub reset: Duration,
}

/// A key's rates after a request was let in or refused; `None` where the key has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateStatus {
    /// Requests per minute.
    pub requests: Option<Gauge>,
    /// Tokens per minute.
    pub tokens: Option<Gauge>,
}

impl RateStatus {
    /// Returns the response headers, named and written as OpenAI does.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if let Some(requests) = self.requests {
            headers.push(("x-ratelimit-limit-requests", requests.limit.to_string()));
            headers.push(("x-ratelimit-remaining-requests", requests.remaining.to_string()));
            headers.push(("x-ratelimit-reset-requests", written(requests.reset)));
        }
        if let Some(tokens) = self.tokens {
            headers.push(("x-ratelimit-limit-tokens", tokens.limit.to_string()));
            headers.push(("x-ratelimit-remaining-tokens", tokens.remaining.to_string()));
            headers.push(("x-ratelimit-reset-tokens", written(tokens.reset)));
        }
        headers
    }
}

/// Writes a duration like OpenAI: `0s`, `20ms`, `7.5s`, `6m0s`.
fn written(duration: Duration) -> String {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    if millis > 0 && millis < 1_000 {
        return format!("{millis}ms");
    }
    let (minutes, millis) = (millis / 60_000, millis % 60_000);
    let seconds = millis as f64 / 1_000.0;
    if minutes == 0 { format!("{seconds}s") } else { format!("{minutes}m{seconds}s") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_written_like_openai_does() {
        let cases = [(0, "0s"), (20, "20ms"), (1_000, "1s"), (7_500, "7.5s"), (60_000, "1m0s"), (360_250, "6m0.25s")];

        for (millis, text) in cases {
            assert_eq!(written(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn an_empty_bucket_says_when_to_come_again_and_keeps_its_word() {
        let mut bucket = Bucket::full(60, Duration::ZERO);
        bucket.take(60);

        let wait = bucket.wait_for(1).unwrap();
        bucket.refill(60, wait);

        assert_eq!(wait, Duration::from_secs(1));
        assert!(bucket.has(1));
        assert_eq!(bucket.wait_for(61), None);
    }

    #[test]
    fn what_was_used_beyond_the_reservation_is_owed() {
        let mut bucket = Bucket::full(60, Duration::ZERO);

        bucket.take(90);

        assert_eq!(bucket.gauge().remaining, 0);
        assert_eq!(bucket.wait_for(1), Some(Duration::from_secs(31)));
    }

    proptest! {
        #[test]
        fn no_more_is_let_in_than_a_full_bucket_and_what_time_brings(
            capacity in 1_u64..1_000,
            steps in prop::collection::vec((0_u64..20_000, 0_u64..50), 1..100),
        ) {
            let (mut now, mut taken) = (Duration::ZERO, 0_u64);
            let mut bucket = Bucket::full(capacity, now);

            for (passed_ms, amount) in steps {
                now += Duration::from_millis(passed_ms);
                bucket.refill(capacity, now);
                if bucket.has(amount) {
                    bucket.take(amount);
                    taken += amount;
                }
            }

            let brought = u128::from(capacity) * now.as_millis() / 60_000;
            prop_assert!(u128::from(taken) <= u128::from(capacity) + brought);
        }

        #[test]
        fn what_comes_back_is_there_again(capacity in 1_u64..1_000_000, share in 0.0_f64..=1.0) {
            let mut bucket = Bucket::full(capacity, Duration::ZERO);
            let amount = (capacity as f64 * share) as u64;

            bucket.take(amount);
            bucket.give_back(amount);

            prop_assert_eq!(bucket.gauge(), Bucket::full(capacity, Duration::ZERO).gauge());
        }
    }
}
