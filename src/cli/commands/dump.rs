//! `dump`: one file of a snapshot, verified, as bytes.

use crate::cli::args::FilterArgs;
use crate::cli::commands::{Context, resolve};
use crate::cli::error::{CliError, Exit};
use crate::repo::repository::{Full, Repo};
use crate::snapshot::browse::list_entries;
use crate::snapshot::restore::{self, RestoreError};
use crate::snapshot::snapshots::Snapshot;
use crate::snapshot::tree::path::SafePath;
use clap::Args;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Write one file of a snapshot to standard output
#[derive(Debug, Args)]
#[command(after_help = "\
Each piece is verified before it is written. If the end can't be read, the exit code says so: look at it.

Examples:
  nightsafe dump latest:wiki:/srv/app/db.dump | pg_restore -d wiki
  nightsafe dump latest:/srv/app/.env --output old.env")]
pub struct DumpArgs {
    /// The snapshot, and the file in it
    #[arg(value_name = "SNAP:/PATH")]
    snapshot: String,
    /// The file, if it doesn't follow the snapshot
    #[arg(value_name = "PATH")]
    path: Option<String>,
    /// Write to a new file, which appears when it's whole
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write a secret file to a terminal, too
    #[arg(long)]
    reveal: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Dumps it.
pub fn dump(args: DumpArgs, context: &Context) -> Result<Exit, CliError> {
    let selector = match &args.path {
        Some(path) => format!("{}:/{}", args.snapshot, path.trim_start_matches('/')),
        None => args.snapshot,
    };
    let open = context.open_full()?;
    let all = context.snapshots(&open.repo)?;
    let (snapshot, path) = resolve(&all, &selector, args.filter)?;
    let path = path.filter(|path| !path.is_top());
    let path =
        path.ok_or_else(|| CliError::usage("which file?").hint("write it behind the snapshot: latest:/etc/hosts"))?;
    if args.output.is_none() && !args.reveal && io::stdout().is_terminal() && is_secret(&open.repo, snapshot, &path)? {
        return Err(CliError::new(Exit::Refused, format!("{path} is secret, and this is a terminal"))
            .hint("--reveal shows it; --output FILE writes it to a file"));
    }
    if let Some(file) = &args.output {
        to_file(file, |out| {
            let written = context.watched(|monitor| restore::dump(&open.repo, snapshot, &path, out, monitor));
            context.ended(written, "no file was made")
        })?;
    } else {
        let mut out = BufWriter::with_capacity(1 << 20, context.ui.raw_output()?);
        let written = context.watched(|monitor| {
            let written = restore::dump(&open.repo, snapshot, &path, &mut out, monitor)?;
            out.flush().map_err(RestoreError::Output).map(|()| written)
        });
        context.ended(written, "what was written so far isn't the whole file")?;
    }
    Ok(Exit::Done)
}

/// Whether the file is marked secret.
fn is_secret(repo: &Repo<Full>, snapshot: &Snapshot, path: &SafePath) -> Result<bool, CliError> {
    let mut secret = false;
    list_entries(repo, snapshot, Some(path), false, &mut |_, entry| {
        secret = entry.is_secret();
        ControlFlow::Break(())
    })?;
    Ok(secret)
}

/// Has `write` fill a file that only its owner reads and that appears when it's whole; it must not exist yet.
fn to_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<u64, CliError>) -> Result<(), CliError> {
    let exists = || {
        CliError::new(Exit::Refused, format!("{} exists", path.display())).hint("choose another name, or move it away")
    };
    let failed = |error: &io::Error| CliError::file(path, error);
    if path.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut file = NamedTempFile::new_in(folder).map_err(|error| failed(&error))?;
    write(&mut file)?;
    file.as_file().sync_all().map_err(|error| failed(&error))?;
    // Somebody may have made it meanwhile: never written over.
    file.persist_noclobber(path).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => exists(),
        _ => failed(&error.error),
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all_and_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let failed = to_file(&path, |out| {
            out.write_all(b"half").unwrap();
            Err(CliError::usage("x"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let write = |out: &mut dyn Write| {
            out.write_all(b"whole").unwrap();
            Ok(5)
        };
        to_file(&path, write).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(to_file(&path, write).err().map(|error| error.exit()), Some(Exit::Refused));
        let raced = folder.path().join("raced");
        let late = to_file(&raced, |out| {
            std::fs::write(&raced, b"theirs").unwrap();
            write(out)
        });
        assert_eq!(late.err().map(|error| error.exit()), Some(Exit::Refused));
        assert_eq!(std::fs::read(&raced).unwrap(), b"theirs");
    }
}
