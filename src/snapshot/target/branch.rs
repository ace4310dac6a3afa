//! The directories of the target from its top down to where a walk is.
//!
//! Only the innermost are held open, however deep the tree is. An outer one is opened again from the top, one component at a time, together with those around it, and must
//! then be the one that it was: who moves directories meanwhile gets an error, never a write somewhere else. So going all the way down and up through n levels opens
//! n²/128 directories: 131,072 for the deepest tree that there can be.

use crate::snapshot::source::metadata::Identity;
use crate::snapshot::target::directory::Directory;
use crate::snapshot::tree::path::SafePath;
use std::io;
use std::sync::Arc;

/// Most directories that are open at once; a process may usually have 1,024 files open, and others hold some, too.
const MAX_OPEN: usize = 64;

/// A path of directories that were entered one after the other.
#[derive(Debug)]
pub struct Branch {
    top: Arc<Directory>,
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    name: Vec<u8>,
    identity: Identity,
    /// Nothing while deeper directories need to be open.
    directory: Option<Arc<Directory>>,
}

impl Branch {
    /// At the top.
    pub const fn new(top: Arc<Directory>) -> Self {
        Self { top, levels: Vec::new() }
    }

    /// How many directories below the top the branch is.
    pub const fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Goes back up to this depth, if it is deeper.
    pub fn ascend(&mut self, depth: usize) {
        self.levels.truncate(depth);
    }

    /// Goes down into `directory`, which has this name in the innermost one.
    pub fn enter(&mut self, name: &[u8], directory: Directory) -> io::Result<Arc<Directory>> {
        let identity = directory.identity()?;
        let directory = Arc::new(directory);
        self.levels.push(Level { name: name.to_vec(), identity, directory: Some(Arc::clone(&directory)) });
        if let Some(outer) = self.levels.len().checked_sub(MAX_OPEN + 1) {
            self.levels[outer].directory = None;
        }
        Ok(directory)
    }

    /// The innermost directory.
    pub fn current(&mut self) -> io::Result<Arc<Directory>> {
        let Some(last) = self.levels.last() else { return Ok(Arc::clone(&self.top)) };
        if let Some(directory) = &last.directory {
            return Ok(Arc::clone(directory));
        }
        let mut directory = Arc::clone(&self.top);
        let inner = self.levels.len().saturating_sub(MAX_OPEN);
        for (depth, level) in self.levels.iter_mut().enumerate() {
            directory = Arc::new(directory.child(&level.name)?);
            if depth >= inner {
                if directory.identity()? != level.identity {
                    return Err(io::Error::other("another program moved this folder"));
                }
                level.directory = Some(Arc::clone(&directory));
            }
        }
        Ok(directory)
    }

    /// Goes up and down to the directory at `path` below the top. Those that are on the way to both stay open.
    pub fn go_to(&mut self, path: &SafePath) -> io::Result<Arc<Directory>> {
        let shared = self.levels.iter().zip(path.components()).take_while(|(level, name)| level.name == *name).count();
        self.ascend(shared);
        for name in path.components().skip(shared) {
            let child = self.current()?.child(name)?;
            self.enter(name, child)?;
        }
        self.current()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outer_directories_are_found_again_unless_they_were_moved() {
        let dir = tempfile::tempdir().unwrap();
        let mut branch = Branch::new(Arc::new(Directory::open(dir.path()).unwrap()));
        let mut identities = vec![branch.current().unwrap().identity().unwrap()];
        for _ in 0..MAX_OPEN * 2 {
            let child = branch.current().unwrap().create_child(b"d").unwrap();
            identities.push(branch.enter(b"d", child).unwrap().identity().unwrap());
        }
        assert_eq!(branch.levels.iter().filter(|level| level.directory.is_some()).count(), MAX_OPEN);
        for (depth, identity) in identities.iter().enumerate().rev().take(MAX_OPEN * 2 - 10) {
            branch.ascend(depth);
            assert_eq!((branch.depth(), branch.current().unwrap().identity().unwrap()), (depth, *identity));
        }
        let mut branch = Branch::new(Arc::new(Directory::open(dir.path()).unwrap()));
        branch.go_to(&"d/".repeat(MAX_OPEN * 2).parse().unwrap()).unwrap();
        branch.ascend(10);
        std::fs::rename(dir.path().join("d/d"), dir.path().join("elsewhere")).unwrap();
        std::fs::create_dir_all(dir.path().join("d/d/d/d/d/d/d/d/d/d")).unwrap();
        assert!(branch.current().is_err());
        branch.ascend(0);
        assert!(branch.current().is_ok());
    }

    #[test]
    fn going_to_a_path_opens_what_is_not_open_yet() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
        std::fs::create_dir_all(dir.path().join("a/bb")).unwrap();
        let mut branch = Branch::new(Arc::new(Directory::open(dir.path()).unwrap()));
        for (path, depth) in [("a/b/c", 3), ("a/bb", 2), ("a/b", 2), ("", 0), ("a", 1), ("a/b/c", 3)] {
            let found = branch.go_to(&path.parse().unwrap()).unwrap();
            let expected = Directory::open(&dir.path().join(path)).unwrap();
            assert_eq!((found.identity().unwrap(), branch.depth()), (expected.identity().unwrap(), depth), "{path}");
        }
        assert!(branch.go_to(&"a/x".parse().unwrap()).is_err());
        assert!(branch.go_to(&"a/bb".parse().unwrap()).is_ok(), "a failure changes nothing");
    }
}
