//! Two entries of the same name.

use crate::snapshot::tree::entry::{Entry, EntryType};

/// How an entry differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// It is only in the second snapshot.
    Added,
    /// It is only in the first.
    Removed,
    /// Its content differs; so may its metadata.
    Content,
    /// It is secret, and whether its content differs can't be told.
    Unknown,
    /// Only its metadata differs.
    Metadata,
    /// It is something else now, such as a link instead of a file.
    Type,
}

/// A part of an entry's metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aspect {
    /// The permission bits.
    Mode,
    /// The owner or the group.
    Owner,
    /// When the content changed last; not of directories, which get a new one with every name in them.
    Mtime,
    /// The extended attributes.
    Xattrs,
    /// Whether it is marked secret.
    Secret,
}

/// Whether the content of two entries is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sameness {
    /// It is.
    Same,
    /// It isn't.
    Different,
    /// The entries don't tell: hashes of secret content are made with another key in each run.
    Untold,
}

/// Whether two entries of the same type have the same content. For directories that is what is in them: `Same` says that all below is
/// alike, and `Different` that it may not be.
pub fn content(before: &Entry, after: &Entry) -> Sameness {
    let same = match before.kind {
        EntryType::File | EntryType::Directory if before.size == Some(0) && after.size == Some(0) => true,
        EntryType::File if (before.size, &before.extents) != (after.size, &after.extents) => false,
        EntryType::File | EntryType::Directory => match (hash(before), hash(after)) {
            (Some(one), Some(other)) if one == other => true,
            _ if before.is_secret() || after.is_secret() => return Sameness::Untold,
            _ => false,
        },
        EntryType::Symlink => before.target == after.target,
        EntryType::CharacterDevice | EntryType::BlockDevice => before.device == after.device,
        EntryType::Fifo | EntryType::Socket => true,
    };
    if same { Sameness::Same } else { Sameness::Different }
}

/// The content hash; short content stands in the entry without one.
fn hash(entry: &Entry) -> Option<[u8; 32]> {
    entry.hash.or_else(|| entry.inline.as_ref().map(|bytes| *blake3::hash(bytes).as_bytes()))
}

/// What differs of the metadata.
pub fn metadata(before: &Entry, after: &Entry) -> Vec<Aspect> {
    let owner = |entry: &Entry| (entry.uid, entry.gid, entry.user.clone(), entry.group.clone());
    let is_directory = before.kind == EntryType::Directory;
    [
        (before.mode != after.mode, Aspect::Mode),
        (owner(before) != owner(after), Aspect::Owner),
        (before.mtime != after.mtime && !is_directory, Aspect::Mtime),
        (before.xattrs != after.xattrs, Aspect::Xattrs),
        (before.is_secret() != after.is_secret(), Aspect::Secret),
    ]
    .into_iter()
    .filter_map(|(differs, aspect)| differs.then_some(aspect))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::cbor::Time;
    use crate::snapshot::tree::entry::Flags;

    fn file(hash: u8, size: u64) -> Entry {
        Entry { hash: Some([hash; 32]), size: Some(size), ..Entry::new("x", EntryType::File) }
    }

    fn secret(hash: u8, size: u64) -> Entry {
        let mut entry = file(hash, size);
        entry.flags.insert(Flags::SECRET);
        entry
    }

    #[test]
    fn content_is_compared_by_hash_where_hashes_can_be() {
        assert_eq!(content(&file(1, 7), &file(1, 7)), Sameness::Same);
        assert_eq!(content(&file(1, 7), &file(2, 7)), Sameness::Different);
        assert_eq!(content(&file(1, 7), &file(1, 8)), Sameness::Different);
        assert_eq!(content(&secret(1, 7), &secret(1, 7)), Sameness::Same, "the run before stored it");
        assert_eq!(content(&secret(1, 7), &secret(2, 7)), Sameness::Untold);
        assert_eq!(content(&file(1, 7), &secret(2, 7)), Sameness::Untold);
        assert_eq!(content(&secret(1, 7), &secret(2, 8)), Sameness::Different);
        assert_eq!(content(&secret(1, 0), &secret(2, 0)), Sameness::Same);
    }

    #[test]
    fn short_content_is_compared_with_longer_ones_hash() {
        let inline = Entry { hash: None, inline: Some(b"abc".to_vec()), ..file(0, 3) };
        let stored = Entry { hash: Some(*blake3::hash(b"abc").as_bytes()), ..file(0, 3) };
        assert_eq!(content(&inline, &stored), Sameness::Same);
        assert_eq!(content(&inline, &file(9, 3)), Sameness::Different);
    }

    #[test]
    fn links_and_devices() {
        let link = |to: &str| Entry { target: Some(to.into()), ..Entry::new("x", EntryType::Symlink) };
        assert_eq!(content(&link("a"), &link("a")), Sameness::Same);
        assert_eq!(content(&link("a"), &link("b")), Sameness::Different);
        let device = |minor| Entry { device: Some((1, minor)), ..Entry::new("x", EntryType::BlockDevice) };
        assert_eq!(content(&device(1), &device(2)), Sameness::Different);
    }

    #[test]
    fn metadata_is_named() {
        let before = file(1, 7);
        assert_eq!(metadata(&before, &before.clone()), []);
        let later = Time { seconds: 9, nanoseconds: 0 };
        let after = Entry { mode: 0o600, gid: 3, mtime: later, ctime: Some(later), ..secret(1, 7) };
        assert_eq!(metadata(&before, &after), [Aspect::Mode, Aspect::Owner, Aspect::Mtime, Aspect::Secret]);
        let folder = Entry::new("x", EntryType::Directory);
        assert_eq!(metadata(&folder, &Entry { mtime: later, ..folder.clone() }), []);
    }
}
