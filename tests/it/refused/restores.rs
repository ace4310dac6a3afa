//! Restores into a new folder.

use super::{Fault, MOST, STRIDE, Totals, try_in_turn};
use crate::binary::{Scene, as_somebody};
use crate::fidelity::facts::{Survey, survey};
use crate::fidelity::{differences, is_root, remove_all};
use crate::traced;
use crate::world::noise;
use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

const FAULTS: [Fault; 21] = [
    Fault::new("pwrite64", "error=EIO"),
    Fault::new("pwrite64", "error=ENOSPC"),
    Fault::new("pwrite64", "retval=0"),
    Fault::new("openat", "error=EIO"),
    Fault::new("openat", "error=ENOSPC"),
    Fault::new("openat", "error=EMFILE"),
    Fault::new("ftruncate", "error=EIO"),
    Fault::new("linkat", "error=EIO"),
    Fault::new("linkat", "error=ENOSPC"),
    Fault::new("mkdirat", "error=EIO"),
    Fault::new("mkdirat", "error=ENOSPC"),
    Fault::new("symlinkat", "error=ENOSPC"),
    Fault::new("mknodat", "error=ENOSPC"),
    Fault::new("renameat2", "error=EIO"),
    Fault::new("renameat", "error=EIO"),
    Fault::new("fsetxattr", "error=EIO"),
    Fault::new("fchmod", "error=EIO"),
    Fault::new("fchown", "error=EIO"),
    Fault::new("utimensat", "error=EIO"),
    Fault::new("unlinkat", "error=EIO"),
    Fault::new("getdents64", "error=EIO"),
];
const OTHER: u32 = 65_534;

fn fill(folder: &Path) {
    std::fs::create_dir_all(folder.join("folder/deep")).unwrap();
    for (name, length) in [("file", 300_000), ("small", 50), ("folder/one", 4_000), ("folder/deep/two", 70_000)] {
        std::fs::write(folder.join(name), noise(length)).unwrap();
    }
    std::fs::write(folder.join(".env"), "KEY=value\n").unwrap();
    std::fs::hard_link(folder.join("file"), folder.join("folder/other name")).unwrap();
    symlink("nowhere", folder.join("folder/link")).unwrap();
    rustix::fs::mknodat(CWD, folder.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    rustix::fs::lsetxattr(folder.join("small"), "user.note", b"x", XattrFlags::empty()).unwrap();
    for closed in ["folder/deep", "folder", ""] {
        std::fs::set_permissions(folder.join(closed), PermissionsExt::from_mode(0o555)).unwrap();
    }
}

/// A repository, what was backed up, and who restores it.
struct Refused {
    scene: Scene,
    good: Survey,
    program: Command,
    totals: Totals,
    round: usize,
    /// The folder below the target, the calls about which fail; all if there is none.
    only: Option<&'static str>,
}

impl Refused {
    fn new() -> Self {
        let scene = Scene::new();
        fill(&scene.at("source"));
        let program = Command::new(env!("CARGO_BIN_EXE_nightsafe"));
        std::fs::create_dir(scene.at("targets")).unwrap();
        Self { good: Survey::new(), scene, program, totals: Totals::default(), round: 0, only: None }.backed_up()
    }

    /// In the hands of somebody else; or why not.
    fn by_another() -> Result<Self, String> {
        let mut refused = Self::new();
        for folder in ["source", "targets"] {
            let path = refused.scene.at(folder);
            let changed = Command::new("chown").arg("-hR").arg(format!("{OTHER}:{OTHER}")).arg(path).status();
            assert!(changed.unwrap().success());
        }
        refused = refused.backed_up();
        refused.program = as_somebody(&refused.scene)?;
        Ok(refused)
    }

    fn backed_up(mut self) -> Self {
        let said = self.scene.run(["backup", "--as", "data", self.scene.at("source").to_str().unwrap()]);
        assert_eq!(said.code, Some(0), "{said:?}");
        self.good = survey(&self.scene.at("source"));
        self
    }

    fn attempt(&mut self, fault: &Fault, nth: usize) -> Option<bool> {
        let Self { scene, good, program, totals, round, only } = self;
        *round += 1;
        let target = scene.at(&format!("targets/{round}"));
        let arguments = ["restore", "latest:/data", "--special", "--quiet", "--target", target.to_str().unwrap()];
        let only = only.iter().map(|only| if only.is_empty() { target.clone() } else { target.join(only) });
        let only: Vec<String> = only.map(|path| path.to_str().unwrap().to_owned()).collect();
        let restore =
            |calls: &str, inject: &[String]| traced::run_program(program, scene, &arguments, calls, inject, &only);
        let (said, calls) = restore(&fault.traced(), &fault.inject(nth))?;
        let what = format!("{fault:?} {nth}: {said:?}");
        let any = calls.iter().any(|call| call.name == fault.call && call.injected);
        let struck = fault.struck(&calls, &target);
        let found = if target.exists() { survey(&target) } else { Survey::new() };
        if said.code == Some(0) {
            assert_eq!(differences(good, &found), Vec::<String>::new(), "it says that all is well: {struck:?} {what}");
            if !struck.is_empty() {
                totals.add(fault, "done in another way", struck.len());
            }
        } else {
            assert!(any, "{what}");
            assert!(matches!(said.code, Some(1 | 3 | 127)), "{what}");
            if !struck.is_empty() {
                let is_named = said.err.contains("/data") || said.err.contains(target.to_str().unwrap());
                assert!(is_named, "{struck:?} {what}");
                totals.add(fault, if said.code == Some(3) { "named" } else { "an error" }, struck.len());
            }
            for (path, facts) in &found {
                let is_own = path.starts_with(b".nightsafe-") || path.windows(12).any(|part| part == b"/.nightsafe-");
                let same = good.get(path).is_some_and(|good| good.has_the_bytes_of(facts));
                assert!(is_own || same, "{}: {facts:?} {what}", path.escape_ascii());
            }
            let (again, _) = restore("none", &[])?;
            assert_eq!(again.code, Some(0), "typed again after {struck:?} {what}: {again:?}");
            assert_eq!(differences(good, &survey(&target)), Vec::<String>::new(), "typed again after {what}");
        }
        remove_all(&target);
        Some(any)
    }
}

fn refuse_in_turn(mut refused: Refused, stride: usize, who: &str) {
    if try_in_turn(&FAULTS, stride, |fault, nth| refused.attempt(fault, nth)).is_none() {
        return;
    }
    refused.totals.report(&format!("restores by {who}"));
    let outcomes = refused.totals.0.keys().map(|(_, _, outcome)| *outcome);
    assert!(outcomes.collect::<std::collections::BTreeSet<_>>().len() >= 2, "{:?}", refused.totals);
}

fn refuse_another_in_turn(stride: usize) {
    if !is_root() {
        return println!("skipped: the other test did that");
    }
    match Refused::by_another() {
        Ok(refused) => refuse_in_turn(refused, stride, "another user"),
        Err(reason) => println!("skipped: {reason}"),
    }
}

#[test]
fn what_the_system_refuses_a_restore_is_told_and_made_up_for() {
    refuse_in_turn(Refused::new(), STRIDE, "this user");
}

#[test]
fn what_the_system_refuses_a_restore_by_another_user_is_told_and_made_up_for() {
    refuse_another_in_turn(STRIDE);
}

#[test]
#[ignore = "a quarter of an hour; a part of the calls fails in the tests above"]
fn each_call_that_the_system_refuses_a_restore_is_told_and_made_up_for() {
    refuse_in_turn(Refused::new(), 1, "this user");
    refuse_another_in_turn(1);
}

/// The last call of all sets the time of the folder, whose marker is gone by then. Where that failed, the same command refused to go on.
#[test]
fn a_folder_that_does_not_get_its_time_at_the_end_gets_it_when_the_restore_is_typed_again() {
    let mut refused = Refused { only: Some(""), ..Refused::new() };
    for nth in 1..4 {
        match refused.attempt(&Fault::new("utimensat", "error=EIO"), nth) {
            Some(there) => assert_eq!(there, nth <= 2, "with its attributes, and when the marker is gone"),
            None => return,
        }
    }
}

/// A folder that couldn't be opened again to get its attributes, for want of room, was told nobody: the restore ended well, and the folder kept the mode that it had while it was filled.
/// And a link that couldn't be looked at after it was made stayed under its temporary name.
#[test]
fn what_cannot_be_opened_in_a_folder_for_want_of_room_is_an_error_and_leaves_nothing() {
    let mut refused = Refused { only: Some("folder"), ..Refused::new() };
    let fault = Fault::new("openat", "error=ENOSPC");
    for nth in 1..MOST {
        match refused.attempt(&fault, nth) {
            Some(true) => {}
            Some(false) => break,
            None => return,
        }
    }
    assert!(refused.totals.0.values().sum::<usize>() >= 3, "{:?}", refused.totals);
}
