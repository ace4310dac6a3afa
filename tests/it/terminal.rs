//! What people see: on a terminal of some width, and where there is none.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::binary::Scene;
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::process::Command;
use std::thread;

/// Runs a command on a terminal of so many columns: its exit code, and all that was written to the terminal.
pub fn on_terminal(mut command: Command, columns: u16) -> (Option<i32>, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave = open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    tcsetwinsize(&slave, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let end = || slave.try_clone().unwrap();
    command.env("TERM", "xterm-256color").stdin(end()).stdout(end()).stderr(end());
    let mut child = command.spawn().unwrap();
    // Without an end of its own open anywhere the terminal ends when the last program on it does.
    drop((command, slave));
    let reader = thread::spawn(move || {
        let mut shown = Vec::new();
        // Such an end is an error, EIO.
        drop(File::from(master).read_to_end(&mut shown));
        shown
    });
    let code = child.wait().unwrap().code();
    (code, String::from_utf8(reader.join().unwrap()).unwrap())
}

/// Without the sequences that move the cursor or change colours: ESC [ … letter.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        let end = after.find(|c: char| c.is_ascii_alphabetic()).map_or(after.len(), |at| at + 1);
        rest = &after[end..];
    }
    plain + rest
}

fn has_colours(text: &str) -> bool {
    text.split("\u{1b}[")
        .skip(1)
        .any(|after| after.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m'))
}

/// The arguments of a backup that lasts long enough for progress to be drawn.
fn slow_backup(scene: &Scene) -> Vec<String> {
    let source = scene.at("source").to_str().unwrap().to_owned();
    ["backup", &source, "--postgres", "", "--postgres-via", &scene.slow_prefix()].map(str::to_owned).to_vec()
}

fn command(scene: &Scene, arguments: &[String]) -> Command {
    scene.command(arguments.iter().map(String::as_str))
}

#[test]
fn progress_is_drawn_on_a_terminal_and_fits_into_it() {
    let scene = Scene::new();
    fs::write(scene.at("source/a file"), "content").unwrap();
    let arguments = slow_backup(&scene);
    for columns in [120, 40, 15] {
        let (code, shown) = on_terminal(command(&scene, &arguments), columns);
        assert_eq!(code, Some(3), "{shown}");
        // What is drawn anew begins with a carriage return; a line that wrapped couldn't be taken away again.
        let drawn: Vec<String> = shown
            .split('\r')
            .map(plain)
            .filter(|line| line.starts_with(['⠁', '⠂', '⠄', '⡀', '⢀', '⠠', '⠐', '⠈']))
            .collect();
        assert!(!drawn.is_empty(), "{shown:?}");
        for line in drawn {
            let line = line.split('\n').next().unwrap_or_default();
            assert!(line.chars().count() <= usize::from(columns), "{columns}: {line:?}");
        }
    }
}

#[test]
fn on_a_pipe_there_is_no_progress_and_no_colour() {
    let scene = Scene::new();
    fs::write(scene.at("source/a file"), "content").unwrap();
    let said = scene.run(slow_backup(&scene).iter().map(String::as_str));
    assert_eq!(said.code, Some(3), "{said:?}");
    for stream in [&said.out, &said.err] {
        assert!(!stream.contains(['\r', '\u{1b}']), "{said:?}");
    }
}

#[test]
fn no_color_means_none_and_without_it_there_are_some() {
    let scene = Scene::new();
    fs::write(scene.at("source/a file"), "content").unwrap();
    assert_eq!(scene.back_up().code, Some(0));
    for arguments in
        [&["snapshots"][..], &["ls", "nothing-like-it"], &["show", "latest"], &["forget", "--keep-last", "1", "-n"]]
    {
        let (_, coloured) = on_terminal(scene.command(arguments.iter().copied()), 100);
        assert!(has_colours(&coloured), "{arguments:?}: {coloured:?}");
        let mut command = scene.command(arguments.iter().copied());
        command.env("NO_COLOR", "1");
        let (_, shown) = on_terminal(command, 100);
        assert!(!has_colours(&shown), "{arguments:?}: {shown:?}");
        assert_eq!(plain(&coloured).replace(' ', ""), plain(&shown).replace(' ', ""), "the same words");
    }
}

/// Tables once ran over the edge, where each line of theirs became two that nobody could tell apart.
#[test]
fn tables_fit_into_narrow_terminals_and_are_whole_in_pipes() {
    let scene = Scene::new();
    let folder = scene.at("source/a folder whose name takes more room than a small terminal has");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("file"), "content").unwrap();
    let host = "a-host-with-a-name-that-nobody-would-type-twice";
    let arguments = ["backup", "--host", host, "--tag", "nightly,before-the-upgrade", folder.to_str().unwrap()];
    for _ in 0..2 {
        assert_eq!(scene.run(arguments).code, Some(0));
    }
    let piped = scene.run(["snapshots"]);
    assert!(piped.out.lines().any(|line| line.contains(host) && line.contains("before-the-upgrade")), "{piped:?}");
    assert!(!piped.out.contains('…'), "{piped:?}");
    for arguments in [&["snapshots"][..], &["key", "list"], &["show", "latest"], &["forget", "-n", "--keep-last", "1"]]
    {
        for columns in [100, 60, 30] {
            let (code, shown) = on_terminal(scene.command([arguments, &["--json"]].concat()), columns);
            assert_eq!(code, Some(0), "{shown}");
            assert!(!shown.contains('…'), "JSON is never shortened: {shown}");
            let (code, shown) = on_terminal(scene.command(arguments.iter().copied()), columns);
            assert_eq!(code, Some(0), "{shown}");
            // What has columns: their heads are capitals, or each line begins with one of those.
            let shown = plain(&shown);
            let is_table =
                |line: &&str| line.starts_with("ID ") || line.starts_with("SOURCE ") || line.contains("  WHY");
            let heads: Vec<&str> = shown.lines().filter(is_table).collect();
            assert!(!heads.is_empty(), "{arguments:?} at {columns}: {shown}");
            for line in heads {
                assert!(line.chars().count() <= usize::from(columns), "{arguments:?} at {columns}: {line:?}");
            }
            // Ids and times are never cut.
            assert!(!shown.lines().any(|line| line.starts_with("TIME") && line.contains('…')), "{shown}");
        }
    }
    let (_, shown) = on_terminal(scene.command(["snapshots"]), 100);
    let shown = plain(&shown);
    assert!(shown.lines().filter(|line| line.contains('…')).count() == 2, "shortened: {shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
    let (_, shown) = on_terminal(scene.command(["snapshots"]), 30);
    assert!(
        plain(&shown).lines().any(|line| line == format!("HOST   {host}\r") || line == format!("HOST   {host}")),
        "{shown:?}"
    );
}

#[test]
fn help_is_as_wide_as_the_terminal_but_no_wider_than_a_screen() {
    let scene = Scene::new();
    for (columns, most) in [(200, 80), (80, 80), (50, 50)] {
        let (code, shown) = on_terminal(scene.command(["tag", "-h"]), columns);
        assert_eq!(code, Some(0), "{shown}");
        let widest = plain(&shown).lines().map(|line| line.trim_end().chars().count()).max();
        assert!(widest.is_some_and(|widest| widest <= most), "{columns}: {shown}");
        assert!(plain(&shown).lines().count() <= 23 || columns < 80, "{columns}: {shown}");
    }
}

#[test]
fn names_of_files_command_no_terminal() {
    let scene = Scene::new();
    let evil = b"\x1b]0;pwned\x07\x1b[2J\r\nerror: all is lost \xe2\x80\xae\xc2\x9b31m\xff";
    let path = scene.at("source").join(OsString::from_vec(evil.to_vec()));
    fs::write(&path, "content").unwrap();
    std::os::unix::fs::symlink(OsString::from_vec(evil.to_vec()), scene.at("source/link")).unwrap();
    let source = scene.at("source").to_str().unwrap().to_owned();
    let target = scene.at("target").to_str().unwrap().to_owned();
    let hostile = "ho\u{1b}[2Jst";
    for arguments in [
        &["backup", "-vv", "--host", hostile, "--tag", "\u{1b}[5mtag", &source][..],
        &["snapshots"],
        &["show", "latest"],
        &["ls", "-l", "latest"],
        &["diff", "-v", "latest", "latest"],
        &["restore", "-vv", "latest", "-t", &target],
        &["restore", "latest:/no\u{1b}[2Jne", "-t", &target],
        &["forget", "-n", "--keep-last", "1"],
        &["check", "--read-data"],
        &["ls", "\u{1b}[2J"],
        &["backup", "/no\u{1b}[2Jne"],
    ] {
        let (_, shown) = on_terminal(scene.command(arguments.iter().copied()), 200);
        let sequences: Vec<&str> =
            shown.split('\u{1b}').skip(1).filter(|after| !after.strip_prefix('[').is_some_and(is_ours)).collect();
        assert!(sequences.is_empty(), "{arguments:?}: {sequences:?}");
        assert!(!shown.contains(['\u{7}', '\u{202e}', '\u{9b}']), "{arguments:?}: {shown:?}");
        assert!(!shown.lines().any(|line| line.starts_with("error: all is lost")), "{arguments:?}: {shown:?}");
    }
}

/// What colours and progress need: colours, clearing the line, moving up or down.
fn is_ours(after: &str) -> bool {
    let rest = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';' || c == '?');
    let parameters = &after[..after.len() - rest.len()];
    match rest.chars().next() {
        // Colours; never blinking, which nothing of ours is.
        Some('m') => parameters != "5",
        // "2K" clears the line that progress is in; "2J" would clear the screen.
        Some('K' | 'A' | 'B' | 'G' | 'h' | 'l') => true,
        _ => false,
    }
}

#[test]
fn quiet_says_nothing_on_success() {
    let scene = Scene::new();
    fs::write(scene.at("source/a file"), "content").unwrap();
    let source = scene.at("source").to_str().unwrap().to_owned();
    let path = |name: &str| scene.at(name).to_str().unwrap().to_owned();
    for arguments in [
        &["init", "-q", "-r", &path("second"), "--generate-key", &path("second-key")][..],
        &["backup", "-q", &source],
        &["restore", "-q", "latest", "-t", &path("target")],
        &["check", "-q", "--read-data"],
        &["tag", "-q", "latest", "--add", "x"],
        &["protect", "-q", "latest"],
        &["protect", "-q", "--remove", "latest"],
        &["repair", "-q", "index"],
        &["key", "-q", "add", "--generate-key", &path("key-2")],
        &["dump", "-q", &format!("latest:{source}/a file"), "--output", &path("dumped")],
        &["forget", "-q", "latest", "--allow-empty-group"],
        &["prune", "-q"],
    ] {
        let (code, shown) = on_terminal(scene.command(arguments.iter().copied()), 100);
        assert_eq!((code, shown.as_str()), (Some(0), ""), "{arguments:?}");
    }
}
