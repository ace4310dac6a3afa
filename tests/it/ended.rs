//! What ends a backup, a prune or an undo before its time, and what people read then.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::binary::{Said, Scene};
use crate::intercept::Intercepted;
use crate::prune::{at_once, forget, night, try_prune};
use crate::world::{Impatient, World, noise};
use nightsafe::cli::error::{CliError, Exit};
use nightsafe::repo::format::key;
use nightsafe::repo::gc::error::GcError;
use nightsafe::repo::id::RunId;
use nightsafe::repo::needs::Needs;
use nightsafe::repo::record::{self, Stop};
use nightsafe::repo::store::{Listed, Store, StoreError, StoreErrorKind};
use nightsafe::snapshot::backup::{BackupError, BackupOptions, FilesSource, backup, now};
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::prune::prune;
use nightsafe::snapshot::source::walk::WalkError;
use nightsafe::snapshot::undo::{UndoError, UndoOptions, undo};
use std::ffi::OsStr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_nightsafe");

/// The exit code, and all that is printed.
fn told(error: impl Into<CliError>) -> (Exit, String) {
    let error = error.into();
    let lines = [&[error.message().to_owned()], error.causes(), &[error.next_step().unwrap_or_default().to_owned()]];
    (error.exit(), lines.concat().join("\n"))
}

/// All words are told, in this order.
fn assert_told(error: impl Into<CliError>, exit: Exit, words: &[&str]) {
    let (code, text) = told(error);
    assert_eq!(code, exit, "{text}");
    let mut rest = text.as_str();
    for word in words {
        rest = rest.split_once(word).unwrap_or_else(|| panic!("{word:?} isn't in its place: {text}")).1;
    }
}

fn keys(store: &dyn Store, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    store.list(prefix, &mut |Listed { key, .. }| found.push(key)).unwrap();
    found
}

/// A repository of two nights, of which the first was forgotten; half of its pack is needed still.
fn half_dead() -> World {
    let world = World::new();
    world.write("stays", noise(900_000));
    world.write("goes", noise(900_000));
    let (first, _) = night(&world);
    std::fs::remove_file(world.source().join("goes")).unwrap();
    world.write("comes", noise(100_000));
    night(&world);
    forget(&world, first);
    world
}

fn bring_back(world: &World, store: Arc<dyn Store>, run: RunId) -> Result<RunId, UndoError> {
    let options = UndoOptions { now: now(), grace: Duration::from_hours(1), host: "here".to_owned() };
    undo(&world.repo_over(store), run, &options, &Silent::default())
}

/// Somebody removes the record of what is condemned: writers rely on these packs from then on, so none goes.
#[test]
fn a_prune_whose_condemnation_was_withdrawn_deletes_nothing() {
    let world = half_dead();
    let packs = world.objects("packs/");
    // The canaries of the second look come behind the condemnation.
    let store = Intercepted::new(world.store.clone(), |store, key, _| {
        if key.starts_with("runs/zz-") && key.ends_with("-2") {
            let records = keys(store, "gc/").into_iter().filter(|key| !key.contains("zz-"));
            records.for_each(|key| store.delete(&key).unwrap());
        }
        Ok(())
    });
    let error = prune(&world.repo_over(Arc::new(store)), &at_once(), &Silent::default()).unwrap_err();
    assert!(matches!(error, GcError::Withdrawn), "{error}");
    assert_told(error, Exit::Failed, &["the record of what this prune condemned is gone", "run it again"]);
    assert!(packs.keys().all(|pack| world.objects("packs/").contains_key(pack)));
    try_prune(&world, &at_once()).unwrap();
}

/// The network goes away while packs are rewritten. "`nightsafe check` lists what is damaged" was the next step then, and nothing is.
#[test]
fn a_prune_without_an_answer_says_which_pack_and_to_run_it_again() {
    let world = half_dead();
    let store = Intercepted::of_gets(world.store.clone(), |key| {
        let gone = || StoreError::new(StoreErrorKind::Transient, key, "memory:").because("the line is dead");
        if key.starts_with("packs/") { Err(gone()) } else { Ok(()) }
    });
    let error = prune(&world.repo_over(Arc::new(store)), &at_once(), &Silent::default()).unwrap_err();
    assert!(matches!(error, GcError::Rewrite(_)), "{error}");
    assert_told(error, Exit::Failed, &["rewriting: pack ", "no answer", "the line is dead", "run this again"]);
    try_prune(&world, &at_once()).unwrap();
}

#[test]
fn whoever_wants_an_end_gets_it_and_nothing_changed() {
    let world = half_dead();
    let before = world.objects("");
    let error = prune(&world.repo(), &at_once(), &Impatient::default()).unwrap_err();
    assert!(matches!(error, GcError::Interrupted), "{error}");
    assert_told(error, Exit::Interrupted, &["interrupted"]);
    let forgotten = keys(&*world.store, "forgotten/")[0]["forgotten/".len()..].parse().unwrap();
    let options = UndoOptions { now: now(), grace: Duration::from_hours(1), host: "here".to_owned() };
    let error = undo(&world.repo(), forgotten, &options, &Impatient::default()).unwrap_err();
    assert!(matches!(error, UndoError::Interrupted), "{error}");
    assert_told(error, Exit::Interrupted, &["interrupted"]);
    assert_eq!(world.objects(""), before);
    bring_back(&world, world.store.clone(), forgotten).unwrap();
}

#[test]
fn what_can_not_be_followed_to_its_data_does_not_come_back() {
    let world = half_dead();
    let forgotten = keys(&*world.store, "forgotten/")[0]["forgotten/".len()..].parse().unwrap();
    world.objects("packs/").keys().for_each(|pack| world.store.delete(pack).unwrap());
    let error = bring_back(&world, world.store.clone(), forgotten).unwrap_err();
    assert!(matches!(error, UndoError::Unreadable { .. }), "{error}");
    let name = forgotten.to_string();
    assert_told(error, Exit::Failed, &[&name, "followed to its data", "is in no pack", "`nightsafe check`"]);
    assert_eq!(world.objects("snapshots/").len(), 2, "nothing was committed");
}

/// A pruner that takes every run for dead at once: its clock is wrong, or it was told to.
#[test]
fn an_undo_that_is_declared_dead_each_time_says_so() {
    let world = Arc::new(half_dead());
    let forgotten = keys(&*world.store, "forgotten/")[0]["forgotten/".len()..].parse().unwrap();
    let pruning = Arc::clone(&world);
    let store = Intercepted::new(world.store.clone(), move |store, key, _| {
        if let Some(run) = key.strip_prefix("snapshots/").and_then(|run| run.parse().ok()) {
            let stop = key::stop(run);
            let body = Stop { needs: Needs::NONE, time: now() };
            let sealed = record::seal_admin_record(pruning.repo().read_keys(), &stop, &body);
            store.put(&stop, &sealed.into())?;
        }
        Ok(())
    });
    let error = bring_back(&world, Arc::new(store), forgotten).unwrap_err();
    assert!(matches!(error, UndoError::Stopped(3)), "{error}");
    assert_told(error, Exit::Failed, &["declared dead 3 times", "nothing was brought back", "--stale-after"]);
    bring_back(&world, world.store.clone(), forgotten).unwrap();
}

/// A rule of the storage, or another program, deletes what was just stored.
#[test]
fn a_backup_whose_packs_keep_vanishing_says_so_and_makes_no_snapshot() {
    let world = World::new();
    world.write("file", noise(300_000));
    let store = Intercepted::new(world.store.clone(), move |store, key, _| {
        if key.starts_with("index/") {
            keys(store, "packs/").iter().try_for_each(|pack| store.delete(pack))?;
        }
        Ok(())
    });
    let error = world.try_back_up(&world.repo_over(Arc::new(store))).unwrap_err();
    assert!(matches!(error, BackupError::Unstable { times: 3, .. }), "{error}");
    let words = ["were removed 3 times", "packs/", "something else deletes objects", "no snapshot was made"];
    assert_told(error, Exit::Failed, &words);
    assert!(world.objects("snapshots/").is_empty());
    world.back_up();
}

/// A disk is unmounted between the look at the paths and the walk.
#[test]
fn a_folder_that_vanished_before_the_walk_is_named() {
    let world = World::new();
    world.write("deep/folder/file", "x");
    let deep = world.source().join("deep");
    let files =
        vec![FilesSource { name: Some("data".to_owned()), paths: vec![deep.join("folder")], ..FilesSource::default() }];
    let (options, gone) = (BackupOptions { files, ..world.options() }, deep.clone());
    let store = Intercepted::new(world.store.clone(), move |_, key, _| {
        if key.starts_with("runs/") {
            std::fs::remove_dir_all(&gone).unwrap();
        }
        Ok(())
    });
    let error = backup(&world.repo_over(Arc::new(store)), &options, &Silent::default()).unwrap_err();
    assert!(matches!(error, BackupError::Walk(WalkError::Open { .. })), "{error}");
    let path = deep.to_str().unwrap();
    assert_told(error, Exit::Failed, &[path, "No such file", "nothing was backed up", "is the disk mounted?"]);
    assert!(world.objects("snapshots/").is_empty());
}

/// A pattern that the configuration and the command line look at first.
#[test]
fn a_pattern_that_is_none_is_named() {
    let world = World::new();
    let mut options = world.options();
    options.files[0].sidecar = Some("a[".to_owned());
    let error = backup(&world.repo(), &options, &Silent::default()).unwrap_err();
    assert!(matches!(error, BackupError::Sidecar { .. }), "{error}");
    assert_told(error, Exit::Failed, &["sidecar pattern `a[`: unclosed character class"]);
}

/// The program behind `sh -c`, with its arguments.
fn behind(scene: &Scene, script: &str, arguments: &[&str]) -> Said {
    let mut sh = Command::new("/bin/sh");
    sh.args(["-c", &format!("{script}; exec \"$0\" \"$@\""), PROGRAM]);
    let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    scene.complete(sh, &arguments).output().unwrap().into()
}

/// "Stopped because another part of the run failed" was all that a backup said that could open no further file: the end of the writer passed for the first error.
#[test]
fn what_this_machine_refuses_is_said() {
    let scene = Scene::new();
    std::fs::write(scene.at("source/file"), noise(100_000)).unwrap();
    std::fs::create_dir(scene.at("source/folder")).unwrap();
    std::fs::write(scene.at("source/folder/file"), noise(1_000)).unwrap();
    let arguments = ["backup", "--as", "data", scene.at("source").to_str().unwrap()].map(str::to_owned);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut refused = 0;
    for files in 6..32 {
        // Each from the beginning, or the next one would have less to open.
        let _ = std::fs::remove_dir_all(scene.at("cache"));
        let said = behind(&scene, &format!("ulimit -n {files}"), &arguments);
        if said.code == Some(0) {
            continue;
        }
        assert!(said.err.contains("Too many open files"), "{files}: {said:?}");
        if said.err.contains("this machine refuses what the run needs") {
            assert!(said.err.contains("ulimit"), "{files}: {said:?}");
            refused += 1;
        }
    }
    assert!(refused > 0, "none of them");
    assert_eq!(scene.run(arguments).code, Some(0));
}

/// Whoever starts the program may ignore the ends of children, and that is inherited: no password command, no dump and no command's output could be had, each for "No child processes".
#[test]
fn programs_are_waited_for_whatever_the_parent_ignores() {
    let scene = Scene::new();
    let ignoring = |arguments: &[&str], more: &[&str]| -> Said {
        let mut env = Command::new("/usr/bin/env");
        env.args(["--ignore-signal=CHLD", PROGRAM]);
        let arguments: Vec<&OsStr> = [arguments, more].concat().into_iter().map(OsStr::new).collect();
        let mut command = scene.complete(env, &arguments);
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.output().unwrap().into()
    };
    let said = ignoring(&["backup", "--stdin=x", "--stdin-from-command", "--"], &["echo", "all of it"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(scene.run(["dump", "latest:/stdin/x"]).out, "all of it\n");
    let key = scene.at("key");
    let command = format!("cat {}", key.display());
    let mut env = Command::new("/usr/bin/env");
    env.args(["--ignore-signal=CHLD", PROGRAM]);
    let arguments = ["snapshots", "--password-command", &command].map(OsStr::new);
    let mut asked = scene.complete(env, &arguments);
    let said: Said = asked.env_remove("NIGHTSAFE_KEY_FILE").output().unwrap().into();
    // It was run, and a key isn't a password.
    assert_eq!(said.code, Some(12), "{said:?}");
}
