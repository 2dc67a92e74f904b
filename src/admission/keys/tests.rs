use std::{os::unix::fs::PermissionsExt, path::Path};

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;
use crate::{domain::NanoUsd, runtime::TestClock};

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn store(path: &Path, is_required: bool) -> (KeyStore, Arc<TestClock>) {
    let clock = Arc::new(TestClock::at(now()));
    let store = KeyStore::open(path.to_owned(), is_required, Arc::clone(&clock) as SharedClock).unwrap();
    (store, clock)
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/keys.json");
    (folder, path)
}

fn new_key(tenant: &str) -> NewKey {
    NewKey {
        tenant: TenantId::parse(tenant).unwrap(),
        name: "the build".to_owned(),
        expires: None,
        limits: KeyLimits { daily_budget: Some(NanoUsd(5)), ..KeyLimits::default() },
        policies: vec![PolicyName::parse("cheap").unwrap()],
    }
}

#[test]
fn a_new_key_opens_the_door_with_its_tenant_limits_and_policies() {
    let (_folder, path) = folder();
    let (store, _) = store(&path, true);
    let (info, text) = store.create(new_key("acme")).unwrap();

    let principal = store.authenticate(Some(&format!("Bearer {}", text.expose_secret()))).unwrap();

    assert_eq!(principal.tenant.as_str(), "acme");
    assert_eq!(principal.key, info.id);
    assert_eq!(principal.limits, info.limits);
    assert_eq!(principal.policies, info.policies);
}

#[test]
fn keys_that_are_missing_malformed_or_unknown_are_told_apart() {
    let (_folder, path) = folder();
    let (store, _) = store(&path, true);
    let (_, text) = store.create(new_key("acme")).unwrap();
    let other_end = if text.expose_secret().ends_with('0') { "1" } else { "0" };
    let forged = format!("{}{other_end}", &text.expose_secret()[..text.expose_secret().len() - 1]);

    assert_eq!(store.authenticate(None), Err(KeyError::Missing));
    assert_eq!(store.authenticate(Some("  ")), Err(KeyError::Missing));
    assert_eq!(store.authenticate(Some("Bearer sk-abc")), Err(KeyError::Malformed));
    assert_eq!(store.authenticate(Some("Bearer pm-ä-ö")), Err(KeyError::Malformed));
    assert_eq!(store.authenticate(Some(&format!("pm-{}-{}", "0".repeat(12), "0".repeat(64)))), Err(KeyError::Unknown));
    assert_eq!(store.authenticate(Some(&forged)), Err(KeyError::Unknown));
}

#[test]
fn a_revoked_key_is_refused() {
    let (_folder, path) = folder();
    let (store, _) = store(&path, true);
    let (info, text) = store.create(new_key("acme")).unwrap();

    let revoked = store.revoke(&info.id).unwrap().unwrap();

    assert_eq!(revoked.revoked, Some(now()));
    assert_eq!(store.authenticate(Some(text.expose_secret())), Err(KeyError::Revoked));
    assert_eq!(store.revoke(&KeyId::parse("nothing").unwrap()).unwrap(), None);
}

#[test]
fn a_key_ends_at_its_expiry() {
    let (_folder, path) = folder();
    let (store, clock) = store(&path, true);
    let expires = Some(now() + Duration::from_secs(60));
    let (_, text) = store.create(NewKey { expires, ..new_key("acme") }).unwrap();

    assert!(store.authenticate(Some(text.expose_secret())).is_ok());
    clock.advance(Duration::from_secs(60));

    assert_eq!(store.authenticate(Some(text.expose_secret())), Err(KeyError::Expired));
}

#[test]
fn an_open_gateway_lets_everyone_in_and_still_knows_valid_keys() {
    let (_folder, path) = folder();
    let (store, _) = store(&path, false);
    let (info, text) = store.create(new_key("acme")).unwrap();

    let stranger = store.authenticate(Some("Bearer sk-anything")).unwrap();
    let known = store.authenticate(Some(text.expose_secret())).unwrap();

    assert_eq!((stranger.tenant.as_str(), stranger.key.as_str()), ("default", "open"));
    assert_eq!(known.key, info.id);
}

#[test]
fn a_change_of_the_file_is_seen_within_a_second() {
    let (_folder, path) = folder();
    let (server, clock) = store(&path, true);
    let (command_line, _) = store(&path, true);
    let (_, text) = command_line.create(new_key("acme")).unwrap();

    let at_once = server.authenticate(Some(text.expose_secret()));
    clock.advance(Duration::from_secs(1));
    let later = server.authenticate(Some(text.expose_secret()));

    assert_eq!(at_once, Err(KeyError::Unknown));
    assert!(later.is_ok());
}

#[test]
fn a_damaged_change_leaves_the_keys_as_they_were() {
    let (_folder, path) = folder();
    let (store, clock) = store(&path, true);
    let (_, text) = store.create(new_key("acme")).unwrap();

    std::fs::write(&path, "{\"pepper\": \"canary\"").unwrap();
    clock.advance(Duration::from_secs(1));

    assert!(store.authenticate(Some(text.expose_secret())).is_ok());
    let error = store.reload().unwrap_err();
    assert!(matches!(error, KeyStoreError::Malformed { .. }));
    assert!(!format!("{error} {error:?}").contains("canary"));
}

#[test]
fn the_file_is_private_and_holds_no_key() {
    let (_folder, path) = folder();
    let (store, _) = store(&path, true);
    let (_, text) = store.create(new_key("acme")).unwrap();

    let written = std::fs::read_to_string(&path).unwrap();
    let secret = text.expose_secret().rsplit('-').next().unwrap();

    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!written.contains(secret));
    assert!(!format!("{text:?} {:?}", store.list()).contains(secret));
}

#[test]
fn keys_made_at_the_same_time_are_all_kept() {
    let (_folder, path) = folder();

    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let (store, _) = store(&path, true);
                for _ in 0..5 {
                    store.create(new_key("acme")).unwrap();
                }
            });
        }
    });

    assert_eq!(store(&path, true).0.list().len(), 20);
}
