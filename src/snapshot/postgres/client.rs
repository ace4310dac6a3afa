//! A client program of PostgreSQL as a child.

use super::command::{self, Input};
use super::error::{PostgresError, clean};
use super::server::Server;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, ExitStatus, Stdio};
use std::thread::JoinHandle;

/// Most bytes of a program's words that are kept; what follows is read and dropped, so that it never waits for us.
const MOST_WORDS: u64 = 64 << 10;

/// A running program. Killed when dropped.
pub struct Client {
    child: Child,
    program: String,
    server: String,
    stdin: Option<ChildStdin>,
    /// Whether the input is only there so that closing it ends the program.
    watched: bool,
    words: Option<JoinHandle<Vec<u8>>>,
}

/// How a program ended.
#[derive(Debug, Clone)]
pub struct Ending {
    /// The status.
    pub status: ExitStatus,
    /// What it wrote to its standard error, on one line.
    pub said: String,
    /// The same as it was written, up to 64 KiB of it.
    pub words: Vec<u8>,
}

impl Client {
    /// Starts `program` with `arguments` against a server. Where to connect, and that it mustn't ask for a password, is added here.
    pub fn start(
        server: &Server,
        program: &OsStr,
        arguments: &[OsString],
        input: Input,
    ) -> Result<Self, PostgresError> {
        let mut prepared = command::client(server, program, arguments, input);
        let stdin = if prepared.piped { Stdio::piped() } else { Stdio::null() };
        prepared.command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let name = prepared.command.get_program().to_string_lossy().into_owned();
        let failed = |source| PostgresError::Spawn { program: name, server: server.describe(), source };
        let mut child = prepared.command.spawn().map_err(failed)?;
        let stdin = child.stdin.take();
        let words = child.stderr.take().map(|stderr| std::thread::spawn(move || listen(stderr)));
        let program = OsStr::to_string_lossy(program).into_owned();
        let watched = input == Input::None;
        let mut client = Self { child, program, server: server.describe(), stdin, watched, words };
        if let (Some(line), Some(stdin)) = (prepared.first_line, &mut client.stdin) {
            // One that is gone already says why on its standard error.
            let _ = stdin.write_all(line.as_bytes());
        }
        Ok(client)
    }

    /// The program's output. Nothing the second time.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// The program's input, of one started with [`Input::Piped`]. Nothing the second time. To be dropped before [`Client::wait`].
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.stdin.take()
    }

    /// Waits until the program ends, whichever way it does.
    pub fn wait(mut self) -> Result<Ending, PostgresError> {
        self.end()
    }

    /// Waits until the program ends; its own words are the error if it failed, else what it warned about.
    pub fn succeed(self) -> Result<String, PostgresError> {
        let (program, server) = (self.program.clone(), self.server.clone());
        let Ending { status, said, .. } = self.wait()?;
        if status.success() { Ok(said) } else { Err(PostgresError::Program { program, server, status, said }) }
    }

    /// Ends the program.
    pub fn kill(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
    }

    /// Waits for the end and for all that was said until then.
    pub(super) fn end(&mut self) -> Result<Ending, PostgresError> {
        drop(self.child.stdout.take());
        if !self.watched {
            drop(self.stdin.take());
        }
        let status = self.child.wait();
        drop(self.stdin.take());
        let status = status.map_err(|source| self.pipe(source))?;
        let words = self.words.take().map(|words| words.join().unwrap_or_default()).unwrap_or_default();
        Ok(Ending { status, said: clean(&words), words })
    }

    /// What a failed exchange with this program is.
    pub(super) fn pipe(&self, source: io::Error) -> PostgresError {
        PostgresError::Pipe { program: self.program.clone(), server: self.server.clone(), source }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}

/// All that a program says, of which the beginning is kept.
fn listen(mut stderr: impl Read) -> Vec<u8> {
    let mut words = Vec::new();
    let _ = stderr.by_ref().take(MOST_WORDS).read_to_end(&mut words);
    let _ = io::copy(&mut stderr, &mut io::sink());
    words
}
