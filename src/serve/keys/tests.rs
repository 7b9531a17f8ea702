//! Keys in a file.

use std::fs;
use std::sync::Arc;

use secrecy::ExposeSecret;

use super::document::SALT_BYTES;
use super::place::Place;
use super::{KeyStore, Provable, Scope};
use crate::lake::Watch;

fn keys() -> (tempfile::TempDir, KeyStore) {
    let folder = tempfile::tempdir().unwrap();
    let keys = KeyStore::new(folder.path().join("keys.json"));
    (folder, keys)
}

fn path(keys: &KeyStore) -> &std::path::Path {
    match &*keys.place {
        Place::File(file) => &file.path,
        Place::Bucket(_) => panic!("these keys are in a file"),
    }
}

#[tokio::test]
async fn a_key_opens_its_own_store_until_it_is_revoked() {
    let (_folder, keys) = keys();
    let (a, secret_a) = keys.create("a", &[Scope::Query]).await.unwrap();
    let (_, secret_b) = keys.create("b", &[Scope::Admin]).await.unwrap();
    let seen = keys.look().await.unwrap();
    assert_eq!(seen.verify(secret_a.expose_secret()).unwrap().store, "a");
    assert_eq!(seen.verify(secret_b.expose_secret()).unwrap().store, "b");
    assert!(seen.verify("trb_").is_none());
    // Another process revokes: this one sees it at once.
    KeyStore::new(path(&keys)).revoke(&a.id).await.unwrap();
    let seen = keys.look().await.unwrap();
    assert!(seen.verify(secret_a.expose_secret()).is_none());
    assert!(seen.verify(secret_b.expose_secret()).is_some());
    assert!(keys.list().await.unwrap()[0].revoked_at.is_some());
    assert!(keys.revoke("key_none").await.is_err());
}

#[tokio::test]
async fn keys_of_a_watched_folder_are_seen_at_once_too() {
    let (_folder, keys) = keys();
    let watch = Arc::new(Watch::default());
    keys.follow(&watch);
    let other = KeyStore::new(path(&keys));
    assert!(keys.look().await.unwrap().is_empty());
    for number in 1..=20 {
        let (info, secret) = other.create("a", &[Scope::Query]).await.unwrap();
        assert!(keys.look().await.unwrap().verify(secret.expose_secret()).is_some());
        other.revoke(&info.id).await.unwrap();
        assert!(keys.look().await.unwrap().verify(secret.expose_secret()).is_none());
        assert_eq!(keys.list().await.unwrap().len(), number);
    }
    // Through a link, the file changes in another folder.
    let (elsewhere, text) = (tempfile::tempdir().unwrap(), fs::read(path(&keys)).unwrap());
    let target = elsewhere.path().join("keys.json");
    fs::write(&target, &text).unwrap();
    fs::remove_file(path(&keys)).unwrap();
    assert!(keys.look().await.is_err(), "keys that are gone open nothing");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&target, path(&keys)).unwrap();
        assert_eq!(keys.list().await.unwrap().len(), 20);
        KeyStore::new(&target).create("a", &[Scope::Query]).await.unwrap();
        assert_eq!(keys.list().await.unwrap().len(), 21);
    }
}

#[tokio::test]
async fn scopes_allow_what_they_say_and_admin_allows_all() {
    let (_folder, keys) = keys();
    let (land, _) = keys.create("a", &[Scope::Land]).await.unwrap();
    let (admin, _) = keys.create("a", &[Scope::Admin]).await.unwrap();
    assert!(land.allows(Scope::Land) && !land.allows(Scope::Query) && !land.allows(Scope::Admin));
    assert!(admin.allows(Scope::Land) && admin.allows(Scope::Query) && admin.allows(Scope::Admin));
}

#[tokio::test]
async fn the_file_holds_no_secret_and_is_its_owners_alone() {
    let (_folder, keys) = keys();
    let (_, secret) = keys.create("a", &[Scope::Query]).await.unwrap();
    let text = fs::read_to_string(path(&keys)).unwrap();
    assert!(!text.contains(secret.expose_secret()) && !text.contains(&secret.expose_secret()[4..]));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(path(&keys)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn concurrent_makers_lose_no_key() {
    let (_folder, keys) = keys();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let own = KeyStore::new(path(&keys));
                futures::executor::block_on(own.create("a", &[Scope::Land])).unwrap()
            });
        }
    });
    assert_eq!(keys.list().await.unwrap().len(), 8);
}

#[tokio::test]
async fn a_key_that_was_made_before_verifiers_still_opens_and_cannot_be_proved() {
    let (_folder, keys) = keys();
    let provable = async || keys.look().await.unwrap().provable().unwrap();
    assert_eq!(provable().await, Provable::None);
    let (info, secret) = keys.create("a", &[Scope::Query]).await.unwrap();
    assert!(matches!(provable().await, Provable::All(salt) if salt.len() == SALT_BYTES));
    let forget = |document: &mut super::Document| {
        document.keys[0].scram = None;
        Ok(true)
    };
    keys.change(forget).await.unwrap();
    assert_eq!(provable().await, Provable::None);
    assert_eq!(keys.look().await.unwrap().verify(secret.expose_secret()).unwrap().id, info.id);
    let (newer, _) = keys.create("a", &[Scope::Query]).await.unwrap();
    assert!(matches!(provable().await, Provable::Some(_)));
    keys.revoke(&info.id).await.unwrap();
    assert!(matches!(provable().await, Provable::All(_)));
    let seen = keys.look().await.unwrap();
    assert!(seen.find(&info.id).is_none() && seen.find(&newer.id).is_some());
    assert!(seen.verify_proof(b"messages", &[0; 32]).is_none());
}

#[tokio::test]
async fn a_damaged_file_lets_nobody_in() {
    let (_folder, keys) = keys();
    fs::write(path(&keys), b"{").unwrap();
    assert!(keys.look().await.is_err());
    assert!(keys.create("../a", &[Scope::Land]).await.is_err());
}

#[tokio::test]
async fn a_file_that_is_deleted_opens_nothing_until_there_are_keys_again() {
    let (_folder, keys) = keys();
    keys.create("a", &[Scope::Query]).await.unwrap();
    keys.look().await.unwrap();
    fs::remove_file(path(&keys)).unwrap();
    let error = keys.look().await.unwrap_err();
    assert!(error.message().contains("restore keys.json"), "{error}");
    KeyStore::new(path(&keys)).create("a", &[Scope::Query]).await.unwrap();
    assert_eq!(keys.list().await.unwrap().len(), 1);
}

#[test]
fn the_keys_of_a_bucket_are_in_no_file() {
    assert_eq!(super::keys_file("a/b"), Some("a/b/keys.json".into()));
    assert_eq!(super::keys_file("file:///a/b"), Some("/a/b/keys.json".into()));
    assert_eq!(super::keys_file("memory:"), Some("tributary-keys.json".into()));
    for bucket in ["s3://lake/a", "gs://lake", "az://lake/a"] {
        assert_eq!(super::keys_file(bucket), None, "{bucket}");
    }
}
