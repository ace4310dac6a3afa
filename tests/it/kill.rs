//! kill -9 at random moments of every verb that writes, while two other hosts back up: nothing is lost, and nothing has to be unlocked.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]
#![expect(clippy::print_stdout, reason = "totals for the documents")]
#![expect(clippy::print_stderr, reason = "a test that can't run here says so")]

mod last;
mod restore;
mod reuse;

use crate::disk::{Disk, in_memory};
use crate::world::{Portrait, noise, portrait};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_nightsafe");
/// The environment variable that says how often something is killed.
const KILLS: &str = "NIGHTSAFE_TEST_KILLS";

/// How often something is killed: `few` times, unless the environment says otherwise. The totals in `docs/reliability.md` are of 200.
fn kills(few: u32) -> u32 {
    std::env::var(KILLS).map_or(few, |kills| kills.parse().unwrap())
}
/// What is killed, in turn.
const VERBS: [&[&str]; 6] = [
    &["backup"],
    &["prune", "--grace", "0", "--max-delete", "100", "--stale-after", "3s"],
    &["forget", "--keep-last", "2", "--group-by", "host", "--accept-shrink"],
    &["backup"],
    &["repair", "index"],
    &["repair", "packs", "--read-data"],
];

struct Scene {
    base: tempfile::TempDir,
    /// What each snapshot that was reported must bring back.
    reported: Mutex<BTreeMap<String, Portrait>>,
}

impl Scene {
    fn new() -> Self {
        Self::on(tempfile::tempdir().unwrap())
    }

    /// With all its folders in this one.
    fn on(base: tempfile::TempDir) -> Self {
        let scene = Self { base, reported: Mutex::default() };
        std::fs::create_dir(scene.at("home")).unwrap();
        let key = scene.at("key");
        let made = scene.command("victim", &["init", "--generate-key", key.to_str().unwrap()]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        scene
    }

    fn at(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    /// The program as it's run on `host`, which has a cache of its own.
    fn command(&self, host: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.at("home"))
            .env("NIGHTSAFE_REPOSITORY", self.at("repository"))
            .env("NIGHTSAFE_CACHE_DIR", self.at(&format!("cache-{host}")))
            .stdin(Stdio::null());
        if arguments[0] == "backup" {
            command.args(["--json", "--host", host, "--as", "data"]).arg(self.at(host));
        }
        if arguments[0] != "init" {
            command.env("NIGHTSAFE_KEY_FILE", self.at("key"));
        }
        command
    }

    /// Changes what a host backs up: some files stay, some are shared with other hosts, some are new.
    fn change(&self, host: &str, round: u64) {
        let folder = self.at(host);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("file-{}", round % 5)), noise(20_000)).unwrap();
        std::fs::write(folder.join("shared"), vec![u8::try_from(round % 7).unwrap(); 60_000]).unwrap();
        let _ = std::fs::remove_file(folder.join(format!("file-{}", (round + 2) % 5)));
    }

    /// Backs a host up to the end, and notes what was reported.
    fn back_up(&self, host: &str, round: u64) -> bool {
        self.change(host, round);
        let before = portrait(&self.at(host));
        let output = self.command(host, &["backup"]).output().unwrap();
        if output.status.success() {
            let summary: Value =
                serde_json::from_slice(output.stdout.split(|&b| b == b'\n').rfind(|line| !line.is_empty()).unwrap())
                    .unwrap();
            let id = summary["snapshot_id"].as_str().unwrap().to_owned();
            self.reported.lock().unwrap().insert(id, before);
        }
        output.status.success()
    }

    fn snapshots(&self) -> Vec<String> {
        let output = self.command("victim", &["snapshots", "--json"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let list: Value = serde_json::from_slice(&output.stdout).unwrap();
        list.as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Whether there is a tombstone of a snapshot.
    fn was_forgotten(&self, id: &str) -> bool {
        let forgotten = std::fs::read_dir(self.at("repository").join("forgotten"));
        forgotten.unwrap().any(|entry| entry.unwrap().file_name().to_string_lossy().contains(id))
    }

    fn restored(&self, id: &str, target: &Path) -> Portrait {
        let from = format!("{id}:/data");
        let output =
            self.command("victim", &["restore", &from, "--target", target.to_str().unwrap()]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        portrait(target)
    }
}

fn random(below: u64) -> u64 {
    u64::from_le_bytes(noise(8).try_into().unwrap()) % below.max(1)
}

#[test]
fn nothing_is_lost_whenever_something_is_killed_in_memory() {
    kill_all(&Scene::on(in_memory()), kills(60));
}

#[test]
fn nothing_is_lost_whenever_something_is_killed_on_ext4() {
    let Some(disk) = Disk::ext4(512) else { return };
    kill_all(&Scene::on(tempfile::tempdir_in(disk.path()).unwrap()), kills(60));
}

fn kill_all(scene: &Scene, kills: u32) {
    let (done, others) = (AtomicBool::new(false), AtomicU64::new(0));
    let killed = std::thread::scope(|scope| {
        for host in ["other", "third"] {
            let (done, others) = (&done, &others);
            scope.spawn(move || {
                for round in 0.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    others.fetch_add(u64::from(scene.back_up(host, round)), Ordering::Relaxed);
                }
            });
        }
        let killed = kill_often(scene, kills);
        done.store(true, Ordering::Relaxed);
        killed
    });
    // Nothing needs unlocking: everything works at once.
    assert!(scene.back_up("victim", 1_000));
    let pruned = scene.command("victim", VERBS[1]).output().unwrap();
    assert!(pruned.status.success(), "{pruned:?}");
    let checked = scene.command("victim", &["check", "--read-data"]).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
    let reported = scene.reported.lock().unwrap();
    let mut compared = 0;
    let listed = scene.snapshots();
    for (id, before) in reported.iter() {
        if listed.contains(id) {
            assert_eq!(&scene.restored(id, &scene.at(&format!("restored-{compared}"))), before, "{id}");
            compared += 1;
        } else {
            assert!(scene.was_forgotten(id), "snapshot {id} was reported, and is gone though nobody forgot it");
        }
    }
    let others = others.into_inner();
    assert!(compared >= 3 && others >= 3, "{compared} snapshots were compared; others made {others}");
    println!("{killed} of {kills} were still running when they were killed; {compared} snapshots were compared");
    assert!(killed > kills / 4, "only {killed} of {kills} were still running when they were killed");
}

/// Kills at random moments; gives how many were still running.
fn kill_often(scene: &Scene, kills: u32) -> u32 {
    // How long each verb takes by itself, as seen so far.
    let mut lasts = [Duration::from_millis(300); VERBS.len()];
    let (mut killed, mut reused) = (0, 0);
    for round in 0..kills {
        let which = round as usize % VERBS.len();
        if VERBS[which][0] == "backup" {
            scene.change("victim", round.into());
        }
        let began = Instant::now();
        let mut child =
            scene.command("victim", VERBS[which]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let moment = Duration::from_micros(random(u64::try_from(lasts[which].as_micros()).unwrap()));
        while began.elapsed() < moment && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        if child.try_wait().unwrap().is_some() {
            lasts[which] = began.elapsed();
        } else {
            child.kill().unwrap();
            child.wait().unwrap();
            killed += 1;
            // It lasts at least so long; now and then a little longer is tried.
            lasts[which] = lasts[which].max(began.elapsed()) + Duration::from_millis(5);
            // After the others it's a prune, a repair or something else that meets what the killed one left.
            if VERBS[which][0] == "backup" && random(2) == 0 {
                reused += reuse::assert_nothing_is_stored_again(scene);
            }
        }
        // Time goes on for the store's clock, so that runs become stale.
        if round % 25 == 24 {
            assert!(scene.back_up("victim", round.into()) || round < 50);
        }
    }
    println!(
        "{reused} packs that killed backups left were used by the next one, which stored no chunk of theirs again"
    );
    killed
}
