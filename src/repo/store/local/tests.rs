use super::*;

#[test]
fn errors_of_the_system_have_their_meaning() {
    for (error, kind) in [
        (Errno::NOENT, StoreErrorKind::NotFound),
        (Errno::ACCESS, StoreErrorKind::Denied),
        (Errno::ROFS, StoreErrorKind::Denied),
        (Errno::NOSPC, StoreErrorKind::Full),
        (Errno::DQUOT, StoreErrorKind::Full),
        (Errno::FBIG, StoreErrorKind::Full),
        (Errno::TIMEDOUT, StoreErrorKind::Transient),
        (Errno::IO, StoreErrorKind::Other),
    ] {
        assert_eq!(kind_of(&error.into()), kind, "{error}");
    }
}

/// A directory and two finished temporary files in it.
fn directory() -> (tempfile::TempDir, OwnedFd) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("1.tmp"), "one").unwrap();
    std::fs::write(folder.path().join("2.tmp"), "two").unwrap();
    let directory = File::open(folder.path()).unwrap().into();
    (folder, directory)
}

#[test]
fn linking_takes_a_free_name_only() {
    let (folder, directory) = directory();
    assert!(matches!(give_name(&directory, "1.tmp", "a"), Ok(Placed::Linked)));
    assert!(matches!(give_name(&directory, "2.tmp", "a"), Ok(Placed::Taken)));
    assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"one");
    assert!(folder.path().join("1.tmp").exists());
}

#[test]
fn renaming_takes_a_free_name_only() {
    let (folder, directory) = directory();
    assert!(matches!(rename_to_free(&directory, "1.tmp", "a"), Ok(Placed::Renamed)));
    assert!(matches!(rename_to_free(&directory, "2.tmp", "a"), Ok(Placed::Taken)));
    assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"one");
    assert!(!folder.path().join("1.tmp").exists() && folder.path().join("2.tmp").exists());
}

#[test]
fn comparing_sees_every_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let mut bytes = vec![7; 2 * COMPARED + 10];
    std::fs::write(&path, &bytes).unwrap();
    assert!(has_bytes(&File::open(&path).unwrap(), &bytes).unwrap());
    for at in [0, COMPARED - 1, COMPARED, 2 * COMPARED + 9] {
        bytes[at] ^= 1;
        assert!(!has_bytes(&File::open(&path).unwrap(), &bytes).unwrap(), "byte {at}");
        bytes[at] ^= 1;
    }
    bytes.push(7);
    assert!(!has_bytes(&File::open(&path).unwrap(), &bytes).unwrap());
}

/// The system tells once that it couldn't bring something to the disk. When a checkpoint took the news, the run that went on heard that all was well, and committed.
#[test]
fn what_could_not_be_settled_stays_so_for_as_long_as_the_store_is_open() {
    let root = tempfile::tempdir().unwrap();
    let store = LocalStore::new(root.path());
    store.put("packs/a", &Bytes::from_static(b"a")).unwrap();
    store.settle().unwrap();
    let broken = Folder::that_cannot_be_synchronised(root.path()).unwrap();
    *store.folder.lock().unwrap() = Some(Arc::new(broken));
    let first = store.settle().unwrap_err();
    // Whatever the disk says from now on: what was lost before isn't written again by that.
    *store.folder.lock().unwrap() = Some(Arc::new(Folder::open(root.path()).unwrap()));
    let second = store.settle().unwrap_err();
    assert_eq!((first.kind, first.to_string()), (second.kind, second.to_string()));
    assert!(store.settle().is_err());
    assert!(LocalStore::new(root.path()).settle().is_ok(), "another run asks anew, and writes anew");
}
