//! An archive through a `pg_restore` that is newer than the server: as a script, made fit for `psql` on its way.
//!
//! Only a `pg_restore` as new as the `pg_dump` reads an archive; from version 17 on it begins with a setting that older servers don't know, and ends there.

use super::dump::of_reading;
use super::error::DatabaseError;
use super::feed::words::fit;
use super::plan::DatabasePlan;
use super::script::{Script, knows_restrict};
use crate::snapshot::postgres::error::PostgresError;
use crate::snapshot::postgres::programs::Program;
use crate::snapshot::postgres::quote::unknown_word;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::{Child, Stdio};
use std::thread;

/// Bytes that are read at once.
const BUFFER: usize = 256 << 10;

/// Killed when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes the script of the archive in `dump` to `out`.
pub(super) fn convert(
    plan: &DatabasePlan,
    arguments: &[OsString],
    mut dump: Box<dyn Read + Send + '_>,
    out: &mut dyn Write,
) -> Result<(), DatabaseError> {
    let name = plan.program.path.to_string_lossy().into_owned();
    let failed = |source| PostgresError::Spawn { program: name.clone(), server: plan.server.clone(), source };
    let pipe = |source| PostgresError::Pipe { program: name.clone(), server: plan.server.clone(), source };
    let mut command = plan.options.server.withheld().client(&plan.program.path);
    command.args(arguments).arg("--file=-").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Killed(command.spawn().map_err(failed)?);
    let (stdin, stdout, stderr) = (child.0.stdin.take(), child.0.stdout.take(), child.0.stderr.take());
    let (Some(mut stdin), Some(mut stdout), Some(mut stderr)) = (stdin, stdout, stderr) else {
        return Err(pipe(io::ErrorKind::BrokenPipe.into()).into());
    };
    thread::scope(|scope| {
        let words = scope.spawn(move || {
            let mut words = Vec::new();
            let _ = stderr.by_ref().take(64 << 10).read_to_end(&mut words);
            let _ = io::copy(&mut stderr, &mut io::sink());
            words
        });
        let fed = scope.spawn(move || copy(&mut *dump, &mut stdin));
        let written = pass(&mut stdout, out, plan);
        // One that stopped early says itself why its script isn't complete.
        let ended = matches!(written, Ok(Copied::All) | Err(DatabaseError::CutOff { .. }));
        if !ended {
            let _ = child.0.kill();
        }
        drop(stdout);
        let fed = fed.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match written {
            Ok(Copied::All) => drop(fed?),
            // Whoever should have read it says why it didn't.
            Ok(Copied::Unread) => return Ok(()),
            Err(_) if ended => drop(fed?),
            Err(error) => return Err(error),
        }
        let status = child.0.wait().map_err(pipe)?;
        if status.success() {
            return written.map(drop);
        }
        let said = fit(&words.join().unwrap_or_default());
        Err(PostgresError::Program { program: name.clone(), server: plan.server.clone(), status, said }.into())
    })
}

/// How a copy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copied {
    /// With the last byte.
    All,
    /// Because nobody reads it any more.
    Unread,
}

/// Passes a script on to the newest `psql` that the plan knows, and tells it first to refuse all commands of its own, if it can.
pub(super) fn pass(from: &mut dyn Read, to: &mut dyn Write, plan: &DatabasePlan) -> Result<Copied, DatabaseError> {
    let psql = plan.programs.newest(Program::Psql)?.version;
    let key = if knows_restrict(psql) { format!("\\restrict {}\n", unknown_word()) } else { String::new() };
    // That nobody reads it any more is found out with the next byte.
    let _ = to.write_all(format!("\\set VERBOSITY verbose\n{key}").as_bytes());
    let mut script = Script::new(to, psql, plan.version.major());
    let copied = copy(from, &mut script);
    // What nobody reads any more has no end.
    let finished = if matches!(copied, Ok(Copied::All)) { script.finish() } else { Ok(()) };
    match script.refused() {
        Some(refused) => Err(refused),
        None => match (copied?, finished) {
            (copied, Ok(())) => Ok(copied),
            (_, Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Copied::Unread),
            (_, Err(error)) => Err(of_reading(error)),
        },
    }
}

/// Copies until the end of `from`, or until nobody reads `to` any more.
pub(super) fn copy(from: &mut dyn Read, to: &mut dyn Write) -> Result<Copied, DatabaseError> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok(Copied::All),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(of_reading(error)),
        };
        match to.write_all(&buffer[..read]) {
            Ok(()) => {}
            // A script that is refused says so itself.
            Err(error) if [io::ErrorKind::BrokenPipe, io::ErrorKind::InvalidData].contains(&error.kind()) => {
                return Ok(Copied::Unread);
            }
            Err(error) => return Err(of_reading(error)),
        }
    }
}
