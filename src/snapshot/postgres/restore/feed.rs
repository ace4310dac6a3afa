//! Programs that are fed with a dump.

pub mod words;

use super::error::DatabaseError;
use crate::snapshot::monitor::Monitor;
use crate::snapshot::postgres::command::{self, Input};
use crate::snapshot::postgres::error::PostgresError;
use crate::snapshot::postgres::server::Server;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::process::{Child, ExitStatus, Stdio};
use std::thread::{self, JoinHandle, ScopedJoinHandle};
use std::time::Duration;

/// Most bytes of a program's words that are kept.
const MOST_WORDS: u64 = 64 << 10;

/// How often it's looked whether a program has ended or the user wants it to.
const PAUSE: Duration = Duration::from_millis(50);

/// A program with its arguments, and against which server it runs.
pub(super) struct Task<'t> {
    pub(super) server: &'t Server,
    pub(super) program: &'t OsStr,
    pub(super) arguments: Vec<OsString>,
    pub(super) monitor: &'t dyn Monitor,
}

/// A running program; killed when dropped.
struct Running {
    child: Child,
    words: Option<JoinHandle<Vec<u8>>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// What it said until its end.
    fn said(&mut self) -> String {
        words::fit(&self.words.take().map(|words| words.join().unwrap_or_default()).unwrap_or_default())
    }
}

impl Task<'_> {
    fn start(
        &self,
        stdin: Stdio,
        input: Input,
    ) -> Result<(Running, Option<zeroize::Zeroizing<String>>), PostgresError> {
        let mut prepared = command::client(self.server, self.program, &self.arguments, input);
        prepared.command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::piped());
        let name = prepared.command.get_program().to_string_lossy().into_owned();
        let failed = |source| PostgresError::Spawn { program: name, server: self.server.describe(), source };
        let mut child = prepared.command.spawn().map_err(failed)?;
        let words = child.stderr.take().map(|stderr| thread::spawn(move || listen(stderr)));
        Ok((Running { child, words }, prepared.first_line))
    }

    fn pipe(&self, source: io::Error) -> DatabaseError {
        let program = self.program.to_string_lossy().into_owned();
        PostgresError::Pipe { program, server: self.server.describe(), source }.into()
    }

    fn judge(&self, status: ExitStatus, said: String) -> Result<String, DatabaseError> {
        if status.success() {
            return Ok(said);
        }
        let program = self.program.to_string_lossy().into_owned();
        Err(PostgresError::Program { program, server: self.server.describe(), status, said }.into())
    }

    /// Runs it on what `write` writes to its standard input. It ends well only if `write` does: else it is killed before its input ends, because a script
    /// that stops early would look complete to it.
    pub(super) fn feed(
        &self,
        write: impl FnOnce(&mut dyn Write) -> Result<(), DatabaseError> + Send,
    ) -> Result<String, DatabaseError> {
        let (mut running, first_line) = self.start(Stdio::piped(), Input::Piped)?;
        let Some(mut stdin) = running.child.stdin.take() else {
            return Err(self.pipe(io::ErrorKind::BrokenPipe.into()));
        };
        let work = move || {
            let first = first_line.map_or(Ok(()), |line| stdin.write_all(line.as_bytes()));
            let written = match first {
                Ok(()) => write(&mut stdin),
                // Its own words say why it is gone.
                Err(_) => Ok(()),
            };
            match written {
                Ok(()) => {
                    drop(stdin);
                    Ok(())
                }
                Err(error) => Err((error, stdin)),
            }
        };
        thread::scope(|scope| {
            let mut writer = Some(scope.spawn(work));
            let mut status = None;
            while status.is_none() || writer.is_some() {
                if self.monitor.interrupted() {
                    // The writer ends with the pipe.
                    let _ = running.child.kill();
                    return Err(DatabaseError::Interrupted);
                }
                if let Some(done) = writer.take_if(|writer| ScopedJoinHandle::is_finished(writer)) {
                    // What panicked there panics here.
                    match done.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
                        Ok(()) => {}
                        Err((error, stdin)) => {
                            let _ = running.child.kill();
                            let _ = running.child.wait();
                            drop(stdin);
                            return Err(error);
                        }
                    }
                }
                if status.is_none() {
                    status = running.child.try_wait().map_err(|source| self.pipe(source))?;
                }
                if status.is_none() || writer.is_some() {
                    thread::sleep(PAUSE);
                }
            }
            match status {
                Some(status) => self.judge(status, running.said()),
                None => Err(self.pipe(io::ErrorKind::BrokenPipe.into())),
            }
        })
    }

    /// Runs it with a file as its standard input.
    pub(super) fn on_file(&self, file: File) -> Result<String, DatabaseError> {
        let (mut running, _) = self.start(Stdio::from(file), Input::None)?;
        loop {
            if self.monitor.interrupted() {
                return Err(DatabaseError::Interrupted);
            }
            if let Some(status) = running.child.try_wait().map_err(|source| self.pipe(source))? {
                return self.judge(status, running.said());
            }
            thread::sleep(PAUSE);
        }
    }
}

/// All that a program says, of which the beginning is kept.
fn listen(mut stderr: impl Read) -> Vec<u8> {
    let mut words = Vec::new();
    let _ = stderr.by_ref().take(MOST_WORDS).read_to_end(&mut words);
    let _ = io::copy(&mut stderr, &mut io::sink());
    words
}
