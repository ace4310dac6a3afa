//! The marker that a restore into an empty folder leaves there until it is done, so that the same command, typed again, goes on.
//!
//! It is a file `.nightsafe-restore-<snapshot>` in the target, removed at the end. What it holds depends on snapshot, path, folder and a key of the repository: nobody
//! who can't open the repository makes one that is believed, and one from another folder or restore isn't either. Even so it allows little: what it lets a restore find
//! in the folder is kept where it is what the snapshot holds, and never overwritten.

use crate::repo::error::RepoError;
use crate::repo::repository::{Full, Repo};
use crate::snapshot::application::fingerprint_key_of;
use crate::snapshot::snapshots::Snapshot;
use crate::snapshot::target::directory::Directory;
use crate::snapshot::tree::entry::{Entry, EntryType};
use crate::snapshot::tree::path::SafePath;
use std::io::{self, Read, Write};

/// Context of the derivation of the key that markers are made with.
const CONTEXT: &str = "nightsafe 1 restore marker";

/// What the first line says, for whoever finds it.
const LINE: &str =
    "A restore by nightsafe into this folder isn't finished: the same command goes on. Or remove this file.\n";

/// A marker for one restore, there or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marker {
    /// Its name.
    pub(super) name: String,
    content: Vec<u8>,
}

impl Marker {
    /// The marker of restoring what is at `path` into `target`. `is_taken` tells the names that the snapshot itself has there.
    pub(super) fn new(
        repo: &Repo<Full>,
        snapshot: &Snapshot,
        path: &SafePath,
        target: &Directory,
        is_taken: &dyn Fn(&[u8]) -> bool,
    ) -> Result<io::Result<Self>, RepoError> {
        let key = fingerprint_key_of(repo, snapshot.id)?;
        let inode = match target.metadata() {
            Ok(metadata) => metadata.inode,
            Err(error) => return Ok(Err(error)),
        };
        let mut name = format!(".nightsafe-restore-{}", snapshot.id.random_part());
        while is_taken(name.as_bytes()) {
            name.push('-');
        }
        let mut proof = blake3::Hasher::new_keyed(&blake3::derive_key(CONTEXT, &*key));
        // The path comes last, so that no two restores hash the same bytes. The device may have another number after a reboot.
        proof.update(snapshot.id.to_string().as_bytes()).update(&inode.to_le_bytes()).update(path.as_bytes());
        let content = format!("{LINE}{}\n", proof.finalize().to_hex()).into_bytes();
        Ok(Ok(Self { name, content }))
    }

    /// Whether it is there, and the one that this restore made.
    pub(super) fn is_in(&self, target: &Directory) -> bool {
        let read = || -> io::Result<Vec<u8>> {
            let pinned = target.pin(self.name.as_bytes())?;
            let mut bytes = Vec::new();
            pinned.open_file()?.take(self.content.len() as u64 + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        // In constant time, which costs nothing.
        read().is_ok_and(|bytes| blake3::hash(&bytes) == blake3::hash(&self.content))
    }

    /// Leaves it.
    pub(super) fn leave(&self, target: &Directory) -> io::Result<()> {
        let entry =
            Entry { size: Some(self.content.len() as u64), ..Entry::new(self.name.as_bytes(), EntryType::File) };
        let mut file = target.new_file(&entry)?;
        file.write_all(&self.content)?;
        file.complete()?;
        file.place(self.name.as_bytes()).map(drop)
    }

    /// Removes it, if it is this one.
    pub(super) fn remove(&self, target: &Directory) -> io::Result<()> {
        if self.is_in(target) { target.remove(self.name.as_bytes()) } else { Ok(()) }
    }
}
