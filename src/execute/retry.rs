//! Asking the same model again: only where it is safe, with growing pauses, inside a budget.

use std::time::Duration;

use parking_lot::Mutex;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

use crate::{config::settings::ResilienceSettings, domain::BackendError, error::Code};

/// Over how many seconds requests and retries are counted.
const WINDOW_SECONDS: u64 = 10;

/// Retries that a window always allows, so that a quiet model can be retried at all; one a second multiplies no outage.
const FREE_RETRIES: f64 = 10.0;

/// Returns whether the provider refused before it did any work: it could not be reached, limits the rate, or failed with a
/// 5xx. A timeout is not among these, because the provider may still be working, and bill, for the first call.
pub(super) fn is_safe(code: Code) -> bool {
    matches!(code, Code::UpstreamUnreachable | Code::UpstreamRateLimited | Code::UpstreamFailed)
}

/// The pauses between the attempts of one request: exponential, half of each left to chance, so that callers who failed
/// together do not come back together.
pub(super) struct Pauses {
    first: Duration,
    longest: Duration,
    chance: ChaCha8Rng,
}

impl Pauses {
    pub(super) fn new(settings: &ResilienceSettings, seed: u64) -> Self {
        Self { first: settings.backoff, longest: settings.backoff_max, chance: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// Returns the pause after the failure of attempt number `tries` (from 1) of a leg; `None` when the provider asked for a
    /// longer one than is worth waiting.
    pub(super) fn after(&mut self, tries: u32, error: &BackendError) -> Option<Duration> {
        let doubled = self.first.saturating_mul(1u32.checked_shl(tries - 1).unwrap_or(u32::MAX));
        let pause = doubled.min(self.longest).mul_f64(self.chance.random_range(0.5..=1.0));
        match error.retry_after {
            Some(asked) if asked > self.longest => None,
            Some(asked) => Some(pause.max(asked)),
            None => Some(pause),
        }
    }
}

/// Retries as a share of the requests to one model over the last ten seconds.
#[derive(Debug)]
pub(super) struct RetryBudget {
    share: f64,
    start: Instant,
    seconds: Mutex<[Second; WINDOW_SECONDS as usize]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    number: u64,
    requests: u32,
    retries: u32,
}

impl RetryBudget {
    /// Returns a budget; a share of zero (or less) allows no retry at all.
    pub(super) fn new(share: f64) -> Self {
        Self { share, start: Instant::now(), seconds: Mutex::default() }
    }

    pub(super) fn note_request(&self) {
        self.count(|second| second.requests = second.requests.saturating_add(1));
    }

    /// Takes one retry from the budget if there is one.
    pub(super) fn try_spend(&self) -> bool {
        let (requests, retries) = self.totals();
        let is_affordable = self.share > 0.0 && retries + 1.0 <= (requests * self.share).max(FREE_RETRIES);
        if is_affordable {
            self.count(|second| second.retries = second.retries.saturating_add(1));
        }
        is_affordable
    }

    fn totals(&self) -> (f64, f64) {
        let now = self.start.elapsed().as_secs();
        let seconds = self.seconds.lock();
        let recent = seconds.iter().filter(|second| second.number + WINDOW_SECONDS > now);
        recent.fold((0.0, 0.0), |(requests, retries), second| {
            (requests + f64::from(second.requests), retries + f64::from(second.retries))
        })
    }

    fn count(&self, add: impl FnOnce(&mut Second)) {
        let number = self.start.elapsed().as_secs();
        let mut seconds = self.seconds.lock();
        if let Some(second) = seconds.get_mut((number % WINDOW_SECONDS) as usize) {
            if second.number != number {
                *second = Second { number, ..Second::default() };
            }
            add(second);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(retry_after: Option<u64>) -> BackendError {
        let error = BackendError::new(Code::UpstreamRateLimited, "", "");
        BackendError { retry_after: retry_after.map(Duration::from_secs), ..error }
    }

    fn pauses(seed: u64) -> Pauses {
        Pauses {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(2),
            chance: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_keep_half_to_chance() {
        for (tries, most) in [(1, 100), (2, 200), (3, 400), (10, 2_000), (u32::MAX, 2_000)] {
            for seed in 0..20 {
                let pause = pauses(seed).after(tries, &error(None)).unwrap().as_millis();

                assert!((most / 2..=most).contains(&pause), "{pause} ms after {tries} tries");
            }
        }
    }

    #[test]
    fn the_provider_s_wish_is_honoured_or_the_leg_is_given_up() {
        assert_eq!(pauses(1).after(1, &error(Some(1))), Some(Duration::from_secs(1)));
        assert_eq!(pauses(1).after(1, &error(Some(3))), None);
    }

    #[tokio::test(start_paused = true)]
    async fn retries_are_a_share_of_the_requests_of_ten_seconds() {
        let budget = RetryBudget::new(0.2);
        (0..100).for_each(|_| budget.note_request());

        let granted = (0..100).filter(|_| budget.try_spend()).count();

        assert_eq!(granted, 20);
        tokio::time::advance(Duration::from_secs(WINDOW_SECONDS)).await;
        assert!(budget.try_spend());
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_model_can_be_retried_a_few_times() {
        let budget = RetryBudget::new(0.2);
        budget.note_request();

        let granted = (0..100).filter(|_| budget.try_spend()).count();

        assert_eq!(granted, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_of_zero_turns_retries_off() {
        assert!(!RetryBudget::new(0.0).try_spend());
    }
}
