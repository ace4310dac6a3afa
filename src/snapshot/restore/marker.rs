//! The marker that a restore into an empty folder leaves there until it is done, so that the same command, typed again, goes on.
//!
//! It is a file `.nightsafe-restore-<snapshot>` in the target, removed at the end. What it holds depends on snapshot, path, folder and a key of the repository: nobody
//! who can't open the repository makes one that is believed, and one from another folder or restore isn't either. Even so it allows little: what it lets a restore find
//! in the folder is kept where it is what the snapshot holds, files that lack bytes of that are written again, and nothing else is overwritten.
//!
//! It is on the disk before the first file is begun: files that a power loss left torn are never without it.

use crate::repo::error::RepoError;
use crate::repo::id::RunId;
use crate::repo::repository::{Full, Repo};
use crate::snapshot::application::fingerprint_key_of;
use crate::snapshot::target::directory::Directory;
use crate::snapshot::target::writer::NewFile;
use crate::snapshot::tree::entry::{Entry, EntryType};
use crate::snapshot::tree::path::SafePath;
use std::io::{self, Read, Write};

/// Context of the derivation of the key that markers are made with.
const CONTEXT: &str = "nightsafe 1 restore marker";

/// What the first line says, for whoever finds it.
const LINE: &str =
    "A restore by nightsafe into this folder isn't finished: the same command goes on. Or remove this file.\n";

/// What all names of markers begin with.
const PREFIX: &str = ".nightsafe-restore-";

/// A marker for one restore, there or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marker {
    /// Its name.
    pub(super) name: String,
    content: Vec<u8>,
    /// What it holds instead once the system failed to bring what was restored to the disk.
    distrusting: Vec<u8>,
}

/// What a marker says of the files beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// They were written; a power loss may have torn them.
    Written,
    /// The system failed to bring them to the disk: what is read of them proves nothing.
    Distrusted,
}

impl Marker {
    /// The marker of restoring what is at `path` into `target`. `is_taken` tells the names that the snapshot itself has there.
    pub(super) fn new(
        repo: &Repo<Full>,
        snapshot: RunId,
        path: &SafePath,
        target: &Directory,
        is_taken: &dyn Fn(&[u8]) -> bool,
    ) -> Result<io::Result<Self>, RepoError> {
        let key = fingerprint_key_of(repo, snapshot)?;
        let inode = match target.metadata() {
            Ok(metadata) => metadata.inode,
            Err(error) => return Ok(Err(error)),
        };
        let mut name = format!("{PREFIX}{}", snapshot.random_part());
        while is_taken(name.as_bytes()) {
            name.push('-');
        }
        let mut proof = blake3::Hasher::new_keyed(&blake3::derive_key(CONTEXT, &*key));
        // The path comes last, so that no two restores hash the same bytes. The device may have another number after a reboot.
        proof.update(snapshot.to_string().as_bytes()).update(&inode.to_le_bytes()).update(path.as_bytes());
        let content = |proof: &blake3::Hasher| format!("{LINE}{}\n", proof.finalize().to_hex()).into_bytes();
        let trusting = content(&proof);
        // No path holds a zero byte.
        Ok(Ok(Self { name, content: trusting, distrusting: content(proof.update(&[0])) }))
    }

    /// The snapshot of which an unfinished restore left its marker in the target, whatever it holds: the name says so.
    pub(super) fn snapshot_in(target: &Directory, snapshots: impl Iterator<Item = RunId>) -> io::Result<Option<RunId>> {
        let names = target.names()?;
        let found: Vec<&str> = names
            .iter()
            .filter_map(|name| Some(std::str::from_utf8(name).ok()?.strip_prefix(PREFIX)?.trim_end_matches('-')))
            .collect();
        Ok(snapshots.into_iter().find(|id| found.contains(&id.random_part().as_str())))
    }

    /// What it says, if it is there and the one that this restore made.
    pub(super) fn is_in(&self, target: &Directory) -> Option<Word> {
        let read = || -> io::Result<Vec<u8>> {
            let pinned = target.pin(self.name.as_bytes())?;
            let mut bytes = Vec::new();
            pinned.open_file()?.take(self.content.len() as u64 + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let found = blake3::hash(&read().ok()?);
        // In constant time, which costs nothing.
        if found == blake3::hash(&self.content) {
            Some(Word::Written)
        } else {
            (found == blake3::hash(&self.distrusting)).then_some(Word::Distrusted)
        }
    }

    /// Leaves it, on the disk.
    pub(super) fn leave(&self, target: &Directory) -> io::Result<()> {
        let file = self.write(target, &self.content)?;
        file.place(self.name.as_bytes())?;
        target.sync()
    }

    /// Makes it say that the files beside it can't be trusted; if that can't be written, it's removed, and no restore goes on.
    pub(super) fn distrust(&self, target: &Directory) -> io::Result<()> {
        let replaced = self.write(target, &self.distrusting).and_then(|file| file.place_over(self.name.as_bytes()));
        let replaced = replaced.and_then(|_| target.sync());
        if replaced.is_err() {
            let _ = target.remove(self.name.as_bytes());
        }
        replaced
    }

    fn write(&self, target: &Directory, content: &[u8]) -> io::Result<NewFile> {
        let entry = Entry { size: Some(content.len() as u64), ..Entry::new(self.name.as_bytes(), EntryType::File) };
        let mut file = target.new_file(&entry)?;
        file.write_all(content)?;
        file.complete()?;
        file.sync()?;
        Ok(file)
    }

    /// Removes it, if it is this one; tells whether it was.
    pub(super) fn remove(&self, target: &Directory) -> io::Result<bool> {
        let is_there = self.is_in(target).is_some();
        if is_there {
            target.remove(self.name.as_bytes())?;
        }
        Ok(is_there)
    }
}
