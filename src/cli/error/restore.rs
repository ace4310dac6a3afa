//! Errors of restoring into folders.

use crate::cli::error::{CliError, Exit};
use crate::snapshot::restore::RestoreError;
use crate::snapshot::restore::delete::DeleteRefusal;
use std::io::ErrorKind;

impl From<RestoreError> for CliError {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Repo(error) => error.into(),
            RestoreError::Browse(error) => error.into(),
            RestoreError::Read(error) => error.into(),
            RestoreError::TargetNotEmpty { .. } => Self::from_error(Exit::Refused, &error).hint(
                "choose an empty or new folder; or --into-existing, which keeps what exists unless --overwrite says otherwise",
            ),
            RestoreError::Delete(refusal) => refusal.into(),
            RestoreError::Output(source) if source.kind() == ErrorKind::BrokenPipe => Self::silent(Exit::Failed),
            RestoreError::NotAFile(_) | RestoreError::Target { .. } | RestoreError::Output(_) => {
                Self::from_error(Exit::Failed, &error)
            }
            RestoreError::Interrupted => Self::from_error(Exit::Interrupted, &error),
        }
    }
}

impl From<DeleteRefusal> for CliError {
    fn from(error: DeleteRefusal) -> Self {
        let built = Self::from_error(Exit::Refused, &error);
        match error {
            DeleteRefusal::NotADirectory(_) => built.hint("restore it without --delete"),
            DeleteRefusal::Incomplete => {
                built.hint("restore without --delete, or add --allow-incomplete; --dry-run shows what would go")
            }
            DeleteRefusal::Partial { only, .. } => built.hint(format!(
                "name the folder itself, as SNAP:{only}, or add --allow-incomplete; --dry-run shows what would go"
            )),
            DeleteRefusal::Rules { .. } => built.hint("restore without --delete"),
            DeleteRefusal::Unreadable { .. } => {
                built.hint("restore without --delete; `nightsafe check` lists what is damaged")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tree::path::SafePath;

    #[test]
    fn refusals_name_what_overrides_them() {
        let path = |text: &str| text.parse::<SafePath>().unwrap();
        for (refusal, override_) in [
            (DeleteRefusal::NotADirectory(path("f")), "without --delete"),
            (DeleteRefusal::Incomplete, "--allow-incomplete"),
            (DeleteRefusal::Partial { path: path("srv"), only: path("srv/app") }, "SNAP:/srv/app"),
            (DeleteRefusal::Rules { why: "x".to_owned() }, "without --delete"),
            (DeleteRefusal::Unreadable { path: path("d"), why: "x".to_owned() }, "nightsafe check"),
        ] {
            let error = CliError::from(RestoreError::Delete(refusal));
            assert_eq!(error.exit(), Exit::Refused);
            assert!(error.next_step().is_some_and(|hint| hint.contains(override_)), "{error:?}");
        }
    }
}
