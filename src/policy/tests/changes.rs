//! Policies that change while the program runs: files edited by hand, reloads, saves, rollbacks.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::{FIXED, clock, demo, name};
use crate::{
    policy::*,
    runtime::{Phase, Stop, Tasks},
};

const OTHER: &str = "strategy: { fixed: { model: simulated/large } }\n";

fn change() -> Change {
    Change { author: "ada".to_owned(), note: "why".to_owned() }
}

/// A folder with a policy, opened; the counter counts faults.
fn folder_with(text: &str) -> (tempfile::TempDir, Arc<Policies>, Arc<AtomicUsize>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("default.yaml"), text).unwrap();
    let store = Box::new(FileStore::new(folder.path().to_owned(), clock()));
    let counter = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&counter);
    let on_fault = Box::new(move |count| {
        counted.fetch_add(count, Ordering::SeqCst);
    });
    let policies = Policies::open(store, demo(), clock(), on_fault).unwrap();
    (folder, Arc::new(policies), counter)
}

fn version_in_use(policies: &Policies) -> u64 {
    policies.current().policies[&name("default")].version
}

#[test]
fn a_bad_file_keeps_the_old_policy_and_shows_its_fault() {
    let (folder, policies, counter) = folder_with(FIXED);
    let before = policies.current();

    std::fs::write(folder.path().join("default.yaml"), "strategy: { fixd: {} }\n").unwrap();
    policies.reload().unwrap_err();

    assert!(Arc::ptr_eq(&before.policies[&name("default")], &policies.current().policies[&name("default")]));
    assert_eq!(policies.status().faults.len(), 1);
    assert_eq!(counter.load(Ordering::SeqCst), 1);

    std::fs::write(folder.path().join("default.yaml"), OTHER).unwrap();
    policies.reload().unwrap();

    assert!(policies.status().faults.is_empty());
    assert_eq!(version_in_use(&policies), 2);
    assert_eq!(policies.history(&name("default")).unwrap()[0].author, "file");
}

#[test]
fn every_text_has_a_version_of_its_own_where_no_history_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    // A folder in the place of the file that a save writes first.
    std::fs::create_dir_all(folder.path().join(".history/default/1.yaml.new")).unwrap();
    let file = folder.path().join("default.yaml");
    std::fs::write(&file, FIXED).unwrap();
    let store = Box::new(FileStore::new(folder.path().to_owned(), clock()));
    let policies = Policies::open(store, demo(), clock(), Box::new(|_| ())).unwrap();

    let mut versions = vec![version_in_use(&policies)];
    for text in [FIXED, OTHER, OTHER, FIXED] {
        std::fs::write(&file, text).unwrap();
        policies.reload().unwrap();
        versions.push(version_in_use(&policies));
    }

    assert_eq!(versions, [1, 1, 2, 2, 3]);
}

#[test]
fn a_reload_without_a_change_makes_no_version() {
    let (_folder, policies, _) = folder_with(FIXED);

    policies.reload().unwrap();

    assert_eq!(version_in_use(&policies), 1);
}

#[test]
fn a_policy_that_the_configuration_needs_stays_when_its_file_goes() {
    let (folder, policies, _) = folder_with(FIXED);

    std::fs::remove_file(folder.path().join("default.yaml")).unwrap();
    policies.reload().unwrap_err();

    assert_eq!(version_in_use(&policies), 1);
}

#[test]
fn a_save_is_checked_written_and_in_use() {
    let (folder, policies, _) = folder_with(FIXED);

    let bad = policies.save(&name("default"), "strategy: {}\n", Expected::Any, change());
    let good = policies.save(&name("default"), OTHER, Expected::Version(1), change()).unwrap();
    let stale = policies.save(&name("default"), FIXED, Expected::Version(1), change());

    assert!(matches!(bad, Err(PolicyError::Faults(_))));
    assert!(matches!(stale, Err(PolicyError::Store(StoreError::Conflict(_)))));
    assert_eq!((good.version, version_in_use(&policies)), (2, 2));
    assert_eq!(std::fs::read_to_string(folder.path().join("default.yaml")).unwrap(), OTHER);
}

#[test]
fn a_rollback_brings_the_old_text_back_as_a_new_version() {
    let (folder, policies, _) = folder_with(FIXED);
    policies.save(&name("default"), OTHER, Expected::Any, change()).unwrap();

    let version = policies.rollback(&name("default"), 1, Expected::Version(2), change()).unwrap();

    assert_eq!((version.version, version_in_use(&policies)), (3, 3));
    assert_eq!(std::fs::read_to_string(folder.path().join("default.yaml")).unwrap(), FIXED);
}

#[test]
fn a_snapshot_does_not_change_under_its_holder() {
    let (_folder, policies, _) = folder_with(FIXED);
    let snapshot = policies.current();

    policies.save(&name("default"), OTHER, Expected::Any, change()).unwrap();

    assert_eq!(snapshot.policies[&name("default")].version, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_file_is_in_use_soon_and_the_watch_ends_with_the_program() {
    let (folder, policies, _) = folder_with(FIXED);
    let (tasks, stop) = (Tasks::default(), Stop::default());
    watch(Arc::clone(&policies), folder.path(), &tasks, &stop).unwrap();

    std::fs::write(folder.path().join("default.yaml"), OTHER).unwrap();

    let in_use = async {
        while version_in_use(&policies) < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), in_use).await.unwrap();
    stop.advance(Phase::Draining);
    assert!(tasks.wait(std::time::Duration::from_secs(20)).await);
}

#[test]
fn a_reload_keeps_what_was_found_in_recent_traffic_and_an_edit_does_not() {
    let budget = "strategy: { quality_cost: { budget: 0.01 } }\n";
    let (folder, policies, _) = folder_with(budget);
    let calibration = |policies: &Policies| Arc::clone(&policies.current().policies[&name("default")].calibration);
    let before = calibration(&policies);

    policies.reload().unwrap();
    let reloaded = calibration(&policies);
    std::fs::write(folder.path().join("default.yaml"), budget.replace("0.01", "0.02")).unwrap();
    policies.reload().unwrap();

    assert!(Arc::ptr_eq(&before, &reloaded));
    assert!(!Arc::ptr_eq(&before, &calibration(&policies)));
}
