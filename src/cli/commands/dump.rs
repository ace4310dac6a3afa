//! `dump`: one file of a snapshot, or rows of a table in a dump, verified.

mod file;
mod record;
mod table;

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

/// Write one file of a snapshot, or rows of a table, to standard output
#[derive(Debug, Args)]
#[command(after_help = "\
Each piece is verified before it is written. If the end can't be read, the exit code says so: look at it.
With --table only that table's data is read, from a database that was captured or a dump in custom format.

Examples:
  nightsafe dump latest:wiki:/db/wiki.dump | pg_restore -d wiki
  nightsafe dump latest --table public.users --where id=5 --format csv")]
pub struct DumpArgs {
    /// The snapshot, and the file in it
    #[arg(value_name = "SNAP:/PATH")]
    snapshot: String,
    /// The file, if it doesn't follow the snapshot
    #[arg(value_name = "PATH")]
    path: Option<String>,
    #[command(flatten)]
    table: table::TableArgs,
    /// Write to a new file, which appears when it's whole
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write what is known of a database's dump to FILE.manifest.json
    #[arg(long, requires = "output", conflicts_with = "table", hide_short_help = true)]
    manifest: bool,
    /// Write a secret file to a terminal, too
    #[arg(long)]
    reveal: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Dumps it.
pub fn dump(args: &DumpArgs, context: &Context) -> Result<Exit, CliError> {
    let selector = match &args.path {
        Some(path) => format!("{}:/{}", args.snapshot, path.trim_start_matches('/')),
        None => args.snapshot.clone(),
    };
    let wanted = args.table.options()?;
    let open = context.open_full()?;
    let all = context.snapshots(&open.repo)?;
    let (snapshot, path) = resolve(&all, &selector, args.filter.clone())?;
    let path = path.filter(|path| !path.is_top());
    if let Some(mut options) = wanted {
        options.path = path;
        return table::dump(&open.repo, snapshot, &options, args.output.as_deref(), context);
    }
    let path =
        path.ok_or_else(|| CliError::usage("which file?").hint("write it behind the snapshot: latest:/etc/hosts"))?;
    match &args.output {
        Some(file) if args.manifest => {
            record::with_record(file, snapshot, &path, || whole_to_file(&open.repo, snapshot, &path, file, context))?;
        }
        Some(file) => whole_to_file(&open.repo, snapshot, &path, file, context)?,
        None if !args.reveal && io::stdout().is_terminal() && is_secret(&open.repo, snapshot, &path)? => {
            return Err(CliError::new(Exit::Refused, format!("{path} is secret, and this is a terminal"))
                .hint("--reveal shows it; --output FILE writes it to a file"));
        }
        None => whole(&open.repo, snapshot, &path, context)?,
    }
    Ok(Exit::Done)
}

/// Writes a file to a file.
fn whole_to_file(
    repo: &Repo<Full>,
    snapshot: &Snapshot,
    path: &SafePath,
    file: &Path,
    context: &Context,
) -> Result<(), CliError> {
    file::to_file(file, |out| {
        let written = context.watched(|monitor| restore::dump(repo, snapshot, path, out, monitor));
        context.ended(written.map_err(|error| named(error, path)), "no file was made").map(drop)
    })
}

/// Writes a file to standard output.
fn whole(repo: &Repo<Full>, snapshot: &Snapshot, path: &SafePath, context: &Context) -> Result<(), CliError> {
    let mut out = BufWriter::with_capacity(1 << 20, context.ui.raw_output()?);
    let written = context.watched(|monitor| {
        restore::dump(repo, snapshot, path, &mut out, monitor)?;
        out.flush().map_err(RestoreError::Output)
    });
    context.ended(written.map_err(|error| named(error, path)), "what was written so far isn't the whole file")
}

/// What can't be read is a pack or a frame, of which nobody knows the file.
fn named(error: RestoreError, path: &SafePath) -> CliError {
    match error {
        RestoreError::Read(error) => CliError::from(error).about(path),
        other => other.into(),
    }
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
