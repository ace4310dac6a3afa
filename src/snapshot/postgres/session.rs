//! A session: `psql` as a child, statements in, rows out.
//!
//! Behind each statement `psql` is told to print a random word; what comes before it is the answer. Rows come as JSON, one a line, so that any name and any text survives. A statement that the server refuses ends
//! `psql` (`ON_ERROR_STOP`): what it said is then complete, and nothing later runs under a wrong assumption. The session is over after any error.
//!
//! Texts from a database that are themselves SQL (conditions of extensions), and queries that people configure, never go to `psql` as they are: it would run what follows a backslash, and an open quote would swallow
//! the word that we wait for. [`Session::query_text`] has the server run them.

use super::answer::{Unanswered, read_answer};
use super::client::Client;
use super::command::Input;
use super::error::{PostgresError, clean, coded};
use super::interrupt::{Interrupt, Output};
use super::programs::{Program, Programs, Version};
use super::quote::{literal, unknown_word};
use super::server::Server;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::ffi::OsString;
use std::io::{BufReader, Write};
use std::process::ChildStdin;
use std::time::Duration;

/// Most bytes of one answer.
const MOST_ANSWER: u64 = 512 << 20;

/// How psql is told to be nothing but a channel: no start-up file, rows alone, an end at the first error, and errors with their SQLSTATE.
const ARGUMENTS: [&str; 8] = ["--no-psqlrc", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose"];

/// Ends a statement and its locks soon after psql is gone.
const LOOK_AT_US: &str = "SELECT set_config('client_connection_check_interval', '2s', false)
    WHERE version() !~* 'visual c|msvc|mingw|cygwin'";

/// psql's status if the server refused a statement.
const REFUSED: i32 = 3;

/// Lines of an error that tell of our statement or of the server's source, not of what went wrong.
const ASIDE: [&str; 5] = ["LINE ", "QUERY:", "CONTEXT:", "LOCATION:", "STATEMENT:"];

/// How long to wait for a lock unless told otherwise.
pub const LOCK_TIMEOUT: Duration = Duration::from_mins(1);

/// A session with a server. The program is killed when this is dropped; the server then rolls back.
pub struct Session {
    /// Nothing after an error.
    client: Option<Client>,
    stdin: ChildStdin,
    stdout: BufReader<Output>,
    interrupt: Interrupt,
    marker: String,
    server: String,
    version: Version,
    connected: bool,
}

impl Session {
    /// Connects, and sets everything that an answer could depend on.
    pub fn open(server: &Server, programs: &Programs, lock_timeout: Duration) -> Result<Self, PostgresError> {
        let mut session = Self::connect(server, programs)?;
        session.prepare(lock_timeout)?;
        Ok(session)
    }

    /// Connects and sets nothing: a pooler would hand the settings on to others.
    pub(super) fn connect(server: &Server, programs: &Programs) -> Result<Self, PostgresError> {
        let psql = programs.newest(Program::Psql)?;
        let arguments: Vec<OsString> = ARGUMENTS.iter().map(OsString::from).collect();
        let mut client = Client::start(server, &psql.path, &arguments, Input::Piped)?;
        let (Some(stdin), Some(stdout)) = (client.take_stdin(), client.take_stdout()) else {
            return Err(client.pipe(std::io::ErrorKind::BrokenPipe.into()));
        };
        let interrupt = server.interrupt().clone();
        let mut session = Self {
            client: Some(client),
            stdin,
            stdout: BufReader::new(Output::of(stdout, interrupt.clone())),
            interrupt,
            marker: unknown_word(),
            server: server.describe(),
            version: Version(0),
            connected: false,
        };
        let mut version = Vec::new();
        session.run("SELECT pg_catalog.current_setting('server_version_num')", |line| version.extend(line))?;
        let number = std::str::from_utf8(&version).ok().and_then(|text| text.trim().parse().ok());
        session.version = Version(number.ok_or_else(|| session.answer("the server's version isn't a number"))?);
        session.connected = true;
        if session.version.major() < 10 {
            return Err(PostgresError::ServerTooOld { server: session.server, version: session.version.to_string() });
        }
        Ok(session)
    }

    /// Sets everything that an answer could depend on.
    pub(super) fn prepare(&mut self, lock_timeout: Duration) -> Result<(), PostgresError> {
        // Limits of time that servers have since then.
        let limits = [(14, "idle_session_timeout"), (17, "transaction_timeout")];
        let limits = limits.iter().filter(|(since, _)| self.version.major() >= *since);
        let unlimited = limits.map(|(_, limit)| format!("SET {limit} = 0; ")).collect::<Vec<_>>().concat();
        self.execute(&format!(
            "SET standard_conforming_strings = on; SET client_encoding = 'UTF8'; SET search_path = pg_catalog; \
             SET row_security = off; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
             SET lock_timeout = {}; SET DateStyle = 'ISO'; SET IntervalStyle = 'iso_8601'; SET bytea_output = 'hex'; \
             {unlimited}SET client_min_messages = error; {}",
            lock_timeout.as_millis().clamp(1, i32::MAX as u128),
            // If we're killed, the server learns it only when it answers, unless it's told to look; it can't on Windows.
            if self.version.major() >= 14 { LOOK_AT_US } else { "" }
        ))
    }

    /// The server's version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Runs statements, separated by semicolons; what they give is dropped.
    pub fn execute(&mut self, sql: &str) -> Result<(), PostgresError> {
        self.run(sql, |_| ())
    }

    /// The rows of a query, each read from a JSON object with the columns as its fields.
    pub fn query<T: DeserializeOwned>(&mut self, sql: &str) -> Result<Vec<T>, PostgresError> {
        self.rows(&format!("SELECT pg_catalog.row_to_json(x)::pg_catalog.text FROM ({sql}) x"))
    }

    /// The row of a query that gives exactly one.
    pub fn query_one<T: DeserializeOwned>(&mut self, sql: &str) -> Result<T, PostgresError> {
        let mut rows = self.query(sql)?;
        match (rows.pop(), rows.pop()) {
            (Some(row), None) => Ok(row),
            _ => Err(self.answer("not one row where one was expected")),
        }
    }

    /// At most `limit` different rows of a query that comes from elsewhere; only in a transaction. `psql` never sees the query as anything but a text.
    pub fn query_text<T: DeserializeOwned>(&mut self, sql: &str, limit: usize) -> Result<Vec<T>, PostgresError> {
        let sql = sql.trim().trim_end_matches(';');
        let select = format!("SELECT DISTINCT pg_catalog.to_jsonb(x)::pg_catalog.text FROM ({sql}\n) x");
        let block = format!(
            "DECLARE rows refcursor := 'nightsafe_rows'; BEGIN OPEN rows FOR EXECUTE {}; END",
            literal(&select)
        );
        self.execute(&format!("DO LANGUAGE plpgsql {}", literal(&block)))?;
        let rows = self.rows(&format!("FETCH {limit} FROM nightsafe_rows"))?;
        self.execute("CLOSE nightsafe_rows")?;
        Ok(rows)
    }

    /// Ends the session; an error means that it was over before.
    pub fn close(mut self) -> Result<(), PostgresError> {
        // That it still answers is what tells that all until now was done.
        self.execute("SELECT 1")?;
        let client = self.client.take();
        drop(self.stdin);
        match client.map(Client::wait).transpose()? {
            Some(ending) if !ending.status.success() => {
                Err(PostgresError::Lost { server: self.server, said: ending.said })
            }
            _ => Ok(()),
        }
    }

    fn rows<T: DeserializeOwned>(&mut self, sql: &str) -> Result<Vec<T>, PostgresError> {
        let (mut rows, mut broken) = (Vec::new(), None);
        self.run(sql, |line| match serde_json::from_slice(line) {
            Ok(row) => rows.push(row),
            Err(error) => broken = broken.take().or(Some(error)),
        })?;
        match broken {
            None => Ok(rows),
            Some(error) => Err(self.answer(&error.to_string())),
        }
    }

    /// Runs statements and hands out the lines that they give.
    fn run(&mut self, sql: &str, mut take: impl FnMut(&[u8])) -> Result<(), PostgresError> {
        self.stop_if_interrupted()?;
        if self.client.is_none() {
            return Err(PostgresError::Lost { server: self.server.clone(), said: "it ended with an error".into() });
        }
        let text = format!("{sql}\n;\n\\echo {}\n", self.marker);
        // If psql has ended, its output tells; so does its status.
        let _ = self.stdin.write_all(text.as_bytes()).and_then(|()| self.stdin.flush());
        match read_answer(&mut self.stdout, &self.marker, MOST_ANSWER, &mut take) {
            Ok(()) => Ok(()),
            Err(Unanswered::TooLong) => {
                let (program, server) = ("psql".into(), self.server.clone());
                self.client = None;
                Err(PostgresError::TooLong { program, server, limit: MOST_ANSWER })
            }
            Err(Unanswered::Ended) => {
                self.stop_if_interrupted()?;
                Err(self.ended())
            }
        }
    }

    /// Kills psql if the work is to end.
    fn stop_if_interrupted(&mut self) -> Result<(), PostgresError> {
        self.interrupt.check().inspect_err(|_| self.client = None)
    }

    /// Why psql ended.
    fn ended(&mut self) -> PostgresError {
        let server = self.server.clone();
        let Some(mut client) = self.client.take() else {
            return PostgresError::Lost { server, said: String::new() };
        };
        let ending = match client.end() {
            Ok(ending) => ending,
            Err(error) => return error,
        };
        let (sqlstate, said) = refusal(&ending.words);
        match ending.status.code() {
            Some(REFUSED) => PostgresError::Statement { server, sqlstate, said },
            _ if self.connected => PostgresError::Lost { server, said },
            _ => PostgresError::Connect { server, said },
        }
    }

    pub(super) fn answer(&self, problem: &str) -> PostgresError {
        PostgresError::Answer { server: self.server.clone(), problem: problem.into() }
    }
}

/// The SQLSTATE, and what the server said without what only its developers need.
pub fn refusal(words: &[u8]) -> (Option<String>, String) {
    let text = String::from_utf8_lossy(words);
    let (mut sqlstate, mut kept, mut caret) = (None, String::new(), false);
    for line in text.lines() {
        let mut line = line.strip_prefix("psql: ").unwrap_or(line);
        if let Some((_, rest)) = line.strip_prefix("psql:<stdin>:").and_then(|rest| rest.split_once(": ")) {
            line = rest;
        }
        if std::mem::take(&mut caret) || ASIDE.iter().any(|aside| line.starts_with(aside)) {
            caret = line.starts_with("LINE ");
            continue;
        }
        match state(line) {
            Some((severity, code, message)) if sqlstate.is_none() => {
                sqlstate = Some(code.to_owned());
                kept.extend([severity, ": ", message, "\n"]);
            }
            _ => kept.extend([line, "\n"]),
        }
    }
    (sqlstate, clean(kept.as_bytes()))
}

/// `ERROR:  42P01: message`, in whatever language the first word is.
fn state(line: &str) -> Option<(&str, &str, &str)> {
    let (severity, rest) = line.split_once(":  ")?;
    let (code, message) = coded(rest)?;
    Some((severity, code, message))
}

/// A row of one text.
#[derive(Debug, Deserialize)]
pub(super) struct Text {
    pub(super) text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_psql_are_taken_apart() {
        let words = b"psql:<stdin>:12: ERROR:  42P01: relation \"x\" does not exist\nLINE 1: SELECT * FROM x\n                      ^\n\
            HINT:  none\nLOCATION:  parserOpenTable, parse_relation.c:1392\n";
        let (code, said) = refusal(words);
        assert_eq!(code.as_deref(), Some("42P01"));
        assert_eq!(said, "ERROR: relation \"x\" does not exist; HINT: none");
        let (code, said) = refusal("psql:<stdin>:1: FEHLER:  42601: Syntaxfehler\nORT:  x\n".as_bytes());
        assert_eq!((code.as_deref(), said.as_str()), (Some("42601"), "FEHLER: Syntaxfehler; ORT: x"));
        let (code, said) =
            refusal(b"psql: error: connection to server on socket \"/x\" failed: No such file\n\tIs it?\n");
        assert_eq!(code, None);
        assert_eq!(said, "error: connection to server on socket \"/x\" failed: No such file; Is it?");
    }
}
