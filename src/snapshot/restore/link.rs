//! Which entries are names of one file (`docs/format.md`, section 7, *Hard links*), and giving a file its other names.

use crate::snapshot::restore::later::Later;
use crate::snapshot::restore::overwrite::{Judged, Look, NOT_MINE, Overwrite, Placement, Rule, is_part_of, judge};
use crate::snapshot::restore::place::Wanted;
use crate::snapshot::restore::session::{First, Session, lock};
use crate::snapshot::target::branch::Branch;
use crate::snapshot::target::directory::Directory;
use crate::snapshot::tree::entry::{Entry, EntryType};
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::problem::ProblemKind;
use crate::snapshot::tree::reference::Extent;
use std::hash::{Hash, Hasher};
use std::io;
use std::sync::Arc;

/// Another name of a file that has several.
pub(super) struct LaterName {
    pub(super) path: SafePath,
    /// Its path below the target.
    pub(super) below: SafePath,
    /// That of the first name.
    pub(super) first: SafePath,
    pub(super) entry: Later,
}

/// Gives files their other names.
pub(super) struct Linker<'r> {
    session: &'r Session<'r>,
    /// Where the first name is.
    firsts: Branch,
    /// Where the other one comes.
    here: Branch,
}

impl<'r> Linker<'r> {
    pub(super) fn new(session: &'r Session<'r>, root: &Arc<Directory>) -> Self {
        Self { session, firsts: Branch::new(Arc::clone(root)), here: Branch::new(Arc::clone(root)) }
    }
}

impl Linker<'_> {
    /// Gives a file another name, if what has the first is what was restored or found there.
    pub(super) fn link(&mut self, wanted: Wanted<'_>, name: &LaterName) {
        let Self { session, firsts, here } = self;
        match name.entry.entry(wanted, &name.path) {
            Ok(entry) => link(session, (firsts, here), name, &entry),
            Err(error) => session.unreadable(&name.path, &error),
        }
    }
}

fn link(session: &Session<'_>, (firsts, others): (&mut Branch, &mut Branch), name: &LaterName, entry: &Entry) {
    let path = &name.path;
    let first = lock(&session.firsts).get(&name.first).copied();
    let first = match first {
        Some(First::There(identity)) => identity,
        Some(First::Denied) => return session.device_denied(&name.below, entry),
        None => {
            // Why it isn't there was said already, with its first name.
            let message = format!("it is another name of {}, which couldn't be restored", name.first);
            return session.problem(path, ProblemKind::Other, message);
        }
    };
    let folder_of = |path: &SafePath| path.parent().unwrap_or_default();
    let mut try_it = || -> io::Result<Option<bool>> {
        let pinned = firsts.go_to(&folder_of(&name.first))?.pin(name.first.name().unwrap_or_default())?;
        let found = pinned.metadata()?;
        if found.identity() != first {
            return Err(io::Error::other("another program replaced its first name"));
        }
        let here = others.go_to(&folder_of(&name.below))?;
        if here.look(&entry.name)?.is_some_and(|now| now.is_same_file(&found)) {
            return Ok(None);
        }
        match judge(session, &here, entry, Look::Closely)? {
            Judged::Create => here.create_hard_link(&entry.name, &pinned).map(|()| Some(false)),
            // It has the content and is another file: that differs from the snapshot, too.
            Judged::Mend(_) => here.hard_link_over(&entry.name, &pinned).map(|()| Some(true)),
            Judged::Keep(Some(_))
                if matches!(session.rule, Rule::GoOn { .. } | Rule::Existing(Overwrite::IfChanged)) =>
            {
                here.hard_link_over(&entry.name, &pinned).map(|()| Some(true))
            }
            Judged::Keep(_) => Ok(None),
            Judged::Refuse(why) => Err(io::Error::other(why)),
            Judged::Replace(Placement::OverPart)
                if !is_part_of(&here.pin(&entry.name)?.open_file()?, &pinned.open_file()?, session.monitor)? =>
            {
                Err(io::Error::other(NOT_MINE))
            }
            Judged::Replace(Placement::InsteadOfDirectory) => {
                here.remove_directory(&entry.name)?;
                here.create_hard_link(&entry.name, &pinned).map(|()| Some(true))
            }
            Judged::Replace(_) | Judged::Enter => here.hard_link_over(&entry.name, &pinned).map(|()| Some(true)),
        }
    };
    match try_it() {
        Ok(Some(overwritten)) => session.restored(path, entry, overwritten),
        Ok(None) => session.kept(path, entry),
        // What was being compared is neither this nor that.
        Err(_) if session.monitor.interrupted() => {}
        Err(error) => session.failed(path, "link", &error),
    }
}

/// What the names of one file agree in. The group alone is a word of whoever wrote the snapshot: names that differ in more become files of
/// their own, so that none gets another's content.
#[derive(Hash)]
struct Agreed<'e> {
    group: [u8; 8],
    kind: EntryType,
    size: Option<u64>,
    hash: Option<[u8; 32]>,
    inline: Option<&'e [u8]>,
    target: Option<&'e [u8]>,
    device: Option<(u32, u32)>,
    extents: Option<&'e [Extent]>,
}

/// The BLAKE3 of what the names of one file agree in: 32 bytes for each file that has several, whatever its extents are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LinkKey([u8; 32]);

impl LinkKey {
    /// Nothing for an entry that is alone.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        let agreed = Agreed {
            group: entry.link_group?,
            kind: entry.kind,
            size: entry.size,
            hash: entry.hash,
            inline: entry.inline.as_deref(),
            target: entry.target.as_deref(),
            device: entry.device,
            extents: entry.extents.as_deref(),
        };
        let mut digest = Digest(blake3::Hasher::new());
        agreed.hash(&mut digest);
        Some(Self(*digest.0.finalize().as_bytes()))
    }
}

/// Feeds what is derived for tables of hashes, lengths included, to a hash that nobody finds collisions of.
struct Digest(blake3::Hasher);

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Not asked for: the whole hash is.
    fn finish(&self) -> u64 {
        u64::from_le_bytes(self.0.finalize().as_bytes()[..8].try_into().unwrap_or_default())
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
        let device = |minor: u32| Entry {
            link_group: Some([1; 8]),
            device: Some((1, minor)),
            ..Entry::new("d", EntryType::CharacterDevice)
        };
        let same = |a: &Entry, b: &Entry| LinkKey::of(a) == LinkKey::of(b);
        assert!(same(&file(1, b"x"), &Entry { name: b"g".to_vec(), mode: 0o600, ..file(1, b"x") }));
        assert!(same(&stored(1), &stored(1)) && same(&link(b"a"), &link(b"a")) && same(&device(3), &device(3)));
        for (a, b) in [
            (file(1, b"x"), file(2, b"x")),
            (file(1, b"x"), file(1, b"y")),
            (file(1, b"x"), stored(1)),
            (stored(1), stored(2)),
            (stored(1), Entry { size: Some(101), ..stored(1) }),
            (stored(1), Entry { extents: Some(vec![Extent { offset: 1, length: 99 }]), ..stored(1) }),
            (link(b"a"), link(b"b")),
            (device(3), device(5)),
            (link(b"a"), file(1, b"a")),
        ] {
            assert!(!same(&a, &b), "{a:?} {b:?}");
        }
        assert_eq!(LinkKey::of(&Entry { link_group: None, ..file(1, b"x") }), None);
    }
}
