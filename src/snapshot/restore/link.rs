//! Which entries are names of one file (`docs/format.md`, section 7, *Hard links*).

use crate::snapshot::tree::entry::{Entry, EntryType};
use crate::snapshot::tree::reference::Extent;

/// What the names of one file agree in. The group alone is a word of whoever wrote the snapshot: names that differ in more become files of
/// their own, so that none gets another's content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct LinkKey {
    group: [u8; 8],
    kind: EntryType,
    size: Option<u64>,
    hash: Option<[u8; 32]>,
    inline: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    extents: Option<Vec<Extent>>,
}

impl LinkKey {
    /// Nothing for an entry that is alone.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        Some(Self {
            group: entry.link_group?,
            kind: entry.kind,
            size: entry.size,
            hash: entry.hash,
            inline: entry.inline.clone(),
            target: entry.target.clone(),
            extents: entry.extents.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_joins_only_names_of_the_same_content() {
        let file = |group: u8, bytes: &[u8]| {
            let mut entry = Entry::new("f", EntryType::File);
            (entry.link_group, entry.size) = (Some([group; 8]), Some(bytes.len() as u64));
            entry.inline = Some(bytes.to_vec());
            entry
        };
        let stored = |hash: u8| {
            let mut entry = Entry::new("f", EntryType::File);
            (entry.link_group, entry.size) = (Some([1; 8]), Some(100));
            (entry.references, entry.hash) = (Some(Vec::new()), Some([hash; 32]));
            entry
        };
        let link = |target: &[u8]| Entry {
            link_group: Some([1; 8]),
            target: Some(target.to_vec()),
            ..Entry::new("l", EntryType::Symlink)
        };
        let same = |a: &Entry, b: &Entry| LinkKey::of(a) == LinkKey::of(b);
        assert!(same(&file(1, b"x"), &Entry { name: b"g".to_vec(), mode: 0o600, ..file(1, b"x") }));
        assert!(same(&stored(1), &stored(1)) && same(&link(b"a"), &link(b"a")));
        for (a, b) in [
            (file(1, b"x"), file(2, b"x")),
            (file(1, b"x"), file(1, b"y")),
            (file(1, b"x"), stored(1)),
            (stored(1), stored(2)),
            (stored(1), Entry { size: Some(101), ..stored(1) }),
            (stored(1), Entry { extents: Some(vec![Extent { offset: 1, length: 99 }]), ..stored(1) }),
            (link(b"a"), link(b"b")),
            (link(b"a"), file(1, b"a")),
        ] {
            assert!(!same(&a, &b), "{a:?} {b:?}");
        }
        assert_eq!(LinkKey::of(&Entry { link_group: None, ..file(1, b"x") }), None);
    }
}
