//! What `--delete` leaves alone, and what else a restore into a folder owes to those who use it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use super::{deleting, filled, into_existing};
use crate::world::{World, everything_into, noise, portrait};
use nightsafe::repo::id::RunId;
use nightsafe::snapshot::backup::{BackupOptions, backup};
use nightsafe::snapshot::monitor::{EntryAction, Monitor, Progress, Silent};
use nightsafe::snapshot::restore::{self, Overwrite};
use nightsafe::snapshot::source::excludes::ExcludeOptions;
use nightsafe::snapshot::tree::path::SafePath;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

fn excluding(world: &World, excludes: ExcludeOptions) -> RunId {
    let mut options: BackupOptions = world.options();
    options.files[0].excludes = excludes;
    let summary = backup(&world.repo(), &options, &Silent::default()).unwrap();
    assert_eq!(summary.problems, []);
    summary.snapshot.unwrap()
}

/// Once, `--delete` removed what `--exclude` had left out: a manifest didn't tell, and the guide warned of it.
#[test]
fn what_the_backup_left_out_on_purpose_is_not_deleted() {
    let world = filled();
    for name in ["cache/x", "sub/cache/y", "sub/z.log", "sub/kept.log", "marked/x", "marked/CACHEDIR.TAG", "large"] {
        world.write(name, "x");
    }
    world.write("large", noise(90_000));
    world.write("marked/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    let id = excluding(
        &world,
        ExcludeOptions {
            patterns: vec!["cache/".into(), "*.log".into(), "!kept.log".into()],
            caches: true,
            larger_than: Some(80_000),
            ..ExcludeOptions::default()
        },
    );
    // Back onto the same folder, in which more has come since.
    let target = world.source();
    let (precious, extra) = (
        ["new/deep/cache/x", "new/y.log", "sub/deep/new.log", "marked/sub/y", "newly marked/x", "new/large"],
        ["new/file", "new/deep/file", "new/gone/x", "sub/extra", "sub/file.logs"],
    );
    for name in precious.into_iter().chain(extra) {
        world.write(name, if name == "new/large" { noise(80_001) } else { noise(10) });
    }
    world.write("newly marked/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    let before = portrait(&target);
    let options = deleting(&target, Overwrite::IfChanged);
    let plan = world.plan(id, &options).unwrap();
    assert_eq!(portrait(&target), before, "a plan writes nothing");
    // new/file, new/deep/file, new/gone with x, sub/extra, sub/file.logs.
    assert_eq!(plan.deleted.count, 6, "{:?}", plan.deleted);
    let shown: Vec<String> = plan.spared.first.iter().map(ToString::to_string).collect();
    let expected = ["cache", "large", "new", "newly marked", "sub/cache", "sub/z.log", "sub/deep/new.log"];
    assert_eq!(shown, expected.map(|name| format!("/data/{name}")), "{:?}", plan.spared);
    let summary = world.run(id, &options).unwrap();
    assert_eq!((summary.problems.as_slice(), summary.deleted), (&[][..], 6));
    // Of "new": its two caches of one kind or another, a log, and a large file.
    assert_eq!((summary.spared, plan.spared.count), (9, 9));
    let after = portrait(&target);
    assert!(extra.iter().all(|name| !target.join(name).exists()) && !target.join("new/gone").exists());
    for (path, facts) in &before {
        let is_extra = extra.iter().any(|name| Path::new(name) == path) || path == Path::new("new/gone");
        if !is_extra && facts.size.is_some() {
            assert_eq!(after.get(path), Some(facts), "{}", path.display());
        }
    }
    // Of a backup without such rules all of it goes.
    let id = world.night();
    for name in ["sub/extra.log", "cache/more"] {
        world.write(name, "x");
    }
    let summary = world.run(id, &deleting(&target, Overwrite::Never)).unwrap();
    assert_eq!((summary.deleted, summary.spared), (2, 0));
}

/// Once, a marker counted only in folders that the snapshot doesn't hold: a cache that was marked since the backup lost what had come into it.
#[test]
fn what_is_in_folders_that_were_marked_since_is_not_deleted() {
    let world = filled();
    for name in ["cache/old", "cache/sub/old", "other/old", "tagged/old"] {
        world.write(name, "x");
    }
    let rules = ExcludeOptions { caches: true, if_present: vec![".nobackup".into()], ..ExcludeOptions::default() };
    let id = excluding(&world, rules);
    let precious =
        ["cache/new", "cache/CACHEDIR.TAG", "cache/sub/new", "cache/fresh/x", "tagged/.nobackup", "tagged/new"];
    let extra = ["other/new", "other/CACHEDIR.TAG", "new"];
    for name in precious.into_iter().chain(extra) {
        world.write(name, "y");
    }
    world.write("cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    let target = world.source();
    std::fs::remove_file(target.join("cache/sub/old")).unwrap();
    let options = deleting(&target, Overwrite::Never);
    let plan = world.plan(id, &options).unwrap();
    let summary = world.run(id, &options).unwrap();
    assert_eq!((summary.problems.as_slice(), summary.deleted, summary.spared), (&[][..], 3, 6));
    assert_eq!((plan.deleted.count, plan.spared.count), (3, 6));
    assert!(precious.iter().all(|name| target.join(name).exists()));
    assert!(extra.iter().all(|name| !target.join(name).exists()), "a marker that isn't one marks nothing");
    assert!(target.join("cache/sub/old").exists(), "what the snapshot holds comes back");
    // By rules that don't speak of markers, all of it goes.
    let id = excluding(&world, ExcludeOptions::default());
    world.write("cache/more", "y");
    assert_eq!(world.run(id, &deleting(&target, Overwrite::Never)).unwrap().deleted, 1);
}

/// A root within what its outer root leaves out brings a part of that back, and the rest stays left out.
#[test]
fn a_root_in_an_excluded_folder_does_not_give_the_folder_away() {
    let world = filled();
    world.write("cache/app/kept", "x");
    world.write("cache/other", "x");
    let mut options = world.options();
    options.files[0].name = None;
    options.files[0].paths.push(world.source().join("cache/app"));
    options.files[0].excludes.patterns = vec!["cache".into()];
    let summary = backup(&world.repo(), &options, &Silent::default()).unwrap();
    let snapshot = world.snapshot(summary.snapshot.unwrap());
    let source =
        nightsafe::snapshot::tree::path::SafePath::parse(world.source().as_os_str().as_encoded_bytes()).unwrap();
    world.write("cache/app/extra", "x");
    let options = deleting(&world.source(), Overwrite::Never);
    let run =
        nightsafe::snapshot::restore::restore(&world.repo(), &snapshot, Some(&source), &options, &Silent::default());
    let summary = run.unwrap();
    assert_eq!((summary.deleted, summary.spared), (1, 1), "{summary:?}");
    assert!(world.source().join("cache/other").exists() && !world.source().join("cache/app/extra").exists());
}

/// What lies below an unmounted mount point was never looked at.
#[test]
fn an_emptied_mount_point_is_not_cleaned() {
    let Some(place) = crate::fidelity::mount::tmpfs() else { return };
    let world = filled();
    let point = world.source().join("mounted");
    std::fs::create_dir(&point).unwrap();
    std::fs::write(point.join("beneath"), "x").unwrap();
    let bound = crate::fidelity::mount::mount(&["--bind", place.path.to_str().unwrap()], &point);
    bound.unwrap();
    let id = excluding(&world, ExcludeOptions { one_file_system: true, ..ExcludeOptions::default() });
    crate::fidelity::mount::unmount(&point).unwrap();
    let summary = world.run(id, &deleting(&world.source(), Overwrite::Never)).unwrap();
    assert_eq!((summary.problems.as_slice(), summary.deleted), (&[][..], 0));
    assert!(point.join("beneath").exists());
}

/// Once, files that are mounted over others (as in containers) were recorded nowhere when `-x` left them out, so that `--delete` removed what lay beneath.
#[test]
fn a_file_on_another_file_system_is_spared_like_a_folder() {
    let Some(place) = crate::fidelity::mount::tmpfs() else { return };
    let world = filled();
    let bound = ["sub/[hosts] of this", "resolv.conf"];
    for name in bound {
        world.write(name, "beneath");
        std::fs::write(place.path.join("over"), "mounted over it").unwrap();
        let over = place.path.join("over");
        crate::fidelity::mount::mount(&["--bind", over.to_str().unwrap()], &world.source().join(name)).unwrap();
    }
    let id = excluding(&world, ExcludeOptions { one_file_system: true, ..ExcludeOptions::default() });
    for name in bound {
        crate::fidelity::mount::unmount(&world.source().join(name)).unwrap();
        world.write(name.trim_end_matches(" this"), "an extra");
    }
    world.write("deeper/resolv.conf", "an extra");
    world.write("resolv.conf", "beneath");
    let summary = world.run(id, &deleting(&world.source(), Overwrite::Never)).unwrap();
    // The extra beside the first, and the folder with its file.
    assert_eq!((summary.problems.as_slice(), summary.deleted, summary.spared), (&[][..], 3, 2));
    assert!(bound.iter().all(|name| world.source().join(name).exists()));
    let restored = world.copy_of(id);
    assert!(bound.iter().all(|name| !restored.join(name).exists()), "they aren't in the snapshot");
}

/// Once, `--delete` removed what lies beside a root on another file system, if the way to that root led through folders that `-x` had left out: they were stored as if the root were all that they held.
#[test]
fn what_lies_beside_a_root_on_another_file_system_is_spared() {
    let Some(place) = crate::fidelity::mount::tmpfs() else { return };
    let world = filled();
    let point = world.source().join("home");
    std::fs::create_dir_all(place.path.join("alice/docs")).unwrap();
    std::fs::write(place.path.join("alice/docs/kept"), "x").unwrap();
    std::fs::create_dir(&point).unwrap();
    crate::fidelity::mount::mount(&["--bind", place.path.to_str().unwrap()], &point).unwrap();
    let mut options = world.options();
    options.files[0].name = None;
    options.files[0].paths = vec![world.source(), point.join("alice/docs")];
    options.files[0].excludes = ExcludeOptions { one_file_system: true, ..ExcludeOptions::default() };
    let summary = backup(&world.repo(), &options, &Silent::default()).unwrap();
    crate::fidelity::mount::unmount(&point).unwrap();
    assert_eq!(summary.problems, []);
    // Plain folders by now, as on a host with one file system.
    for name in ["home/alice/docs/kept", "home/alice/docs/new", "home/alice/other", "home/bob/mine"] {
        world.write(name, "y");
    }
    let source = world.source();
    let path = SafePath::parse(source.to_str().unwrap().trim_start_matches('/').as_bytes()).unwrap();
    let snapshot = world.snapshot(summary.snapshot.unwrap());
    let options = deleting(&source, Overwrite::Never);
    let done = restore::restore(&world.repo(), &snapshot, Some(&path), &options, &Silent::default()).unwrap();
    assert_eq!((done.problems.as_slice(), done.deleted), (&[][..], 1), "what is new in the root itself");
    assert!(!source.join("home/alice/docs/new").exists());
    assert!(source.join("home/alice/other").exists() && source.join("home/bob/mine").exists());
}

/// Once, a file of the marker's name was spared in whatever folder it was.
#[test]
fn the_marker_is_spared_where_it_is_and_nowhere_else() {
    let world = filled();
    let id = world.night();
    let target = world.copy_of(id);
    let name = format!(".nightsafe-restore-{}", id.random_part());
    for folder in ["", "sub"] {
        std::fs::write(target.join(folder).join(&name), "not a marker").unwrap();
    }
    let options = deleting(&target, Overwrite::Never);
    assert_eq!(world.plan(id, &options).unwrap().deleted.count, 1);
    assert_eq!(world.run(id, &options).unwrap().deleted, 1);
    assert!(target.join(&name).exists() && !target.join("sub").join(&name).exists());
}

/// Looks at the target whenever a file was restored.
struct Onlooker {
    progress: Progress,
    target: PathBuf,
    modes: Mutex<Vec<u32>>,
}

impl Monitor for Onlooker {
    fn progress(&self) -> &Progress {
        &self.progress
    }
    fn entry(&self, _: &[u8], _: EntryAction, _: u64) {
        let mode = std::fs::metadata(&self.target).unwrap().mode() & 0o7777;
        self.modes.lock().unwrap().push(mode);
    }
}

/// Once, an empty folder that was there stayed open to all while a private one came back into it.
#[test]
fn nobody_looks_into_an_empty_folder_while_it_is_filled() {
    let world = filled();
    std::fs::set_permissions(world.source(), PermissionsExt::from_mode(0o750)).unwrap();
    let id = world.night();
    for is_there in [true, false] {
        let target = world.fresh();
        if is_there {
            std::fs::create_dir(&target).unwrap();
            std::fs::set_permissions(&target, PermissionsExt::from_mode(0o777)).unwrap();
        }
        let monitor = Onlooker { progress: Progress::default(), target: target.clone(), modes: Mutex::default() };
        let summary = world.run_watched(id, &everything_into(target.clone()), &monitor).unwrap();
        assert_eq!(summary.problems, []);
        let modes = monitor.modes.into_inner().unwrap();
        assert!(modes.len() >= 5 && modes.iter().all(|mode| mode & 0o777 == 0o700), "{modes:?}");
        assert_eq!(portrait(&target), portrait(&world.source()));
    }
}

#[test]
fn of_many_problems_all_are_counted_and_the_first_are_kept() {
    let world = World::new();
    for n in 0..1_100 {
        world.write(&format!("{n:04}"), "x");
    }
    let id = world.night();
    let target = world.fresh();
    std::fs::create_dir(&target).unwrap();
    for n in 0..1_100 {
        symlink("elsewhere", target.join(format!("{n:04}"))).unwrap();
    }
    let summary = world.run(id, &into_existing(&target, Overwrite::Never)).unwrap();
    assert_eq!((summary.problem_count, summary.problems.len(), summary.is_complete()), (1_100, 1_000, false));
    assert_eq!(summary.problems[999].path.to_string(), "/data/0999");
}
