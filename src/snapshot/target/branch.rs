//! The directories of the target from its top down to where a walk is.
//!
//! Only the innermost are held open, however deep the tree is. An outer one is opened again from the top, one component at a time, and must then be the one that
//! it was: who moves directories meanwhile gets an error, never a write somewhere else.

use crate::snapshot::target::directory::{Directory, Identity};
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
        let mut directory = self.top.try_clone()?;
        for level in &self.levels {
            directory = directory.child(&level.name)?;
        }
        if directory.identity()? != last.identity {
            return Err(io::Error::other("another program moved this folder"));
        }
        let directory = Arc::new(directory);
        if let Some(last) = self.levels.last_mut() {
            last.directory = Some(Arc::clone(&directory));
        }
        Ok(directory)
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
        branch.ascend(10);
        std::fs::rename(dir.path().join("d/d"), dir.path().join("elsewhere")).unwrap();
        std::fs::create_dir_all(dir.path().join("d/d/d/d/d/d/d/d/d/d")).unwrap();
        assert!(branch.current().is_err());
        branch.ascend(0);
        assert!(branch.current().is_ok());
    }
}
