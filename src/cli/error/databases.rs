//! What goes wrong with databases, and what to do next.

use super::{CliError, Exit};
use crate::snapshot::postgres::error::PostgresError;
use crate::snapshot::postgres::restore::error::DatabaseError;

impl From<PostgresError> for CliError {
    fn from(error: PostgresError) -> Self {
        let wrong_usage = matches!(
            error,
            PostgresError::PasswordInLocation { .. }
                | PostgresError::SecretInPrefix
                | PostgresError::Malformed { .. }
                | PostgresError::BadArgument { .. }
                | PostgresError::ChoosingArgument { .. }
        );
        Self::from_error(if wrong_usage { Exit::Usage } else { Exit::Failed }, &error)
    }
}

impl From<DatabaseError> for CliError {
    fn from(error: DatabaseError) -> Self {
        let hint = match &error {
            DatabaseError::NotEmpty { .. } => {
                "--replace restores beside it and keeps the old one under a dated name; or name a new database"
            }
            DatabaseError::Incomplete { .. } => {
                "--allow-incomplete replaces it all the same; or name a new database and compare"
            }
            DatabaseError::Connected { beside: None, .. } => "stop the application first, or give --disconnect",
            DatabaseError::Connected { .. } => "rename it by hand, or run this again with --disconnect",
            DatabaseError::Busy(_) => "wait for it to end",
            DatabaseError::Template(_) => "name a new database, or the one that is to be replaced",
            DatabaseError::MayNotCreate { .. } => "connect as a user with CREATEDB, or as a superuser",
            DatabaseError::MayNotRename { .. } => "connect as its owner or as a superuser",
            DatabaseError::Extensions(_) => "install their packages on the server, then run this again",
            DatabaseError::Locale { .. } => {
                "install the locale on the server, or give --default-locale: texts may then sort otherwise"
            }
            DatabaseError::Roles { .. } => "connect as a user with CREATEROLE, or leave them out: --no-owner --no-acl",
            DatabaseError::SeveralStored(_) => "say which with --database NAME",
            DatabaseError::SpoolTooSmall { .. } => "TMPDIR names another folder; without --jobs no file is needed",
            DatabaseError::Mismatch(mismatch) => match mismatch.options().as_slice() {
                [option] => {
                    return Self::from_error(Exit::Refused, &error).hint(format!("{option} restores it all the same"));
                }
                _ => "--allow-ledger-mismatch --allow-key-mismatch restore it all the same",
            },
            DatabaseError::Read(error) => super::next_step_of_reading(error),
            _ => "",
        };
        let exit = match error {
            DatabaseError::Postgres(error) => return error.into(),
            DatabaseError::Repo(error) => return error.into(),
            DatabaseError::Browse(error) => return error.into(),
            DatabaseError::NoDatabaseNamed
            | DatabaseError::NameTooLong(_)
            | DatabaseError::SeveralStored(_)
            | DatabaseError::Option { .. } => Exit::Usage,
            DatabaseError::Interrupted => Exit::Interrupted,
            ref refused if refused.is_refusal() => Exit::Refused,
            _ => Exit::Failed,
        };
        Self::from_error(exit, &error).hint_if_any(hint)
    }
}
