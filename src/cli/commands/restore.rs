//! `restore`: a snapshot, or a part of it, into a folder; or a database of it into a server.

pub mod database;
pub mod folder;
mod render;

use crate::cli::args::FilterArgs;
use crate::cli::commands::restore::database::DatabaseArgs;
use crate::cli::commands::restore::folder::FolderArgs;
use crate::cli::commands::{Context, resolve};
use crate::cli::error::{CliError, Exit};
use clap::Args;
use std::path::PathBuf;

/// Restore a snapshot, or a part of it, into a folder; or a database into a server
#[derive(Debug, Args)]
#[command(after_help = "\
Of SNAP:/PATH the contents go into DIR. A folder that holds something is refused (exit code 4) without
--into-existing, and even then nothing is written over or deleted unless --overwrite or --delete says so.

Examples:
  nightsafe restore latest:wiki:/srv/app/uploads -t /srv/app/uploads
  nightsafe restore latest:wiki --postgres postgres://wiki@localhost/wiki")]
#[command(mut_arg("host", |arg| arg.hide_short_help(true)), mut_arg("tags", |arg| arg.hide_short_help(true)))]
pub struct RestoreArgs {
    /// The snapshot, and the folder or file in it
    #[arg(value_name = "SNAP[:/PATH]")]
    snapshot: String,
    /// To an empty or new folder, or an interrupted one
    #[arg(long, short, value_name = "DIR", required_unless_present = "postgres")]
    target: Option<PathBuf>,
    #[command(flatten)]
    folder: FolderArgs,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Restores.
pub fn restore(args: RestoreArgs, context: &Context) -> Result<Exit, CliError> {
    let open = context.open_full()?;
    let all = context.snapshots(&open.repo)?;
    let (snapshot, path) = resolve(&all, &args.snapshot, args.filter)?;
    let path = path.as_ref();
    let DatabaseArgs { dry_run, allow_incomplete, .. } = args.database;
    match args.target {
        Some(target) => {
            let options = args.folder.options(target, allow_incomplete);
            folder::restore(&options, dry_run, &open.repo, snapshot, path, context)
        }
        None => database::restore(&args.database, &open.repo, snapshot, path, context),
    }
}
