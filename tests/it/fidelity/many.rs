//! A tree of very many files: memory and time.

use super::facts::survey;
use super::{differences, remove_all};
use crate::binary::{Said, Scene};
use std::io::{Read, Seek};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a command; gives what it said, its greatest memory in MiB, and the seconds that it took.
fn measured(command: &mut Command) -> (Said, u64, f64) {
    let begun = Instant::now();
    // Into files, since nobody reads before it ends.
    let mut said = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()];
    let [out, err] = said.each_ref().map(|file| Stdio::from(file.try_clone().unwrap()));
    let mut child = command.stdout(out).stderr(err).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line =
            text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok());
        peak = line.unwrap_or(0).max(peak);
        std::thread::sleep(Duration::from_millis(20));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let [out, err] = said.each_mut().map(|file| {
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    });
    (Said { code: child.wait().unwrap().code(), out, err }, peak >> 10, seconds)
}

/// Backs up that many small files twice and restores them. Gives a line of figures for each.
fn round(files: usize) -> Vec<String> {
    let scene = Scene::new();
    let source = scene.at("source");
    for folder in 0..files.div_ceil(1_000) {
        let path = source.join(format!("{:03}/{folder:05}", folder / 100));
        std::fs::create_dir_all(&path).unwrap();
        for n in folder * 1_000..files.min((folder + 1) * 1_000) {
            // Some in their entries, some stored, some alike.
            std::fs::write(path.join(format!("file {n}")), format!("{n:0width$}", width = n % 150)).unwrap();
        }
    }
    let target = scene.at("target");
    let backup = ["backup", "--json", "--as", "data", source.to_str().unwrap()];
    let restore = ["restore", "latest:/data", "--json", "--target", target.to_str().unwrap()];
    let mut lines = Vec::new();
    // What changed in the last seconds would be read again.
    std::thread::sleep(Duration::from_millis(2_300));
    for (what, arguments) in [("backup", &backup[..]), ("unchanged backup", &backup), ("restore", &restore)] {
        let (said, peak, seconds) = measured(&mut scene.command(arguments.iter().copied()));
        assert_eq!(said.code, Some(0), "{what}: {}", said.err);
        lines.push(format!("{what} of {files} files: {seconds:.1} s, at most {peak} MiB"));
        if what == "unchanged backup" {
            assert_eq!(said.json()["data_read"], 0, "{}", said.json());
        }
    }
    assert_eq!(differences(&survey(&source), &survey(&target)), Vec::<String>::new());
    remove_all(&source);
    remove_all(&target);
    lines
}

#[test]
fn many_files_come_back() {
    assert_eq!(round(2_500).len(), 3);
}

/// `NIGHTSAFE_TEST_FILES` says how many; 1,000,000 take 4 GB of disk.
#[test]
#[ignore = "takes minutes"]
#[expect(clippy::print_stderr, reason = "the figures are what it is for")]
fn a_million_files_come_back() {
    let files = std::env::var("NIGHTSAFE_TEST_FILES").ok().and_then(|number| number.parse().ok()).unwrap_or(1_000_000);
    for line in round(files) {
        eprintln!("{line}");
    }
}
