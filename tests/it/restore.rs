//! Restoring into folders that hold something, going on after an interruption, and what must never happen meanwhile.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod interrupted;
mod races;
mod rights;
mod spared;
mod waiting;

use crate::world::{NAME, World, everything_into, noise, portrait};
use nightsafe::repo::format::{Class, key};
use nightsafe::repo::id::RunId;
use nightsafe::repo::pack::parse::WholePack;
use nightsafe::snapshot::monitor::{Monitor, Silent};
use nightsafe::snapshot::restore::delete::DeleteRefusal;
use nightsafe::snapshot::restore::{self, Overwrite, RestoreError, RestoreOptions, RestorePlan, RestoreSummary};
use nightsafe::snapshot::tree::path::SafePath;
use nightsafe::snapshot::tree::problem::Problem;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

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

    /// What a pack holds.
    fn class_of(&self, store_key: &str) -> Class {
        let (repo, bytes) = (self.repo(), self.bytes(store_key));
        let whole = WholePack::new(key::parse_pack(store_key).unwrap(), &bytes, repo.id()).unwrap();
        whole.frames(&repo.read_keys().domain(whole.opening.domain)).unwrap()[0].table.class
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
        std::fs::set_permissions(target.join("sub"), PermissionsExt::from_mode(0o711)).unwrap();
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
    let before = std::fs::read(&outside).unwrap();
    let summary = world.run(id, &into_existing(&target, Overwrite::IfChanged)).unwrap();
    assert_eq!((summary.problems.len(), summary.overwritten), (0, 1));
    assert_eq!(std::fs::metadata(&outside).unwrap().mode() & 0o777, 0o600);
    assert!(std::fs::read(&outside).unwrap() == before);
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
    assert!(summary.problems[0].message.contains("move it away") && target.join("b/filled").is_dir());
    assert!(target.join("sub/deep").is_dir() && !target.join("sub").is_symlink());
    // Also with --delete, which is about what the snapshot doesn't hold.
    let plan = world.plan(id, &deleting(&target, Overwrite::Always)).unwrap();
    assert_eq!((plan.deleted.count, plan.refused.count), (0, 1));
    let summary = world.run(id, &deleting(&target, Overwrite::Always)).unwrap();
    assert_eq!((named(&summary.problems), target.join("b/filled").is_dir()), (vec!["/data/b".to_owned()], true));
    std::fs::remove_dir_all(target.join("b")).unwrap();
    let summary = world.run(id, &into_existing(&target, Overwrite::Always)).unwrap();
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
    world.night();
    let old = world.objects("packs/");
    // The second snapshot has a new top, and what didn't change from the first: of that the list of "sub" goes.
    world.write("new", "new");
    let id = world.night();
    let target = world.copy_of(id);
    for name in ["extra", "sub/extra"] {
        std::fs::write(target.join(name), "").unwrap();
    }
    for key in old.into_keys().filter(|key| world.class_of(key) == Class::Meta) {
        world.replace(&key, noise(1_000));
    }
    std::fs::remove_dir_all(world.cache()).unwrap();
    let before = portrait(&target);
    let options = deleting(&target, Overwrite::Never);
    let Err(RestoreError::Delete(DeleteRefusal::Unreadable { path, .. })) = world.plan(id, &options) else {
        panic!("{:?}", world.plan(id, &options));
    };
    assert_eq!(path.to_string(), "/data/sub");
    let summary = world.run(id, &options).unwrap();
    let named: Vec<_> = summary.problems.iter().map(|problem| problem.path.to_string()).collect();
    assert_eq!((summary.deleted, named), (0, vec!["/data/sub".to_owned(), "/data".to_owned()]));
    assert_eq!(portrait(&target), before);
}

/// The directories can be read, and so could what to delete be told; but a file that is to come back can't.
#[test]
fn content_that_cannot_be_read_forbids_deleting() {
    let world = filled();
    let id = world.night();
    let target = world.copy_of(id);
    std::fs::write(target.join("extra"), "").unwrap();
    std::fs::remove_file(target.join("b")).unwrap();
    for (store_key, length) in world.objects("packs/") {
        if world.class_of(&store_key) == Class::Data {
            world.replace(&store_key, noise(usize::try_from(length).unwrap()));
        }
    }
    let summary = world.run(id, &deleting(&target, Overwrite::Never)).unwrap();
    let messages: Vec<&str> = summary.problems.iter().map(|problem| problem.message.as_str()).collect();
    assert!(messages.iter().any(|message| message.starts_with("nothing was deleted")), "{messages:?}");
    assert_eq!((summary.deleted, target.join("extra").exists()), (0, true));
}
