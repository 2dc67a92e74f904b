//! What every store must keep to.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;

use super::{CacheKey, CacheStore, CachedAnswer, Provenance};
use crate::{
    domain::{ModelName, NanoUsd, Tag, TenantId, Usage, WholeReply},
    runtime::TestClock,
};

const MINUTE: Duration = Duration::from_secs(60);

/// Returns the clock that a store under test reads.
pub(super) fn clock() -> Arc<TestClock> {
    Arc::new(TestClock::at(Timestamp::UNIX_EPOCH))
}

/// Returns an answer with a body of the given length.
pub(super) fn answer(body_bytes: usize) -> Arc<CachedAnswer> {
    let reply = WholeReply {
        body: Bytes::from(vec![b'x'; body_bytes]),
        usage: None,
        finish_reason: Some("stop".to_owned()),
        signals: Vec::new(),
    };
    let model = ModelName::parse("m").unwrap();
    let provenance = Provenance {
        key: CacheKey([1; 32]),
        tenant: TenantId::parse("acme").unwrap(),
        policy: None,
        tags: vec![Tag("docs".to_owned())],
        stored: Timestamp::UNIX_EPOCH,
    };
    Arc::new(CachedAnswer { reply, model, usage: Usage::default(), cost: NanoUsd(7), provenance })
}

/// Checks a store. It may forget whatever it likes, so what it returns is only ever compared with what was stored.
pub(super) async fn check(store: &dyn CacheStore, clock: &TestClock) {
    let (first, second) = (CacheKey([1; 32]), CacheKey([2; 32]));

    assert_eq!(store.get(&first).await, None, "an empty store has an answer");

    store.put(first, answer(10), MINUTE).await;
    assert!(store.get(&first).await.is_none_or(|found| found == answer(10)), "another answer came back");
    assert_eq!(store.get(&second).await, None, "an answer came back under another key");

    store.put(first, answer(20), MINUTE).await;
    assert!(store.get(&first).await.is_none_or(|found| found == answer(20)), "the older answer came back");

    assert!(store.list(&|_| true).iter().all(|held| held.answer == answer(20) && held.left <= MINUTE));
    assert!(store.list(&|_| false).is_empty(), "what is not wanted was listed");

    store.remove(&first).await;
    assert_eq!(store.get(&first).await, None, "a removed answer came back");

    store.put(second, answer(10), MINUTE).await;
    clock.advance(MINUTE);
    assert_eq!(store.get(&second).await, None, "an answer came back after its time");
    assert!(store.list(&|_| true).is_empty(), "an answer was listed after its time");

    store.put(second, answer(10), Duration::ZERO).await;
    assert_eq!(store.get(&second).await, None, "an answer without any time came back");
}
