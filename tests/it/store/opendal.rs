//! Stores behind OpenDAL that need no server.

use super::conformance::{Case, check};
use bytes::Bytes;
use nightsafe::repo::store::opendal::OpenDalStore;
use nightsafe::repo::store::retry::Backoff;
use nightsafe::repo::store::url::{StoreUrl, open, open_with};
use nightsafe::repo::store::{Store, StoreErrorKind};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The folder `root` through OpenDAL.
fn folder(root: &Path) -> Arc<dyn Store> {
    let url = StoreUrl::parse(&format!("fs:{}", root.display())).unwrap();
    open(&url, &BTreeMap::new(), &BTreeMap::new()).unwrap()
}

#[test]
fn memory_conforms() {
    check(&|| {
        let operator = opendal::Operator::new(opendal::services::Memory::default()).unwrap();
        Case { begins_without_root: false, ..Case::new(Arc::new(OpenDalStore::over(operator, "opendal-memory:"))) }
    });
}

#[test]
fn a_folder_conforms() {
    check(&|| {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("not/yet");
        Case {
            remove_root: Some(Box::new({
                let root = root.clone();
                move || fs::remove_dir_all(&root).unwrap()
            })),
            exclusive: false, // objects are moved into place
            histories: 8,
            keep: Box::new(folder),
            ..Case::new(self::folder(&root))
        }
    });
}

#[test]
fn opening_creates_nothing() {
    let keep = tempfile::tempdir().unwrap();
    let root = keep.path().join("root");
    let store = folder(&root);
    assert_eq!(store.put("a", &Bytes::from_static(b"a")).unwrap_err().kind, StoreErrorKind::RootMissing);
    assert!(!root.exists());
}

#[test]
fn the_folder_is_the_same_by_either_route() {
    let keep = tempfile::tempdir().unwrap();
    let store = folder(keep.path());
    store.put("packs/0a/x", &Bytes::from_static(b"x")).unwrap();
    let other = nightsafe::repo::store::local::LocalStore::new(keep.path());
    assert_eq!(other.get("packs/0a/x", 10).unwrap(), "x");
    other.put("packs/0a/y", &Bytes::from_static(b"y")).unwrap();
    fs::write(keep.path().join("packs/0a/0123456789abcdef0123456789abcdef.tmp"), "").unwrap();
    fs::write(keep.path().join("packs/0a/.hidden"), "").unwrap();
    let mut keys = Vec::new();
    store.list("", &mut |listed| keys.push((listed.key, listed.length, listed.modified.is_some()))).unwrap();
    keys.sort();
    assert_eq!(keys, [("packs/0a/x".to_owned(), 1, true), ("packs/0a/y".to_owned(), 1, true)]);
}

#[test]
fn no_unfinished_file_is_left() {
    let keep = tempfile::tempdir().unwrap();
    let store = folder(keep.path());
    store.put("x", &Bytes::from_static(b"x")).unwrap();
    store.put("x", &Bytes::from_static(b"y")).unwrap_err();
    let names: Vec<_> = fs::read_dir(keep.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["x"]);
}

/// Nothing listens on the port: it's told as an absence of answers, after tries, and no secret is in the message.
#[test]
fn a_server_that_is_down_is_transient() {
    let url = StoreUrl::parse("s3:http://127.0.0.1:9/bucket/x").unwrap();
    let options = [("disable_config_load".to_owned(), "true".to_owned())];
    let secrets = ["access_key_id", "secret_access_key"];
    let secrets = secrets.map(|option| (option.to_owned(), "hunter2-hunter2".to_owned().into()));
    let quick = Backoff { tries: 2, first: Duration::from_millis(1), longest: Duration::from_millis(1) };
    let store = open_with(&url, &options.into(), &secrets.into(), quick).unwrap();
    for error in [
        store.get("a", 10).unwrap_err(),
        store.put("a", &Bytes::from_static(b"a")).unwrap_err(),
        store.list("", &mut |_| {}).unwrap_err(),
    ] {
        assert!(error.is_transient(), "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        assert_eq!(error.source.unwrap().to_string(), "gave up after 2 tries");
    }
}
