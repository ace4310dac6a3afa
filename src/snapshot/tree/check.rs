//! What an entry must fulfil to be believed (`docs/format.md`, section 7).

use crate::repo::format::{MAX_INLINE_FILE, MAX_INLINE_REFS, MAX_LIST_REFS, MAX_NAME, MAX_XATTR};
use crate::snapshot::tree::entry::{Entry, EntryType};
use crate::snapshot::tree::path::escape_name;
use crate::snapshot::tree::recipe::Recipe;
use crate::snapshot::tree::reference::{Extent, Reference};
use std::fmt;

/// Longest name of a user or group that is kept, in bytes: more than any system allows.
pub const MAX_OWNER_NAME: usize = 1_024;
/// Longest target of a symbolic link, in bytes: Linux allows 4,095.
pub const MAX_TARGET: usize = 64 << 10;
/// Longest name of an extended attribute, in bytes: `XATTR_NAME_MAX` of Linux.
pub const MAX_XATTR_NAME: usize = 255;
/// Most data extents of a sparse file.
pub const MAX_EXTENTS: usize = 65_536;

/// An entry that breaks a rule of the format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {}: {fault}", escape_name(name))]
pub struct EntryError {
    /// The entry's name.
    pub name: Vec<u8>,
    /// The rule.
    pub fault: EntryFault,
}

/// A rule that an entry breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryFault {
    /// The name is empty, `.`, `..`, too long, or holds `/` or NUL.
    Name,
    /// The top of a tree isn't a directory without name.
    Top,
    /// More than the 12 permission bits.
    Mode,
    /// The name of the owner or group is empty or too long.
    Owner,
    /// A time with more nanoseconds than a second has.
    Time,
    /// A size where there can't be one, or none where there must be.
    Size,
    /// A link without target, a target that can't be one, or a target of something else.
    Target,
    /// A device without numbers, or numbers of something else.
    Device,
    /// A directory in a group of hard links.
    LinkGroup,
    /// Extended attributes that are out of order, twice, too long or without name.
    Xattrs,
    /// Not exactly one content, or one that the type can't have.
    Content,
    /// Another length than the size or the extents say.
    Length,
    /// Too many references, or one that no frame can fulfil.
    References,
    /// A content hash where there can't be one, or none where there must be.
    Hash,
    /// A secret whose content stands in the entry.
    Secret,
    /// Extents that overlap, touch, are empty, too many, or reach beyond the size.
    Extents,
    /// A recipe of what can't be expanded, or one without steps.
    Recipe,
}

impl fmt::Display for EntryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "not a possible name",
            Self::Top => "the top of a tree must be a directory without name",
            Self::Mode => "more than permission bits in its mode",
            Self::Owner => "impossible name of its owner or group",
            Self::Time => "impossible time",
            Self::Size => "a size is missing or out of place",
            Self::Target => "a link target is missing, impossible or out of place",
            Self::Device => "device numbers are missing or out of place",
            Self::LinkGroup => "a directory can't be a hard link",
            Self::Xattrs => "extended attributes are out of order, repeated, nameless or too long",
            Self::Content => "it has no content, several, or one that its type can't have",
            Self::Length => "its content has another length than it says",
            Self::References => "impossible references",
            Self::Hash => "a content hash is missing or out of place",
            Self::Secret => "the content of a secret stands in the entry",
            Self::Extents => "impossible data extents",
            Self::Recipe => "an impossible recipe",
        })
    }
}

/// Whether `name` can be that of an entry.
pub fn is_name(name: &[u8]) -> bool {
    let possible = 1..=MAX_NAME;
    possible.contains(&name.len()) && name != b"." && name != b".." && !name.contains(&b'/') && !name.contains(&0)
}

impl Entry {
    /// Checks an entry of a directory.
    pub fn check(&self) -> Result<(), EntryError> {
        ensure(is_name(&self.name), EntryFault::Name)
            .and_then(|()| self.check_fields())
            .map_err(|fault| EntryError { name: self.name.clone(), fault })
    }

    /// Checks the entry that stands for the top of a tree: a directory with an empty name.
    pub fn check_top(&self) -> Result<(), EntryError> {
        ensure(self.name.is_empty() && self.kind == EntryType::Directory, EntryFault::Top)
            .and_then(|()| self.check_fields())
            .map_err(|fault| EntryError { name: self.name.clone(), fault })
    }

    fn check_fields(&self) -> Result<(), EntryFault> {
        let is_file = self.kind == EntryType::File;
        ensure(self.mode <= 0o7777, EntryFault::Mode)?;
        let possible = 1..=MAX_OWNER_NAME;
        let owners = [&self.user, &self.group];
        ensure(owners.into_iter().flatten().all(|name| possible.contains(&name.len())), EntryFault::Owner)?;
        let times = [Some(self.mtime), self.ctime, self.btime];
        ensure(times.into_iter().flatten().all(|time| time.nanoseconds < 1_000_000_000), EntryFault::Time)?;
        ensure(self.size.is_some() == self.kind.has_stream(), EntryFault::Size)?;
        ensure(self.target.is_some() == (self.kind == EntryType::Symlink), EntryFault::Target)?;
        if let Some(target) = &self.target {
            ensure((1..=MAX_TARGET).contains(&target.len()) && !target.contains(&0), EntryFault::Target)?;
        }
        ensure(self.device.is_some() == self.kind.is_device(), EntryFault::Device)?;
        ensure(self.link_group.is_none() || self.kind != EntryType::Directory, EntryFault::LinkGroup)?;
        ensure(self.xattrs_are_clean(), EntryFault::Xattrs)?;
        ensure(!(self.is_secret() && self.inline.is_some()), EntryFault::Secret)?;
        if let Some(extents) = &self.extents {
            ensure(is_file && extents_fit(extents, self.size.unwrap_or(0)), EntryFault::Extents)?;
        }
        if let Some(recipe) = &self.recipe {
            let is_plain_file = is_file && self.extents.is_none() && self.inline.is_none() && !self.is_secret();
            ensure(is_plain_file && recipe.is_possible(), EntryFault::Recipe)?;
        }
        self.check_content()
    }

    fn xattrs_are_clean(&self) -> bool {
        let possible = 1..=MAX_XATTR_NAME;
        let fits = |x: &crate::snapshot::tree::entry::Xattr| {
            possible.contains(&x.name.len()) && !x.name.contains(&0) && x.value.len() <= MAX_XATTR
        };
        self.xattrs.iter().all(fits) && self.xattrs.is_sorted_by(|a, b| a.name < b.name)
    }

    fn check_content(&self) -> Result<(), EntryFault> {
        let is_file = self.kind == EntryType::File;
        let length = self.stream_len().ok_or(EntryFault::Extents)?;
        match (&self.inline, &self.references, &self.list) {
            (None, None, None) => {
                ensure(!self.kind.has_stream(), EntryFault::Content)?;
                ensure(self.hash.is_none(), EntryFault::Hash)
            }
            (Some(bytes), None, None) => {
                ensure(is_file && bytes.len() <= MAX_INLINE_FILE, EntryFault::Content)?;
                ensure(self.hash.is_none(), EntryFault::Hash)?;
                ensure(bytes.len() as u64 == length, EntryFault::Length)
            }
            (None, Some(references), None) => {
                ensure(self.kind.has_stream(), EntryFault::Content)?;
                ensure(self.hash.is_some(), EntryFault::Hash)?;
                ensure(references.is_empty() == (length == 0), EntryFault::Length)?;
                ensure(references.len() <= MAX_INLINE_REFS && possible(references), EntryFault::References)
            }
            (None, None, Some(references)) => {
                ensure(self.kind.has_stream(), EntryFault::Content)?;
                ensure(self.hash.is_some(), EntryFault::Hash)?;
                ensure(length > 0, EntryFault::Length)?;
                let some = 1..=MAX_LIST_REFS;
                ensure(some.contains(&references.len()) && possible(references), EntryFault::References)
            }
            _ => Err(EntryFault::Content),
        }
    }
}

impl Recipe {
    fn is_possible(&self) -> bool {
        let (few, some) = (1..=MAX_INLINE_REFS, 1..=MAX_LIST_REFS);
        let are_there = match (&self.references, &self.list) {
            (Some(references), None) => few.contains(&references.len()) && possible(references),
            (None, Some(references)) => some.contains(&references.len()) && possible(references),
            _ => false,
        };
        are_there && self.bytes > 0
    }
}

fn ensure(fulfilled: bool, fault: EntryFault) -> Result<(), EntryFault> {
    if fulfilled { Ok(()) } else { Err(fault) }
}

fn possible(references: &[Reference]) -> bool {
    references.iter().all(Reference::is_possible)
}

/// Whether the extents ascend, lie apart, and end within the file.
fn extents_fit(extents: &[Extent], size: u64) -> bool {
    let mut free_from = 0;
    let mut fits = |extent: &Extent| {
        let after_gap = extent.offset >= free_from;
        let end = extent.end().filter(|&end| extent.length > 0 && end <= size);
        free_from = end.map_or(u64::MAX, |end| end.saturating_add(1));
        after_gap && end.is_some()
    };
    extents.len() <= MAX_EXTENTS && extents.iter().all(&mut fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::cbor::Time;
    use crate::repo::id::FrameId;
    use crate::snapshot::tree::entry::{Flags, Xattr};

    fn file(content: &[u8]) -> Entry {
        let mut entry = Entry::new("f", EntryType::File);
        entry.size = Some(content.len() as u64);
        entry.inline = Some(content.to_vec());
        entry
    }

    fn reference(first: u32, count: u32) -> Reference {
        Reference { frame: FrameId::from_bytes([1; 32]), first, count }
    }

    fn stored(size: u64, references: usize) -> Entry {
        let mut entry = Entry::new("f", EntryType::File);
        entry.size = Some(size);
        entry.references = Some(vec![reference(0, 1); references]);
        entry.hash = Some([2; 32]);
        entry
    }

    fn directory() -> Entry {
        Entry { kind: EntryType::Directory, ..stored(0, 0) }
    }

    fn link(target: &[u8]) -> Entry {
        Entry { target: Some(target.to_vec()), ..Entry::new("l", EntryType::Symlink) }
    }

    /// The fault of an entry after a change.
    fn fault(mut entry: Entry, change: impl FnOnce(&mut Entry)) -> Option<EntryFault> {
        assert_eq!(entry.check(), Ok(()));
        change(&mut entry);
        entry.check().err().map(|error| error.fault)
    }

    #[test]
    fn sound_entries_pass() {
        let device = Entry { device: Some((1, 3)), ..Entry::new("d", EntryType::BlockDevice) };
        for entry in [file(b""), file(&[1; 64]), stored(65, 1), stored(0, 0), directory(), link(b"x"), device] {
            assert_eq!(entry.check(), Ok(()));
        }
        assert_eq!(Entry::new("p", EntryType::Fifo).check(), Ok(()));
        assert_eq!(Entry { name: vec![], ..directory() }.check_top(), Ok(()));
        assert!(directory().check_top().is_err());
        assert!(Entry { name: vec![], ..file(b"") }.check_top().is_err());
    }

    #[test]
    fn each_rule_is_enforced() {
        use EntryFault as F;
        for name in [&b""[..], b".", b"..", b"a/b", b"a\0", &[b'x'; MAX_NAME + 1]] {
            assert_eq!(fault(file(b"x"), |e| e.name = name.to_vec()), Some(F::Name));
        }
        assert_eq!(fault(file(b"x"), |e| e.mode = 0o10000), Some(F::Mode));
        assert_eq!(fault(file(b"x"), |e| e.user = Some(vec![])), Some(F::Owner));
        assert_eq!(fault(file(b"x"), |e| e.group = Some(vec![1; MAX_OWNER_NAME + 1])), Some(F::Owner));
        assert_eq!(
            fault(file(b"x"), |e| e.ctime = Some(Time { seconds: 0, nanoseconds: 1_000_000_000 })),
            Some(F::Time)
        );
        assert_eq!(fault(file(b"x"), |e| e.size = None), Some(F::Size));
        assert_eq!(fault(link(b"x"), |e| e.size = Some(1)), Some(F::Size));
        assert_eq!(fault(link(b"x"), |e| e.target = None), Some(F::Target));
        assert_eq!(fault(link(b"x"), |e| e.target = Some(vec![])), Some(F::Target));
        assert_eq!(fault(link(b"x"), |e| e.target = Some(b"a\0".to_vec())), Some(F::Target));
        assert_eq!(fault(link(b"x"), |e| e.target = Some(vec![b'a'; MAX_TARGET])), None);
        assert_eq!(fault(link(b"x"), |e| e.target = Some(vec![b'a'; MAX_TARGET + 1])), Some(F::Target));
        assert_eq!(fault(file(b"x"), |e| e.target = Some(b"a".to_vec())), Some(F::Target));
        assert_eq!(fault(link(b"x"), |e| e.device = Some((1, 1))), Some(F::Device));
        assert_eq!(fault(link(b"x"), |e| e.kind = EntryType::CharacterDevice), Some(F::Target));
        assert_eq!(fault(directory(), |e| e.link_group = Some([0; 8])), Some(F::LinkGroup));
        assert_eq!(fault(file(b"x"), |e| e.flags = Flags::SECRET), Some(F::Secret));
        assert_eq!(fault(stored(1, 1), |e| e.flags = Flags::SECRET), None);
    }

    #[test]
    fn exactly_one_content_fits() {
        use EntryFault as F;
        assert_eq!(fault(file(b"x"), |e| e.inline = None), Some(F::Content));
        assert_eq!(fault(stored(1, 1), |e| e.inline = Some(vec![1])), Some(F::Content));
        assert_eq!(fault(stored(1, 1), |e| e.list = e.references.clone()), Some(F::Content));
        assert_eq!(fault(link(b"x"), |e| e.references = Some(vec![])), Some(F::Content));
        assert_eq!(
            fault(directory(), |e| (e.references, e.hash, e.inline) = (None, None, Some(vec![]))),
            Some(F::Content)
        );
        assert_eq!(fault(file(&[1; 64]), |e| (e.size, e.inline) = (Some(65), Some(vec![1; 65]))), Some(F::Content));
        assert_eq!(fault(file(b"x"), |e| e.size = Some(2)), Some(F::Length));
        assert_eq!(fault(stored(1, 1), |e| e.size = Some(0)), Some(F::Length));
        assert_eq!(fault(stored(0, 0), |e| e.size = Some(1)), Some(F::Length));
        assert_eq!(fault(file(b"x"), |e| e.hash = Some([0; 32])), Some(F::Hash));
        assert_eq!(fault(stored(1, 1), |e| e.hash = None), Some(F::Hash));
        assert_eq!(fault(link(b"x"), |e| e.hash = Some([0; 32])), Some(F::Hash));
        assert_eq!(fault(stored(1, 64), |e| e.references = Some(vec![reference(0, 1); 65])), Some(F::References));
        assert_eq!(fault(stored(1, 1), |e| e.references = Some(vec![reference(0, 0)])), Some(F::References));
        assert_eq!(fault(stored(1, 1), |e| e.references = Some(vec![reference(65_535, 1)])), Some(F::References));
        let as_list = |n| move |e: &mut Entry| (e.references, e.list) = (None, Some(vec![reference(0, 1); n]));
        assert_eq!(fault(stored(1, 1), as_list(0)), Some(F::References));
        assert_eq!(fault(stored(1, 1), as_list(MAX_LIST_REFS)), None);
        assert_eq!(fault(stored(1, 1), as_list(MAX_LIST_REFS + 1)), Some(F::References));
    }

    #[test]
    fn attributes_and_extents_are_in_order() {
        let xattr = |name: &[u8], len| Xattr { name: name.to_vec(), value: vec![0; len] };
        let xattrs = |xattrs: Vec<Xattr>| fault(file(b"x"), |e| e.xattrs = xattrs);
        assert_eq!(xattrs(vec![xattr(b"a", 0), xattr(b"b", MAX_XATTR)]), None);
        for wrong in [
            vec![xattr(b"b", 0), xattr(b"a", 0)],
            vec![xattr(b"a", 0), xattr(b"a", 0)],
            vec![xattr(b"", 0)],
            vec![xattr(b"a", MAX_XATTR + 1)],
            vec![xattr(b"a\0", 0)],
            vec![xattr(&[b'a'; 256], 0)],
        ] {
            assert_eq!(xattrs(wrong), Some(EntryFault::Xattrs));
        }
        let extents = |extents: &[(u64, u64)]| {
            let extents = extents.iter().map(|&(offset, length)| Extent { offset, length }).collect();
            fault(stored(100, 1), |e| e.extents = Some(extents))
        };
        for fine in [&[(0, 10), (11, 89)][..], &[(99, 1)], &[(0, 100)]] {
            assert_eq!(extents(fine), None, "{fine:?}");
        }
        for wrong in [
            &[(0, 10), (10, 5)][..],
            &[(0, 10), (5, 10)],
            &[(20, 5), (0, 5)],
            &[(0, 0)],
            &[(0, 101)],
            &[(u64::MAX, 2)],
            &[(5, u64::MAX)],
        ] {
            assert_eq!(extents(wrong), Some(EntryFault::Extents), "{wrong:?}");
        }
        let many = |n: u64| (0..n).map(|i| Extent { offset: 2 * i, length: 1 }).collect::<Vec<_>>();
        let sparse = |n: u64| {
            let list = Some(vec![reference(0, 1)]);
            let extents = Some(many(n));
            Entry { size: Some(2 * n), references: None, list, extents, ..stored(1, 1) }.check()
        };
        assert_eq!(sparse(MAX_EXTENTS as u64), Ok(()));
        assert!(sparse(MAX_EXTENTS as u64 + 1).is_err_and(|error| error.fault == EntryFault::Extents));
        assert_eq!(extents(&[]), Some(EntryFault::Length), "no data, but references");
        assert_eq!(fault(stored(0, 0), |e| (e.size, e.extents) = (Some(100), Some(vec![]))), None, "all of it a hole");
        assert_eq!(fault(directory(), |e| e.extents = Some(vec![])), Some(EntryFault::Extents));
    }
}
