//! What to do about damage: which snapshots it hits, and which packs are to be repaired.
//!
//! The repairs themselves are those of [`repo::repair`](crate::repo::repair). Nothing here changes a snapshot.

pub mod losses;
pub mod packs;

use crate::repo::error::RepoError;
use crate::repo::gc::error::GcError;
use crate::snapshot::check::CheckError;

/// Why nothing could be repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The repository can't be read or written.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// Looking for damage failed.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// Copying frames failed.
    #[error(transparent)]
    Copy(#[from] GcError),
    /// No pack answers to a name.
    #[error("no pack matches {0:?}")]
    NoSuchPack(String),
    /// Several packs do.
    #[error("{0:?} is the beginning of the names of {1} packs")]
    Ambiguous(String, usize),
}
