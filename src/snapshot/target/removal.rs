//! Removing what is in a directory, with all below it.
//!
//! Each directory is opened in the one above without following links, and nothing beyond a mount point is touched. Memory: the names of the directories on one path.

use crate::snapshot::source::listing::Listing;
use crate::snapshot::source::metadata::Metadata;
use crate::snapshot::target::branch::Branch;
use crate::snapshot::target::directory::Directory;
use crate::snapshot::tree::entry::EntryType;
use crate::snapshot::tree::path::{SafePath, escape_name};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// What was removed, or would be, and what stands in the way of the rest.
#[derive(Debug, Default)]
pub struct Removal {
    /// Entries of all types.
    pub entries: u64,
    /// Entries that stay because they are to be spared; what is in a spared directory isn't counted.
    pub spared: u64,
    /// The first entry that couldn't be removed, as a path from the directory that was begun in, and why.
    pub fault: Option<(Vec<u8>, io::Error)>,
}

/// Whether something is removed, or only counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Counted.
    Count,
    /// Removed.
    Remove,
}

/// Something that would be removed, unless it is spared.
pub struct Candidate<'a> {
    /// Where it is, below the path that removing began with.
    pub path: &'a SafePath,
    /// What it is.
    pub metadata: &'a Metadata,
    /// If it's a directory that isn't spared for its name: the directory, open, and the names in it.
    pub inside: Option<(BorrowedFd<'a>, &'a Listing)>,
}

/// Tells what stays. A directory that holds something that stays does, too.
pub type Spare<'s> = &'s dyn Fn(&Candidate<'_>) -> bool;

/// A directory whose entries are being removed.
struct Frame {
    name: Vec<u8>,
    names: Listing,
    next: usize,
    /// Whether something in it stays.
    keeps: bool,
}

/// What there is of a name.
enum There {
    Nothing,
    Spared,
    Other,
    Directory(Listing),
}

/// A removing that goes on.
struct Remover<'s> {
    act: Act,
    spare: Spare<'s>,
    branch: Branch,
    stack: Vec<Frame>,
    path: SafePath,
    removal: Removal,
}

/// Removes `name` in `dir`, with all below it, as far as that is possible; or counts it. Its path is given to `spare`.
pub fn remove(dir: Directory, name: &[u8], path: SafePath, act: Act, spare: Spare<'_>) -> Removal {
    let (branch, stack, removal) = (Branch::new(Arc::new(dir)), Vec::new(), Removal::default());
    let mut remover = Remover { act, spare, branch, stack, path, removal };
    remover.visit(name);
    while let Some(frame) = remover.stack.last_mut() {
        let Some(name) = frame.names.get(frame.next).map(<[u8]>::to_vec) else {
            remover.leave();
            continue;
        };
        frame.next += 1;
        if remover.path.push(&name).is_ok() {
            remover.visit(&name);
        }
    }
    remover.removal
}

impl Remover<'_> {
    /// One entry, whose path is the current one; a directory is entered.
    fn visit(&mut self, name: &[u8]) {
        match self.look(name) {
            Ok(There::Directory(names)) => {
                self.stack.push(Frame { name: name.to_vec(), names, next: 0, keeps: false });
                return;
            }
            // Gone by itself.
            Ok(There::Nothing) => {}
            Ok(There::Spared) => {
                self.removal.spared += 1;
                self.keep();
            }
            Ok(There::Other) => self.note(name, Ok(())),
            Err(error) => self.note(name, Err(error)),
        }
        self.path.pop();
    }

    /// Removes what isn't a directory, and opens what is one.
    fn look(&mut self, name: &[u8]) -> io::Result<There> {
        let dir = self.branch.current()?;
        let Some(metadata) = dir.look(name)? else { return Ok(There::Nothing) };
        if (self.spare)(&Candidate { path: &self.path, metadata: &metadata, inside: None }) {
            return Ok(There::Spared);
        }
        if metadata.kind == EntryType::Directory {
            let child = dir.child_of_same_mount(name)?;
            let names = child.names()?;
            let inside = Some((child.as_fd(), &names));
            if (self.spare)(&Candidate { path: &self.path, metadata: &metadata, inside }) {
                return Ok(There::Spared);
            }
            self.branch.enter(name, child)?;
            return Ok(There::Directory(names));
        }
        if self.act == Act::Remove {
            dir.remove(name)?;
        }
        Ok(There::Other)
    }

    /// The innermost directory is done with.
    fn leave(&mut self) {
        let Some(Frame { name, keeps, .. }) = self.stack.pop() else { return };
        self.branch.ascend(self.stack.len());
        if keeps {
            self.keep();
        } else {
            let removed = match self.act {
                Act::Count => Ok(()),
                Act::Remove => self.branch.current().and_then(|dir| dir.remove_directory(&name)),
            };
            self.note(&name, removed);
        }
        self.path.pop();
    }

    /// The innermost directory can't go.
    fn keep(&mut self) {
        if let Some(frame) = self.stack.last_mut() {
            frame.keeps = true;
        }
    }

    fn note(&mut self, name: &[u8], result: io::Result<()>) {
        match result {
            Ok(()) => self.removal.entries += 1,
            Err(error) => {
                // What is above it can't go either, and needs no try.
                self.keep();
                if self.removal.fault.is_none() {
                    let mut path: Vec<&[u8]> = self.stack.iter().map(|frame| frame.name.as_slice()).collect();
                    path.push(name);
                    self.removal.fault = Some((path.join(&b'/'), error));
                }
            }
        }
    }
}

impl Removal {
    /// What stands in the way, for people.
    pub fn message(&self) -> Option<String> {
        let (path, error) = self.fault.as_ref()?;
        let because = match rustix::io::Errno::from_io_error(error) {
            Some(rustix::io::Errno::XDEV) => "something is mounted there".to_owned(),
            _ => error.to_string(),
        };
        Some(format!("remove {}: {because}", escape_name(path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn trees_go_and_what_they_link_to_stays() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("kept"), "").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("a/b/c")).unwrap();
        std::fs::write(at("a/b/file"), "").unwrap();
        symlink(outside.path(), at("a/b/c/out")).unwrap();
        symlink(outside.path(), at("link")).unwrap();
        let mut deep = Directory::open(&at("a")).unwrap();
        for _ in 0..300 {
            deep = deep.create_child(&[b'x'; 60]).unwrap();
        }
        let remove = |name: &str, act| {
            let folder = Directory::open(dir.path()).unwrap();
            super::remove(folder, name.as_bytes(), name.parse().unwrap(), act, &|_| false)
        };
        let counted = remove("a", Act::Count);
        assert_eq!((counted.entries, counted.fault.is_none()), (305, true));
        assert!(at("a/b/file").exists());
        assert_eq!(remove("a", Act::Remove).entries, 305);
        assert_eq!(remove("link", Act::Remove).entries, 1);
        assert_eq!(remove("absent", Act::Remove).entries, 0);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(outside.path().join("kept").exists());
    }
    #[test]
    fn what_is_spared_stays_with_the_directories_that_it_is_in() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["a/cache/deep", "a/b/marked", "a/gone/deep"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        for file in ["a/x.log", "a/y", "a/cache/deep/z", "a/b/marked/.keep", "a/b/marked/z", "a/gone/deep/z"] {
            std::fs::write(at(file), "").unwrap();
        }
        let spare = |candidate: &Candidate<'_>| {
            let path = candidate.path.as_bytes();
            let is_marked = candidate.inside.is_some_and(|(_, names)| names.contains(b".keep"));
            path.ends_with(b".log") || path == b"top/a/cache" || is_marked
        };
        let remove = |act| {
            let folder = Directory::open(dir.path()).unwrap();
            super::remove(folder, b"a", "top/a".parse().unwrap(), act, &spare)
        };
        for act in [Act::Count, Act::Remove] {
            let removal = remove(act);
            assert_eq!((removal.entries, removal.spared, removal.fault.is_none()), (4, 3, true), "{act:?}");
        }
        let left = ["a/x.log", "a/cache/deep/z", "a/b/marked/.keep", "a/b/marked/z"];
        assert!(left.into_iter().all(|path| at(path).exists()) && !at("a/y").exists() && !at("a/gone").exists());
    }
}
