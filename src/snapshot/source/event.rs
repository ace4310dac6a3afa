//! What a walk comes across.

use crate::snapshot::source::excludes::Reason;
use crate::snapshot::source::metadata::Metadata;
use crate::snapshot::source::owners::Owners;
use crate::snapshot::tree::entry::{Entry, Flags, Xattr};
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::problem::Problem;
use std::os::fd::BorrowedFd;

/// What a walk comes across.
#[derive(Debug)]
pub enum Event<'a> {
    /// A directory begins. The first is the top of the tree, whose path is empty.
    Enter(Found<'a>),
    /// Anything else than a directory.
    Entry(Found<'a>),
    /// The directory that was entered last and not left yet ends.
    Leave,
    /// Something is left out because that was asked for.
    Excluded(&'a SafePath, Reason),
    /// What is in a directory is, by [`Decision::Empty`](crate::snapshot::source::excludes::Decision::Empty) or a marker; the directory itself follows.
    Emptied(&'a SafePath, Reason),
    /// Something isn't captured as it should be.
    Problem(Problem),
}

/// Something that was found.
#[derive(Debug)]
pub struct Found<'a> {
    /// The directory that it is in. It may have been opened only to be a starting point (`O_PATH`).
    pub dir: BorrowedFd<'a>,
    /// How to open it there. Mostly its name; for roots it may differ from the name that they are stored under.
    pub at: &'a [u8],
    /// Where it is in the snapshot; the last component is its name.
    pub path: &'a SafePath,
    /// What it is.
    pub metadata: Metadata,
    /// Where a symbolic link leads.
    pub target: Option<Vec<u8>>,
    /// Extended attributes that are kept, sorted by name.
    pub xattrs: Vec<Xattr>,
    /// Whether what is in it is left out, though it itself isn't.
    pub is_emptied: bool,
}

impl Found<'_> {
    /// Its name in the snapshot; empty for the top.
    pub fn name(&self) -> &[u8] {
        self.path.name().unwrap_or_default()
    }

    /// Its entry, but for the content; see [`Metadata::entry`].
    pub fn entry(&self, owners: &mut Owners) -> Entry {
        let mut entry = self.metadata.entry(self.name(), self.target.clone(), self.xattrs.clone(), owners);
        if self.is_emptied {
            entry.flags.insert(Flags::EMPTIED);
        }
        entry
    }
}
