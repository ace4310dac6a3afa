//! Restoring into folders that hold something, going on after an interruption, and what must never happen meanwhile.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]
#![expect(clippy::print_stderr, reason = "a test that can't run here says so")]

use crate::binary::{Said, Scene, as_somebody};
use crate::world::{NAME, Portrait, World, everything_into, noise, portrait};
use nightsafe::repo::id::RunId;
use nightsafe::snapshot::monitor::{EntryAction, Monitor, Progress, Silent};
use nightsafe::snapshot::restore::delete::DeleteRefusal;
use nightsafe::snapshot::restore::{self, Overwrite, RestoreError, RestoreOptions, RestorePlan, RestoreSummary};
use nightsafe::snapshot::target::directory::Directory;
use nightsafe::snapshot::tree::path::SafePath;
use nightsafe::snapshot::tree::problem::Problem;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, UTIME_OMIT, XattrFlags};
use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn set_mtime(path: &Path, seconds: i64) {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: 7 },
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn data() -> SafePath {
    NAME.parse().unwrap()
}

fn into_existing(target: &Path, overwrite: Overwrite) -> RestoreOptions {
    RestoreOptions { existing: Some(overwrite), ..everything_into(target.to_owned()) }
}

fn deleting(target: &Path, overwrite: Overwrite) -> RestoreOptions {
    RestoreOptions { delete: true, ..into_existing(target, overwrite) }
}

impl World {
    fn run(&self, id: RunId, options: &RestoreOptions) -> Result<RestoreSummary, RestoreError> {
        self.run_watched(id, options, &Silent::default())
    }

    fn run_watched(
        &self,
        id: RunId,
        options: &RestoreOptions,
        monitor: &dyn Monitor,
    ) -> Result<RestoreSummary, RestoreError> {
        restore::restore(&self.repo(), &self.snapshot(id), Some(&data()), options, monitor)
    }

    fn plan(&self, id: RunId, options: &RestoreOptions) -> Result<RestorePlan, RestoreError> {
        restore::plan(&self.repo(), &self.snapshot(id), Some(&data()), options)
    }

    /// A snapshot of the folder.
    fn night(&self) -> RunId {
        let summary = self.back_up();
        assert_eq!(summary.problems, []);
        summary.snapshot.unwrap()
    }

    /// The folder as it was in a snapshot, in a new place.
    fn copy_of(&self, id: RunId) -> PathBuf {
        let target = self.fresh();
        assert_eq!(self.run(id, &everything_into(target.clone())).unwrap().problems, []);
        target
    }
}

/// Files, folders, links: what most tests restore.
fn filled() -> World {
    let world = World::new();
    for (name, size) in [("a", 10), ("b", 70_000), ("c", 3), ("sub/d", 5_000), ("sub/deep/e", 0)] {
        world.write(name, noise(size));
        set_mtime(&world.source().join(name), 1_000_000_000);
    }
    symlink("a", world.source().join("link")).unwrap();
    std::fs::create_dir(world.source().join("empty")).unwrap();
    world
}

fn paths(listed: &restore::plan::Listed) -> Vec<String> {
    assert_eq!(listed.count, listed.first.len() as u64);
    listed.first.iter().map(|path| path.below(&data()).unwrap().to_string()).collect()
}

#[test]
fn each_rule_replaces_what_it_says() {
    let world = filled();
    let id = world.night();
    let good = portrait(&world.source());
    let read = |target: &Path, name: &str| std::fs::read(target.join(name)).unwrap();
    let spoilt = || {
        let target = world.copy_of(id);
        // Newer and older than the snapshot's; the same size and time with another content; gone; only another mode.
        std::fs::write(target.join("a"), "newer").unwrap();
        std::fs::write(target.join("sub/d"), "older").unwrap();
        set_mtime(&target.join("sub/d"), 900_000_000);
        std::fs::write(target.join("b"), noise(70_000)).unwrap();
        set_mtime(&target.join("b"), 1_000_000_000);
        std::fs::remove_file(target.join("c")).unwrap();
        std::fs::remove_file(target.join("link")).unwrap();
        symlink("elsewhere", target.join("link")).unwrap();
        std::fs::write(target.join("extra"), "extra").unwrap();
        target
    };
    assert!(matches!(world.run(id, &everything_into(spoilt())), Err(RestoreError::TargetNotEmpty { .. })));
    for (rule, replaced) in [
        (Overwrite::Never, &[][..]),
        (Overwrite::IfChanged, &["a", "b", "link", "sub/d"]),
        (Overwrite::IfNewer, &["sub/d"]),
        (Overwrite::Always, &["a", "b", "link", "sub/d", "sub/deep/e"]),
    ] {
        let target = spoilt();
        let before = portrait(&target);
        let options = into_existing(&target, rule);
        let plan = world.plan(id, &options).unwrap();
        assert_eq!(portrait(&target), before, "a plan writes nothing");
        assert_eq!(paths(&plan.created), ["/c"], "{rule:?}");
        // That the content of "b" differs can't be told by a glance.
        let glance: Vec<String> = replaced
            .iter()
            .filter(|&&name| rule != Overwrite::IfChanged || name != "b")
            .map(|name| format!("/{name}"))
            .collect();
        assert_eq!(paths(&plan.overwritten), glance, "{rule:?}");
        let summary = world.run(id, &options).unwrap();
        assert_eq!(summary.problems, [], "{rule:?}");
        assert_eq!((summary.overwritten, summary.kept), (replaced.len() as u64, 5 - replaced.len() as u64), "{rule:?}");
        let after = portrait(&target);
        for name in ["a", "b", "c", "link", "sub/d", "sub/deep/e"] {
            let path = Path::new(name);
            let expected = if replaced.contains(&name) || name == "c" { &good[path] } else { &before[path] };
            assert_eq!(&after[path], expected, "{rule:?}: {name}");
        }
        assert_eq!(read(&target, "extra"), b"extra");
        let has_attributes = matches!(rule, Overwrite::IfChanged | Overwrite::Always);
        assert_eq!(after[Path::new("sub")] == good[Path::new("sub")], has_attributes, "{rule:?}");
    }
}

#[test]
fn what_is_replaced_is_a_new_file() {
    let world = filled();
    let id = world.night();
    let target = world.copy_of(id);
    let outside = world.fresh();
    // The file has another name outside; only its owner or mode differ.
    std::fs::hard_link(target.join("b"), &outside).unwrap();
    std::fs::set_permissions(target.join("b"), PermissionsExt::from_mode(0o600)).unwrap();
    let before = portrait(&outside.parent().unwrap().join(outside.file_name().unwrap()));
    let summary = world.run(id, &into_existing(&target, Overwrite::IfChanged)).unwrap();
    assert_eq!((summary.problems.len(), summary.overwritten), (0, 1));
    assert_eq!(std::fs::metadata(&outside).unwrap().mode() & 0o777, 0o600);
    assert_eq!(portrait(&outside)[Path::new("")].content, before[Path::new("")].content);
    assert_eq!(portrait(&target), portrait(&world.source()));
}

#[test]
fn other_types_in_the_way_are_named_or_replaced_and_never_followed() {
    let world = filled();
    let id = world.night();
    let outside = world.fresh();
    std::fs::create_dir_all(outside.join("deep")).unwrap();
    std::fs::write(outside.join("d"), "outside").unwrap();
    let before = portrait(&outside);
    let twisted = || {
        let target = world.copy_of(id);
        std::fs::remove_dir_all(target.join("sub")).unwrap();
        symlink(&outside, target.join("sub")).unwrap();
        std::fs::remove_file(target.join("a")).unwrap();
        std::fs::create_dir(target.join("a")).unwrap();
        std::fs::remove_file(target.join("b")).unwrap();
        std::fs::create_dir_all(target.join("b/filled")).unwrap();
        std::fs::remove_file(target.join("c")).unwrap();
        symlink(outside.join("d"), target.join("c")).unwrap();
        std::fs::remove_dir(target.join("empty")).unwrap();
        std::fs::write(target.join("empty"), "a file").unwrap();
        target
    };
    let named = |problems: &[Problem]| problems.iter().map(|p| p.path.to_string()).collect::<Vec<_>>();
    let target = twisted();
    let options = into_existing(&target, Overwrite::Never);
    let plan = world.plan(id, &options).unwrap();
    assert_eq!(paths(&plan.refused), ["/a", "/b", "/c", "/empty", "/sub"]);
    let twisted_before = portrait(&target);
    let summary = world.run(id, &options).unwrap();
    assert_eq!(named(&summary.problems), ["/data/a", "/data/b", "/data/c", "/data/empty", "/data/sub"]);
    assert!(summary.problems[4].message.contains("--overwrite if-changed"), "{:?}", summary.problems);
    assert_eq!(portrait(&target), twisted_before);
    // Replaced, but for the folder that holds something.
    let summary = world.run(id, &into_existing(&target, Overwrite::Always)).unwrap();
    assert_eq!(named(&summary.problems), ["/data/b"]);
    assert!(summary.problems[0].message.contains("--delete") && target.join("b/filled").is_dir());
    assert!(target.join("sub/deep").is_dir() && !target.join("sub").is_symlink());
    let plan = world.plan(id, &deleting(&target, Overwrite::Always)).unwrap();
    assert_eq!((plan.deleted.count, plan.refused.count), (2, 0));
    let summary = world.run(id, &deleting(&target, Overwrite::Always)).unwrap();
    assert_eq!(summary.problems, []);
    assert_eq!(portrait(&target), portrait(&world.source()));
    assert_eq!(portrait(&outside), before);
}

#[test]
fn names_of_one_file_are_linked_to_what_is_right_and_to_nothing_else() {
    let world = World::new();
    world.write("a", "the content of all three");
    set_mtime(&world.source().join("a"), 1_000_000_000);
    for name in ["b", "c"] {
        std::fs::hard_link(world.source().join("a"), world.source().join(name)).unwrap();
    }
    let id = world.night();
    let target = world.fresh();
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("a"), "something else").unwrap();
    let summary = world.run(id, &into_existing(&target, Overwrite::Never)).unwrap();
    assert_eq!((summary.problems.len(), summary.kept, summary.files), (0, 1, 2));
    assert_eq!(std::fs::read(target.join("a")).unwrap(), b"something else");
    let inode = |name: &str| std::fs::metadata(target.join(name)).unwrap().ino();
    assert!(inode("b") == inode("c") && inode("a") != inode("b"));
    // Unlinked copies are linked again, those that are linked stay.
    std::fs::remove_file(target.join("c")).unwrap();
    std::fs::write(target.join("c"), "x").unwrap();
    let summary = world.run(id, &into_existing(&target, Overwrite::IfChanged)).unwrap();
    assert_eq!(summary.problems, []);
    assert_eq!(portrait(&target), portrait(&world.source()));
    let summary = world.run(id, &into_existing(&target, Overwrite::IfChanged)).unwrap();
    assert_eq!((summary.problems.len(), summary.kept, summary.overwritten), (0, 3, 0));
}

#[test]
fn only_what_the_snapshot_lacks_is_deleted() {
    let world = filled();
    let id = world.night();
    let target = world.copy_of(id);
    let outside = world.fresh();
    std::fs::create_dir_all(outside.join("kept")).unwrap();
    std::fs::create_dir_all(target.join("sub/extra/deep")).unwrap();
    std::fs::write(target.join("sub/extra/deep/file"), "").unwrap();
    symlink(&outside, target.join("sub/extra/out")).unwrap();
    symlink(&outside, target.join("out")).unwrap();
    std::fs::write(target.join("a"), "changed").unwrap();
    let beside = target.with_extension("beside");
    std::fs::write(&beside, "").unwrap();
    let before = (portrait(&outside), portrait(&target));
    let options = deleting(&target, Overwrite::Never);
    let plan = world.plan(id, &options).unwrap();
    assert_eq!(plan.deleted.count, 5, "{:?}", plan.deleted);
    let named: Vec<String> = plan.deleted.first.iter().map(ToString::to_string).collect();
    assert_eq!(named, ["/data/out", "/data/sub/extra"]);
    assert_eq!(portrait(&target), before.1);
    let summary = world.run(id, &options).unwrap();
    assert_eq!((summary.problems, summary.deleted), (vec![], 5));
    assert_eq!(std::fs::read(target.join("a")).unwrap(), b"changed", "--delete overwrites nothing");
    assert!(!target.join("sub/extra").exists() && !target.join("out").is_symlink() && beside.exists());
    assert_eq!(portrait(&outside), before.0);
}

#[test]
fn nothing_is_deleted_by_a_snapshot_that_may_lack_something() {
    let world = filled();
    let id = world.night();
    let target = world.copy_of(id);
    std::fs::write(target.join("extra"), "").unwrap();
    let refused = |path: &str, world: &World, id: RunId, options: &RestoreOptions| {
        let path = path.parse().unwrap();
        let before = portrait(&target);
        let (repo, snapshot) = (world.repo(), world.snapshot(id));
        let results = [
            restore::plan(&repo, &snapshot, Some(&path), options).map(drop),
            restore::restore(&repo, &snapshot, Some(&path), options, &Silent::default()).map(drop),
        ];
        assert_eq!(portrait(&target), before);
        results.map(|result| match result {
            Err(RestoreError::Delete(refusal)) => refusal,
            other => panic!("{other:?}"),
        })
    };
    let options = deleting(&target, Overwrite::Always);
    let [a, b] = refused("data/a", &world, id, &options);
    assert!(matches!((a, b), (DeleteRefusal::NotADirectory(_), DeleteRefusal::NotADirectory(_))));
    // The top holds nothing but what was asked for.
    let [a, b] = refused("", &world, id, &options);
    assert!(matches!((a, b), (DeleteRefusal::Partial { .. }, DeleteRefusal::Partial { .. })));
    // Incomplete: a file that can't be stored, since it changes whenever it's looked at, would need luck; a missing state is enough.
    let mut snapshot = world.snapshot(id);
    snapshot.manifest.state = nightsafe::snapshot::manifest::State::Incomplete;
    let run = |options: &RestoreOptions| {
        restore::restore(&world.repo(), &snapshot, Some(&data()), options, &Silent::default())
    };
    assert!(matches!(run(&options), Err(RestoreError::Delete(DeleteRefusal::Incomplete))));
    assert!(target.join("extra").exists());
    let summary = run(&RestoreOptions { allow_incomplete: true, ..options.clone() }).unwrap();
    assert_eq!((summary.deleted, target.join("extra").exists()), (1, false));
}

/// Backed up by absolute paths, the folders above hold nothing else; restored onto themselves with `--delete`, all else would go.
#[test]
fn parents_of_what_was_backed_up_are_never_cleaned() {
    let world = filled();
    let mut options = world.options();
    options.files[0].name = None;
    let summary = nightsafe::snapshot::backup::backup(&world.repo(), &options, &Silent::default()).unwrap();
    let snapshot = world.snapshot(summary.snapshot.unwrap());
    let source = SafePath::parse(world.source().as_os_str().as_encoded_bytes()).unwrap();
    let target = world.fresh();
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("precious"), "").unwrap();
    let run = |path: &SafePath| {
        let options = deleting(&target, Overwrite::Always);
        restore::restore(&world.repo(), &snapshot, Some(path), &options, &Silent::default())
    };
    let mut at = source.clone();
    while let Some(parent) = at.parent() {
        let Err(RestoreError::Delete(DeleteRefusal::Partial { only, .. })) = run(&parent) else { panic!("{parent}") };
        assert_eq!(only, source);
        at = parent;
    }
    assert!(target.join("precious").exists());
    assert_eq!(run(&source).unwrap().deleted, 1);
    std::fs::write(target.join("sub/precious"), "").unwrap();
    let below = source.join(b"sub").unwrap();
    assert!(run(&below).is_ok(), "a folder within is whole, too");
}

#[test]
fn a_directory_that_cannot_be_read_forbids_deleting() {
    let world = filled();
    let id = world.night();
    let target = world.copy_of(id);
    std::fs::write(target.join("sub/extra"), "").unwrap();
    // One pack holds everything here; without it nothing of the tree is left.
    for key in world.objects("packs/").into_keys() {
        world.replace(&key, noise(1_000));
    }
    let before = portrait(&target);
    let options = deleting(&target, Overwrite::Never);
    assert!(world.plan(id, &options).is_err());
    assert!(world.run(id, &options).map_or(true, |summary| !summary.problems.is_empty() && summary.deleted == 0));
    assert_eq!(portrait(&target), before);
}

/// Interrupts after so many files.
struct Impatient {
    progress: Progress,
    left: AtomicUsize,
}

impl Impatient {
    fn after(files: usize) -> Self {
        Self { progress: Progress::default(), left: AtomicUsize::new(files) }
    }
}

impl Monitor for Impatient {
    fn progress(&self) -> &Progress {
        &self.progress
    }
    fn problem(&self, _: &Problem) {}
    fn warning(&self, _: &str) {}
    fn entry(&self, _: &[u8], _: EntryAction, _: u64) {
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    }
    fn interrupted(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }
}

/// Enough for several windows.
fn large() -> World {
    let world = filled();
    for n in 0..600 {
        world.write(&format!("many/{}/{n:03}", n % 7), noise(200 + n));
    }
    world.write("many/.env", "KEY=value\n");
    std::fs::hard_link(world.source().join("b"), world.source().join("many/b")).unwrap();
    world
}

fn interrupted(world: &World, id: RunId, options: &RestoreOptions) -> Portrait {
    let result = world.run_watched(id, options, &Impatient::after(300));
    assert!(matches!(result, Err(RestoreError::Interrupted)), "{result:?}");
    let part = portrait(&options.target);
    let files = part.values().filter(|facts| facts.size.is_some()).count();
    assert!((300..608).contains(&files), "{files}");
    part
}

#[test]
fn an_interrupted_restore_goes_on_and_only_that_one() {
    let world = large();
    let first = world.night();
    world.write("new", "x");
    let id = world.night();
    let options = everything_into(world.fresh());
    let part = interrupted(&world, id, &options);
    let target = options.target.clone();
    // Another snapshot, another path, or the marker in another folder: refused.
    let refused = |result: Result<RestoreSummary, RestoreError>| {
        assert!(matches!(result, Err(RestoreError::TargetNotEmpty { .. })), "{result:?}");
    };
    refused(world.run(first, &options));
    let below: SafePath = "data/many".parse().unwrap();
    refused(restore::restore(&world.repo(), &world.snapshot(id), Some(&below), &options, &Silent::default()));
    let is_marker = |name: &OsStr| name.to_string_lossy().starts_with(".nightsafe-restore-");
    let marker =
        std::fs::read_dir(&target).unwrap().map(|e| e.unwrap().file_name()).find(|name| is_marker(name)).unwrap();
    let planted = world.fresh();
    std::fs::create_dir(&planted).unwrap();
    std::fs::copy(target.join(&marker), planted.join(&marker)).unwrap();
    refused(world.run(id, &everything_into(planted.clone())));
    assert_eq!(std::fs::read_dir(&planted).unwrap().count(), 1);
    assert_eq!(portrait(&target), part);
    // It goes on, twice.
    assert!(world.plan(id, &options).unwrap().goes_on);
    let summary = world.run(id, &options).unwrap();
    assert_eq!(summary.problems, []);
    assert!(summary.kept >= 300 && summary.overwritten == 0 && summary.files > 0, "{summary:?}");
    assert_eq!(portrait(&target), portrait(&world.source()), "the marker is gone");
    refused(world.run(id, &options));
}

#[test]
fn going_on_overwrites_nothing() {
    let world = large();
    let id = world.night();
    let options = everything_into(world.fresh());
    let part = interrupted(&world, id, &options);
    let victim = part.iter().find(|(path, facts)| path.starts_with("many") && facts.size > Some(0)).unwrap().0;
    let (path, facts) = (options.target.join(victim), &part[victim]);
    std::fs::write(&path, vec![7; usize::try_from(facts.size.unwrap()).unwrap()]).unwrap();
    rustix::fs::utimensat(
        CWD,
        &path,
        &Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: facts.mtime.0, tv_nsec: facts.mtime.1 },
        },
        AtFlags::empty(),
    )
    .unwrap();
    let summary = world.run(id, &options).unwrap();
    let named: Vec<String> = summary.problems.iter().map(|problem| problem.path.to_string()).collect();
    assert_eq!(named, [format!("/data/{}", victim.display())], "its content was compared");
    assert_eq!(std::fs::read(&path).unwrap()[0], 7);
    let summary = world.run(id, &into_existing(&options.target, Overwrite::IfChanged)).unwrap();
    assert_eq!(
        (summary.problems.len(), summary.overwritten),
        (0, 2),
        "that one, and the secret, which can't be compared"
    );
    assert_eq!(portrait(&options.target), portrait(&world.source()));
}

#[test]
fn folders_that_an_interrupted_restore_made_in_a_filled_one_are_finished() {
    let world = large();
    let id = world.night();
    let target = world.fresh();
    std::fs::create_dir_all(target.join("sub")).unwrap();
    std::fs::set_permissions(target.join("sub"), PermissionsExt::from_mode(0o711)).unwrap();
    std::fs::write(target.join("mine"), "mine").unwrap();
    let options = into_existing(&target, Overwrite::Never);
    interrupted(&world, id, &options);
    let summary = world.run(id, &options).unwrap();
    assert_eq!((summary.problems.len(), summary.overwritten), (0, 0));
    let (found, good) = (portrait(&target), portrait(&world.source()));
    for path in ["many", "many/0", "many/6", "sub/deep", "many/.env"] {
        assert_eq!(found[Path::new(path)], good[Path::new(path)], "{path}");
    }
    assert_eq!(found[Path::new("sub")].mode & 0o7777, 0o711, "what existed keeps its mode");
}

#[test]
fn the_marker_gives_way_to_a_file_of_its_name() {
    let world = large();
    let id = world.night();
    let name = format!(".nightsafe-restore-{}", id.random_part());
    // The name of a snapshot isn't known before it's made; so the next one is restored through the first one's marker.
    world.write(&name, "a file of that name");
    let second = world.night();
    let options = everything_into(world.fresh());
    interrupted(&world, second, &options);
    assert_eq!(world.run(second, &options).unwrap().problems, []);
    assert_eq!(portrait(&options.target), portrait(&world.source()));
}

#[test]
fn what_lends_rights_comes_back_on_request_only() {
    let world = filled();
    let at = |name: &str| world.source().join(name);
    rustix::fs::mkfifoat(CWD, at("fifo"), Mode::from_raw_mode(0o640)).unwrap();
    rustix::fs::mknodat(CWD, at("socket"), FileType::Socket, Mode::from_raw_mode(0o600), 0).unwrap();
    std::fs::set_permissions(at("b"), PermissionsExt::from_mode(0o6755)).unwrap();
    std::fs::set_permissions(at("empty"), PermissionsExt::from_mode(0o2775)).unwrap();
    rustix::fs::lsetxattr(at("c"), "user.kept", b"1", XattrFlags::empty()).unwrap();
    if is_root() {
        rustix::fs::lsetxattr(at("c"), "trusted.t", b"1", XattrFlags::empty()).unwrap();
        let device = rustix::fs::makedev(1, 3);
        rustix::fs::mknodat(CWD, at("null"), FileType::CharacterDevice, Mode::from_raw_mode(0o666), device).unwrap();
    }
    let id = world.night();
    let options = RestoreOptions::into(world.fresh());
    let summary = world.run(id, &options).unwrap();
    assert!(summary.is_complete(), "{:?}", summary.problems);
    let root = u64::from(is_root());
    assert_eq!((summary.special_left_out, summary.left_out.set_ids, summary.left_out.xattrs), (2 + root, 1, root));
    let mode = |name: &str| std::fs::symlink_metadata(options.target.join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("b"), mode("empty")), (0o755, 0o2775), "of a folder it lends nothing");
    assert!(!options.target.join("fifo").exists() && !options.target.join("null").exists());
    let xattr = |name: &str| rustix::fs::lgetxattr(options.target.join("c"), name, &mut [0u8; 8][..]).is_ok();
    assert!(xattr("user.kept") && !xattr("trusted.t"));
    assert_eq!(world.restored(id), portrait(&world.source()), "all of it on request");
}

/// Directories, 300 in each other, with names of 60 bytes: longer than any path that the system takes.
#[test]
fn paths_longer_than_the_system_takes_come_back() {
    let world = World::new();
    let name = [b'n'; 60];
    let fill = |base: &Path, content: &[u8]| {
        let mut at = Directory::open(base).unwrap();
        for _ in 0..300 {
            at = at.create_child(&name).unwrap();
            let path =
                format!("/proc/self/fd/{}/file", std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&at)));
            std::fs::write(path, content).unwrap();
        }
    };
    fill(&world.source(), b"deep");
    let id = world.night();
    let target = world.fresh();
    let check = |content: &[u8]| {
        let mut at = Directory::open(&target).unwrap();
        for _ in 0..300 {
            at = at.child(&name).unwrap();
            let mut found = Vec::new();
            std::io::Read::read_to_end(&mut at.pin(b"file").unwrap().open_file().unwrap(), &mut found).unwrap();
            assert_eq!((found.as_slice(), at.names().unwrap().iter().any(|name| name == b"extra")), (content, false));
        }
    };
    let summary = world.run(id, &everything_into(target.clone())).unwrap();
    assert_eq!((summary.problems, summary.files, summary.directories), (vec![], 300, 300));
    check(b"deep");
    // And over what exists, with something to delete at the end.
    let mut at = Directory::open(&target).unwrap();
    for _ in 0..300 {
        at = at.child(&name).unwrap();
    }
    let mut extra = at.create_child(b"extra").unwrap();
    for _ in 0..300 {
        extra = extra.create_child(&name).unwrap();
    }
    let summary = world.run(id, &deleting(&target, Overwrite::Always)).unwrap();
    assert_eq!((summary.problems, summary.overwritten, summary.deleted), (vec![], 300, 301));
    check(b"deep");
    for path in [world.source(), target] {
        assert!(Command::new("rm").arg("-rf").arg(path).status().unwrap().success());
    }
}

/// Swaps folders for links to another one until it's told to stop.
fn swap(target: &Path, away: &Path, outside: &Path, stop: &AtomicBool) -> usize {
    let mut swaps = 0;
    while !stop.load(Ordering::Relaxed) {
        for name in ["0", "1/inner", "2", "3/inner/most"] {
            let (here, there) = (target.join(name), away.join(name.replace('/', "-")));
            if std::fs::rename(&here, &there).is_err() {
                continue;
            }
            let _ = symlink(outside, &here);
            std::thread::yield_now();
            swaps += 1;
            // What the restore made there meanwhile goes out of the way.
            if std::fs::remove_file(&here).is_err() {
                let _ = std::fs::remove_dir_all(&here);
            }
            let _ = std::fs::rename(&there, &here);
        }
    }
    swaps
}

/// Another process that may write to the target swaps folders for links, all the time: nothing beyond the links is ever touched.
#[test]
fn folders_swapped_for_links_lead_nowhere() {
    let world = World::new();
    for top in 0..4 {
        for n in 0..12 {
            for folder in [format!("{top}"), format!("{top}/inner"), format!("{top}/inner/most")] {
                world.write(&format!("{folder}/{n}"), noise(300));
            }
        }
        std::fs::hard_link(world.source().join("0/0"), world.source().join(format!("{top}/inner/linked"))).unwrap();
        symlink("0", world.source().join(format!("{top}/inner/most/symlink"))).unwrap();
    }
    let id = world.night();
    // Outside is all that a restore would write, change or delete if it followed a link.
    let (outside, away) = (world.fresh(), world.fresh());
    std::fs::create_dir(&away).unwrap();
    std::fs::create_dir_all(outside.join("inner/most")).unwrap();
    for folder in ["", "inner", "inner/most"] {
        for name in ["0", "1", "5", "extra", "linked"] {
            std::fs::write(outside.join(folder).join(name), "outside").unwrap();
        }
        set_mtime(&outside.join(folder), 1_100_000_000);
    }
    set_mtime(&outside.join("inner"), 1_100_000_000);
    set_mtime(&outside, 1_100_000_000);
    let before = portrait(&outside);
    let target = world.copy_of(id);
    let stop = AtomicBool::new(false);
    let (swaps, runs) = std::thread::scope(|scope| {
        let swapper = scope.spawn(|| swap(&target, &away, &outside, &stop));
        let begun = Instant::now();
        let mut runs = 0;
        while begun.elapsed() < Duration::from_secs(6) {
            let options = match runs % 3 {
                0 => into_existing(&target, Overwrite::Always),
                1 => deleting(&target, Overwrite::Always),
                _ => deleting(&target, Overwrite::IfChanged),
            };
            // It may fail at whatever is swapped just then.
            let _ = world.run(id, &options);
            let _ = world.plan(id, &options);
            assert_eq!(portrait(&outside), before, "run {runs}");
            runs += 1;
        }
        stop.store(true, Ordering::Relaxed);
        (swapper.join().unwrap(), runs)
    });
    assert!(swaps > 100 && runs > 3, "{swaps} swaps, {runs} runs");
    assert_eq!(portrait(&outside), before);
    let summary = world.run(id, &deleting(&target, Overwrite::Always)).unwrap();
    assert_eq!(summary.problems, []);
    assert_eq!(portrait(&target), portrait(&world.source()));
}

#[test]
fn what_is_not_permitted_takes_one_line() {
    if !is_root() {
        return eprintln!("skipped: only root makes what others may not restore");
    }
    let scene = Scene::new();
    for n in 0..50 {
        std::fs::write(scene.at(&format!("source/{n}")), "x").unwrap();
    }
    let device = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(CWD, scene.at("source/null"), FileType::CharacterDevice, Mode::RUSR, device).unwrap();
    assert_eq!(scene.back_up().code, Some(0));
    std::fs::create_dir(scene.at("theirs")).unwrap();
    std::fs::set_permissions(scene.at("theirs"), PermissionsExt::from_mode(0o777)).unwrap();
    let restore = |target: &str, more: &[&str]| {
        let target = scene.at(target);
        let mut arguments = vec!["restore", "latest:/data", "--target", target.to_str().unwrap()];
        arguments.extend(more);
        let arguments: Vec<&OsStr> = arguments.into_iter().map(OsStr::new).collect();
        Ok::<Said, String>(scene.complete(as_somebody(&scene)?, &arguments).output().unwrap().into())
    };
    let said = match restore("theirs/all", &["--special"]) {
        Ok(said) => said,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    assert_eq!((said.code, said.err.lines().count()), (Some(3), 1), "{said:?}");
    assert!(said.err.contains("not permitted to this user: 51 owners") && said.err.contains("1 device"), "{said:?}");
    assert_eq!(std::fs::read_dir(scene.at("theirs/all")).unwrap().count(), 50);
    let said = restore("theirs/kept", &["--owner", "keep"]).unwrap();
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
    assert!(said.out.contains("1 pipe, socket or device (--special restores them)"), "{said:?}");
    let json = restore("theirs/json", &["--owner", "keep", "--json", "--dry-run"]).unwrap().json();
    assert_eq!((&json["dry_run"], &json["plan"]["created"]["count"]), (&true.into(), &50.into()), "{json}");
    assert!(!scene.at("theirs/json").exists());
}
