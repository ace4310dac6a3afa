//! `config check` and `config show` as scripts see them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nightsafe"));
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").current_dir(folder).stdin(Stdio::null());
    let output = command.output().expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

const GOOD: &str = r#"
timezone = "Europe/Berlin"
[repository.nas]
url = "night"
password = { file = "password" }
[app.wiki]
schedule = "30 3 * * *"
source = { files = { path = "data" } }
"#;

#[test]
fn a_good_configuration_is_checked_shown_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("nightsafe.toml"), GOOD).unwrap();
    fs::write(at("password"), "four random words here\n").unwrap();
    fs::create_dir(at("data")).unwrap();
    let (code, out, err) = run(folder.path(), &["config", "check"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("the configuration is good: 1 repository, 1 app"), "{out}");
    assert!(out.contains("app.wiki.schedule: understood, but this version doesn't act on it yet"), "{out}");
    assert_eq!(out.matches(" 03:30 CE").count(), 3, "{out}");
    let (code, out, _) = run(folder.path(), &["config", "check", "--json"]);
    let message: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, message["schedules"][0]["next"].as_array().unwrap().len()), (Some(0), 3), "{out}");

    let (code, shown, _) = run(folder.path(), &["config", "show"]);
    assert!(code == Some(0) && shown.contains("one_file_system = false") && !shown.contains("random"), "{shown}");
    fs::write(at("shown.toml"), &shown).unwrap();
    let (code, again, err) = run(folder.path(), &["config", "show", "--config", "shown.toml"]);
    assert_eq!((code, again), (Some(0), shown), "{err}");
    let (code, out, _) = run(folder.path(), &["--json", "config", "show"]);
    let message: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &message["configuration"]["app"]["wiki"]["source"]["files"]["kind"]), (Some(0), &"files".into()));

    // The only repository is used without being named.
    let (code, out, err) = run(folder.path(), &["init", "--no-cache"]);
    assert_eq!((code, at("night").is_dir()), (Some(0), true), "{out}{err}");
    assert_eq!(run(folder.path(), &["snapshots", "--no-cache", "-r", "nas"]).0, Some(0));
}

#[test]
fn mistakes_are_exit_code_1_and_all_listed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nightsafe.toml");
    fs::write(&path, "colour = 1\n[repository.nas]\nurl = \"/mnt\"\npassword = \"hush\"\n").unwrap();
    let (code, out, _) = run(folder.path(), &["config", "check"]);
    assert!(code == Some(1) && out.contains("nightsafe.toml:1: unknown key `colour`"), "{out}");
    assert!(out.contains("nightsafe.toml:4: repository.nas.password: ") && out.contains("2 problems"), "{out}");
    assert!(!out.contains("hush"), "{out}");
    let (code, out, err) = run(folder.path(), &["snapshots"]);
    assert_eq!((code, out.as_str()), (Some(1), ""), "a verb that would use it");
    assert!(err.contains("nightsafe config check"), "{err}");
    assert_eq!(run(folder.path(), &["unlock"]).0, Some(0), "one that wouldn't");
    let (code, _, err) = run(folder.path(), &["config", "show"]);
    assert!(code == Some(1) && err.contains("all 2 problems"), "{err}");
    let (code, _, err) = run(folder.path(), &["config", "check", "--config", "none.toml"]);
    assert!(code == Some(1), "{err}");
}

#[test]
fn a_file_that_everybody_may_write_is_used_only_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nightsafe.toml");
    let text = "[repository.nas]\nurl = \"/mnt\"\npassword = { command = \"touch ran; echo words\" }\n";
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let (code, _, err) = run(folder.path(), &["snapshots"]);
    assert!(code == Some(4) && err.contains("everybody may write it") && err.contains("--config"), "{err}");
    let (code, out, _) = run(folder.path(), &["config", "check", "--config", "nightsafe.toml"]);
    assert!(code == Some(0) && out.contains("everybody may write it"), "{out}");
    assert!(!folder.path().join("ran").exists(), "its command isn't run");
}
