//! Entries that wait until the walk is over: directories for their attributes, names for the file that they are a further one of.
//!
//! All of a snapshot wait at once. Most take some hundred bytes; but extended attributes may come to megabytes an entry, and so may extents. So only so much is kept, and what doesn't fit is looked up in
//! the snapshot again, which takes time where somebody has set out to fill the memory, and hardly ever else.

use crate::snapshot::browse::{self, BrowseError};
use crate::snapshot::restore::place::Wanted;
use crate::snapshot::tree::entry::Entry;
use crate::snapshot::tree::path::SafePath;
use std::borrow::Cow;

/// Most bytes of what has no small bound, of all that waits.
const MOST: usize = 16 << 20;

/// An entry that waits.
#[derive(Debug)]
pub(super) enum Later {
    /// It, without what leads to its content.
    Kept(Box<Entry>),
    /// There was no room for it.
    InSnapshot,
}

/// Keeps entries as long as there is room.
#[derive(Debug)]
pub(super) struct Keeper {
    room: usize,
}

impl Default for Keeper {
    fn default() -> Self {
        Self { room: MOST }
    }
}

impl Keeper {
    /// Has an entry wait.
    pub(super) fn keep(&mut self, entry: &Entry) -> Later {
        match self.room.checked_sub(unbounded(entry)) {
            Some(room) => {
                self.room = room;
                Later::Kept(Box::new(Entry { references: None, list: None, recipe: None, ..entry.clone() }))
            }
            None => Later::InSnapshot,
        }
    }
}

impl Later {
    /// The entry, which is at `path` in the snapshot.
    pub(super) fn entry(&self, wanted: Wanted<'_>, path: &SafePath) -> Result<Cow<'_, Entry>, BrowseError> {
        match self {
            Self::Kept(entry) => Ok(Cow::Borrowed(entry)),
            Self::InSnapshot => browse::entry_at(wanted.reader, wanted.snapshot, path).map(Cow::Owned),
        }
    }
}

/// Bytes of what an entry may have much of.
fn unbounded(entry: &Entry) -> usize {
    let xattrs: usize = entry.xattrs.iter().map(|xattr| xattr.name.len() + xattr.value.len()).sum();
    let extents = entry.extents.as_ref().map_or(0, |extents| size_of_val(extents.as_slice()));
    xattrs + extents
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tree::entry::{EntryType, Xattr};
    use crate::snapshot::tree::reference::Extent;

    /// Once, all of it was kept: four megabytes for each directory of a snapshot that somebody made for that.
    #[test]
    fn no_more_than_so_much_is_kept() {
        let xattr = Xattr { name: b"user.x".to_vec(), value: vec![0; 60 << 10] };
        let large = Entry { xattrs: vec![xattr], ..Entry::new("d", EntryType::Directory) };
        let small = Entry::new("e", EntryType::Directory);
        let mut keeper = Keeper::default();
        let kept = (0..2_000).filter(|_| matches!(keeper.keep(&large), Later::Kept(_))).count();
        assert_eq!(kept, MOST / ((60 << 10) + 6));
        assert!(matches!(keeper.keep(&small), Later::Kept(_)), "what has a small bound always fits");
        let extents = Some(vec![Extent { offset: 0, length: 1 }; 65_536]);
        let sparse = Entry { extents, ..Entry::new("f", EntryType::File) };
        assert!(matches!(keeper.keep(&sparse), Later::InSnapshot));
    }
}
