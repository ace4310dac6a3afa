//! The recovery page, tried as it's written: in an empty folder, with an empty environment.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_nightsafe");

/// The program on the host that is backed up.
fn nightsafe(base: &Path, key: &[&str], arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["-r", "repo's folder"]).args(key).args(arguments).env_clear().current_dir(base).stdin(Stdio::null());
    if key.is_empty() {
        command.env("NIGHTSAFE_PASSWORD", "eleven grey geese over the weir");
    }
    let output = command.env("HOME", base).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

/// Types the commands of a page into a shell, in a folder that holds the program and nothing else; `prepare` does what the page says in words.
fn follow(page: &str, prepare: impl FnOnce(&Path), variables: &[(&str, &str)]) -> tempfile::TempDir {
    let machine = tempfile::tempdir().unwrap();
    std::fs::copy(PROGRAM, machine.path().join("nightsafe")).unwrap();
    prepare(machine.path());
    let commands: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("       ")).collect();
    assert!(commands.len() >= 5, "{page}");
    let mut shell = Command::new("bash");
    shell.args(["-ec", &commands.join("\n")]).env_clear().env("PATH", "/usr/bin:/bin").envs(variables.iter().copied());
    let output = shell.current_dir(machine.path()).stdin(Stdio::null()).output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{page}\n{output:?}");
    let sum = out.split_whitespace().next().unwrap();
    assert!(sum.len() == 64 && page.contains(sum), "the sum of the program is on the page: {out}\n{page}");
    machine
}

fn folder_to_back_up(base: &Path) -> String {
    let source = base.join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("letter"), "dear reader").unwrap();
    source.to_str().unwrap().to_owned()
}

fn assert_restored(machine: &Path, source: &str) {
    let restored = machine.join("restored").join(source.trim_start_matches('/')).join("letter");
    assert_eq!(std::fs::read_to_string(restored).unwrap(), "dear reader");
}

#[test]
fn a_page_with_words_is_all_that_is_needed() {
    let base = tempfile::tempdir().unwrap();
    nightsafe(base.path(), &[], &["init", "--generate-key", "keys"]);
    let names: Vec<String> = std::fs::read_dir(base.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let first = names.iter().find(|name| name.starts_with("nightsafe-recovery-")).expect("init writes a page");
    let secret = std::fs::read_to_string(base.path().join("keys")).unwrap();
    let digits = secret.split('-').nth(3).unwrap();
    let first = std::fs::read_to_string(base.path().join(first)).unwrap();
    assert!(first.contains("It holds no secret.") && !first.contains(digits), "{first}");

    let key = ["--key-file", "keys"];
    let source = folder_to_back_up(base.path());
    nightsafe(base.path(), &key, &["backup", &source]);
    nightsafe(base.path(), &key, &["key", "recovery", "--words", "--to", "page.txt"]);
    let path = base.path().join("page.txt");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let page = std::fs::read_to_string(path).unwrap();
    assert!(!page.contains(digits), "as words only");
    let is_words = |line: &&str| line.starts_with("     ") && line.split_whitespace().count() == 6;
    let words: Vec<&str> = page.lines().filter(is_words).flat_map(str::split_whitespace).collect();
    assert_eq!(words.len(), 24, "{page}");
    let write_words = |folder: &Path| std::fs::write(folder.join("night.key"), words.join("\n")).unwrap();
    let machine = follow(&page, write_words, &[]);
    assert_restored(machine.path(), &source);
}

#[test]
fn a_page_and_the_password_are_all_that_is_needed() {
    let base = tempfile::tempdir().unwrap();
    nightsafe(base.path(), &[], &["init"]);
    // What is known of repositories lies in a hidden folder, as this is the home of whoever runs it.
    let is_shown = |name: &std::ffi::OsStr| !name.to_string_lossy().starts_with('.');
    let names =
        std::fs::read_dir(base.path()).unwrap().filter(|entry| is_shown(&entry.as_ref().unwrap().file_name())).count();
    assert_eq!(names, 1, "whoever brings a password gets no file");
    let source = folder_to_back_up(base.path());
    nightsafe(base.path(), &[], &["backup", &source]);
    let page = String::from_utf8(nightsafe(base.path(), &[], &["key", "recovery"]).stdout).unwrap();
    assert!(!page.contains("geese"), "{page}");
    // Who types the password stands for the terminal.
    let machine = follow(&page, |_| (), &[("NIGHTSAFE_PASSWORD", "eleven grey geese over the weir")]);
    assert_restored(machine.path(), &source);
}

#[test]
fn words_never_go_to_the_terminal_and_passwords_have_none() {
    let base = tempfile::tempdir().unwrap();
    nightsafe(base.path(), &[], &["init"]);
    for arguments in [&["key", "recovery", "--words"][..], &["key", "recovery", "--words", "--to", "page.txt"]] {
        let mut command = Command::new(PROGRAM);
        command.args(["-r", "repo's folder"]).args(arguments).env_clear().env("HOME", base.path());
        command.env("NIGHTSAFE_PASSWORD", "eleven grey geese over the weir").current_dir(base.path());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(output.stdout.is_empty() && !base.path().join("page.txt").exists());
    }
}
