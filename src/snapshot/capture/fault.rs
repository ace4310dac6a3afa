//! Why a source wasn't captured.

use crate::repo::writer::WriteError;
use crate::snapshot::backup::BackupError;
use crate::snapshot::capture::archive::ArchiveStreamError;
use crate::snapshot::postgres::error::PostgresError;
use crate::snapshot::source::pipe::PipeError;

/// Whose fault it is.
pub(super) enum Fault {
    /// The repository's: ends the run.
    Repository(BackupError),
    /// The source's: a problem of the snapshot.
    Source(String),
}

impl From<PostgresError> for Fault {
    fn from(error: PostgresError) -> Self {
        match error {
            PostgresError::Interrupted => Self::Repository(BackupError::Interrupted),
            error => Self::Source(error.to_string()),
        }
    }
}

impl From<PipeError> for Fault {
    fn from(error: PipeError) -> Self {
        Self::Source(error.to_string())
    }
}

impl From<ArchiveStreamError> for Fault {
    fn from(error: ArchiveStreamError) -> Self {
        match error {
            ArchiveStreamError::Repository(error) => error.into(),
            ArchiveStreamError::Read(error) => Self::Source(format!("read: {error}")),
            ArchiveStreamError::Misfit(_) => Self::Source(error.to_string()),
        }
    }
}

impl From<WriteError> for Fault {
    fn from(error: WriteError) -> Self {
        Self::Repository(error.into())
    }
}

impl From<BackupError> for Fault {
    fn from(error: BackupError) -> Self {
        Self::Repository(error)
    }
}
