use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use jiff::SignedDuration;
use tempfile::TempDir;

use super::*;
use crate::{
    cache::{
        CacheKey, Provenance,
        semantic::{boundary::Label, marks::Marks},
    },
    domain::{ModelName, NanoUsd, Tag, TenantId, Usage, WholeReply},
};

const HOUR: Duration = Duration::from_secs(3600);

fn answer(text: &str) -> Arc<CachedAnswer> {
    let message = serde_json::json!({"role": "assistant", "content": text});
    let body = serde_json::json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).to_string();
    let provenance = Provenance {
        key: CacheKey([3; 32]),
        tenant: TenantId::parse("acme").unwrap(),
        policy: None,
        tags: vec![Tag("docs".to_owned())],
        stored: Timestamp::UNIX_EPOCH,
    };
    Arc::new(CachedAnswer {
        reply: WholeReply::read(Bytes::from(body)),
        model: ModelName::parse("m").unwrap(),
        usage: Usage::default(),
        cost: NanoUsd(7),
        provenance,
    })
}

fn snapshot() -> Snapshot {
    let label = Label { similarity: 0.9, is_right: true };
    let saved = Saved {
        partition: CacheKey([1; 32]),
        embedding: Arc::from([0.6_f32, 0.8]),
        marks: Arc::new(Marks::of("How far is 3 km?")),
        answer: answer("far"),
        labels: vec![label],
        left: HOUR,
    };
    let exact = vec![Held { answer: answer("one"), left: HOUR }, Held { answer: answer("two"), left: 2 * HOUR }];
    Snapshot { exact, semantic: vec![saved], pools: vec![(CacheKey([2; 32]), vec![label, label])] }
}

fn written() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("deep/cache.jsonl");
    write(&path, &snapshot(), Timestamp::UNIX_EPOCH).unwrap();
    (folder, path)
}

#[test]
fn what_is_written_is_read_again() {
    let (_folder, path) = written();

    let found = read(&path, Timestamp::UNIX_EPOCH).unwrap().unwrap();

    assert_eq!(
        found.exact.iter().map(|held| (&held.answer, held.left)).collect::<Vec<_>>(),
        [(&answer("one"), HOUR), (&answer("two"), 2 * HOUR)]
    );
    assert_eq!(found.semantic, snapshot().semantic);
    assert_eq!(found.pools, snapshot().pools);
}

#[test]
fn what_has_expired_meanwhile_is_left_out() {
    let (_folder, path) = written();

    let found = read(&path, Timestamp::UNIX_EPOCH + SignedDuration::from_mins(90)).unwrap().unwrap();

    assert_eq!(found.exact.len(), 1);
    assert_eq!(found.exact[0].left, HOUR / 2);
    assert!(found.semantic.is_empty());
}

#[test]
fn only_the_owner_may_read_it_and_nothing_is_left_beside_it() {
    let (_folder, path) = written();
    write(&path, &Snapshot::default(), Timestamp::UNIX_EPOCH).unwrap();

    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(path.parent().unwrap().read_dir().unwrap().count(), 1);
    assert!(read(&path, Timestamp::UNIX_EPOCH).unwrap().unwrap().exact.is_empty(), "the older file is still there");
}

#[test]
fn a_damaged_file_is_not_read_at_all() {
    let (_folder, path) = written();
    let whole = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let damages = [
        String::new(),
        whole[..whole.len() / 2].to_owned(),
        lines[..lines.len() - 1].join("\n"),
        whole.replace("one", "on3"),
        [&lines[..1], &lines[2..]].concat().join("\n"),
        whole.replacen("{\"exact\"", "{\"inexact\"", 1),
    ];

    for damage in damages {
        std::fs::write(&path, &damage).unwrap();
        let found = read(&path, Timestamp::UNIX_EPOCH);
        assert!(matches!(found, Err(SnapshotError::Damaged { .. })), "{found:?} of {damage}");
    }
}

#[test]
fn a_file_of_another_version_is_not_read_and_no_file_is_no_error() {
    let (_folder, path) = written();
    let other = std::fs::read_to_string(&path).unwrap().replacen("\"format\":1", "\"format\":2", 1);
    std::fs::write(&path, other).unwrap();

    assert!(matches!(read(&path, Timestamp::UNIX_EPOCH), Err(SnapshotError::Version { .. })));
    std::fs::remove_file(&path).unwrap();
    assert!(read(&path, Timestamp::UNIX_EPOCH).unwrap().is_none());
}
