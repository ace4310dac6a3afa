//! Errors of restoring into folders.

use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::ui::shell;
use crate::snapshot::restore::RestoreError;
use crate::snapshot::restore::delete::DeleteRefusal;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;

impl From<RestoreError> for CliError {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Repo(error) => error.into(),
            RestoreError::Browse(error) => error.into(),
            RestoreError::Read(error) => error.into(),
            RestoreError::TargetNotEmpty { .. } => Self::from_error(Exit::Refused, &error).hint(
                "choose an empty or new folder; or --into-existing, which keeps what exists unless --overwrite says otherwise",
            ),
            RestoreError::Unfinished { ref path, snapshot, ref part } => {
                let built = Self::from_error(Exit::Refused, &error);
                let id = json::short_id(snapshot);
                let target = shell::word(path.as_os_str());
                match part {
                    Some(part) if part.is_top() => built.hint(format!("nightsafe restore {id} --target {target} goes on with it")),
                    Some(part) => {
                        let from = [id.as_bytes(), b":/", part.as_bytes()].concat();
                        let from = shell::word(OsStr::from_bytes(&from));
                        built.hint(format!("nightsafe restore {from} --target {target} goes on with it"))
                    }
                    None => built.hint(format!(
                        "the command that began it goes on, with {id} as the snapshot; or choose an empty or new folder"
                    )),
                }
            }
            RestoreError::Busy { .. } => Self::from_error(Exit::Refused, &error)
                .hint("wait for it; or restore into another folder"),
            RestoreError::Full { .. } => Self::from_error(Exit::Failed, &error)
                .hint("make room; the same command, typed again, goes on"),
            RestoreError::Unsynced { goes_on, .. } => Self::from_error(Exit::Failed, &error).hint(if goes_on {
                "look at the disk; the same command, typed again, writes all files again"
            } else {
                "look at the disk; then restore into a new folder, or with --overwrite always"
            }),
            RestoreError::Delete(refusal) => refusal.into(),
            RestoreError::Output(source) if source.kind() == ErrorKind::BrokenPipe => Self::silent(Exit::Failed),
            RestoreError::Distrusted { .. } => Self::from_error(Exit::Refused, &error)
                .hint("leave --into-existing and --overwrite out, or write all of it again with --overwrite always"),
            RestoreError::NotAFile(_) => Self::from_error(Exit::Failed, &error)
                .hint("`nightsafe ls SNAP:/DIR` lists what is in a folder; `nightsafe restore SNAP:/DIR` brings it back"),
            RestoreError::Target { ref source, .. } if source.kind() == ErrorKind::NotADirectory => {
                Self::from_error(Exit::Failed, &error)
                    .hint("--target takes a folder, or the name of a new one; `nightsafe dump` gives the content of one file")
            }
            RestoreError::Target { .. } | RestoreError::Output(_) => {
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
    use crate::cli::commands::test_data;
    use crate::snapshot::tree::path::SafePath;

    /// `latest` means another snapshot after the next backup: then the command that goes on is another.
    #[test]
    fn an_unfinished_restore_is_named_with_the_command_that_goes_on() {
        let snapshot = test_data::snapshot(1).id;
        let of = |path: &str, part: Option<&str>| {
            let part = part.map(|part| part.parse().unwrap());
            CliError::from(RestoreError::Unfinished { path: path.into(), snapshot, part })
        };
        let id = json::short_id(snapshot);
        let error = of("/mnt/my files", Some("srv/app"));
        assert_eq!(error.exit(), Exit::Refused);
        assert_eq!(error.message(), format!("/mnt/my files holds an unfinished restore of snapshot {snapshot}"));
        let command = format!("nightsafe restore {id}:/srv/app --target '/mnt/my files' goes on with it");
        assert_eq!(error.next_step(), Some(command.as_str()));
        let command = format!("nightsafe restore {id} --target /mnt/new goes on with it");
        assert_eq!(of("/mnt/new", Some("")).next_step(), Some(command.as_str()));
        assert!(of("/mnt/new", None).next_step().is_some_and(|hint| hint.contains(&id)));
    }

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
