//! Removing what is in a directory, with all below it.
//!
//! Each directory is opened in the one above without following links, and nothing beyond a mount point is touched. Memory: the names of the directories on one path.

use crate::snapshot::source::listing::Listing;
use crate::snapshot::target::branch::Branch;
use crate::snapshot::target::directory::Directory;
use crate::snapshot::tree::entry::EntryType;
use crate::snapshot::tree::path::escape_name;
use std::io;
use std::sync::Arc;

/// What was removed, or would be, and what stands in the way of the rest.
#[derive(Debug, Default)]
pub struct Removal {
    /// Entries of all types.
    pub entries: u64,
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

/// A directory whose entries are being removed.
struct Frame {
    name: Vec<u8>,
    names: Listing,
    next: usize,
}

/// Removes `name` in `dir`, with all below it, as far as that is possible; or counts it.
pub fn remove(dir: Directory, name: &[u8], act: Act) -> Removal {
    let mut removal = Removal::default();
    let mut branch = Branch::new(Arc::new(dir));
    let mut stack: Vec<Frame> = Vec::new();
    visit(&mut branch, name, act, &mut stack, &mut removal);
    while let Some(frame) = stack.last_mut() {
        if let Some(name) = frame.names.get(frame.next).map(<[u8]>::to_vec) {
            frame.next += 1;
            visit(&mut branch, &name, act, &mut stack, &mut removal);
            continue;
        }
        let Some(Frame { name, .. }) = stack.pop() else { break };
        branch.ascend(stack.len());
        let removed = match act {
            Act::Count => Ok(()),
            Act::Remove => branch.current().and_then(|dir| dir.remove_directory(&name)),
        };
        note(&mut removal, &stack, &name, removed);
    }
    removal
}

fn visit(branch: &mut Branch, name: &[u8], act: Act, stack: &mut Vec<Frame>, removal: &mut Removal) {
    let mut one = || {
        let dir = branch.current()?;
        match dir.look(name)? {
            None => Ok(None),
            Some(metadata) if metadata.kind == EntryType::Directory => {
                let child = dir.child_of_same_mount(name)?;
                let names = child.names()?;
                branch.enter(name, child)?;
                Ok(Some(Some(names)))
            }
            Some(_) if act == Act::Count => Ok(Some(None)),
            Some(_) => dir.remove(name).map(|()| Some(None)),
        }
    };
    match one() {
        // Gone by itself.
        Ok(None) => {}
        Ok(Some(Some(names))) => stack.push(Frame { name: name.to_vec(), names, next: 0 }),
        Ok(Some(None)) => note(removal, stack, name, Ok(())),
        Err(error) => note(removal, stack, name, Err(error)),
    }
}

fn note(removal: &mut Removal, stack: &[Frame], name: &[u8], result: io::Result<()>) {
    match result {
        Ok(()) => removal.entries += 1,
        Err(error) if removal.fault.is_none() => {
            let mut path: Vec<&[u8]> = stack.iter().map(|frame| frame.name.as_slice()).collect();
            path.push(name);
            removal.fault = Some((path.join(&b'/'), error));
        }
        Err(_) => {}
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
        let open = || Directory::open(dir.path()).unwrap();
        let counted = remove(open(), b"a", Act::Count);
        assert_eq!((counted.entries, counted.fault.is_none()), (305, true));
        assert!(at("a/b/file").exists());
        assert_eq!(remove(open(), b"a", Act::Remove).entries, 305);
        assert_eq!(remove(open(), b"link", Act::Remove).entries, 1);
        assert_eq!(remove(open(), b"absent", Act::Remove).entries, 0);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(outside.path().join("kept").exists());
    }
}
