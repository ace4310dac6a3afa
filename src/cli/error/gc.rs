//! Errors of prune and undo.

use crate::cli::error::{CliError, Exit, next_step_of_reading, next_step_of_writing};
use crate::repo::gc::error::GcError;
use crate::repo::id::RunId;
use crate::snapshot::undo::UndoError;

impl From<GcError> for CliError {
    fn from(error: GcError) -> Self {
        match &error {
            GcError::Repo(_) => {
                let GcError::Repo(error) = error else { unreachable!() };
                error.into()
            }
            GcError::Listing { .. } => Self::from_error(Exit::Refused, &error)
                .hint("nothing was deleted; try again later, with --listing-lag if this storage is known to lag"),
            GcError::Census { missing } => {
                let list: Vec<String> = missing.iter().map(RunId::to_string).collect();
                Self::from_error(Exit::Refused, &error).hint(format!(
                    "nothing was deleted. Is the repository a part of a copy? --accept-census goes on without:\n{}",
                    list.join("\n")
                ))
            }
            GcError::Withdrawn => Self::from_error(Exit::Failed, &error)
                .hint("what nothing needs may be gone in part; run it again"),
            GcError::NoSnapshots => Self::from_error(Exit::Refused, &error).hint(
                "nothing was deleted; a repository without a snapshot is pruned by removing it, if that is what you want",
            ),
            GcError::TooMuch { percent, .. } => Self::from_error(Exit::Refused, &error)
                .hint(format!("nothing was deleted; if that is right: --max-delete {percent}; --dry-run shows it")),
            GcError::Foreign { .. } => Self::from_error(Exit::Refused, &error)
                .hint("nothing was deleted; find out how the two came into one place, and separate them"),
            GcError::Manifest { snapshot, .. } => Self::from_error(Exit::Failed, &error)
                .hint(format!("nothing was deleted; if it's lost for good: nightsafe forget --unreadable {snapshot}")),
            GcError::Unreadable { snapshot, .. } => Self::from_error(Exit::Failed, &error).hint(format!(
                "nothing was deleted; `nightsafe check` says what is damaged; to go on without it: nightsafe forget {}",
                snapshot.random_part()
            )),
            GcError::Pins { .. } => Self::from_error(Exit::Failed, &error)
                .hint("nothing was deleted; when the run is silent for as long as --stale-after says, it no longer counts"),
            GcError::Rewrite(why) => Self::from_error(Exit::Failed, &error).hint_if_any(next_step_of_reading(why)),
            GcError::Io(_) => Self::from_error(Exit::Failed, &error),
            GcError::Interrupted => Self::from_error(Exit::Interrupted, &error),
        }
    }
}

impl From<UndoError> for CliError {
    fn from(error: UndoError) -> Self {
        match error {
            UndoError::Repo(error) => error.into(),
            UndoError::Interrupted => Self::from_error(Exit::Interrupted, &error),
            UndoError::NotForgotten(_) => Self::from_error(Exit::Failed, &error).hint("there is nothing to undo"),
            UndoError::NotFound(_) => Self::from_error(Exit::Failed, &error)
                .hint("`nightsafe snapshots --forgotten` lists what can be brought back"),
            UndoError::TooLate { .. } => Self::from_error(Exit::Refused, &error)
                .hint("--grace with a longer time tries all the same, as long as nothing was pruned"),
            UndoError::Gone { .. } => Self::from_error(Exit::Failed, &error)
                .hint("nothing was changed; what is left of it can be restored by its id until the next prune"),
            UndoError::Unreadable { ref source, .. } => {
                let hint = next_step_of_reading(source);
                Self::from_error(Exit::Failed, &error).hint_if_any(hint)
            }
            UndoError::Stopped(_) => Self::from_error(Exit::Failed, &error).hint(
                "nothing was brought back; does a prune run with a short --stale-after, or is a clock wrong? Try again when it has ended",
            ),
            UndoError::Write(ref cause) => {
                let hint = next_step_of_writing(cause);
                Self::from_error(Exit::Failed, &error).hint_if_any(hint)
            }
        }
    }
}
