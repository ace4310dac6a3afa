//! PostgreSQL's client programs: where they are, and which fits a server.

use super::command;
use super::error::{PostgresError, clean};
use super::interrupt::Output;
use super::server::Server;
use std::cmp::Reverse;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::Stdio;

/// The oldest server that is supported.
const OLDEST_SERVER: u32 = 10;

/// Most bytes that a search may give.
const MOST_FOUND: u64 = 1 << 20;

/// A client program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Runs statements.
    Psql,
    /// Dumps a database.
    Dump,
    /// Dumps what belongs to no database.
    DumpAll,
    /// Restores a database.
    Restore,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Psql, Self::Dump, Self::DumpAll, Self::Restore];

    /// The file's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Psql => "psql",
            Self::Dump => "pg_dump",
            Self::DumpAll => "pg_dumpall",
            Self::Restore => "pg_restore",
        }
    }
}

/// A version of PostgreSQL as its servers number it: 150014 is 15.14, 90624 was 9.6.24.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u32);

impl Version {
    /// The major version: 15 of 15.14; 9 of all before 10.
    pub const fn major(self) -> u32 {
        self.0 / 10_000
    }

    /// What `--version` says: `pg_dump (PostgreSQL) 15.14 (Debian …)`, `psql (PostgreSQL) 18beta1`.
    fn parse(text: &str) -> Option<Self> {
        let (_, number) = text.split_once("(PostgreSQL) ")?;
        Self::of_number(number)
    }

    /// What a server or a dump calls it: `15.14 (Debian 15.14-1)`, `9.6.24`, `18beta1`.
    pub fn of_number(number: &str) -> Option<Self> {
        let end = number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len());
        let mut parts = number[..end].split('.').map(|part| part.parse::<u32>().ok());
        let major = parts.next()?.filter(|major| *major < 1000)?;
        // In what is left of a number's digits for it.
        let mut next = |room| parts.next().flatten().filter(|part| *part < room).unwrap_or(0);
        Some(Self(if major >= 10 {
            major * 10_000 + next(10_000)
        } else {
            major * 10_000 + next(100) * 100 + next(100)
        }))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            old @ ..100_000 => write!(f, "{}.{}.{}", old / 10_000, old / 100 % 100, old % 100),
            new => write!(f, "{}.{}", new / 10_000, new % 10_000),
        }
    }
}

/// A program that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which one.
    pub program: Program,
    /// The file.
    pub path: OsString,
    /// Its version.
    pub version: Version,
}

impl Found {
    /// From a line of the search: a path, a tabulator, what the program said.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let at = line.iter().position(|byte| *byte == b'\t')?;
        let path = &line[..at];
        let name = Path::new(OsStr::from_bytes(path)).file_name()?;
        let program = Program::ALL.into_iter().find(|program| name == program.name())?;
        let version = Version::parse(&String::from_utf8_lossy(&line[at..]))?;
        Some(Self { program, path: OsString::from_vec(path.to_vec()), version })
    }
}

/// The programs that were found where a server's programs run.
#[derive(Debug, Clone)]
pub struct Programs {
    server: String,
    found: Vec<Found>,
    said: String,
}

impl Programs {
    /// Looks for all programs: in the folders that the server names, below `/usr/lib/postgresql`, and on `PATH`; behind a prefix if there is one.
    ///
    /// Debian's own `/usr/bin/psql` is a script that chooses a version by its own rules, so `PATH` comes last.
    pub fn find(server: &Server) -> Result<Self, PostgresError> {
        let mut found = Vec::new();
        if server.prefix().is_empty() {
            for folder in server.folders() {
                found.extend(
                    Program::ALL.into_iter().filter_map(|program| ask(server, program, &folder.join(program.name()))),
                );
            }
        }
        let (listed, said) = search(server)?;
        found.extend(listed);
        Ok(Self { server: server.describe(), found, said })
    }

    /// The newest of a kind; the first of equal ones.
    pub fn newest(&self, program: Program) -> Result<&Found, PostgresError> {
        let newest = self.of(program).min_by_key(|found| Reverse(found.version.major()));
        newest.ok_or_else(|| self.none(program))
    }

    /// That of the server's major version, else of the next newer one: an older one doesn't know the server's catalogue.
    pub fn fitting(&self, program: Program, server: Version) -> Result<&Found, PostgresError> {
        if server.major() < OLDEST_SERVER {
            return Err(PostgresError::ServerTooOld { server: self.server.clone(), version: server.to_string() });
        }
        let able = self.of(program).filter(|found| found.version.major() >= server.major());
        if let Some(found) = able.min_by_key(|found| found.version.major()) {
            return Ok(found);
        }
        let found: Vec<_> =
            self.of(program).map(|found| format!("{} at {}", found.version, clean(found.path.as_bytes()))).collect();
        if found.is_empty() {
            return Err(self.none(program));
        }
        Err(PostgresError::ProgramsTooOld {
            program: program.name(),
            server: self.server.clone(),
            version: server.major(),
            found: found.join(", "),
        })
    }

    fn of(&self, program: Program) -> impl Iterator<Item = &Found> {
        self.found.iter().filter(move |found| found.program == program)
    }

    fn none(&self, program: Program) -> PostgresError {
        PostgresError::NoProgram { program: program.name(), server: self.server.clone(), said: self.said.clone() }
    }
}

/// The program at a path, if there is one that works.
fn ask(server: &Server, program: Program, path: &Path) -> Option<Found> {
    let mut command = server.withheld().client(path);
    let output = command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let version = Version::parse(&String::from_utf8_lossy(&output.stdout))?;
    Some(Found { program, path: path.as_os_str().to_owned(), version })
}

/// What the search by a shell finds, and what it said.
fn search(server: &Server) -> Result<(Vec<Found>, String), PostgresError> {
    let mut command = command::search(server, &Program::ALL);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let program = command.get_program().to_string_lossy().into_owned();
    let name = || server.describe();
    let spawned = command.spawn();
    let mut child =
        spawned.map_err(|source| PostgresError::Spawn { program: program.clone(), server: name(), source })?;
    let pipe = |source| PostgresError::Pipe { program: program.clone(), server: name(), source };
    let stderr = child.stderr.take();
    let words = std::thread::spawn(move || {
        let mut words = Vec::new();
        if let Some(stderr) = stderr {
            let _ = stderr.take(MOST_FOUND).read_to_end(&mut words);
        }
        words
    });
    let mut listed = Vec::new();
    let stdout = child.stdout.take();
    let read = stdout.map_or(Ok(0), |stdout| {
        Output::of(stdout, server.interrupt().clone()).take(MOST_FOUND).read_to_end(&mut listed)
    });
    if server.interrupt().is_set() {
        let _ = child.kill();
        let _ = child.wait();
        return Err(PostgresError::Interrupted);
    }
    let status = child.wait().map_err(pipe)?;
    read.map_err(pipe)?;
    let said = clean(&words.join().unwrap_or_default());
    let found: Vec<_> = listed.split(|byte| *byte == b'\n').filter_map(Found::parse).collect();
    // Behind a prefix, nothing found and a failure means that there is no such container, or that it isn't running.
    if found.is_empty() && !status.success() && !server.prefix().is_empty() {
        return Err(PostgresError::Connect { server: name(), said });
    }
    Ok((found, said))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::child::Withheld;

    #[test]
    fn versions_are_read_and_written() {
        for (text, number, written) in [
            ("pg_dump (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)", 150_014, "15.14"),
            ("psql (PostgreSQL) 18beta1", 180_000, "18.0"),
            ("psql (PostgreSQL) 9.6.24", 90_624, "9.6.24"),
            ("psql (PostgreSQL) 10.23", 100_023, "10.23"),
            // Was taken for 15.0. Nobody writes it.
            ("psql (PostgreSQL) 9.600", 90_000, "9.0.0"),
        ] {
            assert_eq!(Version::parse(text), Some(Version(number)), "{text}");
            assert_eq!(Version(number).to_string(), written);
        }
        for text in ["", "psql 15.1", "(PostgreSQL) ", "(PostgreSQL) x", "(PostgreSQL) 99999999999999.1"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    fn programs(versions: &[u32]) -> Programs {
        let found = |version: &u32| Found {
            program: Program::Dump,
            path: format!("/opt/{version}/pg_dump").into(),
            version: Version(*version),
        };
        Programs { server: "here".into(), found: versions.iter().map(found).collect(), said: String::new() }
    }

    #[test]
    fn the_version_of_the_server_comes_first_then_the_next_newer() {
        let fitting = |found: &[u32], server| {
            programs(found).fitting(Program::Dump, Version(server)).map(|found| found.version.0)
        };
        assert_eq!(fitting(&[180_001, 150_003, 160_001], 150_014).unwrap(), 150_003);
        assert_eq!(fitting(&[180_001, 170_003, 140_001], 150_014).unwrap(), 170_003);
        let error = fitting(&[140_001, 130_002], 150_014).unwrap_err().to_string();
        assert!(
            error.contains("15") && error.contains("14.1 at /opt/140001/pg_dump") && error.contains("13.2"),
            "{error}"
        );
        assert!(matches!(fitting(&[], 150_014), Err(PostgresError::NoProgram { program: "pg_dump", .. })));
        assert!(matches!(fitting(&[180_001], 90_624), Err(PostgresError::ServerTooOld { .. })));
        assert_eq!(programs(&[140_001, 170_001, 170_009]).newest(Program::Dump).unwrap().version.0, 170_001);
        assert!(programs(&[140_001]).newest(Program::Psql).is_err());
    }

    #[test]
    fn further_folders_come_first_and_broken_programs_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            // Not by us: a child that another test starts at this moment could hold the file open for writing, and then it can't be run.
            let script = "printf '#!/bin/sh\n%s\n' \"$2\" > \"$1\" && chmod 755 \"$1\"";
            let status = Withheld::default().command("sh").args(["-c", script, "sh"]).arg(path).arg(text).status();
            assert!(status.unwrap().success());
        };
        put("pg_dump", "echo 'pg_dump (PostgreSQL) 99.1'");
        put("psql", "echo nonsense");
        let server = Server::default().with_folders(vec![folder.path().to_owned(), "/nowhere".into()]);
        let found = Programs::find(&server).unwrap();
        let newest = found.newest(Program::Dump).unwrap();
        assert_eq!((newest.version, Path::new(&newest.path)), (Version(990_001), &*folder.path().join("pg_dump")));
        assert!(found.of(Program::Psql).all(|found| !Path::new(&found.path).starts_with(folder.path())));
    }

    #[test]
    fn a_prefix_that_leads_nowhere_says_so() {
        let prefix = ["sh", "-c", "echo 'No such container: x' >&2; exit 1"].map(String::from).to_vec();
        let error = Programs::find(&Server::default().with_prefix(prefix)).unwrap_err().to_string();
        assert!(error.contains("No such container: x"), "{error}");
        let error = Programs::find(&Server::default().with_prefix(vec!["/no/such/program".into()])).unwrap_err();
        assert!(matches!(error, PostgresError::Spawn { .. }), "{error}");
    }
}
