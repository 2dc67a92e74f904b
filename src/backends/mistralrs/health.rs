//! How the engines of a model fare: stalls, deaths, restarts, and when enough is enough.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

/// So many deaths within [`WITHIN`] take the model out: an engine that keeps dying costs every caller a failed attempt.
const MOST_DEATHS: usize = 5;

const WITHIN: Duration = Duration::from_secs(600);

/// How the engines of a model fare.
#[derive(Debug, Default)]
pub(in super::super) struct Health {
    stalls: AtomicU64,
    deaths: AtomicU64,
    restarts: AtomicU64,
    is_out: AtomicBool,
    recent: Mutex<VecDeque<Instant>>,
}

impl Health {
    /// Counts an engine that has work and made no token for too long.
    pub(in super::super) fn stalled(&self) {
        self.stalls.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an engine that died.
    pub(in super::super) fn died(&self) {
        self.died_at(Instant::now());
    }

    fn died_at(&self, now: Instant) {
        self.deaths.fetch_add(1, Ordering::Relaxed);
        let mut recent = self.recent.lock();
        recent.push_back(now);
        recent.retain(|death| now.duration_since(*death) <= WITHIN);
        if recent.len() >= MOST_DEATHS {
            self.is_out.store(true, Ordering::Relaxed);
        }
    }

    /// Counts an engine that was started again.
    pub(in super::super) fn restarted(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets a model that was taken out try again.
    pub(in super::super) fn pardon(&self) {
        self.recent.lock().clear();
        self.is_out.store(false, Ordering::Relaxed);
    }

    /// Returns whether the model is out until somebody pardons it.
    pub(in super::super) fn is_out(&self) -> bool {
        self.is_out.load(Ordering::Relaxed)
    }

    /// Returns stalls, deaths and restarts so far.
    pub(in super::super) fn counted(&self) -> [u64; 3] {
        [&self.stalls, &self.deaths, &self.restarts].map(|count| count.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_deaths_in_ten_minutes_take_a_model_out_until_it_is_pardoned() {
        let health = Health::default();
        let begun = Instant::now();
        for minutes in [0, 3, 6, 9] {
            health.died_at(begun + Duration::from_secs(60 * minutes));
        }
        assert!(!health.is_out());

        health.died_at(begun + Duration::from_secs(60 * 11));
        assert!(!health.is_out(), "the first was more than ten minutes ago");
        health.died_at(begun + Duration::from_secs(60 * 12));
        assert!(health.is_out());

        health.pardon();
        assert_eq!((health.is_out(), health.counted()), (false, [0, 6, 0]));
    }
}
