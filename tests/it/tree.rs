//! Odd trees: walked, compared, and put back.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]
#![expect(clippy::print_stderr, reason = "a test that can't run here says so")]

use nightsafe::snapshot::source::event::{Event, Found};
use nightsafe::snapshot::source::excludes::{ExcludeOptions, Excludes, Reason};
use nightsafe::snapshot::source::owners::Owners;
use nightsafe::snapshot::source::reader::FileReader;
use nightsafe::snapshot::source::roots::Roots;
use nightsafe::snapshot::source::walk::{Walk, WalkError};
use nightsafe::snapshot::target::attributes::{AttributeOptions, AttributeWriter, Subject};
use nightsafe::snapshot::target::directory::Directory;
use nightsafe::snapshot::tree::entry::{Entry, EntryType};
use nightsafe::snapshot::tree::path::SafePath;
use nightsafe::snapshot::tree::problem::{Problem, ProblemKind};
use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, XattrFlags};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether the tests may change owners and make devices.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn set_mtime(path: &Path, seconds: i64, nanoseconds: i64) {
    let mtime = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: mtime };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn set_mode(path: &Path, mode: u32) {
    rustix::fs::chmod(path, Mode::from_raw_mode(mode)).unwrap();
}

/// Fills `base` with whatever a file system allows.
pub fn build_odd_tree(base: &Path) {
    let at = |name: &[u8]| base.join(OsStr::from_bytes(name));
    let write = |name: &[u8], content: &[u8]| std::fs::write(at(name), content).unwrap();
    for name in [
        &b"plain"[..],
        b"\xff\xfe not utf-8",
        b"new\nline",
        b"\x1b[31mred",
        b"back\\slash",
        b"-rf",
        b" ",
        b"#",
        &[b'n'; 255],
    ] {
        write(name, name);
    }
    write(b"empty", b"");
    write(b"larger", &(0..300_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
    build_links(base);
    build_directories(base);

    let sparse = File::create(at(b"sparse")).unwrap();
    sparse.set_len((5 << 20) + 123).unwrap();
    sparse.write_all_at(b"start", 0).unwrap();
    sparse.write_all_at(&[7; 10_000], 2 << 20).unwrap();
    File::create(at(b"all hole")).unwrap().set_len(3 << 20).unwrap();

    let unreadable = if is_root() { 0o000 } else { 0o400 };
    for (i, mode) in [unreadable, 0o444, 0o1755, 0o2711, 0o4755, 0o6777].into_iter().enumerate() {
        let path = at(format!("mode {i}").as_bytes());
        std::fs::write(&path, "x").unwrap();
        set_mode(&path, mode);
    }
    for (name, seconds, nanoseconds) in
        [("1969", -1, 5), ("1910", -1_893_456_000, 0), ("2100", 4_102_444_800, 999_999_999)]
    {
        write(name.as_bytes(), b"");
        set_mtime(&at(name.as_bytes()), seconds, nanoseconds);
    }
    rustix::fs::mkfifoat(CWD, at(b"fifo"), Mode::from_raw_mode(0o640)).unwrap();
    rustix::fs::mknodat(CWD, at(b"socket"), FileType::Socket, Mode::from_raw_mode(0o600), 0).unwrap();
    build_attributes(base);
    if is_root() {
        let device = rustix::fs::makedev(1, 3);
        rustix::fs::mknodat(CWD, at(b"device"), FileType::CharacterDevice, Mode::from_raw_mode(0o666), device).unwrap();
        rustix::fs::mknodat(
            CWD,
            at(b"block"),
            FileType::BlockDevice,
            Mode::from_raw_mode(0o660),
            rustix::fs::makedev(7, 300),
        )
        .unwrap();
        write(b"owned", b"x");
        std::os::unix::fs::chown(at(b"owned"), Some(12_345), Some(54_321)).unwrap();
        set_mode(&at(b"owned"), 0o6750);
        std::os::unix::fs::lchown(at(b"dangling"), Some(12_345), Some(1)).unwrap();
    }
    set_mtime(base, 1_000_000_000, 123_456_789);
}

fn build_links(base: &Path) {
    use std::os::unix::fs::symlink;
    symlink("nowhere", base.join("dangling")).unwrap();
    symlink("..", base.join("up")).unwrap();
    symlink(OsStr::from_bytes(b"\xff\n"), base.join("odd link")).unwrap();
    symlink("x/".repeat(2_000), base.join("long link")).unwrap();
    set_mtime(&base.join("long link"), 1_234_567_890, 987);
    std::fs::create_dir(base.join("zz links")).unwrap();
    std::fs::hard_link(base.join("plain"), base.join("zz links/second")).unwrap();
    std::fs::hard_link(base.join("plain"), base.join("a first")).unwrap();
    std::fs::hard_link(base.join("dangling"), base.join("zz links/link to link")).unwrap();
}

fn build_directories(base: &Path) {
    std::fs::create_dir_all(base.join("dir/sub/subsub")).unwrap();
    std::fs::create_dir(base.join("empty dir")).unwrap();
    std::fs::create_dir(base.join("many")).unwrap();
    for i in 0..1_000 {
        std::fs::write(base.join(format!("many/{i}")), i.to_string()).unwrap();
    }
    // Sorted by whole names, not by paths: "dir.txt" and "dir-x" come around "dir".
    std::fs::write(base.join("dir.txt"), "").unwrap();
    std::fs::write(base.join("dir-x"), "").unwrap();
    std::fs::write(base.join("dir/sub/file"), "deep").unwrap();
    set_mtime(&base.join("dir/sub"), 17, 1);
    set_mtime(&base.join("many"), -5, 2);
}

/// An access control list that lets user 1000 read: version, then (tag, permissions, id) of owner, user, group, mask, others.
fn acl() -> Vec<u8> {
    let entries =
        [(0x01u16, 6u16, u32::MAX), (0x02, 4, 1000), (0x04, 4, u32::MAX), (0x10, 4, u32::MAX), (0x20, 4, u32::MAX)];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend([tag.to_le_bytes(), permissions.to_le_bytes()].concat());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

fn build_attributes(base: &Path) {
    let set = |file: &str, name: &str, value: &[u8]| {
        std::fs::OpenOptions::new().create(true).append(true).open(base.join(file)).ok();
        rustix::fs::lsetxattr(base.join(file), name, value, XattrFlags::empty()).unwrap();
    };
    set("attributes", "user.b", b"");
    set("attributes", "user.a", &[0xff; 1_000]);
    set("attributes", "system.posix_acl_access", &acl());
    set("empty dir", "user.dir", b"value");
    set_mode(&base.join("empty dir"), 0o3500);
    set("dir", "system.posix_acl_default", &acl());
    if is_root() {
        set("capable", "security.capability", &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        set("attributes", "trusted.t", b"\0\x01");
        set("dangling", "trusted.link", b"on a link");
    }
}

/// What a walk came across: paths with entries (without content), and what was left out or went wrong.
#[derive(Debug, Default, PartialEq)]
struct Walked {
    entries: Vec<(String, Entry)>,
    excluded: Vec<(String, Reason)>,
    problems: Vec<Problem>,
}

impl Walked {
    fn paths(&self) -> Vec<&str> {
        self.entries.iter().map(|(path, _)| path.as_str()).collect()
    }
}

fn excludes(options: &ExcludeOptions) -> Excludes {
    Excludes::compile(options).unwrap()
}

fn walk_with(roots: &Roots, options: &ExcludeOptions, mut each: impl FnMut(&Event<'_>)) -> Walked {
    let mut walked = Walked::default();
    let mut owners = Owners::default();
    let mut open = 0usize;
    let excludes = excludes(options);
    Walk::new(roots, &excludes)
        .unwrap()
        .run::<WalkError>(&mut |event| {
            each(&event);
            match event {
                Event::Enter(found) | Event::Entry(found) if found.metadata.kind != EntryType::Directory => {
                    walked.entries.push((found.path.to_string(), found.entry(&mut owners)));
                }
                Event::Enter(found) => {
                    open += 1;
                    walked.entries.push((found.path.to_string(), found.entry(&mut owners)));
                }
                Event::Entry(_) => panic!("a directory that isn't entered"),
                Event::Leave => open = open.checked_sub(1).unwrap(),
                Event::Excluded(path, reason) | Event::Emptied(path, reason) => {
                    walked.excluded.push((path.to_string(), reason));
                }
                Event::Problem(problem) => walked.problems.push(problem),
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(open, 0, "every directory is left");
    walked
}

fn walk(roots: &Roots) -> Walked {
    walk_with(roots, &ExcludeOptions::default(), |_| {})
}

fn as_tree(base: &Path) -> Roots {
    Roots::resolve_as(base, b"tree").unwrap()
}

#[test]
fn an_odd_tree_is_walked_in_order_and_twice_the_same() {
    let dir = tempfile::tempdir().unwrap();
    build_odd_tree(dir.path());
    let walked = walk(&as_tree(dir.path()));
    assert_eq!(walked.problems, []);
    assert!(walked == walk(&as_tree(dir.path())));
    assert_eq!(walked.entries[0].0, "/");
    assert_eq!(walked.entries[1].0, "/tree");
    let find = Command::new("find").arg(dir.path()).arg("-print0").output().unwrap().stdout;
    assert_eq!(walked.entries.len() - 1, find.split(|&b| b == 0).count() - 1, "as many as find(1) finds");
    for wanted in [
        "/tree/\\xff\\xfe not utf-8",
        "/tree/new\\nline",
        "/tree/\\x1b[31mred",
        "/tree/back\\\\slash",
        "/tree/dir/sub/file",
    ] {
        assert!(walked.paths().contains(&wanted), "{wanted}");
    }
    // Each directory's entries make up a sound stream: in order, each once.
    let mut by_directory: HashMap<SafePath, Vec<Vec<u8>>> = HashMap::new();
    let excludes = excludes(&ExcludeOptions::default());
    let roots = as_tree(dir.path());
    let mut each = |event: Event<'_>| -> Result<(), WalkError> {
        if let Event::Enter(found) | Event::Entry(found) = event {
            let mut parent = found.path.clone();
            parent.pop();
            if !found.path.is_top() {
                by_directory.entry(parent).or_default().push(found.name().to_vec());
            }
        }
        Ok(())
    };
    Walk::new(&roots, &excludes).unwrap().run(&mut each).unwrap();
    assert!(by_directory.values().all(|names| names.is_sorted_by(|a, b| a < b)));
    let entry = |path: &str| &walked.entries.iter().find(|(p, _)| p == path).unwrap().1;
    assert_eq!(entry("/tree/plain").link_group, entry("/tree/zz links/second").link_group);
    assert!(entry("/tree/plain").link_group.is_some() && entry("/tree/empty").link_group.is_none());
    assert_eq!(entry("/tree/1969").mtime.seconds, -1);
    assert_eq!(entry("/tree/long link").target.as_ref().unwrap().len(), 4_000);
    assert_eq!(entry("/tree/fifo").kind, EntryType::Fifo);
    assert_eq!(entry("/tree/socket").kind, EntryType::Socket);
    assert_eq!(entry("/tree/mode 5").mode, 0o6777);
    let names = |path: &str| {
        entry(path).xattrs.iter().map(|x| String::from_utf8_lossy(&x.name).into_owned()).collect::<Vec<_>>()
    };
    let expected = ["system.posix_acl_access", "trusted.t", "user.a", "user.b"];
    assert_eq!(
        names("/tree/attributes"),
        expected.into_iter().filter(|n| is_root() || *n != "trusted.t").collect::<Vec<_>>()
    );
    assert_eq!(names("/tree/dir"), ["system.posix_acl_default"]);
}

#[test]
fn a_walk_opens_no_regular_file() {
    let dir = tempfile::tempdir().unwrap();
    build_odd_tree(dir.path());
    let watcher = rustix::fs::inotify::init(CreateFlags::NONBLOCK).unwrap();
    for folder in ["", "dir", "dir/sub", "empty dir", "many", "zz links"] {
        rustix::fs::inotify::add_watch(&watcher, dir.path().join(folder), WatchFlags::OPEN).unwrap();
    }
    let opened = || {
        let mut buffer = Vec::with_capacity(1 << 20);
        let mut events = Reader::new(&watcher, buffer.spare_capacity_mut());
        let mut opened = Vec::new();
        while let Ok(event) = events.next() {
            assert!(!event.events().contains(ReadFlags::QUEUE_OVERFLOW));
            if !event.events().contains(ReadFlags::ISDIR) {
                opened.push(event.file_name().map(|name| name.to_string_lossy().into_owned()));
            }
        }
        opened
    };
    assert!(walk(&as_tree(dir.path())).entries.len() > 1_000);
    assert_eq!(opened(), Vec::<Option<String>>::new());
    File::open(dir.path().join("plain")).unwrap();
    assert_eq!(opened(), [Some("plain".to_owned())], "the watch does see files");
}

/// Puts a tree back below `target`, as a restore does.
fn rebuild(base: &Path, target: &Path) -> Vec<String> {
    let roots = as_tree(base);
    let excludes = excludes(&ExcludeOptions::default());
    let top = Directory::open(target).unwrap();
    let mut stack: Vec<(Directory, Entry)> = Vec::new();
    let mut linked: HashMap<[u8; 8], SafePath> = HashMap::new();
    let mut owners = Owners::default();
    let mut writer = AttributeWriter::new(AttributeOptions::everything());
    let mut faults = Vec::new();
    let mut each = |event: Event<'_>| -> Result<(), WalkError> {
        match event {
            Event::Enter(found) if found.path.is_top() => {
                stack.push((Directory::open(target).unwrap(), found.entry(&mut owners)));
            }
            Event::Enter(found) => {
                let child = stack.last().unwrap().0.create_child(found.name()).unwrap();
                stack.push((child, found.entry(&mut owners)));
            }
            Event::Entry(found) => {
                let entry = found.entry(&mut owners);
                let directory = &stack.last().unwrap().0;
                if let Some(first) = entry.link_group.and_then(|group| linked.get(&group)) {
                    let mut parent = first.clone();
                    parent.pop();
                    let from = top.descend(&parent).unwrap();
                    let first = from.pin(first.name().unwrap()).unwrap();
                    directory.create_hard_link(found.name(), &first).unwrap();
                    return Ok(());
                }
                entry.link_group.map(|group| linked.insert(group, found.path.clone()));
                faults.extend(put_back(directory, &found, entry, &mut writer));
            }
            Event::Leave => {
                let (directory, entry) = stack.pop().unwrap();
                if !entry.name.is_empty() {
                    let found = writer.apply(Subject::Open(directory.as_fd()), &entry);
                    faults.extend(found.iter().map(|fault| format!("{entry:?}: {fault}")));
                }
            }
            Event::Excluded(..) | Event::Emptied(..) | Event::Problem(_) => panic!("{event:?}"),
        }
        Ok(())
    };
    Walk::new(&roots, &excludes).unwrap().run(&mut each).unwrap();
    top.sync_file_system().unwrap();
    faults
}

fn put_back(directory: &Directory, found: &Found<'_>, mut entry: Entry, writer: &mut AttributeWriter) -> Vec<String> {
    let faults = match entry.kind {
        EntryType::File => {
            let mut reader = FileReader::open(found.dir, found.at, &found.metadata).unwrap();
            entry.extents = reader.extents().map(<[_]>::to_vec);
            let mut file = directory.new_file(&entry).unwrap();
            std::io::copy(&mut reader, &mut file).unwrap();
            let finished = reader.finish().unwrap();
            assert_eq!((finished.changed, finished.size), (false, found.metadata.size));
            file.complete().unwrap();
            let faults = writer.apply(Subject::Open(file.as_fd()), &entry);
            file.place(&entry.name).unwrap();
            faults
        }
        kind => {
            let new = match kind {
                EntryType::Symlink => directory.new_link(entry.target.as_ref().unwrap()),
                _ => directory.new_special(&entry),
            };
            let new = new.unwrap();
            let faults = writer.apply(Subject::Pinned(new.pinned()), &entry);
            new.place(&entry.name).unwrap();
            faults
        }
    };
    faults.iter().map(|fault| format!("{entry:?}: {fault}")).collect()
}

#[test]
fn an_odd_tree_is_rebuilt_exactly() {
    let source = tempfile::tempdir().unwrap();
    let target = tempfile::tempdir().unwrap();
    build_odd_tree(source.path());
    let faults = rebuild(source.path(), target.path());
    assert_eq!(faults, Vec::<String>::new());
    let copy = target.path().join("tree");
    // What a copy can't share: when it was made.
    let comparable = |base: &Path| {
        let walked = walk(&as_tree(base));
        assert_eq!(walked.problems, []);
        let mut groups: HashMap<[u8; 8], u8> = HashMap::new();
        let entries = walked.entries.into_iter().map(|(path, mut entry)| {
            (entry.ctime, entry.btime) = (None, None);
            let next = u8::try_from(groups.len()).unwrap();
            entry.link_group = entry.link_group.map(|group| [*groups.entry(group).or_insert(next); 8]);
            (path, entry)
        });
        entries.collect::<Vec<_>>()
    };
    for (a, b) in comparable(source.path()).iter().zip(&comparable(&copy)) {
        assert_eq!(a, b);
    }
    assert_eq!(comparable(source.path()).len(), comparable(&copy).len());
    let allocated = |base: &Path, name: &str| {
        std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(base.join(name)).unwrap()) * 512
    };
    assert!(allocated(&copy, "sparse") < 1 << 20 && allocated(&copy, "all hole") < 1 << 20, "holes are holes again");
    if Command::new("rsync").arg("--version").output().is_err() {
        eprintln!("skipped: the comparison by rsync, which isn't installed (apt-get install rsync)");
        return;
    }
    let slash = |path: &Path| format!("{}/", path.display());
    let args = [slash(source.path()), slash(&copy)];
    let rsync = Command::new("rsync").args(["-aHAXnic", "--delete"]).args(args).output().unwrap();
    assert!(rsync.status.success(), "{}", String::from_utf8_lossy(&rsync.stderr));
    assert_eq!(String::from_utf8_lossy(&rsync.stdout), "");
}

/// Makes `depth` directories `d` in each other below `base`, each with a file `z`.
fn build_deep(base: &Path, depth: usize) {
    let mut dir: OwnedFd = File::open(base).unwrap().into();
    for _ in 0..depth {
        rustix::fs::mkdirat(&dir, "d", Mode::RWXU).unwrap();
        dir = rustix::fs::openat(&dir, "d", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        rustix::fs::openat(&dir, "z", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
    }
}

/// Removes what the standard library can't: it would hold all directories open.
fn remove_deep(dir: tempfile::TempDir) {
    let path = dir.keep();
    assert!(Command::new("rm").arg("-rf").arg(path).status().unwrap().success());
}

#[test]
fn the_deepest_tree_is_walked_and_a_deeper_one_is_told() {
    let dir = tempfile::tempdir().unwrap();
    build_deep(dir.path(), 4_100);
    let mut files = 0;
    let mut deepest = 0;
    let walked = walk_with(&as_tree(dir.path()), &ExcludeOptions::default(), |event| match event {
        Event::Entry(found) => {
            files += usize::from(found.name() == b"z");
            assert_eq!(found.metadata.kind, EntryType::File);
        }
        Event::Enter(found) => deepest = deepest.max(found.path.depth()),
        _ => {}
    });
    // "tree" is the first of 4,096 levels, so "d" is there 4,095 times; what is in the last isn't captured.
    assert_eq!((deepest, files), (4_096, 4_094));
    assert_eq!(
        walked.problems.iter().map(|p| (p.kind, p.path.depth())).collect::<Vec<_>>(),
        [(ProblemKind::TooLong, 4_096)]
    );
    remove_deep(dir);
}

#[test]
fn directories_moved_during_the_walk_lose_no_siblings() {
    let depth = 400;
    for (case, lost) in
        [("inner moved out", false), ("outer moved", false), ("outer moved out and inner elsewhere", true)]
    {
        let dir = tempfile::tempdir().unwrap();
        build_deep(dir.path(), depth);
        std::fs::create_dir(dir.path().join("elsewhere")).unwrap();
        let level = |n: usize| dir.path().join("d/".repeat(n));
        let mut files = 0;
        let walked = walk_with(&as_tree(dir.path()), &ExcludeOptions::default(), |event| match event {
            Event::Enter(found) if found.path.depth() == depth + 1 => {
                // All outer directories but the top are closed now.
                if case != "outer moved" {
                    std::fs::rename(level(101), dir.path().join("elsewhere/inner")).unwrap();
                }
                if case != "inner moved out" {
                    std::fs::rename(level(50), dir.path().join("elsewhere/outer")).unwrap();
                }
            }
            Event::Entry(_) => files += 1,
            _ => {}
        });
        // What was moved into "elsewhere" before that was visited is found there again.
        assert!(files >= depth - usize::from(lost) * 100, "{case}: {files}");
        assert_eq!(walked.problems.is_empty(), !lost, "{case}: {:?}", walked.problems);
        assert!(walked.problems.iter().all(|problem| problem.kind == ProblemKind::Changed));
        remove_deep(dir);
    }
}

#[test]
fn what_is_not_allowed_is_told_and_the_rest_is_found() {
    if is_root() {
        eprintln!("skipped: nothing is forbidden to root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (closed, listed) = (dir.path().join("closed"), dir.path().join("listed"));
    std::fs::create_dir_all(closed.join("sub")).unwrap();
    std::fs::create_dir(&listed).unwrap();
    std::fs::write(listed.join("file"), "").unwrap();
    std::fs::write(dir.path().join("z"), "").unwrap();
    set_mode(&closed, 0o000);
    set_mode(&listed, 0o400);
    let walked = walk(&as_tree(dir.path()));
    let inner = walk(&Roots::resolve_as(dir.path(), b"x").unwrap());
    set_mode(&closed, 0o111);
    let through = walk(&Roots::resolve(&[closed.join("sub")]).unwrap());
    set_mode(&closed, 0o700);
    set_mode(&listed, 0o700);
    assert_eq!(walked.paths(), ["/", "/tree", "/tree/closed", "/tree/listed", "/tree/z"]);
    assert_eq!(inner.entries.len(), walked.entries.len());
    let problems: Vec<_> = walked.problems.iter().map(|p| (p.path.to_string(), p.kind)).collect();
    let expected = ["/tree/closed", "/tree/listed/file"].map(|path| (path.to_owned(), ProblemKind::Denied));
    assert_eq!(problems, expected);
    assert_eq!(through.problems, [], "directories on the way needn't be readable");
}

#[test]
fn what_vanishes_is_told_and_the_rest_is_found() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "c", "e"] {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    std::fs::create_dir(dir.path().join("b")).unwrap();
    std::fs::create_dir(dir.path().join("d")).unwrap();
    let walked = walk_with(&as_tree(dir.path()), &ExcludeOptions::default(), |event| {
        if matches!(event, Event::Entry(found) if found.name() == b"a") {
            std::fs::remove_dir(dir.path().join("b")).unwrap();
            std::fs::remove_file(dir.path().join("c")).unwrap();
        }
    });
    assert_eq!(walked.paths(), ["/", "/tree", "/tree/a", "/tree/d", "/tree/e"]);
    let problems: Vec<_> = walked.problems.iter().map(|p| (p.path.to_string(), p.kind)).collect();
    assert_eq!(
        problems,
        [("/tree/b".to_owned(), ProblemKind::Vanished), ("/tree/c".to_owned(), ProblemKind::Vanished)]
    );
}

/// A folder for tests of roots, without links in its path.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().canonicalize().unwrap();
    for sub in ["app/data/cache/keep", "app/other", "apple"] {
        std::fs::create_dir_all(base.join(sub)).unwrap();
        std::fs::write(base.join(sub).join("file"), sub).unwrap();
    }
    (dir, base)
}

/// Paths of a walk without the base's own.
fn below(walked: &Walked, base: &Path) -> Vec<String> {
    let base = format!("{}/", base.display());
    walked.paths().into_iter().filter_map(|path| path.strip_prefix(&base).map(str::to_owned)).collect()
}

#[test]
fn roots_bring_their_parents_but_not_their_siblings() {
    let (_dir, base) = folder();
    set_mode(&base.join("app"), 0o711);
    let roots = Roots::resolve(&[base.join("app/data"), base.join("apple/file"), base.join("app/data/cache")]).unwrap();
    let walked = walk(&roots);
    let expected =
        ["app", "app/data", "app/data/cache", "app/data/cache/keep", "app/data/cache/keep/file", "apple", "apple/file"];
    assert_eq!(below(&walked, &base), expected);
    let base_path = base.display().to_string();
    let entry = |path: String| &walked.entries.iter().find(|(p, _)| *p == path).unwrap().1;
    assert_eq!(entry(format!("{base_path}/app")).mode, 0o711, "the parents' own metadata");
    assert_eq!(walked.entries[0].0, "/");
    assert_eq!(walked.problems, []);
}

#[test]
fn roots_are_never_left_out_but_what_is_in_them() {
    let (_dir, base) = folder();
    let options = ExcludeOptions { patterns: vec!["cache".into(), "other".into()], ..ExcludeOptions::default() };
    let roots = Roots::resolve(&[base.join("app"), base.join("app/data/cache/keep")]).unwrap();
    let walked = walk_with(&roots, &options, |_| {});
    assert_eq!(
        below(&walked, &base),
        ["app", "app/data", "app/data/cache", "app/data/cache/keep", "app/data/cache/keep/file"]
    );
    let absolute = format!("{}/app/data/", base.display());
    let options = ExcludeOptions { patterns: vec![absolute], ..ExcludeOptions::default() };
    let walked = walk_with(&Roots::resolve(&[base.join("app")]).unwrap(), &options, |_| {});
    assert_eq!(below(&walked, &base), ["app", "app/other", "app/other/file"]);
    assert_eq!(walked.excluded.len(), 1);
}

#[test]
fn links_as_roots_and_on_the_way() {
    let (_dir, base) = folder();
    std::os::unix::fs::symlink("app", base.join("link")).unwrap();
    let of = |path: &str| walk(&Roots::resolve(&[PathBuf::from(format!("{}/{path}", base.display()))]).unwrap());
    assert_eq!(below(&of("link"), &base), ["link"]);
    assert_eq!(of("link").entries.last().unwrap().1.kind, EntryType::Symlink);
    assert_eq!(
        below(&of("link/"), &base),
        [
            "link",
            "link/data",
            "link/data/cache",
            "link/data/cache/keep",
            "link/data/cache/keep/file",
            "link/other",
            "link/other/file"
        ]
    );
    let through = of("link/other");
    assert_eq!(below(&through, &base), ["link", "link/other", "link/other/file"]);
    assert!(through.entries.iter().rev().nth(2).is_some_and(|(_, entry)| entry.kind == EntryType::Directory));
    for order in [["link", "link/other"], ["link/other", "link"]] {
        let both = Roots::resolve(&order.map(|path| base.join(path))).unwrap();
        assert_eq!(below(&walk(&both), &base), ["link", "link/other", "link/other/file"], "{order:?}");
    }
}

#[test]
fn one_root_may_be_stored_under_another_name() {
    let (_dir, base) = folder();
    let walked = walk(&Roots::resolve_as(&base.join("app/other"), b"storage").unwrap());
    assert_eq!(walked.paths(), ["/", "/storage", "/storage/file"]);
    assert_eq!(walked.entries[0].1.mode, 0o755);
    let file = walk(&Roots::resolve_as(&base.join("app/other/file"), b"f").unwrap());
    assert_eq!(file.paths(), ["/", "/f"]);
    assert_eq!(file.entries[1].1.size, Some(9));
}

#[test]
fn marked_directories_stay_with_their_marker_alone() {
    let (_dir, base) = folder();
    std::fs::write(base.join("app/data/CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55\n").unwrap();
    std::fs::write(base.join("app/other/.skip"), "").unwrap();
    let options = ExcludeOptions { caches: true, if_present: vec![".skip".into()], ..ExcludeOptions::default() };
    let walked = walk_with(&Roots::resolve(&[base.join("app")]).unwrap(), &options, |_| {});
    assert_eq!(
        below(&walked, &base),
        ["app", "app/data", "app/data/CACHEDIR.TAG", "app/other", "app/other/.skip", "app/file"]
            .map(String::from)
            .into_iter()
            .filter(|p| p != "app/file")
            .collect::<Vec<_>>()
    );
    let reasons: Vec<_> = walked.excluded.into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons, [Reason::Marked(b"CACHEDIR.TAG".to_vec()), Reason::Marked(b".skip".to_vec())]);
}

#[test]
fn other_file_systems_are_left_out_but_for_their_mount_points() {
    let device = |path: &str| std::fs::metadata(path).map(|m| std::os::unix::fs::MetadataExt::dev(&m)).ok();
    if device("/dev/shm").is_none() || device("/dev/shm") == device("/dev") {
        eprintln!("skipped: /dev/shm is no file system of its own here");
        return;
    }
    let there = tempfile::tempdir_in("/dev/shm").unwrap();
    let options = ExcludeOptions { one_file_system: true, ..ExcludeOptions::default() };
    let of = |paths: &[PathBuf]| walk_with(&Roots::resolve(paths).unwrap(), &options, |_| {});
    let walked = of(&["/dev".into()]);
    assert!(walked.paths().contains(&"/dev/shm"));
    assert!(!walked.paths().iter().any(|path| path.starts_with("/dev/shm/")));
    assert!(walked.excluded.contains(&("/dev/shm".to_owned(), Reason::OtherFileSystem)));
    let walked = of(&["/dev".into(), "/dev/shm".into()]);
    assert!(walked.paths().contains(&there.path().to_str().unwrap()), "a root on another one is one of its own");
}

#[test]
fn attributes_that_cannot_be_restored_are_told() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f"), "").unwrap();
    rustix::fs::lsetxattr(dir.path().join("f"), "user.other", b"x", XattrFlags::empty()).unwrap();
    let folder = Directory::open(dir.path()).unwrap();
    let mut entry = Entry::new("f", EntryType::File);
    entry.mode = 0o4644;
    entry.uid = u32::MAX;
    entry.xattrs = vec![nightsafe::snapshot::tree::entry::Xattr { name: b"system.nfs4_acl".to_vec(), value: vec![1] }];
    let (everything, pinned) = (AttributeOptions::everything(), folder.pin(b"f").unwrap());
    let faults = AttributeWriter::new(everything).apply(Subject::Pinned(&pinned), &entry);
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("owner: ") && told[1].starts_with("setuid and setgid bits: "), "{told:?}");
    assert!(told[2].starts_with("extended attribute system.nfs4_acl: "), "{told:?}");
    let metadata = folder.look(b"f").unwrap().unwrap();
    assert_eq!((metadata.mode, metadata.mtime.seconds), (0o644, 0), "the rest is done");
    assert!(
        rustix::fs::lgetxattr(dir.path().join("f"), "user.other", &mut [0u8; 8][..]).is_err(),
        "what isn't recorded is removed"
    );
}

#[test]
fn attributes_do_not_follow_links() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("victim"), "").unwrap();
    set_mode(&dir.path().join("victim"), 0o600);
    std::os::unix::fs::symlink("victim", dir.path().join("link")).unwrap();
    let folder = Directory::open(dir.path()).unwrap();
    let before = folder.look(b"victim").unwrap();
    let entry = Entry { mode: 0o4777, ..Entry::new("link", EntryType::Fifo) };
    let (everything, pinned) = (AttributeOptions::everything(), folder.pin(b"link").unwrap());
    let faults = AttributeWriter::new(everything).apply(Subject::Pinned(&pinned), &entry);
    assert!(!faults.is_empty());
    assert_eq!(folder.look(b"victim").unwrap(), before);
}
