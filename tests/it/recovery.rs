//! The recovery page, tried as it's written: in an empty folder, with an empty environment.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::faults::hang::Server;
use std::io::Write;
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

/// Types the commands of a page into a shell, in a folder that holds the program and nothing else; `prepare` does what the page says in words, `typed` is what is
/// answered to its questions.
fn follow(page: &str, prepare: impl FnOnce(&Path), variables: &[(&str, &str)], typed: &str) -> tempfile::TempDir {
    let machine = tempfile::tempdir().unwrap();
    std::fs::copy(PROGRAM, machine.path().join("nightsafe")).unwrap();
    prepare(machine.path());
    let commands: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("       ")).collect();
    assert!(commands.len() >= 5, "{page}");
    let mut shell = Command::new("bash");
    shell.args(["-ec", &commands.join("\n")]).env_clear().env("PATH", "/usr/bin:/bin").envs(variables.iter().copied());
    shell.current_dir(machine.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    shell.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
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
    let machine = follow(&page, write_words, &[], "");
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
    let machine = follow(&page, |_| (), &[("NIGHTSAFE_PASSWORD", "eleven grey geese over the weir")], "");
    assert_restored(machine.path(), &source);
}

/// Where no disk holds it, a page is worth nothing without the options, nor with the secrets.
#[test]
fn a_page_of_a_service_names_its_options_and_asks_for_its_secrets() {
    const ID: &str = "who-may-read-the-bucket";
    const SECRET: &str = "what-only-the-owner-knows";
    let base = tempfile::tempdir().unwrap();
    let server = Server::start();
    let url = format!("s3:{}/bucket/night", server.address);
    let nightsafe = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(["-r", &url, "-o", "region=eu north", "-o", "disable_config_load=true", "--key-file", "keys"]);
        command.args(arguments).env_clear().env("HOME", base.path()).current_dir(base.path()).stdin(Stdio::null());
        command.env("NIGHTSAFE_STORE_ACCESS_KEY_ID", ID).env("NIGHTSAFE_STORE_SECRET_ACCESS_KEY", SECRET);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let key = nightsafe_key(base.path());
    nightsafe(&["init"]);
    let source = folder_to_back_up(base.path());
    nightsafe(&["backup", &source]);
    let page = nightsafe(&["key", "recovery"]);
    for (what, secret) in [("the id", ID), ("the secret", SECRET), ("the key", key.trim())] {
        assert!(!page.contains(secret), "{what} is on the page: {page}");
    }
    for named in [&url, "region=eu north", "disable_config_load=true", "SHA-256", "cargo build --release --locked"] {
        assert!(page.contains(named), "{named}: {page}");
    }
    let put_key = |folder: &Path| std::fs::write(folder.join("night.key"), &key).unwrap();
    let before = server.requests();
    let machine = follow(&page, put_key, &[], &format!("{ID}\n{SECRET}\n"));
    assert_restored(machine.path(), &source);
    assert!(server.requests() > before, "the page leads to the server");
}

/// The text of a new key file, which is there.
fn nightsafe_key(base: &Path) -> String {
    let text = nightsafe::repo::keys::KeyFile::generate().to_text().as_str().to_owned();
    std::fs::write(base.join("keys"), &text).unwrap();
    text
}

/// Once, only a key that `init` made itself got a page.
#[test]
fn whoever_brings_a_key_file_gets_a_page_beside_it() {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("kept");
    std::fs::create_dir(&folder).unwrap();
    nightsafe_key(&folder);
    nightsafe(base.path(), &["--key-file", "kept/keys"], &["init"]);
    let pages = |folder: &Path| {
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("nightsafe-recovery-")).collect::<Vec<_>>()
    };
    assert_eq!((pages(&folder).len(), pages(base.path()).len()), (1, 0));
    let page = std::fs::read_to_string(folder.join(&pages(&folder)[0])).unwrap();
    assert!(page.contains("a key file (key ") && page.contains("It holds no secret."), "{page}");
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
