//! How fast a model has been lately.

use std::{collections::VecDeque, time::Duration};

use parking_lot::Mutex;

use crate::{domain::Tokens, routing::MeasuredLatency};

/// Weight of the newest answer in the moving averages: about the last ten answers count.
const NEWEST: f64 = 0.2;

/// Fewest tokens after the first from which a time per token is taken; a shorter answer is mostly noise.
const FEWEST_TOKENS: u64 = 4;

/// Latest times to the first token that a quantile is taken of.
const KEPT_TIMES: usize = 128;

/// Fewest times from which a quantile is taken.
const FEWEST_TIMES: usize = 16;

/// Exponentially weighted moving averages of the time to the first token and of the time per token after it.
///
/// Streams are measured as they are read, so a slow reader makes a model look slow; with whole answers, the time that is
/// known or configured for the first token is taken off before the rest is shared among the tokens.
#[derive(Debug)]
pub(super) struct LiveLatency {
    configured_first_ms: f64,
    measured: Mutex<MeasuredLatency>,
    /// The latest times to the first token, in milliseconds, the oldest first.
    first_tokens: Mutex<VecDeque<f64>>,
}

impl LiveLatency {
    pub(super) fn new(configured_first_ms: f64) -> Self {
        let measured = Mutex::new(MeasuredLatency { first_token_ms: None, per_token_ms: None, queue_ms: 0.0 });
        Self { configured_first_ms, measured, first_tokens: Mutex::default() }
    }

    pub(super) fn measured(&self) -> MeasuredLatency {
        *self.measured.lock()
    }

    pub(super) fn saw_first_token(&self, after: Duration) {
        let mut measured = self.measured.lock();
        measured.first_token_ms = Some(blend(measured.first_token_ms, millis(after)));
    }

    /// Takes note of how long a caller waited for a first token, without reading the prompt.
    pub(super) fn saw_wait(&self, waited: Duration) {
        let mut times = self.first_tokens.lock();
        if times.len() >= KEPT_TIMES {
            times.pop_front();
        }
        times.push_back(millis(waited));
    }

    /// Takes note of an attempt that was given up after this time without a token. A time below the median says nothing: who waited
    /// so briefly would mostly not have seen a token anyway. A longer one counts as a time, because the true one is longer still.
    pub(super) fn saw_no_token(&self, waited: Duration) {
        if self.first_token_quantile(0.5).is_some_and(|median| waited > median) {
            self.saw_wait(waited);
        }
    }

    /// Returns the quantile of the latest times to the first token; `None` while there are too few.
    pub(super) fn first_token_quantile(&self, share: f64) -> Option<Duration> {
        let mut times: Vec<f64> = self.first_tokens.lock().iter().copied().collect();
        if times.len() < FEWEST_TIMES {
            return None;
        }
        times.sort_by(f64::total_cmp);
        let place = (share.clamp(0.0, 1.0) * (times.len() - 1) as f64).ceil() as usize;
        times.get(place).and_then(|ms| Duration::try_from_secs_f64(ms / 1_000.0).ok())
    }

    /// Takes note of the time from the first token to the last of an answer.
    pub(super) fn saw_rest(&self, took: Duration, tokens: Tokens) {
        let after_first = tokens.0.saturating_sub(1);
        if after_first < FEWEST_TOKENS {
            return;
        }
        let mut measured = self.measured.lock();
        measured.per_token_ms = Some(blend(measured.per_token_ms, millis(took) / after_first as f64));
    }

    pub(super) fn saw_whole(&self, took: Duration, tokens: Tokens) {
        let first_ms = self.measured().first_token_ms.unwrap_or(self.configured_first_ms);
        let rest_ms = (millis(took) - first_ms).max(0.0);
        self.saw_rest(Duration::try_from_secs_f64(rest_ms / 1_000.0).unwrap_or(took), tokens);
    }
}

fn blend(before: Option<f64>, newest: f64) -> f64 {
    before.map_or(newest, |before| before + NEWEST * (newest - before))
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_start_with_the_first_answer_and_follow_the_newest() {
        let latency = LiveLatency::new(500.0);

        latency.saw_first_token(Duration::from_millis(100));
        latency.saw_first_token(Duration::from_millis(200));

        assert_eq!(latency.measured().first_token_ms, Some(120.0));
        assert_eq!(latency.measured().per_token_ms, None);
    }

    #[test]
    fn a_whole_answer_is_shared_among_its_tokens_after_the_first() {
        let latency = LiveLatency::new(500.0);

        latency.saw_whole(Duration::from_millis(1_500), Tokens(101));

        let per_token = latency.measured().per_token_ms.unwrap();
        assert!((per_token - 10.0).abs() < 1e-9, "{per_token}");
    }

    #[test]
    fn quantiles_follow_the_latest_times() {
        let latency = LiveLatency::new(0.0);
        let few = latency.first_token_quantile(0.5);

        (1..=100).for_each(|ms| latency.saw_wait(Duration::from_millis(ms)));
        let (median, high) = (latency.first_token_quantile(0.5), latency.first_token_quantile(0.95));
        (0..KEPT_TIMES).for_each(|_| latency.saw_wait(Duration::from_millis(7)));

        assert_eq!(few, None);
        assert_eq!((median, high), (Some(Duration::from_millis(51)), Some(Duration::from_millis(96))));
        assert_eq!(latency.first_token_quantile(0.95), Some(Duration::from_millis(7)));
    }

    #[test]
    fn giving_up_late_counts_and_giving_up_early_does_not() {
        let latency = LiveLatency::new(0.0);
        (0..20).for_each(|_| latency.saw_wait(Duration::from_millis(10)));

        latency.saw_no_token(Duration::from_millis(1));
        latency.saw_no_token(Duration::from_millis(500));

        let ends = [0.0, 1.0].map(|share| latency.first_token_quantile(share).unwrap().as_millis());
        assert_eq!(ends, [10, 500]);
    }

    #[test]
    fn very_short_answers_say_nothing_about_speed() {
        let latency = LiveLatency::new(0.0);

        latency.saw_rest(Duration::from_secs(1), Tokens(3));

        assert_eq!(latency.measured().per_token_ms, None);
    }
}
