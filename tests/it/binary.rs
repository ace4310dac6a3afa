//! The program with a repository: exit codes, signals, and what it opens.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]
#![expect(clippy::print_stderr, reason = "a test that can't run here says so")]

use crate::world::{noise, portrait};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_nightsafe");

/// A repository in a folder, and a folder to back up.
pub struct Scene {
    base: tempfile::TempDir,
}

/// How the program ended, and what it said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Said {
    /// The last line of its output, which is JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(self.out.lines().last().unwrap_or_default()).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

impl Scene {
    pub fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        // Another user has to get in.
        std::fs::set_permissions(base.path(), PermissionsExt::from_mode(0o755)).unwrap();
        for name in ["source", "home"] {
            std::fs::create_dir(base.path().join(name)).unwrap();
        }
        let scene = Self { base };
        let key = scene.at("key");
        let said = scene.run(["init", "--generate-key", key.to_str().unwrap()]);
        assert_eq!(said.code, Some(0), "{said:?}");
        scene
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    /// Adds what every call needs to a command that ends in the program.
    pub fn complete(&self, mut command: Command, arguments: &[&OsStr]) -> Command {
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.at("home"))
            .env("NIGHTSAFE_REPOSITORY", self.at("repository"));
        command.env("NIGHTSAFE_CACHE_DIR", self.at("cache")).env("NIGHTSAFE_STATE_DIR", self.at("state"));
        command.stdin(Stdio::null());
        if arguments.first() != Some(&OsStr::new("init")) {
            command.env("NIGHTSAFE_KEY_FILE", self.at("key"));
        }
        command
    }

    pub fn command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let arguments: Vec<&OsStr> = arguments.into_iter().map(OsStr::new).collect();
        self.complete(Command::new(PROGRAM), &arguments)
    }

    pub fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Said {
        self.command(arguments).output().unwrap().into()
    }

    /// The arguments of a backup of the folder.
    fn backup(&self) -> Vec<String> {
        ["backup", "--json", "--as", "data", self.at("source").to_str().unwrap()].map(str::to_owned).to_vec()
    }

    pub fn back_up(&self) -> Said {
        let arguments = self.backup();
        self.run(arguments.iter().map(String::as_str))
    }

    /// The packs, with their lengths.
    pub fn packs(&self) -> BTreeMap<PathBuf, u64> {
        let of = |path: &Path| std::fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap());
        let files = of(&self.at("repository/packs")).flat_map(|folder| of(&folder.path()).collect::<Vec<_>>());
        // One that is being written may vanish under its temporary name.
        let whole = files.filter(|file| !file.file_name().to_string_lossy().contains(".tmp"));
        whole.filter_map(|file| Some((file.path(), file.metadata().ok()?.len()))).collect()
    }

    /// A command for `--postgres-via` that takes a second to lead to where no server is.
    pub fn slow_prefix(&self) -> String {
        let path = self.at("slow");
        std::fs::write(&path, "#!/bin/sh\nsleep 1.2\nexit 1\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Restores the newest snapshot and compares it.
    fn assert_latest_is_the_source(&self) {
        let target = self.at("restored");
        let said = self.run(["restore", "latest:/data", "--target", target.to_str().unwrap()]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(portrait(&target), portrait(&self.at("source")));
        std::fs::remove_dir_all(target).unwrap();
    }

    fn assert_intact(&self) {
        let said = self.run(["check", "--read-data"]);
        assert_eq!(said.code, Some(0), "{said:?}");
    }
}

#[test]
fn each_outcome_has_its_exit_code() {
    let scene = Scene::new();
    std::fs::write(scene.at("source/file"), noise(100_000)).unwrap();
    assert_eq!(scene.run(["snapshots"]).code, Some(0), "an empty repository");
    assert_eq!(scene.run(["restore", "latest", "--target", "/nonexistent/x"]).code, Some(1), "no snapshot");
    assert_eq!(scene.back_up().code, Some(0));
    scene.assert_latest_is_the_source();
    scene.assert_intact();

    let source = scene.at("source");
    let filled = source.to_str().unwrap();
    let said = scene.run(["restore", "latest", "--target", filled]);
    assert_eq!((said.code, std::fs::read_dir(&source).unwrap().count()), (Some(4), 1), "{said:?}");
    assert!(said.err.contains(filled), "{said:?}");

    let said: Said =
        scene.command(["snapshots"]).env("NIGHTSAFE_REPOSITORY", scene.at("nowhere")).output().unwrap().into();
    assert_eq!(said.code, Some(10), "{said:?}");
    let said: Said =
        scene.command(["backup", filled]).env("NIGHTSAFE_REPOSITORY", scene.at("home")).output().unwrap().into();
    assert_eq!((said.code, std::fs::read_dir(scene.at("home")).unwrap().count()), (Some(10), 0), "{said:?}");

    let wrong = nightsafe::repo::keys::KeyFile::generate().to_text();
    std::fs::write(scene.at("wrong"), wrong.as_bytes()).unwrap();
    let said: Said = scene.command(["snapshots"]).env("NIGHTSAFE_KEY_FILE", scene.at("wrong")).output().unwrap().into();
    assert_eq!((said.code, said.out.as_str()), (Some(12), ""), "{said:?}");
    let said: Said = scene
        .command(["snapshots"])
        .env_remove("NIGHTSAFE_KEY_FILE")
        .env("NIGHTSAFE_PASSWORD", "guess")
        .output()
        .unwrap()
        .into();
    assert_eq!((said.code, said.out.as_str()), (Some(12), ""), "{said:?}");

    assert_eq!(scene.run(["init", "--generate-key", scene.at("key-2").to_str().unwrap()]).code, Some(1), "twice");
    assert!(!scene.at("key-2").exists());
    assert_eq!(scene.run(["backup", "/nonexistent-folder"]).code, Some(1));
    assert_eq!(scene.run(["backup", "--as", "x", "/etc", "/usr"]).code, Some(2), "one name for two folders");
    assert_eq!(scene.run(["dump", "latest:/data"]).code, Some(1), "a folder isn't dumped");
    assert_eq!(scene.run(["dump", "latest:/data/none"]).code, Some(1));
    let dumped = scene.command(["dump", "latest:/data/file"]).output().unwrap();
    assert!(dumped.status.success() && dumped.stdout == std::fs::read(scene.at("source/file")).unwrap());

    // `latest` never mixes hosts.
    assert_eq!(scene.run(["backup", "--host", "elsewhere", filled]).code, Some(0));
    let target = scene.at("mixed");
    let said = scene.run(["restore", "latest", "--target", target.to_str().unwrap()]);
    assert_eq!((said.code, target.exists()), (Some(2), false), "{said:?}");
    assert!(said.err.contains("elsewhere"), "{said:?}");
}

#[test]
fn a_damaged_repository_is_reported_with_exit_code_1() {
    let scene = Scene::new();
    std::fs::write(scene.at("source/file"), noise(100_000)).unwrap();
    scene.back_up();
    let packs = scene.packs();
    let (pack, length) = packs.iter().max_by_key(|(_, length)| **length).unwrap();
    std::fs::remove_file(pack).unwrap();
    let said = scene.run(["check"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("data/file"), "{length}: {said:?}");
    let said = scene.run(["restore", "latest", "--target", scene.at("restored").to_str().unwrap()]);
    assert_ne!(said.code, Some(0), "{said:?}");
    assert!(said.err.contains("data/file") && !scene.at("restored/data/file").exists(), "{said:?}");
}

/// A command that runs the program as a user who isn't root; or why that can't be.
pub fn as_somebody(scene: &Scene) -> Result<Command, String> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Command::new(PROGRAM));
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    let program = scene.at("nightsafe");
    // The folder of the build may be closed to others. A copy is made by another process: a file that this one has open for writing can't
    // be run while some thread forks.
    if !program.exists() && std::fs::hard_link(PROGRAM, &program).is_err() {
        let copied = Command::new("cp").arg(PROGRAM).arg(&program).output();
        copied.map_err(|error| error.to_string())?;
    }
    let open_to_others = std::fs::metadata(&program).is_ok_and(|metadata| metadata.permissions().mode() & 0o5 == 0o5);
    if !open_to_others || Command::new("setpriv").arg("--version").output().is_err() {
        return Err("no program that runs as somebody else (setpriv)".to_owned());
    }
    for name in ["home", "repository", "key", "cache", "state"] {
        let owned = Command::new("chown").arg("-R").arg("65534:65534").arg(scene.at(name)).output();
        let _ = owned.map_err(|error| error.to_string())?;
    }
    command.arg(program);
    Ok(command)
}

#[test]
fn a_file_that_cannot_be_read_makes_the_snapshot_incomplete() {
    let scene = Scene::new();
    for name in ["readable", "closed"] {
        std::fs::write(scene.at("source").join(name), noise(1_000)).unwrap();
    }
    std::fs::set_permissions(scene.at("source/closed"), PermissionsExt::from_mode(0o000)).unwrap();
    std::fs::create_dir_all(scene.at("cache")).unwrap();
    let back_up = || {
        let arguments = scene.backup();
        let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        Ok::<Said, String>(scene.complete(as_somebody(&scene)?, &arguments).output().unwrap().into())
    };
    let said = match back_up() {
        Ok(said) => said,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    assert_eq!(said.code, Some(3), "{said:?}");
    let summary = said.json();
    assert_eq!((&summary["state"], &summary["problems"]), (&"incomplete".into(), &1.into()), "{said:?}");
    let id = summary["snapshot_id"].as_str().unwrap();
    let shown = scene.run(["show", id, "--problems"]);
    assert!(shown.code == Some(0) && shown.out.contains("data/closed"), "{shown:?}");
    assert_eq!(scene.run(["restore", "latest", "--target", scene.at("none").to_str().unwrap()]).code, Some(1));
    // By its id it can be restored; what is missing isn't made up.
    let target = scene.at("part");
    let said = scene.run(["restore", id, "--target", target.to_str().unwrap()]);
    assert!(target.join("data/readable").exists() && !target.join("data/closed").exists(), "{said:?}");
    // Readable again, the next one is complete.
    std::fs::set_permissions(scene.at("source/closed"), PermissionsExt::from_mode(0o444)).unwrap();
    let said = back_up().unwrap();
    assert_eq!((said.code, &said.json()["state"]), (Some(0), &"complete".into()), "{said:?}");
    scene.assert_latest_is_the_source();
}

/// Starts a backup of much, and waits until so many packs are stored.
fn under_way(scene: &Scene, size: usize, packs: usize) -> Child {
    std::fs::write(scene.at("source/large"), noise(size)).unwrap();
    let arguments = scene.backup();
    let mut command = scene.command(arguments.iter().map(String::as_str));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while scene.packs().len() < packs {
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
        assert!(begun.elapsed() < Duration::from_mins(5), "no packs");
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

/// Five packs.
const LARGE: usize = 80 << 20;

/// After a backup that ended early: what it stored isn't stored again, and all is well.
fn assert_goes_on(scene: &Scene) {
    assert_eq!(scene.run(["snapshots", "--json"]).out.lines().count(), 1, "an empty list");
    let kept = scene.packs();
    assert!(!kept.is_empty());
    let said = scene.back_up();
    assert_eq!(said.code, Some(0), "{said:?}");
    let all = scene.packs();
    assert!(kept.keys().all(|pack| all.contains_key(pack)));
    let total: u64 = all.values().sum();
    // Random bytes don't shrink; padding adds up to 3 %.
    assert!(total < LARGE as u64 / 100 * 104, "{total} bytes: stored twice; kept were {kept:?}");
    scene.assert_latest_is_the_source();
    scene.assert_intact();
}

#[test]
fn an_interrupted_backup_says_so_and_the_next_one_goes_on() {
    let scene = Scene::new();
    let child = under_way(&scene, LARGE, 1);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let said = Said::from(child.wait_with_output().unwrap());
    assert_eq!(said.code, Some(130), "{said:?}");
    assert!(said.err.contains("interrupted") && said.err.contains("nothing in the repository is damaged"), "{said:?}");
    assert_goes_on(&scene);
}

#[test]
fn a_killed_backup_leaves_what_the_next_one_uses() {
    for packs in [1, 2, 4] {
        let scene = Scene::new();
        let mut child = under_way(&scene, LARGE, packs);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(scene.packs().len() >= packs);
        assert_goes_on(&scene);
    }
}

#[test]
fn a_second_backup_opens_no_file_of_the_source() {
    let scene = Scene::new();
    for n in 0..50 {
        let folder = scene.at(&format!("source/folder-{}", n % 5));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("regular-{n}")), noise(n * 300)).unwrap();
    }
    std::fs::write(scene.at("source/.env"), "KEY=value\n").unwrap();
    // Files that changed in the last two seconds are read again, by design.
    std::thread::sleep(Duration::from_millis(2_300));
    let traced = |name: &str| {
        let trace = scene.at(name);
        let mut command = Command::new("strace");
        command.args(["-f", "-e", "trace=open,openat,openat2", "-o"]).arg(&trace).arg(PROGRAM);
        let arguments = scene.backup();
        let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        let said: Said = scene.complete(command, &arguments).output().ok()?.into();
        let opened = std::fs::read_to_string(trace).unwrap_or_default();
        // Where tracing isn't allowed, strace fails before it runs anything.
        (said.code == Some(0)).then_some(opened)
    };
    let Some(first) = traced("first") else { return eprintln!("skipped: strace can't be used here") };
    let count = |trace: &str| trace.lines().filter(|line| line.contains("regular-") || line.contains(".env")).count();
    assert!(count(&first) >= 51, "the first backup opens all");
    let second = traced("second").unwrap();
    assert!(second.contains("folder-3"), "folders are opened");
    assert_eq!(count(&second), 0, "{second}");
}

#[test]
fn packs_are_compared_with_their_names_without_a_password() {
    let scene = Scene::new();
    std::fs::write(scene.at("source/file"), noise(300_000)).unwrap();
    assert_eq!(scene.back_up().code, Some(0));
    let without_key = |arguments: &[&str]| -> Said {
        scene.command(arguments.iter().copied()).env_remove("NIGHTSAFE_KEY_FILE").output().unwrap().into()
    };
    let packs = scene.packs().len() as u64;
    let said = without_key(&["check", "--packs-only", "--json"]);
    assert_eq!((said.code, &said.json()["packs_read"]), (Some(0), &packs.into()), "{said:?}");
    let said = without_key(&["check", "--packs-only", "--read-data=1/2"]);
    assert_eq!(said.code, Some(0), "{said:?}");

    let (pack, _) = scene.packs().into_iter().max_by_key(|(_, length)| *length).unwrap();
    let mut bytes = std::fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(&pack).unwrap();
    std::fs::write(&pack, bytes).unwrap();
    let said = without_key(&["check", "--packs-only"]);
    let name = pack.file_name().unwrap().to_str().unwrap();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains(name) || said.out.contains(name), "{said:?}");

    for (arguments, hint) in [
        (&["check", "--packs-only", "--read-data=5%/day"][..], "--packs-only"),
        (&["check", "--read-data=5%/fortnight"], "day, week"),
        (&["check", "--read-data=lots/day"], "share"),
        (&["repair", "packs"], "PACK"),
    ] {
        let said = without_key(arguments);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.contains(hint), "{said:?}");
    }
    let said = scene.run(["repair", "packs", "--read-data"]);
    assert_eq!(said.code, Some(1), "something was lost: {said:?}");
    assert_eq!(scene.run(["repair", "index", "--dry-run"]).code, Some(0));
    assert_eq!(scene.back_up().code, Some(0));
    assert_eq!(scene.run(["repair", "snapshots", "--read-data"]).code, Some(0), "healed");
    scene.assert_intact();
}

#[test]
fn forgetting_by_rules_names_and_configuration() {
    let scene = Scene::new();
    std::fs::write(scene.at("source/file"), noise(10_000)).unwrap();
    let source = scene.at("source");
    for day in ["2026-11-26", "2026-11-27", "2026-11-28"] {
        let said = scene.run(["backup", "--app", "wiki", "--host", "web1", "--time", day, source.to_str().unwrap()]);
        assert_eq!(said.code, Some(0), "{said:?}");
    }
    let wrong = [
        &["forget"][..],
        &["forget", "--app", "wiki"],
        &["forget", "--keep-last", "0"],
        &["forget", "--keep-daily", "-1"],
        &["forget", "--keep-within", "1x"],
        &["forget", "--keep-last", "1", "--timezone", "Mars/Base"],
        &["forget", "--keep-last", "1", "latest"],
    ];
    for arguments in wrong {
        let said = scene.run(arguments.iter().copied());
        assert_eq!(said.code, Some(2), "{arguments:?}: {said:?}");
    }
    let dry = scene.run(["forget", "--keep-last", "2", "--timezone", "UTC", "-n"]);
    assert_eq!(dry.code, Some(0), "{dry:?}");
    assert!(dry.out.contains("2 snapshots would stay, 1 would be forgotten"), "{dry:?}");

    let count = |arguments: &[&str]| {
        let said = scene.run(["snapshots", "--json"].into_iter().chain(arguments.iter().copied()));
        said.json().as_array().unwrap().len()
    };
    assert_eq!(scene.run(["protect", "latest"]).code, Some(0));
    assert_eq!(scene.run(["tag", "latest", "--add", "good", "--app", "wiki"]).code, Some(0));
    assert_eq!((count(&[]), count(&["--tag", "good"])), (3, 1));
    assert_eq!(scene.run(["forget", "latest"]).code, Some(4), "it is protected");
    let said = scene.run(["forget", "--keep-last", "2", "--json"]);
    assert_eq!((said.code, said.json()[0]["remove"].as_array().map(Vec::len)), (Some(0), Some(1)), "{said:?}");
    assert_eq!((count(&[]), count(&["--forgotten"])), (2, 1));

    let config = scene.at("nightsafe.toml");
    std::fs::write(
        &config,
        format!("timezone = \"UTC\"\n[app.wiki]\nkeep = {{ last = 1 }}\nsource.files.path = {source:?}\n"),
    )
    .unwrap();
    let said = scene.run(["forget", "--app", "wiki", "--config", config.to_str().unwrap()]);
    assert_eq!((said.code, count(&[])), (Some(0), 1), "{said:?}");
    assert_eq!(scene.run(["protect", "--remove", "latest"]).code, Some(0));
    assert_eq!(scene.run(["forget", "latest"]).code, Some(4), "it is the last one");
    assert_eq!((scene.run(["forget", "latest", "--allow-empty-group"]).code, count(&[])), (Some(0), 0));
}

#[test]
fn pruning_and_undoing() {
    let scene = Scene::new();
    let source = scene.at("source");
    for day in ["2026-11-26", "2026-11-27", "2026-11-28"] {
        std::fs::write(scene.at("source/file"), noise(300_000)).unwrap();
        let said = scene.run(["backup", "--host", "web1", "--time", day, source.to_str().unwrap()]);
        assert_eq!(said.code, Some(0), "{said:?}");
    }
    for wrong in [
        &["prune", "--max-delete", "-1"][..],
        &["prune", "--max-delete", "101"],
        &["prune", "--max-unused", "much"],
        &["prune", "--grace", "1x"],
        &["prune", "--time-budget", "5m"],
        &["forget", "--undo", "x", "--prune"],
    ] {
        assert_eq!(scene.run(wrong.iter().copied()).code, Some(2), "{wrong:?}");
    }
    let bytes = || {
        let said = scene.run(["prune", "-n", "--json"]);
        said.json()["bytes"].as_u64().unwrap()
    };
    let whole = bytes();
    let dry = scene.run(["forget", "--keep-last", "1", "--prune", "--grace", "0", "-n"]);
    assert!(dry.out.contains("would free"), "{dry:?}");
    assert_eq!(scene.run(["snapshots", "--json"]).json().as_array().unwrap().len(), 3, "nothing was done");
    let refused = scene.run(["forget", "--keep-last", "1", "--prune", "--grace", "0"]);
    assert_eq!(refused.code, Some(4), "two thirds are more than a quarter: {refused:?}");
    assert!(refused.err.contains("--max-delete"), "{refused:?}");
    assert_eq!(bytes(), whole);
    // Within the grace it all comes back.
    let forgotten = scene.run(["snapshots", "--forgotten", "--json"]).json();
    let id = forgotten[0]["id"].as_str().unwrap().to_owned();
    let undone = scene.run(["forget", "--undo", &id, "--json"]);
    assert_eq!((undone.code, undone.json()["message_type"].as_str()), (Some(0), Some("undone")), "{undone:?}");
    assert_eq!(scene.run(["forget", "--undo", "zzzz"]).code, Some(1));
    assert_eq!(scene.run(["prune"]).code, Some(0), "nothing is older than the grace");
    assert_eq!(bytes(), whole);
    let pruned = scene.run(["prune", "--grace", "0", "--max-delete", "50", "--json"]);
    assert_eq!(pruned.code, Some(0), "{pruned:?}");
    assert!(pruned.json()["bytes_freed"].as_u64().unwrap() > 250_000, "{pruned:?}");
    assert!(bytes() < whole - 250_000);
    let quiet = scene.run(["prune", "-q"]);
    assert_eq!((quiet.code, quiet.out.as_str(), quiet.err.as_str()), (Some(0), "", ""));
    assert_eq!(scene.run(["check", "--read-data"]).code, Some(0));
    for n in 0..2 {
        let id = scene.run(["snapshots", "--json"]).json()[n]["id"].as_str().unwrap().to_owned();
        let target = scene.at(&format!("target-{n}"));
        let said = scene.run(["restore", &id, "--target", target.to_str().unwrap()]);
        assert_eq!(said.code, Some(0), "{said:?}");
    }
}
