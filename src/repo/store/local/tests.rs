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
