//! Why garbage isn't collected.

use crate::repo::error::{ReadError, RepoError};
use crate::repo::id::{PackId, RunId};
use crate::repo::index::IndexError;
use crate::repo::store::{StoreError, StoreErrorKind};

/// What ends a prune before its time. Nothing that a snapshot needs was deleted.
#[derive(Debug, thiserror::Error)]
pub enum GcError {
    /// The repository failed.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// A thread, or a file of this machine.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A listing doesn't show what was just written.
    #[error(
        "the storage lists {prefix} without an object that was just written there: its listings can't be relied on now"
    )]
    Listing {
        /// What was listed.
        prefix: &'static str,
    },
    /// Snapshots that the last prune saw are gone, and nobody forgot them.
    #[error("{} that the last prune saw are gone without having been forgotten", count(missing.len(), "snapshot"))]
    Census {
        /// Which.
        missing: Vec<RunId>,
    },
    /// The record of what this prune condemned was removed by somebody.
    #[error("the record of what this prune condemned is gone; nothing more is deleted")]
    Withdrawn,
    /// There is nothing to keep, which no prune is for.
    #[error("there is no snapshot at all")]
    NoSnapshots,
    /// What a snapshot needs can't be found out.
    #[error("snapshot {snapshot} can't be followed to its data")]
    Unreadable {
        /// The snapshot.
        snapshot: RunId,
        /// Why not.
        source: ReadError,
    },
    /// A manifest can't be used.
    #[error("the manifest of snapshot {snapshot} can't be used: {why}")]
    Manifest {
        /// The snapshot.
        snapshot: RunId,
        /// What is wrong with it.
        why: String,
    },
    /// What a run relies on can't be found out.
    #[error("{key}: {why}; what the run of this object relies on can't be told")]
    Pins {
        /// The object.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// A pack says that it belongs to another repository.
    #[error("pack {pack} belongs to another repository: two repositories seem to be mixed in one place")]
    Foreign {
        /// The pack.
        pack: PackId,
    },
    /// More would be deleted than is allowed.
    #[error("{percent} % of all data would be deleted, more than the {limit} % that are allowed")]
    TooMuch {
        /// The share of all bytes.
        percent: u64,
        /// The limit.
        limit: u64,
    },
    /// A pack couldn't be rewritten.
    #[error("rewriting: {0}")]
    Rewrite(#[source] ReadError),
    /// The user wanted it.
    #[error("interrupted")]
    Interrupted,
}

/// `n` of something, in words.
fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

impl GcError {
    /// Whether the store has no room left.
    pub fn is_full(&self) -> bool {
        let full = |error: &StoreError| error.kind == StoreErrorKind::Full;
        match self {
            Self::Repo(RepoError::Store(error)) => full(error),
            _ => false,
        }
    }
}

impl From<StoreError> for GcError {
    fn from(error: StoreError) -> Self {
        Self::Repo(error.into())
    }
}

impl From<IndexError> for GcError {
    fn from(error: IndexError) -> Self {
        Self::Repo(error.into())
    }
}
