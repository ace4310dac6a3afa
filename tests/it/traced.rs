//! The program under `strace`: its system calls recorded, or made to fail. A library before the C library wouldn't see them, since most are made without it.
#![expect(clippy::print_stderr, reason = "a test that can't run here says so")]

use crate::binary::{Said, Scene};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

/// A system call that has returned.
#[derive(Debug, Clone)]
pub struct Call {
    pub name: String,
    /// Its arguments as they were written, strings and paths decoded.
    pub arguments: Vec<Vec<u8>>,
    /// What it returned; a descriptor with its path.
    pub result: Vec<u8>,
    /// The lines in which it began and ended: calls of several threads overlap.
    pub begun: usize,
    pub ended: usize,
    /// Whether it was made to fail.
    pub injected: bool,
}

impl Call {
    /// The path of the descriptor that is argument number `n`.
    pub fn path(&self, n: usize) -> Option<String> {
        path_of(self.arguments.get(n)?)
    }

    pub fn text(&self, n: usize) -> String {
        String::from_utf8_lossy(&self.arguments[n]).into_owned()
    }

    /// The path of what it changes, reads or makes, where its arguments tell.
    pub fn subject(&self) -> Option<String> {
        let below = |dir: usize| {
            let name = self.text(dir + 1);
            // Of `AT_FDCWD` strace tells the path, too.
            if name.starts_with('/') { Some(name) } else { Some(format!("{}/{name}", self.path(dir)?)) }
        };
        match self.name.as_str() {
            "openat" | "mkdirat" | "mknodat" | "unlinkat" => below(0),
            "symlinkat" => below(1),
            "linkat" | "renameat" | "renameat2" => below(2),
            // What is open, or a name in it.
            "statx" | "newfstatat" | "readlinkat" if !self.text(1).is_empty() => below(0),
            _ => self.path(0),
        }
    }

    pub fn failed(&self) -> bool {
        self.result.starts_with(b"-1") || self.result.starts_with(b"?")
    }
}

/// The path in `7</path>`.
pub fn path_of(descriptor: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(descriptor);
    let (_, path) = text.split_once('<')?;
    Some(path.rsplit_once('>')?.0.to_owned())
}

/// Runs the program, recording `calls` (names, separated by commas), some of which `inject` makes fail. Nothing where tracing isn't allowed.
pub fn run(scene: &Scene, arguments: &[&str], calls: &str, inject: &[String]) -> Option<(Said, Vec<Call>)> {
    run_on(scene, arguments, calls, inject, &[])
}

/// [`run`], looking only at calls about one of these paths, if there are any.
pub fn run_on(
    scene: &Scene,
    arguments: &[&str],
    calls: &str,
    inject: &[String],
    paths: &[String],
) -> Option<(Said, Vec<Call>)> {
    run_program(&Command::new(env!("CARGO_BIN_EXE_nightsafe")), scene, arguments, calls, inject, paths)
}

/// [`run_on`], where another command leads to the program.
pub fn run_program(
    program: &Command,
    scene: &Scene,
    arguments: &[&str],
    calls: &str,
    inject: &[String],
    paths: &[String],
) -> Option<(Said, Vec<Call>)> {
    let log = scene.at("trace");
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-y", "-xx", "-s", "100000000", "-e", "signal=none", "-e"])
        .arg(format!("trace={calls}"));
    for what in inject {
        command.args(["-e", &format!("inject={what}")]);
    }
    command.args(paths.iter().flat_map(|path| ["-P", path.as_str()]));
    command.arg("-o").arg(&log).arg(place_of(program.get_program())).args(program.get_args());
    let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    let _ = std::fs::remove_file(&log);
    let said: Option<Said> = scene.complete(command, &arguments).output().ok().map(Into::into);
    let trace = std::fs::read(&log).unwrap_or_default();
    let calls = parse(&trace);
    // Where tracing isn't allowed, strace fails before it runs anything.
    match said {
        Some(said) if !said.err.starts_with("strace") && !said.err.contains("ptrace(") => Some((said, calls)),
        _ => {
            eprintln!("skipped: strace can't be used here");
            None
        }
    }
}

/// Where a program is: strace, which gets an empty environment, doesn't find it by its name.
fn place_of(program: &OsStr) -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file());
    found.unwrap_or_else(|| program.into())
}

/// Reads what strace wrote.
fn parse(trace: &[u8]) -> Vec<Call> {
    let mut begun: std::collections::HashMap<&[u8], (usize, Vec<u8>)> = std::collections::HashMap::new();
    let mut calls = Vec::new();
    for (number, line) in trace.split(|&byte| byte == b'\n').enumerate() {
        let Some(space) = line.iter().position(|&byte| byte == b' ') else { continue };
        let (thread, rest) = (&line[..space], line[space..].trim_ascii());
        if rest.starts_with(b"+++") || rest.starts_with(b"---") {
            continue;
        }
        if let Some(first) = rest.strip_suffix(b"<unfinished ...>") {
            begun.insert(thread, (number, first.trim_ascii_end().to_vec()));
            continue;
        }
        let whole = if rest.starts_with(b"<... ") {
            let Some((at, mut first)) = begun.remove(thread) else { continue };
            let Some(resumed) = find(rest, b"resumed>") else { continue };
            first.extend_from_slice(&rest[resumed + b"resumed>".len()..]);
            (at, first)
        } else {
            (number, rest.to_vec())
        };
        calls.extend(call(&whole.1, whole.0, number));
    }
    calls
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn call(line: &[u8], begun: usize, ended: usize) -> Option<Call> {
    let open = line.iter().position(|&byte| byte == b'(')?;
    let name = String::from_utf8_lossy(&line[..open]).into_owned();
    let mut rest = &line[open + 1..];
    let mut arguments = vec![Vec::new()];
    // Strings and paths are in hex, so that no bracket or comma in them is taken for one.
    loop {
        match *rest.first()? {
            b')' => break,
            b',' => arguments.push(Vec::new()),
            b' ' | b'"' => {}
            byte => arguments.last_mut()?.push(byte),
        }
        rest = &rest[1..];
    }
    let result = rest[find(rest, b"= ")? + 2..].to_vec();
    let injected = find(&result, b"(INJECTED)").is_some();
    let end = result.iter().position(|&byte| byte == b' ').unwrap_or(result.len());
    let result = decode(&result[..end]);
    let arguments = arguments.iter().map(|argument| decode(argument)).collect();
    Some(Call { name, arguments, result, begun, ended, injected })
}

/// Undoes `\x2f`.
fn decode(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.strip_prefix(b"x").and_then(|hex| hex.get(..2));
        match hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()) {
            Some(byte) if first == b'\\' => {
                bytes.push(byte);
                rest = &after[3..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}
