//! Backups into a folder.

use super::{Fault, STRIDE, Totals, try_in_turn};
use crate::binary::Scene;
use crate::traced::{self, Call};
use crate::unsynced::{assert_latest_is_the_source, backup, change, snapshots};
use std::path::Path;

/// On file systems without hard links a file gets its name by `renameat2`, or by `renameat` where that doesn't know the flag either.
const NO_LINKS: &[&str] = &["linkat:error=EPERM"];
const NOTHING_NEW: &[&str] = &["linkat:error=EPERM", "renameat2:error=EINVAL"];

const FAULTS: [Fault; 14] = [
    Fault::new("write", "error=EIO"),
    Fault::new("write", "error=ENOSPC"),
    // The system says that it wrote nothing; and that it wrote seven bytes, of which none is there.
    Fault::new("write", "retval=0"),
    Fault::new("write", "retval=7"),
    Fault::new("openat", "error=EIO"),
    Fault::new("openat", "error=EMFILE"),
    Fault::new("linkat", "error=ENOSPC"),
    Fault::new("mkdirat", "error=ENOSPC"),
    Fault::new("unlinkat", "error=EIO"),
    Fault::new("getdents64", "error=EIO"),
    Fault { call: "renameat2", how: "error=EIO", besides: NO_LINKS },
    Fault { call: "renameat2", how: "error=ENOSPC", besides: NO_LINKS },
    Fault { call: "renameat", how: "error=EIO", besides: NOTHING_NEW },
    Fault { call: "renameat", how: "error=ENOSPC", besides: NOTHING_NEW },
];

/// Whether a call only looks at what is there.
fn is_read(call: &Call) -> bool {
    call.name == "getdents64" || call.name == "openat" && !call.text(2).contains("O_CREAT")
}

struct Refused {
    scene: Scene,
    totals: Totals,
}

impl Refused {
    fn attempt(&mut self, fault: &Fault, nth: usize) -> Option<bool> {
        let Self { scene, totals } = self;
        change(scene);
        let before = snapshots(scene);
        let mut arguments = backup(scene);
        // What is printed is written, too.
        arguments.push("--quiet".to_owned());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).filter(|word| *word != "--json").collect();
        let (said, calls) = traced::run_on(scene, &arguments, &fault.traced(), &fault.inject(nth), &[])?;
        let what = format!("{fault:?} {nth}: {said:?}");
        let any = calls.iter().any(|call| call.name == fault.call && call.injected);
        let struck = fault.struck(&calls, &scene.at("repository"));
        let is_reported = |code: i32| matches!(code, 0 | 3);
        if !any {
            assert_eq!(said.code, Some(0), "{what}");
        } else if struck.is_empty() {
            // The cache, which costs time and no more; the source, of which a part is lacking then; a library, without which there is no program.
            assert!(matches!(said.code, Some(0 | 1 | 3 | 127)), "{what}");
        } else if fault.call == "unlinkat" {
            // Temporary names and pins, which mean nothing any more.
            assert_eq!(said.code, Some(0), "{what}");
            totals.add(fault, "nothing lost", struck.len());
        } else if said.code == Some(0) {
            // What was stored before and can't be read is stored again, or wasn't needed.
            assert!(struck.iter().all(|call| is_read(call)), "{struck:?} {what}");
            assert_latest_is_the_source(scene);
            totals.add(fault, "made up for", struck.len());
        } else {
            assert_eq!(said.code, Some(1), "{struck:?} {what}");
            let is_named = struck.iter().filter_map(|call| call.subject()).any(|path| {
                let below = Path::new(&path).strip_prefix(scene.at("repository")).unwrap_or(Path::new(""));
                // Of the top any object may be told that was wanted there.
                let folder = below.iter().next().unwrap_or_default().to_string_lossy().into_owned();
                said.err.contains(&format!("repository: {folder}"))
            });
            assert!(is_named, "{struck:?} {what}");
            totals.add(fault, "an error", struck.len());
        }
        let reported = usize::from(said.code.is_some_and(is_reported));
        assert_eq!(snapshots(scene), before + reported, "committed is what was reported, no more: {what}");
        let said = scene.run(backup(scene).iter().map(String::as_str));
        assert_eq!(said.code, Some(0), "the next run after {what}: {said:?}");
        assert_latest_is_the_source(scene);
        Some(any)
    }
}

fn refuse_in_turn(stride: usize) {
    let scene = Scene::new();
    change(&scene);
    let mut refused = Refused { scene, totals: Totals::default() };
    if try_in_turn(&FAULTS, stride, |fault, nth| refused.attempt(fault, nth)).is_none() {
        return;
    }
    refused.totals.report("backups");
    let said = refused.scene.run(["check", "--read-data"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(refused.totals.0.values().sum::<usize>() > FAULTS.len() / 2, "{:?}", refused.totals);
}

#[test]
fn what_the_system_refuses_a_backup_is_an_error() {
    refuse_in_turn(STRIDE);
}

#[test]
#[ignore = "a quarter of an hour; a part of the calls fails in the test above"]
fn each_call_that_the_system_refuses_a_backup_is_an_error() {
    refuse_in_turn(1);
}
