//! Answers in memory: moka, weighed by bytes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use moka::{Expiry, future::Cache};

use super::{CacheKey, CacheStore, CachedAnswer, Held};
use crate::runtime::SharedClock;

/// What an entry takes besides its answer: the key twice, pointers, and moka's own bookkeeping, as `cargo bench --bench cache_memory`
/// measured it.
const ENTRY_OVERHEAD: usize = 512;

/// Keeps answers in this process. When it is full it forgets what is asked for least (moka's TinyLFU).
pub struct MemoryCache {
    entries: Cache<CacheKey, Entry>,
    entry_bytes: usize,
    changes: AtomicU64,
    clock: SharedClock,
}

#[derive(Clone)]
struct Entry {
    answer: Arc<CachedAnswer>,
    ttl: Duration,
    /// Reading of the clock at which the answer is too old. moka only frees the memory by its own clock.
    expires: Duration,
}

impl MemoryCache {
    /// Returns a cache of at most `bytes` bytes that refuses answers above `entry_bytes`.
    pub fn new(bytes: u64, entry_bytes: usize, clock: SharedClock) -> Self {
        let weigh = |_: &CacheKey, entry: &Entry| u32::try_from(weight(&entry.answer)).unwrap_or(u32::MAX);
        let entries = Cache::builder().max_capacity(bytes).weigher(weigh).expire_after(ByTtl).build();
        Self { entries, entry_bytes, changes: AtomicU64::new(0), clock }
    }
}

#[async_trait]
impl CacheStore for MemoryCache {
    async fn get(&self, key: &CacheKey) -> Option<Arc<CachedAnswer>> {
        let entry = self.entries.get(key).await?;
        (self.clock.elapsed() < entry.expires).then_some(entry.answer)
    }

    async fn put(&self, key: CacheKey, answer: Arc<CachedAnswer>, ttl: Duration) {
        if answer.bytes() > self.entry_bytes {
            return;
        }
        let expires = self.clock.elapsed().saturating_add(ttl);
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.entries.insert(key, Entry { answer, ttl, expires }).await;
    }

    async fn remove(&self, key: &CacheKey) {
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.entries.invalidate(key).await;
    }

    fn list(&self, is_wanted: &dyn Fn(&CachedAnswer) -> bool) -> Vec<Held> {
        let now = self.clock.elapsed();
        let held = |entry: Entry| {
            let left = entry.expires.saturating_sub(now);
            (!left.is_zero() && is_wanted(&entry.answer)).then_some(Held { answer: entry.answer, left })
        };
        self.entries.iter().filter_map(|(_, entry)| held(entry)).collect()
    }

    fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    async fn size(&self) -> (u64, u64) {
        // moka counts what was stored only when it tidies up, which a quiet cache puts off.
        self.entries.run_pending_tasks().await;
        (self.entries.weighted_size(), self.entries.entry_count())
    }
}

fn weight(answer: &CachedAnswer) -> usize {
    answer.bytes() + ENTRY_OVERHEAD
}

struct ByTtl;

impl Expiry<CacheKey, Entry> for ByTtl {
    fn expire_after_create(&self, _: &CacheKey, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.ttl)
    }

    fn expire_after_update(&self, _: &CacheKey, entry: &Entry, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(entry.ttl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cache::contract, runtime::TestClock};

    const HOUR: Duration = Duration::from_secs(3600);

    fn cache(bytes: u64, entry_bytes: usize) -> (MemoryCache, Arc<TestClock>) {
        let clock = contract::clock();
        (MemoryCache::new(bytes, entry_bytes, Arc::clone(&clock) as SharedClock), clock)
    }

    #[tokio::test]
    async fn the_memory_cache_keeps_the_contract() {
        let (cache, clock) = cache(1 << 20, 1 << 16);

        contract::check(&cache, &clock).await;
    }

    #[tokio::test]
    async fn a_stored_answer_comes_back_until_its_time_is_over() {
        let (cache, clock) = cache(1 << 20, 1 << 16);
        let answer = contract::answer(100);

        cache.put(CacheKey([1; 32]), Arc::clone(&answer), HOUR).await;
        clock.advance(HOUR - Duration::from_millis(1));
        let in_time = cache.get(&CacheKey([1; 32])).await;
        clock.advance(Duration::from_millis(1));
        let too_late = cache.get(&CacheKey([1; 32])).await;

        assert_eq!(in_time, Some(answer));
        assert_eq!(too_late, None);
    }

    #[tokio::test]
    async fn an_answer_above_the_limit_is_not_kept() {
        let (cache, _) = cache(1 << 20, 1_000);

        cache.put(CacheKey([1; 32]), contract::answer(1_000), HOUR).await;

        assert_eq!(cache.get(&CacheKey([1; 32])).await, None);
    }

    #[tokio::test]
    async fn the_bytes_held_stay_below_the_limit() {
        let (cache, _) = cache(100_000, 50_000);

        for number in 0..100 {
            cache.put(CacheKey([number; 32]), contract::answer(9_000), HOUR).await;
        }

        let (bytes, entries) = cache.size().await;
        assert!(bytes <= 100_000 && (1..=11).contains(&entries), "{bytes} bytes in {entries} entries");
    }

    #[tokio::test]
    async fn a_hundred_thousand_distinct_requests_pass_within_the_limit() {
        const LIMIT: u64 = 2 << 20;
        let (cache, _) = cache(LIMIT, 1 << 16);

        for number in 0_u64..100_000 {
            let key = CacheKey(*blake3::hash(&number.to_le_bytes()).as_bytes());
            assert_eq!(cache.get(&key).await, None);
            cache.put(key, contract::answer(500), HOUR).await;
            if number.is_multiple_of(1_000) {
                let (bytes, _) = cache.size().await;
                assert!(bytes <= LIMIT, "{bytes} bytes after {number} requests");
            }
        }

        assert!(cache.size().await.1 > 1_000, "it keeps nothing");
    }
}
