//! What comes back on request only, and what another user than root may not restore.
#![expect(clippy::print_stderr, reason = "a test that can't run here says so")]

use super::{filled, into_existing};
use crate::binary::{Said, Scene, as_somebody};
use crate::world::portrait;
use nightsafe::snapshot::restore::{Overwrite, RestoreOptions};
use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
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
    // What was left out makes files differ from then on.
    let everything = into_existing(&options.target, Overwrite::IfChanged);
    let summary = world.run(id, &everything).unwrap();
    assert_eq!((summary.problems, summary.overwritten), (vec![], 1 + root));
    assert_eq!(xattr("trusted.t"), is_root());
    assert_eq!(portrait(&options.target), portrait(&world.source()));
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

/// Once, a dry run said nothing of folders that it couldn't look into.
#[test]
fn a_dry_run_names_where_nothing_can_be_deleted() {
    if !is_root() {
        return eprintln!("skipped: only root makes what others may not look at");
    }
    let scene = Scene::new();
    std::fs::create_dir(scene.at("source/closed")).unwrap();
    std::fs::write(scene.at("source/closed/file"), "x").unwrap();
    assert_eq!(scene.back_up().code, Some(0));
    std::fs::create_dir_all(scene.at("theirs/closed/extra")).unwrap();
    std::fs::write(scene.at("theirs/extra"), "").unwrap();
    std::fs::set_permissions(scene.at("theirs/closed"), PermissionsExt::from_mode(0o700)).unwrap();
    let (target, existing) = (scene.at("theirs"), ["--into-existing", "--delete", "--dry-run", "--json"]);
    let mut arguments = vec!["restore", "latest:/data", "--target", target.to_str().unwrap()];
    arguments.extend(existing);
    let arguments: Vec<&OsStr> = arguments.into_iter().map(OsStr::new).collect();
    let said: Said = match as_somebody(&scene) {
        Ok(command) => scene.complete(command, &arguments).output().unwrap().into(),
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    let plan = &said.json()["plan"];
    assert_eq!((said.code, &plan["untouched"]["paths"]), (Some(3), &serde_json::json!(["/data/closed"])), "{said:?}");
    assert_eq!(plan["deleted"]["paths"], serde_json::json!(["/data/extra"]), "{said:?}");
}

/// Once, each owner that a user namespace doesn't know (which says that the number is invalid) was a problem of its own.
#[test]
fn owners_that_a_user_namespace_does_not_know_take_one_line() {
    if !is_root() {
        return eprintln!("skipped: only root gives files to others");
    }
    let scene = Scene::new();
    for n in 0..5 {
        std::fs::write(scene.at(&format!("source/{n}")), "x").unwrap();
        std::os::unix::fs::chown(scene.at(&format!("source/{n}")), Some(12_345), Some(54_321)).unwrap();
    }
    assert_eq!(scene.back_up().code, Some(0));
    let namespace = || {
        let mut command = Command::new("unshare");
        command.arg("--map-root-user");
        command
    };
    if !namespace().arg("true").status().is_ok_and(|status| status.success()) {
        return eprintln!("skipped: no user namespaces here (unshare)");
    }
    let mut command = namespace();
    command.arg(env!("CARGO_BIN_EXE_nightsafe"));
    let target = scene.at("target");
    let arguments = ["restore", "latest:/data", "--target", target.to_str().unwrap()].map(OsStr::new);
    let said: Said = scene.complete(command, &arguments).output().unwrap().into();
    assert_eq!((said.code, said.err.lines().count()), (Some(3), 1), "{said:?}");
    assert!(said.err.contains("not permitted to this user: 5 owners"), "{said:?}");
}

/// Linux before 5.6 has no `openat2`, and some sandboxes refuse it: what `--delete` goes into is then compared by the mount it's on.
#[test]
fn without_openat2_nothing_is_deleted_beyond_the_mount_either() {
    let scene = Scene::new();
    std::fs::create_dir(scene.at("source/kept")).unwrap();
    std::fs::write(scene.at("source/kept/file"), "kept").unwrap();
    let source = scene.at("source");
    let backup = ["backup", "--as", "data", source.to_str().unwrap()];
    assert_eq!(scene.run(backup).code, Some(0));
    for error in ["ENOSYS", "EPERM"] {
        let target = scene.at(&format!("target-{error}"));
        let (inside, outside) = (target.join("extra/deep"), scene.at(&format!("outside-{error}")));
        std::fs::create_dir_all(&inside).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::create_dir(target.join("kept")).unwrap();
        std::fs::write(outside.join("theirs"), "theirs").unwrap();
        std::fs::write(inside.join("old"), "old").unwrap();
        // As a part of another file system would be; where nothing may be mounted, a link to a folder has to do.
        let (mounted, is_root) = (target.join("kept/mounted"), is_root());
        let bound = is_root && {
            std::fs::create_dir(&mounted).unwrap();
            Command::new("mount").arg("--bind").args([&outside, &mounted]).status().is_ok_and(|status| status.success())
        };
        if !bound {
            let _ = std::fs::remove_dir(&mounted);
            std::os::unix::fs::symlink(&outside, &mounted).unwrap();
        }
        let arguments =
            ["restore", "latest:/data", "--target", target.to_str().unwrap(), "--into-existing", "--delete"];
        let restored = crate::traced::run(&scene, &arguments, "openat2", &[format!("openat2:error={error}")]);
        if bound {
            assert!(Command::new("umount").arg(&mounted).status().unwrap().success());
        }
        let Some((said, calls)) = restored else { return };
        assert!(!calls.is_empty(), "it was tried: {said:?}");
        assert_eq!(std::fs::read(target.join("kept/file")).unwrap(), b"kept", "{said:?}");
        assert!(!target.join("extra").exists(), "{said:?}");
        assert_eq!(std::fs::read(outside.join("theirs")).unwrap(), b"theirs", "{said:?}");
    }
}
