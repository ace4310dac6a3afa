//! `protect`: snapshots that are never forgotten.

use crate::cli::args::FilterArgs;
use crate::cli::commands::{Context, resolve_whole};
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::snapshot::backup::now;
use crate::snapshot::notes;
use clap::Args;

/// Protect snapshots from being forgotten
#[derive(Debug, Args)]
#[command(after_help = "\
A protected snapshot stays, whatever rules say, and can't be forgotten by name either.

Examples:
  nightsafe protect latest:wiki
  nightsafe protect --remove 954mjja9")]
pub struct ProtectArgs {
    /// The snapshots
    #[arg(value_name = "SNAP", required = true)]
    snapshots: Vec<String>,
    /// Take the protection away
    #[arg(long)]
    remove: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Protects.
pub fn protect(args: &ProtectArgs, context: &Context) -> Result<Exit, CliError> {
    let open = context.open_full()?;
    let all = context.snapshots(&open.repo)?;
    let find = |text: &String| resolve_whole(&all, text, &args.filter);
    // All are found before anything is written.
    for snapshot in args.snapshots.iter().map(find).collect::<Result<Vec<_>, _>>()? {
        let protected = !args.remove;
        let note = all.notes.reprotect(snapshot.id, protected, now());
        if let Some(note) = &note {
            notes::write(&open.repo, note)?;
        }
        if context.ui.is_json() {
            context.ui.json(&json::Protection::new(snapshot.id, protected, note.is_some()))?;
        } else {
            let word = if protected { "protected" } else { "not protected" };
            context.ui.say(&format!("{}: {word}\n", json::short_id(snapshot.id)))?;
        }
    }
    Ok(Exit::Done)
}
