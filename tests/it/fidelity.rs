//! Everything that a file system can hold, backed up and restored, on each file system that can be had here, and compared by a walk of this test's own.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]
#![expect(clippy::print_stderr, reason = "a test that can't run here says so")]

pub mod facts;
mod many;
pub mod mount;
mod others;
mod remote;
mod tree;

use crate::fidelity::facts::{Facts, Survey, survey};
use crate::fidelity::mount::{Place, places};
use crate::world::{NAME, World, everything_into};
use nightsafe::repo::id::RunId;
use nightsafe::repo::repository::{Full, Repo};
use nightsafe::snapshot::backup::{BackupOptions, FilesSource, backup};
use nightsafe::snapshot::browse::list_entries;
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::restore::{self, Overwrite, RestoreOptions, RestoreSummary};
use nightsafe::snapshot::snapshots::load;
use nightsafe::snapshot::tree::path::SafePath;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The differences between two surveys, as lines.
pub fn differences(expected: &Survey, found: &Survey) -> Vec<String> {
    differences_of(expected, found, |path| path.escape_ascii().to_string())
}

/// The differences between two looks at a tree, as lines: a failing comparison of a thousand entries must be readable.
pub fn differences_of<P: Ord, F: PartialEq + Debug>(
    expected: &BTreeMap<P, F>,
    found: &BTreeMap<P, F>,
    name: impl Fn(&P) -> String,
) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, facts) in expected {
        match found.get(path) {
            None => lines.push(format!("{}: missing", name(path))),
            Some(other) if other != facts => lines.push(format!("{}: {facts:?}\n    but {other:?}", name(path))),
            Some(_) => {}
        }
    }
    lines
        .extend(found.keys().filter(|path| !expected.contains_key(*path)).map(|path| format!("{}: extra", name(path))));
    lines
}

/// A snapshot of `source`, which must be complete.
pub fn back_up(world: &World, source: &Path) -> RunId {
    back_up_into(&world.repo(), world, source)
}

/// [`back_up`] into another repository.
fn back_up_into(repo: &Repo<Full>, world: &World, source: &Path) -> RunId {
    let files = FilesSource { name: Some(NAME.to_owned()), paths: vec![source.to_owned()], ..FilesSource::default() };
    let options = BackupOptions { files: vec![files], ..world.options() };
    let summary = backup(repo, &options, &Silent::default()).unwrap();
    assert_eq!(summary.problems, []);
    summary.snapshot.unwrap()
}

pub fn restore(world: &World, id: RunId, options: &RestoreOptions) -> RestoreSummary {
    restore_from(&world.repo(), id, options)
}

/// [`restore`] from another repository.
fn restore_from(repo: &Repo<Full>, id: RunId, options: &RestoreOptions) -> RestoreSummary {
    let path: SafePath = NAME.parse().unwrap();
    restore::restore(repo, &load(repo, id).unwrap(), Some(&path), options, &Silent::default()).unwrap()
}

/// Removes a tree with paths that the standard library can't take.
pub fn remove_all(path: &Path) {
    if !is_root() {
        // Some of it may not be written to.
        assert!(Command::new("chmod").args(["-R", "u+rwx"]).arg(path).status().unwrap().success());
    }
    assert!(Command::new("rm").arg("-rf").arg(path).status().unwrap().success());
}

/// The opinion of rsync, without what it can't walk.
fn ask_rsync(source: &Path, target: &Path) {
    if Command::new("rsync").arg("--version").output().is_err() {
        eprintln!("skipped: the comparison by rsync, which isn't installed (apt-get install rsync)");
        return;
    }
    let slash = |path: &Path| format!("{}/", path.display());
    // A terabyte of zeros takes it a quarter of an hour.
    let arguments = ["-aHAXnic", "--delete", "--exclude=/deep", "--exclude=/sparse files/a terabyte"];
    let rsync = Command::new("rsync").args(arguments).args([slash(source), slash(target)]).output().unwrap();
    assert!(rsync.status.success(), "{}", String::from_utf8_lossy(&rsync.stderr));
    assert_eq!(String::from_utf8_lossy(&rsync.stdout), "");
}

#[test]
fn everything_that_a_file_system_holds_comes_back() {
    for place in places() {
        let Place { name, path, .. } = &place;
        let (source, target) = (path.join("source"), path.join("target"));
        tree::build(&source);
        let expected = survey(&source);
        assert!(expected.len() > 1_300, "{name}: {}", expected.len());
        let world = World::new();
        let id = back_up(&world, &source);
        let summary = restore(&world, id, &everything_into(target.clone()));
        assert!(summary.is_complete(), "{name}: {:?} {:?}", summary.denied, summary.problems);
        assert_eq!((summary.special_left_out, summary.left_out.xattrs, summary.left_out.set_ids), (0, 0, 0), "{name}");
        let found = survey(&target);
        assert_eq!(differences(&expected, &found), Vec::<String>::new(), "{name}");
        ask_rsync(&source, &target);
        check_birth_times(&world, id, &source);

        // Nothing is left to do for a second restore, which compares everything.
        let again =
            RestoreOptions { existing: Some(Overwrite::IfChanged), delete: true, ..everything_into(target.clone()) };
        let summary = restore(&world, id, &again);
        assert!(summary.is_complete(), "{name}: {:?}", summary.problems);
        assert_eq!((summary.overwritten, summary.files, summary.deleted), (0, 0, 0), "{name}: {summary:?}");
        assert_eq!(differences(&expected, &survey(&target)), Vec::<String>::new(), "{name}, again");
        // And a second backup, of the copy, stores what the first did.
        assert!(is_alike(&world, id, back_up(&world, &target)), "{name}");
        remove_all(&source);
        remove_all(&target);
    }
}

/// The time of creation is recorded for every entry, as far as the file system knows it; it can't be restored.
fn check_birth_times(world: &World, id: RunId, source: &Path) {
    let top: SafePath = NAME.parse().unwrap();
    let mut compared = 0;
    list_entries(&world.repo(), &world.snapshot(id), Some(&top), true, &mut |path, entry| {
        let below = path.below(&top).unwrap();
        let there = source.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(below.as_bytes()));
        // But for paths that are too long to ask for.
        if let Ok(created) = std::fs::symlink_metadata(there).and_then(|metadata| metadata.created()) {
            let created = created.duration_since(std::time::UNIX_EPOCH).unwrap();
            let recorded = entry.btime.unwrap();
            let recorded = (u64::try_from(recorded.seconds).unwrap(), recorded.nanoseconds);
            assert_eq!(recorded, (created.as_secs(), created.subsec_nanos()), "{path}");
            compared += 1;
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(compared == 0 || compared > 1_300, "{compared}");
}

/// Whether two snapshots hold the same, but for what a copy can't share: times of creation and of the last change of an inode.
fn is_alike(world: &World, one: RunId, other: RunId) -> bool {
    let entries = |id| {
        let (mut entries, mut groups) = (Vec::new(), std::collections::HashMap::new());
        list_entries(&world.repo(), &world.snapshot(id), None, true, &mut |path, entry| {
            let mut entry = entry.clone();
            (entry.ctime, entry.btime, entry.references, entry.list) = (None, None, None, None);
            if entry.kind == nightsafe::snapshot::tree::entry::EntryType::Directory {
                (entry.size, entry.hash) = (None, None);
            }
            let next = u64::try_from(groups.len()).unwrap();
            entry.link_group = entry.link_group.map(|group| groups.entry(group).or_insert(next).to_le_bytes());
            entries.push((path.clone(), entry));
            ControlFlow::Continue(())
        })
        .unwrap();
        entries
    };
    entries(one) == entries(other)
}

#[test]
fn sparse_files_stay_as_sparse_as_they_were() {
    for place in places() {
        let (source, target) = (place.path.join("source"), place.path.join("target"));
        tree::build_sparse(&source);
        let world = World::new();
        let id = back_up(&world, &source);
        assert!(restore(&world, id, &everything_into(target.clone())).is_complete());
        let (expected, found) = (survey(&source), survey(&target));
        assert_eq!(differences(&expected, &found), Vec::<String>::new(), "{}", place.name);
        // The survey compares maps of holes; this is the sum of it.
        let blocks = |folder: &Path| {
            let files = std::fs::read_dir(folder).unwrap();
            files.map(|entry| entry.unwrap().metadata().unwrap().blocks()).sum::<u64>()
        };
        assert!(blocks(&target) <= blocks(&source) + 64, "{}: {} {}", place.name, blocks(&source), blocks(&target));
        assert!(expected.values().filter(|facts| facts.has_holes()).count() >= 8, "{}", place.name);
    }
}

/// An ext4 with small inodes holds whole seconds up to 2038 only.
#[test]
fn times_that_the_target_cannot_hold_are_named_and_nothing_else() {
    let Some(place) = mount::ext4("-I 128", 16) else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, seconds, nanoseconds) in
        [("fits", 1_000_000_000, 0), ("fraction", 1_000_000_000, 5), ("2100", 4_102_444_800, 0)]
    {
        std::fs::write(folder.path().join(name), name).unwrap();
        tree::set_mtime(&folder.path().join(name), seconds, nanoseconds);
    }
    tree::set_mtime(folder.path(), 1_000_000_000, 0);
    let world = World::new();
    let id = back_up(&world, folder.path());
    let target = place.path.join("target");
    let summary = restore(&world, id, &everything_into(target.clone()));
    let mut named: Vec<(String, &str)> =
        summary.problems.iter().map(|problem| (problem.path.to_string(), problem.message.as_str())).collect();
    // Several threads write files: their problems come as they are met.
    named.sort();
    let because = "time of last change: the file system can't hold it";
    assert_eq!(named, [("/data/2100".to_owned(), because), ("/data/fraction".to_owned(), because)]);
    assert_eq!((summary.problem_count, summary.files), (2, 3));
    assert!(
        ["fits", "fraction", "2100"]
            .into_iter()
            .all(|name| std::fs::read(target.join(name)).unwrap() == name.as_bytes())
    );
}

/// A survey must see what it is for.
#[test]
fn the_survey_tells_one_thing_from_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tree");
    tree::build_sparse(&path);
    let before = survey(&path);
    let file = path.join("hole in the middle");
    let bytes = std::fs::read(&file).unwrap();
    let mtime = std::fs::metadata(&file).unwrap();
    std::fs::write(&file, bytes).unwrap();
    tree::set_mtime(&file, mtime.mtime(), mtime.mtime_nsec());
    let lines = differences(&before, &survey(&path));
    assert_eq!(lines.len(), 1, "the same bytes without a hole: {lines:?}");
    tree::set_mtime(&file, mtime.mtime(), mtime.mtime_nsec() ^ 1);
    rustix::fs::lsetxattr(&path, "user.x", b"", rustix::fs::XattrFlags::empty()).unwrap();
    std::fs::write(path.join("extra"), "").unwrap();
    let lines = differences(&before, &survey(&path));
    assert!(lines.len() == 3 && lines[2] == "extra: extra", "{lines:?}");
}

/// What a survey says of an entry that somebody else restored: it belongs to them, and has nothing that only root can give.
pub fn as_restored_by(owner: u32, facts: &Facts) -> Option<Facts> {
    let mut facts = facts.clone();
    if facts.is_device() {
        return None;
    }
    facts.owner = (owner, owner);
    if !facts.is_directory() {
        facts.mode &= !0o6000;
    }
    facts.xattrs.retain(|(name, _)| !name.starts_with("trusted.") && !name.starts_with("security."));
    Some(facts)
}
