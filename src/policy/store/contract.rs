//! What every store must do.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{Change, Expected, MemoryStore, PolicyStore, StoreError};
use crate::{
    domain::PolicyName,
    runtime::{SharedClock, TestClock},
};

fn change(author: &str) -> Change {
    Change { author: author.to_owned(), note: format!("by {author}") }
}

/// Puts an empty store through everything it must do; the guard keeps its folder alive.
pub(super) fn holds<S: PolicyStore, G>(build: impl Fn(SharedClock) -> (S, G)) {
    let clock = Arc::new(TestClock::at(Timestamp::UNIX_EPOCH));
    let (store, _guard) = build(clock.clone());
    let name = PolicyName::parse("cheap").unwrap();

    saves_are_versions_with_author_time_and_note(&store, &name, &clock);
    a_stale_save_is_a_conflict_with_both_texts(&store, &name);
    a_rollback_is_a_new_version(&store, &name);
    unknown_names_are_told_apart(&store, &name);
}

fn saves_are_versions_with_author_time_and_note(store: &dyn PolicyStore, name: &PolicyName, clock: &TestClock) {
    let first = store.save(name, "a: 1\n", Expected::Absent, change("ada")).unwrap();
    clock.advance(Duration::from_secs(60));
    let second = store.save(name, "a: 2\n", Expected::Version(first.version), change("bob")).unwrap();

    assert_eq!((first.version, second.version), (1, 2));
    assert_eq!(second.at.as_second(), 60);
    assert_eq!(store.history(name).unwrap(), [second, first]);
    assert_eq!(store.read(name, 1).unwrap(), "a: 1\n");
    let loaded = store.load().unwrap();
    assert_eq!((loaded.len(), loaded[0].version, loaded[0].is_edited), (1, 2, false));
    assert_eq!(loaded[0].source.text, "a: 2\n");
}

fn a_stale_save_is_a_conflict_with_both_texts(store: &dyn PolicyStore, name: &PolicyName) {
    for expected in [Expected::Version(1), Expected::Absent] {
        let refused = store.save(name, "a: 3\n", expected, change("eve"));

        let Err(StoreError::Conflict(conflict)) = refused else { panic!("the save went through") };
        assert_eq!((conflict.version, conflict.current.as_str()), (2, "a: 2\n"));
        assert!(conflict.diff.contains("-a: 2\n+a: 3\n"), "{}", conflict.diff);
    }
    assert_eq!(store.history(name).unwrap().len(), 2);
}

fn a_rollback_is_a_new_version(store: &dyn PolicyStore, name: &PolicyName) {
    let version = store.rollback(name, 1, Expected::Version(2), change("bob")).unwrap();

    assert_eq!(version.version, 3);
    assert_eq!(store.load().unwrap()[0].source.text, "a: 1\n");
    assert_eq!(store.read(name, 2).unwrap(), "a: 2\n");
}

fn unknown_names_are_told_apart(store: &dyn PolicyStore, name: &PolicyName) {
    let other = PolicyName::parse("other").unwrap();

    assert!(matches!(store.history(&other), Err(StoreError::UnknownPolicy(_))));
    assert!(matches!(store.read(name, 9), Err(StoreError::UnknownVersion { version: 9, .. })));
    assert!(matches!(store.rollback(name, 9, Expected::Any, change("x")), Err(StoreError::UnknownVersion { .. })));
    let refused = store.save(&other, "x", Expected::Version(1), change("x"));
    assert!(matches!(refused, Err(StoreError::Conflict(conflict)) if conflict.version == 0));
}

#[test]
fn the_memory_store_keeps_the_contract() {
    holds(|clock| (MemoryStore::new(clock, []), ()));
}
