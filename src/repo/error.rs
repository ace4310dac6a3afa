//! What can go wrong with a repository.

use crate::repo::codec::Malformed;
use crate::repo::format::Class;
use crate::repo::id::{FrameId, PackId, RunId};
use crate::repo::index::IndexError;
use crate::repo::keys::ring::RingError;
use crate::repo::pack::frame::FrameError;
use crate::repo::pack::parse::PackError;
use crate::repo::store::probe::ProbeError;
use crate::repo::store::{StoreError, StoreErrorKind};
use crate::repo::witness::OtherRepository;

/// A repository can't be opened, or something in it can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RepoError {
    /// The store holds no repository.
    #[error("there is no repository at {url}")]
    NoRepository {
        /// Where.
        url: String,
    },
    /// The store holds a repository already.
    #[error("there is a repository at {url} already")]
    AlreadyExists {
        /// Where.
        url: String,
    },
    /// The store holds another repository than this host knows there.
    #[error(transparent)]
    Other(#[from] OtherRepository),
    /// No credential opens with this password or key file.
    #[error("wrong password or key file")]
    WrongSecret,
    /// The store breaks a promise that a repository needs.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A credential can't be used or changed.
    #[error(transparent)]
    Ring(RingError),
    /// An object is damaged, or isn't what its name says.
    #[error("{key}: {why}")]
    Damaged {
        /// The object.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// The local cache can't be used.
    #[error("the local cache can't be used: {0}")]
    Cache(#[from] IndexError),
}

impl RepoError {
    /// An object that can't be used, for this reason.
    pub fn damaged(key: &str, why: impl std::fmt::Display) -> Self {
        Self::Damaged { key: key.to_owned(), why: why.to_string() }
    }
}

/// Content can't be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No pack is known to hold a frame.
    #[error("frame {frame} is in no pack of the repository")]
    Missing {
        /// The frame.
        frame: FrameId,
    },
    /// A frame can't be had.
    #[error("{why}")]
    Lost {
        /// Why.
        why: String,
    },
    /// No copy of a frame can be used; this is what is wrong with the last one tried.
    #[error("pack {pack}: frame {frame}: {source}")]
    Frame {
        /// The frame.
        frame: FrameId,
        /// Where the copy is.
        pack: PackId,
        /// What is wrong.
        source: FrameError,
    },
    /// A pack can't be used.
    #[error("pack {pack}: {source}")]
    Pack {
        /// The pack.
        pack: PackId,
        /// What is wrong.
        source: PackError,
    },
    /// A key of a run can't be opened.
    #[error("run {run}: its key can't be opened")]
    RunKey {
        /// The run.
        run: RunId,
    },
    /// A reference names chunks that the frame doesn't have, or that were removed from it.
    #[error("frame {frame} lacks chunks {first} to {last}")]
    Chunks {
        /// The frame.
        frame: FrameId,
        /// The first chunk asked for.
        first: u32,
        /// The last one.
        last: u32,
    },
    /// A frame is of a class that doesn't belong there.
    #[error("frame {frame} holds {found:?} where {wanted:?} should be")]
    Class {
        /// The frame.
        frame: FrameId,
        /// Its class.
        found: Class,
        /// What was expected.
        wanted: Class,
    },
    /// The content isn't what was stored.
    #[error("the content doesn't match its hash")]
    ContentHash,
    /// A directory can't be understood.
    #[error("a directory can't be understood: {why}")]
    Directory {
        /// What is wrong with it.
        why: String,
    },
    /// A file can't be rebuilt from what is stored instead of it.
    #[error("it can't be rebuilt: {why}")]
    Recipe {
        /// Why not.
        why: String,
    },
    /// A structure is malformed.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The trailers of packs can't be read.
    #[error(transparent)]
    Trailers(#[from] Box<RepoError>),
    /// The local cache failed, memory is short, or what the content is read through can't be undone, such as gzip.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl ReadError {
    /// Whether the store itself failed: then it's pointless to go on with other objects.
    pub fn is_store_failure(&self) -> bool {
        self.store_failure().is_some()
    }

    /// How the store itself failed, if it did.
    pub fn store_failure(&self) -> Option<&StoreError> {
        let error = match self {
            Self::Pack { source: PackError::Store(error), .. } => error,
            Self::Trailers(error) => match &**error {
                RepoError::Store(error) => error,
                _ => return None,
            },
            _ => return None,
        };
        matches!(error.kind, StoreErrorKind::RootMissing | StoreErrorKind::Transient).then_some(error)
    }
}
