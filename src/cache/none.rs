//! No cache at all.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{CacheKey, CacheStore, CachedAnswer, Held};

/// Keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCache;

#[async_trait]
impl CacheStore for NoCache {
    async fn get(&self, _key: &CacheKey) -> Option<Arc<CachedAnswer>> {
        None
    }

    async fn put(&self, _key: CacheKey, _answer: Arc<CachedAnswer>, _ttl: Duration) {}

    async fn remove(&self, _key: &CacheKey) {}

    fn list(&self, _is_wanted: &dyn Fn(&CachedAnswer) -> bool) -> Vec<Held> {
        Vec::new()
    }

    fn changes(&self) -> u64 {
        0
    }

    async fn size(&self) -> (u64, u64) {
        (0, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::contract;

    #[tokio::test]
    async fn no_cache_keeps_the_contract() {
        contract::check(&NoCache, &contract::clock()).await;
    }
}
