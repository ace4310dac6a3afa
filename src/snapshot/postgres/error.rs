//! What can go wrong between us and a PostgreSQL server.

use std::io;
use std::process::ExitStatus;

/// Most characters of a program's own words that an error repeats.
const LONGEST_WORDS: usize = 2000;

/// Why something with a server didn't work. No case holds a secret: a server is there as [`Server::describe`](super::server::Server::describe) writes it.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// A password stands where logs and process lists show it.
    #[error(
        "a password doesn't belong into the location of a database ('{parameter}'): put it into PGPASSWORD, a password file (PGPASSFILE, ~/.pgpass), a service file, or the configuration"
    )]
    PasswordInLocation {
        /// The parameter that holds it.
        parameter: String,
    },
    /// A secret stands in a command that logs and process lists show.
    #[error(
        "a password or another secret doesn't belong into the command that leads to a database, which process lists, logs and snapshots show: put it into the container's environment, or say in the configuration where `password` comes from"
    )]
    SecretInPrefix,
    /// The location isn't one.
    #[error(
        "not the location of a database: {problem}; it is written postgres://user@host:port/database, postgresql:///database?host=/folder/of/socket, or as libpq's keywords (host=… dbname=…, service=…)"
    )]
    Malformed {
        /// What is wrong.
        problem: &'static str,
    },
    /// A password can't be handed over.
    #[error("the password for {server} holds a line feed or a NUL, which can't be handed over")]
    BadPassword {
        /// The server.
        server: String,
    },
    /// An extra argument would change what the capture relies on.
    #[error("the extra argument '{argument}' of pg_dump isn't possible: nightsafe sets it itself")]
    BadArgument {
        /// The argument.
        argument: String,
    },
    /// An extra argument would leave out what counts and lists have.
    #[error(
        "the extra argument '{argument}' of pg_dump isn't possible, since it chooses what is dumped: use `schemas` (--schema) and `exclude_table_data` (--exclude-table-data) for that"
    )]
    ChoosingArgument {
        /// The argument.
        argument: String,
    },
    /// A program can't be run.
    #[error("{program} can't be run for {server}: {source}")]
    Spawn {
        /// The program, or the first word of the command prefix.
        program: String,
        /// The server.
        server: String,
        /// What the system said.
        source: io::Error,
    },
    /// No program of the kind was found.
    #[error("no {program} was found for {server}{}: install PostgreSQL's client programs (Debian: apt-get install postgresql-client)", said_behind(.said))]
    NoProgram {
        /// The program.
        program: &'static str,
        /// The server.
        server: String,
        /// What the search itself said, if anything.
        said: String,
    },
    /// All programs of the kind are older than the server.
    #[error(
        "{server} is PostgreSQL {version}, and every {program} found is older ({found}): install that of version {version} or newer (Debian: apt-get install postgresql-client-{version})"
    )]
    ProgramsTooOld {
        /// The program.
        program: &'static str,
        /// The server.
        server: String,
        /// The server's major version.
        version: u32,
        /// Versions and places of those that were found.
        found: String,
    },
    /// The server is older than what is supported.
    #[error("{server} is PostgreSQL {version}: servers from 10 on are supported")]
    ServerTooOld {
        /// The server.
        server: String,
        /// The server's version.
        version: String,
    },
    /// No session came about: unreachable, a wrong password, no such database, no such container.
    #[error("can't connect to {server}{}", said_behind(.said))]
    Connect {
        /// The server.
        server: String,
        /// The program's own words.
        said: String,
    },
    /// A session ended without being asked to.
    #[error("the connection to {server} was lost{}", said_behind(.said))]
    Lost {
        /// The server.
        server: String,
        /// The program's own words.
        said: String,
    },
    /// The server refused a statement.
    #[error("{server}: {said}")]
    Statement {
        /// The server.
        server: String,
        /// The five characters of the error's class and kind.
        sqlstate: Option<String>,
        /// The server's own words.
        said: String,
    },
    /// What came back isn't what was asked for.
    #[error("{server} gave an answer that isn't understood: {problem}")]
    Answer {
        /// The server.
        server: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Two sessions share one connection.
    #[error(
        "{server} is a pooler that shares connections between sessions (such as PgBouncer in transaction mode): a consistent dump needs a session of its own; give the location of the PostgreSQL server behind it"
    )]
    Pooled {
        /// The server.
        server: String,
    },
    /// A lock wasn't granted in time.
    #[error("{server}: the tables couldn't be locked within {seconds} s{}", said_behind(.holders))]
    LockTimeout {
        /// The server.
        server: String,
        /// How long was waited.
        seconds: u64,
        /// Who holds them, as far as it is known.
        holders: String,
    },
    /// Tables came and went faster than they could be locked.
    #[error("{server}: tables were created or dropped during each of {attempts} attempts to lock all of them")]
    TablesKeepChanging {
        /// The server.
        server: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// Somebody wants the work to end.
    #[error("interrupted")]
    Interrupted,
    /// A client program failed.
    #[error("{program} failed for {server} ({status}){}", said_behind(.said))]
    Program {
        /// The program.
        program: String,
        /// The server.
        server: String,
        /// How it ended.
        status: ExitStatus,
        /// Its own words.
        said: String,
    },
    /// A program's output is longer than can be true.
    #[error("{program} gave more than {limit} bytes for {server}")]
    TooLong {
        /// The program.
        program: String,
        /// The server.
        server: String,
        /// The most that is taken.
        limit: u64,
    },
    /// Reading from or writing to a program failed.
    #[error("the exchange with {program} for {server} failed: {source}")]
    Pipe {
        /// The program.
        program: String,
        /// The server.
        server: String,
        /// What the system said.
        source: io::Error,
    },
}

impl PostgresError {
    /// The SQLSTATE, where the server gave one.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Statement { sqlstate, .. } => sqlstate.as_deref(),
            _ => None,
        }
    }
}

fn said_behind(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

/// The SQLSTATE that a message of the server begins with, and the rest: `42P01: message`.
pub(super) fn coded(message: &str) -> Option<(&str, &str)> {
    let (code, rest) = message.split_once(": ")?;
    let is_code = code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    is_code.then_some((code, rest))
}

/// A program's words on one line: without control characters, and cut to a length that people read.
pub fn clean(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let line = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    let mut printable = line.chars().filter(|c| !c.is_control());
    let mut short: String = printable.by_ref().take(LONGEST_WORDS).collect();
    if printable.next().is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cleaned_and_cut() {
        assert_eq!(
            clean(b"pg_dump: error:\tno\x1b[31m\r\n\n  detail: \xff\n"),
            "pg_dump: error: no[31m; detail: \u{fffd}"
        );
        assert_eq!(clean(b""), "");
        let long = clean(&[b'x'; 5000]);
        assert_eq!(long.chars().count(), LONGEST_WORDS + 1);
        assert!(long.ends_with('…'));
        assert_eq!(clean(&[b'x'; LONGEST_WORDS]).len(), LONGEST_WORDS);
    }
}
