//! The suite over real services, where the environment names one: `scripts/s3-server`, `scripts/sshd-server`.

use super::conformance::{Case, check};
use bytes::Bytes;
use nightsafe::repo::store::url::{StoreUrl, open};
use nightsafe::repo::store::{Store, StoreErrorKind};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A variable of the environment, or a word on how to get it.
pub fn variable(name: &str, script: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    if value.is_none() {
        println!("skipped: {name} isn't set; eval \"$({script} start /tmp/DIR)\" sets it");
    }
    value
}

fn options<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(option, value)| (option.to_owned(), value.to_owned())).into()
}

/// A text that no run before has used.
pub fn unused() -> String {
    let mut random = [0; 8];
    getrandom::fill(&mut random).unwrap();
    format!("{:016x}", u64::from_le_bytes(random))
}

pub fn s3(url: &str) -> Arc<dyn Store> {
    let secret = |name: &str| std::env::var(name).unwrap().into();
    let secrets = BTreeMap::from([
        ("access_key_id".to_owned(), secret("NIGHTSAFE_TEST_S3_ACCESS_KEY_ID")),
        ("secret_access_key".to_owned(), secret("NIGHTSAFE_TEST_S3_SECRET_ACCESS_KEY")),
    ]);
    // Not what the machine's owner has configured for Amazon.
    open(&StoreUrl::parse(url).unwrap(), &options([("disable_config_load", "true")]), &secrets).unwrap()
}

#[test]
fn s3_conforms() {
    let Some(url) = variable("NIGHTSAFE_TEST_S3", "scripts/s3-server") else { return };
    let (run, stores) = (unused(), Cell::new(0));
    check(&|| {
        stores.set(stores.get() + 1);
        let store = s3(&format!("{url}/{run}/{}", stores.get()));
        // s3s-fs looks whether an object is there and then writes it, so that of two conditional writes at once both may win; and it answers 500
        // for what is a directory in its own folder. Real services don't.
        let real = std::env::var_os("NIGHTSAFE_TEST_S3_REAL").is_some();
        Case { begins_without_root: false, exclusive: real, knows_folders: real, histories: 4, ..Case::new(store) }
    });
}

#[test]
fn a_bucket_that_is_missing_is_a_missing_root() {
    let Some(url) = variable("NIGHTSAFE_TEST_S3", "scripts/s3-server") else { return };
    // Another name each time: s3s-fs creates a bucket that is written to.
    let store = s3(&format!("{url}-{}", unused()));
    let missing = Some(StoreErrorKind::RootMissing);
    assert_eq!(store.create_root().err().map(|error| error.kind), missing);
    assert_eq!(store.put("a", &Bytes::from_static(b"a")).err().map(|error| error.kind), missing);
    assert_eq!(store.get("a", 10).err().map(|error| error.kind), missing);
    assert_eq!(store.get_range("a", 0, 1).err().map(|error| error.kind), missing);
    assert_eq!(store.length("a").err().map(|error| error.kind), missing);
    assert_eq!(store.delete("a").err().map(|error| error.kind), missing);
    assert_eq!(store.list("", &mut |_| {}).err().map(|error| error.kind), missing);
}

#[test]
fn a_wrong_key_for_s3_is_denied() {
    let Some(url) = variable("NIGHTSAFE_TEST_S3", "scripts/s3-server") else { return };
    let secrets =
        ["access_key_id", "secret_access_key"].map(|option| (option.to_owned(), "wrong-wrong".to_owned().into()));
    let options = options([("disable_config_load", "true")]);
    let store = open(&StoreUrl::parse(&url).unwrap(), &options, &secrets.into()).unwrap();
    let error = store.list("", &mut |_| {}).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Denied, "{error:?}");
    assert!(!format!("{error:?}").contains("wrong-wrong"), "{error:?}");
}

fn sftp(url: &str) -> Arc<dyn Store> {
    let key = std::env::var("NIGHTSAFE_TEST_SFTP_KEY").unwrap();
    // The server's host key is made anew each time.
    let options = options([("key", key.as_str()), ("known_hosts_strategy", "accept")]);
    open(&StoreUrl::parse(url).unwrap(), &options, &BTreeMap::new()).unwrap()
}

#[test]
fn sftp_conforms() {
    let Some(url) = variable("NIGHTSAFE_TEST_SFTP", "scripts/sshd-server") else { return };
    let folder = std::env::var("NIGHTSAFE_TEST_SFTP_FOLDER").unwrap();
    let (run, stores) = (unused(), Cell::new(0));
    check(&|| {
        stores.set(stores.get() + 1);
        let root = format!("{run}/{}", stores.get());
        let store = sftp(&format!("{url}/{root}"));
        let root = Path::new(&folder).join(root);
        let remove_root = move || std::fs::remove_dir_all(&root).unwrap();
        Case { remove_root: Some(Box::new(remove_root)), exclusive: false, histories: 2, ..Case::new(store) }
    });
}

#[test]
fn a_wrong_key_for_sftp_is_denied() {
    let Some(url) = variable("NIGHTSAFE_TEST_SFTP", "scripts/sshd-server") else { return };
    let options = options([("key", "/nonexistent"), ("known_hosts_strategy", "accept")]);
    let store = open(&StoreUrl::parse(&url).unwrap(), &options, &BTreeMap::new()).unwrap();
    let error = store.list("", &mut |_| {}).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Denied, "{error:?}");
}
