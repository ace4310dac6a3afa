//! The folder store: what a crash leaves, what an unmounted disk looks like, what stands in a folder besides objects.

use super::conformance::{Case, check};
use bytes::Bytes;
use nightsafe::repo::store::local::LocalStore;
use nightsafe::repo::store::{Store, StoreErrorKind};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const BYTES: Bytes = Bytes::from_static(b"bytes");

/// A store that has its root, in a folder of its own.
fn store() -> (TempDir, PathBuf, LocalStore) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let store = LocalStore::new(&root);
    store.create_root().unwrap();
    (folder, root, store)
}

fn keys(store: &LocalStore, prefix: &str) -> Vec<String> {
    let mut keys = Vec::new();
    store.list(prefix, &mut |listed| keys.push(listed.key)).unwrap();
    keys.sort();
    keys
}

/// Every name below `folder`, relative to it.
fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().unwrap().is_dir() {
            names.extend(self::names(&entry.path()).into_iter().map(|below| format!("{name}/{below}")));
        }
        names.push(name);
    }
    names.sort();
    names
}

#[test]
fn it_conforms() {
    check(&|| {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("not/yet");
        let store = Arc::new(LocalStore::new(&root));
        Case {
            remove_root: Some(Box::new(move || fs::remove_dir_all(&root).unwrap())),
            keep: Box::new(folder),
            ..Case::new(store)
        }
    });
}

#[test]
fn nothing_but_objects_and_their_directories_is_left() {
    let (_keep, root, store) = store();
    store.put("packs/0a/x", &BYTES).unwrap();
    store.put("packs/0a/x", &BYTES).unwrap();
    store.put("packs/0a/x", &Bytes::from_static(b"other")).unwrap_err();
    assert_eq!(names(&root), ["packs", "packs/0a", "packs/0a/x"]);
    assert_eq!(fs::metadata(root.join("packs/0a/x")).unwrap().nlink(), 1);
}

#[test]
fn only_the_owner_may_read() {
    let (_keep, root, store) = store();
    store.put("packs/0a/x", &BYTES).unwrap();
    for (path, mode) in [("", 0o700), ("packs", 0o700), ("packs/0a", 0o700), ("packs/0a/x", 0o600)] {
        assert_eq!(fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o7777, mode, "{path}");
    }
}

#[test]
fn what_a_crash_leaves_is_hidden_and_harmless() {
    let (_keep, root, store) = store();
    store.put("packs/0a/x", &BYTES).unwrap();
    let left = root.join("packs/0a/0123456789abcdef0123456789abcdef.tmp");
    fs::write(&left, "byt").unwrap();
    assert_eq!(keys(&store, ""), ["packs/0a/x"]);
    store.put("packs/0a/y", &BYTES).unwrap();
    assert_eq!(fs::read(&left).unwrap(), b"byt");
    // Too young; then old enough. Files of others stay.
    let foreign = root.join("packs/0a/mine.tmp");
    fs::write(&foreign, "").unwrap();
    assert_eq!(store.remove_stale_temporaries(Duration::from_hours(24)).unwrap(), 0);
    assert!(left.exists());
    assert_eq!(store.remove_stale_temporaries(Duration::ZERO).unwrap(), 1);
    assert!(!left.exists() && foreign.exists());
    assert_eq!(keys(&store, ""), ["packs/0a/x", "packs/0a/y"]);
}

#[test]
fn what_is_not_an_object_is_not_listed_nor_read() {
    let (keep, root, store) = store();
    store.put("packs/0a/x", &BYTES).unwrap();
    let outside = keep.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    symlink(outside.join("secret"), root.join("packs/0a/link")).unwrap();
    symlink(&outside, root.join("packs/elsewhere")).unwrap();
    symlink("..", root.join("packs/0a/up")).unwrap();
    fs::write(root.join("packs/0a/.hidden"), "").unwrap();
    fs::write(root.join("README"), "").unwrap();
    fs::create_dir(root.join("lost+found")).unwrap();
    fs::write(root.join("lost+found/x"), "").unwrap();
    fs::create_dir(root.join(".snapshots")).unwrap();
    fs::write(root.join(".snapshots/x"), "").unwrap();
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
    let fifo = root.join("packs/0a/pipe");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    assert_eq!(keys(&store, ""), ["packs/0a/x"]);
    for key in ["packs/0a/link", "packs/elsewhere/secret", "packs/0a/up/0a/x", "packs/0a/pipe"] {
        assert_eq!(store.get(key, 100).unwrap_err().kind, StoreErrorKind::NotFound, "{key}");
        assert_eq!(store.length(key).unwrap(), None, "{key}");
    }
    // They aren't replaced either, and nothing is written through them.
    assert_eq!(store.put("packs/0a/link", &BYTES).unwrap_err().kind, StoreErrorKind::Exists);
    assert_eq!(store.put("packs/0a/pipe", &BYTES).unwrap_err().kind, StoreErrorKind::Exists);
    assert_eq!(store.put("packs/elsewhere/new", &BYTES).unwrap_err().kind, StoreErrorKind::Other);
    store.delete("packs/elsewhere/secret").unwrap();
    assert_eq!(names(&outside), ["secret"]);
    assert_eq!(fs::read(outside.join("secret")).unwrap(), b"secret");
}

#[test]
fn a_root_that_is_a_link_to_a_folder_will_do() {
    let (keep, root, store) = store();
    store.put("a", &BYTES).unwrap();
    let link = keep.path().join("link");
    symlink(&root, &link).unwrap();
    assert_eq!(LocalStore::new(&link).get("a", 10).unwrap(), BYTES);
}

#[test]
fn a_root_that_is_a_file_or_a_dangling_link_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    fs::write(&file, "").unwrap();
    symlink("nowhere", &link).unwrap();
    for root in [file, link] {
        let store = LocalStore::new(&root);
        assert_eq!(store.get("a", 10).unwrap_err().kind, StoreErrorKind::RootMissing);
        store.create_root().unwrap_err();
    }
}

/// An unmounted disk: its mount point is there still, and another folder.
#[test]
fn another_folder_in_the_roots_place_is_noticed() {
    let (keep, root, store) = store();
    store.put("a", &BYTES).unwrap();
    let away = keep.path().join("away");
    fs::rename(&root, &away).unwrap();
    assert_eq!(store.put("b", &BYTES).unwrap_err().kind, StoreErrorKind::RootMissing);
    fs::create_dir(&root).unwrap();
    assert_eq!(store.put("b", &BYTES).unwrap_err().kind, StoreErrorKind::RootMissing);
    assert_eq!(store.list("", &mut |_| {}).unwrap_err().kind, StoreErrorKind::RootMissing);
    assert_eq!(store.get("a", 10).unwrap_err().kind, StoreErrorKind::RootMissing);
    assert_eq!(names(&root), [""; 0]);
    // Mounted again.
    fs::remove_dir(&root).unwrap();
    fs::rename(&away, &root).unwrap();
    store.put("b", &BYTES).unwrap();
    assert_eq!(keys(&store, ""), ["a", "b"]);
}

#[test]
fn a_relative_root_stays_where_it_was() {
    let store = LocalStore::new(Path::new("some/where"));
    assert_eq!(store.url(), std::env::current_dir().unwrap().join("some/where").display().to_string());
    assert_eq!(store.length("a").unwrap_err().kind, StoreErrorKind::RootMissing);
    assert!(!Path::new("some").exists());
}

#[test]
fn a_torn_object_of_another_writer_is_not_taken_for_ours() {
    let (_keep, root, store) = store();
    fs::write(root.join("a"), "byt").unwrap();
    assert_eq!(store.put("a", &BYTES).unwrap_err().kind, StoreErrorKind::Exists);
    assert_eq!(fs::read(root.join("a")).unwrap(), b"byt");
}

#[test]
fn a_folder_that_may_not_be_written_is_denied() {
    let (_keep, root, store) = store();
    store.put("packs/x", &BYTES).unwrap();
    fs::set_permissions(root.join("packs"), fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(root.join("packs/canary"), "").is_ok() {
        println!("skipped: this user may write everywhere");
        return;
    }
    assert_eq!(store.put("packs/y", &BYTES).unwrap_err().kind, StoreErrorKind::Denied);
    assert_eq!(store.delete("packs/x").unwrap_err().kind, StoreErrorKind::Denied);
    assert_eq!(store.get("packs/x", 10).unwrap(), BYTES);
    fs::set_permissions(root.join("packs"), fs::Permissions::from_mode(0o700)).unwrap();
}

/// `/dev/full` is no folder; a tiny file system needs root. So this runs where one can be mounted.
#[test]
fn a_full_disk_is_told_and_leaves_no_object() {
    let folder = tempfile::tempdir().unwrap();
    let mount = |arguments: &[&str]| std::process::Command::new(arguments[0]).args(&arguments[1..]).output();
    let path = folder.path().to_str().unwrap();
    let mounted = mount(&["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", path]);
    if !mounted.is_ok_and(|output| output.status.success()) {
        println!("skipped: no file system can be mounted here");
        return;
    }
    let store = LocalStore::new(folder.path());
    store.put("a", &BYTES).unwrap();
    let outcome = store.put("packs/b", &Bytes::from(vec![7; 1 << 20]));
    let left = names(folder.path());
    drop(store);
    assert!(mount(&["umount", path]).unwrap().status.success());
    assert_eq!(outcome.unwrap_err().kind, StoreErrorKind::Full);
    assert_eq!(left, ["a", "packs"]);
}
