use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;

const OWNER: SeenOwner =
    SeenOwner { repository: RepositoryId::from_bytes([1; 16]), credential: CredentialId::from_bytes([2; 16]) };
const KEY: [u8; 32] = [3; 32];
/// Long after the files were changed.
const READ: Time = Time { seconds: 2_000_000_000, nanoseconds: 5 };

fn opened(folder: &Path, owner: SeenOwner, key: [u8; 32]) -> SeenFiles {
    SeenFiles::open(folder, owner, &key).unwrap().expect("not in use")
}

fn open(folder: &Path) -> SeenFiles {
    opened(folder, OWNER, KEY)
}

fn stamp(i: u8) -> Stamp {
    let time = |seconds| Time { seconds, nanoseconds: 999_999_999 };
    Stamp { size: u64::MAX - u64::from(i), mtime: time(-5), ctime: time(1_000_000_000), inode: u64::MAX }
}

fn record(seen: &mut SeenFiles, dir: &str, name: &str, i: u8) {
    assert!(seen.record(dir.as_bytes(), name.as_bytes(), stamp(i), &[i; 3], READ).unwrap());
}

fn names(seen: &mut SeenFiles, dir: &str) -> Vec<String> {
    let found = seen.dir(dir.as_bytes()).unwrap();
    found.files().iter().map(|file| String::from_utf8(file.name.clone()).unwrap()).collect()
}

#[derive(Debug, Clone)]
enum Step {
    Record(usize, u8, u8),
    Remove(usize, u8),
    Look(usize),
    Forget(usize),
    Sweep(usize),
    Clear,
    Commit,
    Reopen,
    Kill,
}

/// Paths of which one begins with the other without being above it.
const DIRS: [&[u8]; 7] = [b"/", b"/a", b"/a/b", b"/a/b/c", b"/a0", b"/ab", b"/\xff/\0"];

fn step() -> impl Strategy<Value = Step> {
    let dir = 0..DIRS.len();
    prop_oneof![
        20 => (dir.clone(), 0..5u8, 0..3u8).prop_map(|(dir, name, i)| Step::Record(dir, name, i)),
        4 => (dir.clone(), 0..5u8).prop_map(|(dir, name)| Step::Remove(dir, name)),
        4 => dir.clone().prop_map(Step::Look),
        1 => dir.clone().prop_map(Step::Forget),
        1 => dir.prop_map(Step::Sweep),
        1 => prop_oneof![Just(Step::Clear), Just(Step::Commit), Just(Step::Reopen), Just(Step::Kill)],
    ]
}

fn is_below(path: &[u8], root: &[u8]) -> bool {
    path == root || root == b"/" || path.strip_prefix(root).is_some_and(|rest| rest.starts_with(b"/"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn agrees_with_a_naive_map(steps in prop::collection::vec(step(), 0..80)) {
        let folder = tempfile::tempdir().unwrap();
        let mut seen = open(folder.path());
        let mut naive: BTreeMap<(usize, Vec<u8>), u8> = BTreeMap::new();
        let mut visited = HashSet::new();
        let mut committed = naive.clone();
        for step in steps {
            match step {
                Step::Record(dir, name, i) => {
                    prop_assert!(seen.record(DIRS[dir], &[name], stamp(i), &[i; 3], READ).unwrap());
                    naive.insert((dir, vec![name]), i);
                    visited.insert(dir);
                }
                Step::Remove(dir, name) => {
                    seen.remove(DIRS[dir], &[name]).unwrap();
                    naive.remove(&(dir, vec![name]));
                }
                Step::Look(dir) => {
                    let found = seen.dir(DIRS[dir]).unwrap();
                    let expected: Vec<_> = naive
                        .iter()
                        .filter(|((at, _), _)| *at == dir)
                        .map(|((_, name), &i)| SeenFile { name: name.clone(), stamp: stamp(i), read_at: READ.seconds, content: vec![i; 3] })
                        .collect();
                    for file in &expected {
                        prop_assert_eq!(found.get(&file.name), Some(file));
                    }
                    prop_assert_eq!(found.files(), &expected[..]);
                    prop_assert_eq!(found.get(b"other"), None);
                    visited.insert(dir);
                }
                Step::Forget(root) => {
                    seen.forget(DIRS[root]).unwrap();
                    naive.retain(|(dir, _), _| !is_below(DIRS[*dir], DIRS[root]));
                }
                Step::Sweep(root) => {
                    seen.sweep(DIRS[root]).unwrap();
                    naive.retain(|(dir, _), _| visited.contains(dir) || !is_below(DIRS[*dir], DIRS[root]));
                }
                Step::Clear => {
                    seen.clear().unwrap();
                    naive.clear();
                }
                Step::Commit => {
                    seen.commit().unwrap();
                    committed.clone_from(&naive);
                }
                Step::Reopen => {
                    seen.commit().unwrap();
                    drop(seen);
                    seen = open(folder.path());
                    committed.clone_from(&naive);
                    visited.clear();
                }
                Step::Kill => {
                    drop(seen);
                    seen = open(folder.path());
                    naive.clone_from(&committed);
                    visited.clear();
                }
            }
        }
    }
}

#[test]
fn racy_files_are_not_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = open(folder.path());
    let racy = Stamp { ctime: READ, ..stamp(1) };
    assert!(!seen.record(b"/d", b"f", racy, b"", READ).unwrap());
    assert_eq!(seen.dir(b"/d").unwrap(), SeenDir::default());
}

#[test]
fn the_same_row_is_not_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = open(folder.path());
    record(&mut seen, "/d", "f", 1);
    let before = seen.connection.total_changes();
    record(&mut seen, "/d", "f", 1);
    assert_eq!(seen.connection.total_changes(), before);
    record(&mut seen, "/d", "f", 2);
    assert_eq!(seen.connection.total_changes(), before + 1);
}

#[test]
fn transactions_end_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = open(folder.path());
    for i in 0..=CHANGES_PER_TRANSACTION {
        record(&mut seen, "/d", &format!("{i:05}"), 1);
    }
    drop(seen);
    assert_eq!(names(&mut open(folder.path()), "/d").len(), CHANGES_PER_TRANSACTION as usize);
}

/// Whatever anyone does to a row, it isn't believed.
#[test]
fn rows_that_were_changed_count_as_absent() {
    let changes = [
        "size = size + 1",
        "mtime = mtime + 1",
        "mtime_ns = mtime_ns - 1",
        "ctime = ctime + 1",
        "ctime_ns = ctime_ns - 1",
        "inode = inode + 1",
        "read_at = read_at + 1",
        "content = x'00'",
        "mac = x'0000000000000000'",
        "mac = x''",
        "name = x'67'",
        "mtime_ns = -1",
        "dir = (SELECT id FROM dirs WHERE path = x'2f65')", // "/e"
    ];
    for change in changes {
        let folder = tempfile::tempdir().unwrap();
        let mut seen = open(folder.path());
        record(&mut seen, "/d", "f", 1);
        record(&mut seen, "/e", "other", 1);
        assert_eq!(names(&mut seen, "/d"), ["f"]);
        let sql = format!("UPDATE seen SET {change} WHERE name = x'66'");
        assert_eq!(seen.connection.execute(&sql, []).unwrap(), 1, "{change}");
        assert_eq!(names(&mut seen, "/d"), [""; 0], "{change}");
        assert_eq!(names(&mut seen, "/e"), ["other"], "{change}");
        let left: i64 = seen.connection.query_row("SELECT count(*) FROM seen", [], |row| row.get(0)).unwrap();
        assert_eq!(left, 1, "{change}: a bad row that was met is removed");
    }
}

#[test]
fn another_owner_or_version_finds_an_empty_cache() {
    let folder = tempfile::tempdir().unwrap();
    let others = [
        SeenOwner { repository: RepositoryId::from_bytes([9; 16]), ..OWNER },
        SeenOwner { credential: CredentialId::from_bytes([9; 16]), ..OWNER },
    ];
    let fill = || {
        let mut seen = open(folder.path());
        record(&mut seen, "/d", "f", 1);
        seen.commit().unwrap();
        seen
    };
    for owner in others {
        drop(fill());
        assert_eq!(names(&mut opened(folder.path(), owner, KEY), "/d"), [""; 0]);
        assert_eq!(names(&mut open(folder.path()), "/d"), [""; 0], "for good");
    }
    drop(fill());
    assert_eq!(names(&mut opened(folder.path(), OWNER, [4; 32]), "/d"), [""; 0], "another key");
    let seen = fill();
    seen.connection.pragma_update(None, "user_version", 99).unwrap();
    drop(seen);
    assert_eq!(names(&mut open(folder.path()), "/d"), [""; 0]);
}

#[test]
fn a_second_one_goes_without() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = open(folder.path());
    assert!(matches!(SeenFiles::open(folder.path(), OWNER, &KEY), Ok(None)));
    record(&mut seen, "/d", "f", 1);
    seen.commit().unwrap();
    assert!(matches!(SeenFiles::open(folder.path(), OWNER, &KEY), Ok(None)));
    drop(seen);
    assert_eq!(names(&mut open(folder.path()), "/d"), ["f"]);
}

#[test]
fn a_corrupt_file_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = database::path(folder.path());
    for garbage in [&b"this is no database, however long one looks at it"[..], &[0; 5000], b"SQLite format 3\0"] {
        fs::write(&path, garbage).unwrap();
        let mut seen = open(folder.path());
        record(&mut seen, "/d", "f", 1);
        seen.commit().unwrap();
        drop(seen);
        assert_eq!(names(&mut open(folder.path()), "/d"), ["f"]);
    }
}

/// Damage that shows only when a page is read must not fail the run either, nor give a wrong row.
#[test]
fn damage_within_the_file_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = open(folder.path());
    for i in 0..2_000 {
        record(&mut seen, "/d", &format!("{i:04}"), 1);
    }
    seen.commit().unwrap();
    drop(seen);
    let path = database::path(folder.path());
    let good = fs::read(&path).unwrap();
    let pages = good.len() / 4096;
    assert!(pages > 20);
    let mut made_anew = 0;
    for page in 0..pages {
        let mut bad = good.clone();
        bad[page * 4096..][..if page == 0 { 600 } else { 64 }].fill(0xa5);
        fs::write(&path, bad).unwrap();
        let mut seen = open(folder.path());
        for file in seen.dir(b"/d").unwrap().files() {
            assert_eq!((file.stamp, &file.content[..]), (stamp(1), &[1; 3][..]));
        }
        made_anew += usize::from(names(&mut seen, "/d").is_empty());
        record(&mut seen, "/d", "new", 2);
        seen.commit().unwrap();
        assert!(names(&mut seen, "/d").contains(&"new".to_owned()));
    }
    assert!(made_anew > pages / 2, "{made_anew} of {pages}");
}

#[test]
fn only_the_owner_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("new");
    let mut seen = open(&folder);
    record(&mut seen, "/d", "f", 1);
    seen.commit().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for entry in fs::read_dir(&folder).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}
