//! The program as scripts see it: exit codes, and what goes where. What needs a repository is tested with the verbs.

use std::io::Read;
use std::process::{Command, Output, Stdio};

/// The program in an environment that holds nothing.
fn nightsafe(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nightsafe"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = nightsafe(arguments).output().expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn wrong_usage_is_told_on_standard_error() {
    for arguments in
        [&["forget"][..], &[], &["backup"], &["restore", "latest"], &["snapshots"], &["-o", "x", "snapshots"]]
    {
        let (code, out, err) = run(arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!err.is_empty(), "{arguments:?}");
    }
}

#[test]
fn with_json_errors_are_json() {
    for arguments in [&["--json", "forget"][..], &["snapshots", "--json"]] {
        let (code, out, err) = run(arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""));
        let message: serde_json::Value = serde_json::from_str(&err).unwrap();
        assert_eq!((&message["message_type"], &message["code"]), (&"exit_error".into(), &2.into()), "{err}");
    }
}

#[test]
fn without_a_terminal_nobody_is_asked_for_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().to_str().unwrap();
    let (code, _, err) = run(&["init", "-r", repository]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("--password-file"), "{err}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn secrets_in_arguments_are_refused_and_not_repeated() {
    let (code, _, err) = run(&["-r", "s3:bucket/night", "-o", "secret_access_key=hush", "snapshots"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("NIGHTSAFE_STORE_SECRET_ACCESS_KEY") && !err.contains("hush"), "{err}");
}

#[test]
fn help_and_pages_go_to_standard_output() {
    for arguments in
        [&["--help"][..], &["help", "backup"], &["man"], &["completions", "bash"], &["unlock"], &["--version"]]
    {
        let (code, out, err) = run(arguments);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(!out.is_empty() && !out.contains('\u{1b}'), "{arguments:?}");
    }
    assert_eq!(run(&["-q", "unlock"]), (Some(0), String::new(), String::new()));
}

#[test]
fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is_one() {
    let mut child = nightsafe(&["completions", "zsh"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));

    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = nightsafe(&["completions", "zsh"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("standard output"));
}
