//! A restore that is killed at each of its last calls, from the one on that brings its files to the disk: either its marker is still there and the same command finishes, or all is in
//! place but what no call can set at the moment in which the marker goes. That is the folder's own time; of one that came back read-only, for a user who isn't root, also its mode.

use super::restore::has_marker;
use crate::binary::{Scene, as_somebody};
use crate::traced::{self, Call};
use crate::world::{noise, portrait};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

/// What changes the folder that is restored into, and what waits for the disk.
const CALLS: &str = "syncfs,fchown,fchmod,utimensat,unlinkat";
/// Nobody.
const OTHER: u32 = 65_534;

/// A folder with this mode, backed up by the one who restores it.
fn scene_with(mode: u32, owner: Option<u32>) -> Scene {
    let scene = Scene::new();
    let source = scene.at("source");
    std::fs::create_dir(source.join("folder")).unwrap();
    for name in ["file", "folder/other"] {
        std::fs::write(source.join(name), noise(3_000)).unwrap();
    }
    if let Some(owner) = owner {
        for path in ["", "file", "folder", "folder/other"] {
            std::os::unix::fs::chown(source.join(path), Some(owner), Some(owner)).unwrap();
        }
    }
    std::fs::set_permissions(&source, PermissionsExt::from_mode(mode)).unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_007);
    std::fs::File::open(&source).unwrap().set_modified(long_ago).unwrap();
    let said = scene.run(["backup", "--as", "data", source.to_str().unwrap()]);
    assert_eq!(said.code, Some(0), "{said:?}");
    scene
}

/// Kills a restore at each of its last calls. Gives at how many of them its marker was gone and its folder unfinished. Nothing where that can't be tried.
fn kill_at_each_of_the_last_calls(scene: &Scene, program: &Command, parent: &Path, may_differ: u32) -> Option<usize> {
    let good = portrait(&scene.at("source"));
    let restore = |target: &Path, inject: &[String]| {
        let target = target.to_str().unwrap();
        let arguments = ["restore", "latest:/data", "--target", target];
        traced::run_program(program, scene, &arguments, CALLS, inject, &[target.to_owned()])
    };
    let whole = parent.join("whole");
    let (said, calls) = restore(&whole, &[])?;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(portrait(&whole), good);
    let begin = calls.iter().position(|call| call.name == "syncfs").expect("it's brought to the disk");
    // Its owner may have to open the folder first.
    let removal = calls.iter().rposition(|call| call.name == "unlinkat").expect("the marker is removed");
    let last: Vec<&str> = calls[begin..].iter().map(|call| call.name.as_str()).collect();
    assert!(begin < removal && last.len() >= 4, "{last:?}");
    let mut unfinished = 0;
    for at in begin..calls.len() {
        let Call { name, .. } = &calls[at];
        let nth = calls[..=at].iter().filter(|call| call.name == *name).count();
        let what = format!("killed at call {} of {last:?}", at - begin);
        let target = parent.join(format!("target-{at}"));
        let (said, _) = restore(&target, &[format!("{name}:signal=KILL:when={nth}")])?;
        assert_eq!(said.code, None, "{what}: {said:?}");
        // Whether the removal itself took place isn't up to this test.
        assert!(at == removal || has_marker(&target) == (at < removal), "{what}");
        if has_marker(&target) {
            let (said, _) = restore(&target, &[])?;
            assert_eq!(said.code, Some(0), "{what}, typed again: {said:?}");
            assert_eq!(portrait(&target), good, "{what}, typed again");
            continue;
        }
        let mut found = portrait(&target);
        let (top, expected) = (found.get_mut(Path::new("")).unwrap(), &good[Path::new("")]);
        unfinished += usize::from(top != expected);
        assert_eq!(top.mode & !may_differ, expected.mode & !may_differ, "{what}");
        (top.mtime, top.mode) = (expected.mtime, expected.mode);
        assert_eq!(found, good, "{what}");
        // Nothing tells any more that it wasn't finished: as after any that is done, one has to say that it may be looked over.
        let (said, _) = restore(&target, &[])?;
        if said.code == Some(1) && expected.mode & 0o500 != 0o500 {
            assert!(
                said.err.contains("ermission denied"),
                "a folder that its owner may not look into: {what}: {said:?}"
            );
            continue;
        }
        assert_eq!(said.code, Some(4), "{what}, typed again: {said:?}");
        let arguments = [
            "restore",
            "latest:/data",
            "--into-existing",
            "--overwrite",
            "if-changed",
            "--target",
            target.to_str().unwrap(),
        ];
        let (said, _) = traced::run_program(program, scene, &arguments, "none", &[], &[])?;
        assert_eq!(said.code, Some(0), "{what}, looked over: {said:?}");
        assert_eq!(portrait(&target), good, "{what}, looked over");
    }
    Some(unfinished)
}

#[test]
fn a_restore_killed_at_its_last_calls_lacks_the_time_of_its_folder_at_most() {
    for mode in [0o755, 0o555, 0o500] {
        let scene = scene_with(mode, None);
        let program = Command::new(env!("CARGO_BIN_EXE_nightsafe"));
        let parent = scene.at("targets");
        std::fs::create_dir(&parent).unwrap();
        // Somebody who isn't root must open the folder to remove the marker.
        let may_differ = if rustix::process::geteuid().is_root() { 0 } else { 0o300 };
        let unfinished = kill_at_each_of_the_last_calls(&scene, &program, &parent, may_differ);
        let Some(unfinished) = unfinished else { return };
        assert!(unfinished >= 1, "mode {mode:o}: between the removal and the time");
    }
}

#[test]
fn a_restore_by_another_user_lacks_no_more_than_the_mode_besides() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: the test above did that");
    }
    for mode in [0o755, 0o555, 0o400] {
        let scene = scene_with(mode, Some(OTHER));
        let program = match as_somebody(&scene) {
            Ok(program) => program,
            Err(reason) => return eprintln!("skipped: {reason}"),
        };
        let parent = scene.at("targets");
        std::fs::create_dir(&parent).unwrap();
        std::os::unix::fs::chown(&parent, Some(OTHER), Some(OTHER)).unwrap();
        assert_eq!(std::fs::metadata(&parent).unwrap().uid(), OTHER);
        let unfinished = kill_at_each_of_the_last_calls(&scene, &program, &parent, 0o300);
        let Some(unfinished) = unfinished else { return };
        assert!(unfinished >= 1, "mode {mode:o}");
    }
}
