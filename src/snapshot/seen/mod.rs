//! The seen-files cache: what was read before and looks the same needn't be read again.
//!
//! One SQLite file in a folder that the caller gives; it may be deleted at any time, and a corrupt one is made anew. It
//! belongs to one repository and one credential; opened for another it is emptied. One process has it at a time, the
//! others go without.
//!
//! A row must be earned: it is written after the file was read whole and its content stored, and never when the file's
//! times are so near to the read that a change could go unnoticed ([`Stamp::is_racy`]). Each row carries a MAC under a
//! key that only the credential's holders have, over the whole row and the directory's path: rows that were damaged,
//! edited or moved count as absent, so the cache can cost time but can't make a wrong snapshot.
//!
//! Errors concern the cache alone: a run goes on without it.

mod database;
mod stamp;

pub use stamp::Stamp;

use crate::repo::cbor::Time;
use crate::repo::id::{CredentialId, RepositoryId};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Changes in one transaction. A killed process loses no more than these.
const CHANGES_PER_TRANSACTION: u32 = 8_192;
/// Bytes of a row's MAC: it guards a cache, and a forger has no way to try often.
const MAC_LEN: usize = 8;

/// Whose cache it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenOwner {
    /// The repository that holds the contents.
    pub repository: RepositoryId,
    /// The credential that stored them.
    pub credential: CredentialId,
}

/// The cache can't be used. Not a reason to fail: the files are read.
#[derive(Debug, thiserror::Error)]
pub enum SeenError {
    /// The folder or the file can't be made or removed.
    #[error("cache of seen files, {}: {source}", path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// SQLite failed: disk full, permissions.
    #[error("cache of seen files, {}: {source}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

/// A file that was read before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenFile {
    /// Its name in its directory.
    pub name: Vec<u8>,
    /// What it looked like before it was read.
    pub stamp: Stamp,
    /// When its reading began, in seconds since the epoch.
    pub read_at: i64,
    /// What the caller noted of its content.
    pub content: Vec<u8>,
}

/// The files of a directory that were read before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeenDir {
    files: Vec<SeenFile>,
}

impl SeenDir {
    /// The files, by name as unsigned bytes: for merging with a sorted listing.
    pub fn files(&self) -> &[SeenFile] {
        &self.files
    }

    /// The file of this name.
    pub fn get(&self, name: &[u8]) -> Option<&SeenFile> {
        let at = self.files.binary_search_by(|file| file.name.as_slice().cmp(name)).ok()?;
        self.files.get(at)
    }
}

/// The cache, opened. One thread owns it.
pub struct SeenFiles {
    connection: Connection,
    folder: PathBuf,
    owner: SeenOwner,
    key: Box<Zeroizing<[u8; 32]>>,
    /// Changes since the transaction under way began; 0: none is.
    changes: u32,
    /// Numbers of directories that were asked for or written since opening.
    visited: HashSet<i64>,
    /// The directory that was written last, and its number.
    last_dir: Option<(Vec<u8>, i64)>,
}

impl SeenFiles {
    /// Opens the cache in `folder`, which is created (mode 0700) if it's missing. `key` authenticates rows.
    ///
    /// `None` while another process has it: go without. It is this process's until it's dropped.
    pub fn open(folder: &Path, owner: SeenOwner, key: &[u8; 32]) -> Result<Option<Self>, SeenError> {
        let Some(connection) = database::open(folder, &owner)? else { return Ok(None) };
        // Filled in place, so that no copy is left on the stack.
        let mut own_key = Box::new(Zeroizing::new([0; 32]));
        own_key.copy_from_slice(key);
        Ok(Some(Self {
            connection,
            folder: folder.to_owned(),
            owner,
            key: own_key,
            changes: 0,
            visited: HashSet::new(),
            last_dir: None,
        }))
    }

    /// What was seen in the directory `dir`, an absolute path. Rows that aren't authentic are removed.
    pub fn dir(&mut self, dir: &[u8]) -> Result<SeenDir, SeenError> {
        let outcome = self.select(dir);
        let (found, bad) = self.or_anew(outcome)?;
        for name in bad {
            self.remove(dir, &name)?;
        }
        Ok(found)
    }

    /// The authentic rows of `dir`, and the names of the others.
    fn select(&mut self, dir: &[u8]) -> rusqlite::Result<(SeenDir, Vec<Vec<u8>>)> {
        let Some(id) = self.dir_id(dir)? else { return Ok(Default::default()) };
        self.visited.insert(id);
        let mut statement = self.connection.prepare_cached(
            "SELECT name, size, mtime, mtime_ns, ctime, ctime_ns, inode, read_at, content, mac
             FROM seen WHERE dir = ?1 ORDER BY name",
        )?;
        let mut rows = statement.query([id])?;
        let (mut files, mut bad) = (Vec::new(), Vec::new());
        while let Some(row) = rows.next()? {
            match decode(row) {
                Some((file, mac)) if mac == self.mac(dir, &file) => files.push(file),
                _ => bad.extend(row.get(0).ok()),
            }
        }
        Ok((SeenDir { files }, bad))
    }

    /// Notes that the file `name` in `dir` was read from `read_began` on, looked like `stamp` before, and has
    /// `content`.
    ///
    /// Returns false, and notes nothing, if the stamp is racy. A row that is the same already isn't written.
    pub fn record(
        &mut self,
        dir: &[u8],
        name: &[u8],
        stamp: Stamp,
        content: &[u8],
        read_began: Time,
    ) -> Result<bool, SeenError> {
        if stamp.is_racy(read_began) {
            return Ok(false);
        }
        let file = SeenFile { name: name.to_owned(), stamp, read_at: read_began.seconds, content: content.to_owned() };
        let outcome = self.upsert(dir, &file);
        self.or_anew(outcome)
    }

    fn upsert(&mut self, dir: &[u8], file: &SeenFile) -> rusqlite::Result<bool> {
        self.begin()?;
        let id = self.make_dir(dir)?;
        let (stamp, mac) = (file.stamp, self.mac(dir, file));
        self.connection
            .prepare_cached(
                "INSERT INTO seen (dir, name, size, mtime, mtime_ns, ctime, ctime_ns, inode, read_at, content, mac)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
                 ON CONFLICT (dir, name) DO UPDATE SET
                     size = excluded.size, mtime = excluded.mtime, mtime_ns = excluded.mtime_ns,
                     ctime = excluded.ctime, ctime_ns = excluded.ctime_ns, inode = excluded.inode,
                     read_at = excluded.read_at, content = excluded.content, mac = excluded.mac
                 WHERE (size, mtime, mtime_ns, ctime, ctime_ns, inode, read_at, content, mac) IS NOT
                     (excluded.size, excluded.mtime, excluded.mtime_ns, excluded.ctime, excluded.ctime_ns,
                      excluded.inode, excluded.read_at, excluded.content, excluded.mac)",
            )?
            .execute(params![
                id,
                file.name,
                stamp.size.cast_signed(),
                stamp.mtime.seconds,
                stamp.mtime.nanoseconds,
                stamp.ctime.seconds,
                stamp.ctime.nanoseconds,
                stamp.inode.cast_signed(),
                file.read_at,
                file.content,
                mac,
            ])?;
        self.changed()?;
        Ok(true)
    }

    /// Forgets the file `name` in `dir`, as when it vanished.
    pub fn remove(&mut self, dir: &[u8], name: &[u8]) -> Result<(), SeenError> {
        let outcome = self.delete(dir, name);
        self.or_anew(outcome)
    }

    fn delete(&mut self, dir: &[u8], name: &[u8]) -> rusqlite::Result<()> {
        let Some(id) = self.dir_id(dir)? else { return Ok(()) };
        self.begin()?;
        let mut statement = self.connection.prepare_cached("DELETE FROM seen WHERE dir = ?1 AND name = ?2")?;
        statement.execute(params![id, name])?;
        drop(statement);
        self.changed()
    }

    /// Forgets the directory `dir` and all below it.
    pub fn forget(&mut self, dir: &[u8]) -> Result<(), SeenError> {
        let outcome = self.delete_dirs(dir, false);
        self.or_anew(outcome)
    }

    /// Forgets the directories at and below `root` that were neither asked for nor written since opening: after a whole
    /// walk, those that vanished.
    pub fn sweep(&mut self, root: &[u8]) -> Result<(), SeenError> {
        let outcome = self.delete_dirs(root, true);
        self.or_anew(outcome)
    }

    fn delete_dirs(&mut self, root: &[u8], only_unvisited: bool) -> rusqlite::Result<()> {
        let mut below = root.to_owned();
        if below.last() != Some(&b'/') {
            below.push(b'/');
        }
        let mut behind = below.clone();
        behind.pop();
        behind.push(b'/' + 1);
        self.begin()?;
        let ids: Vec<i64> = self
            .connection
            .prepare_cached("SELECT id FROM dirs WHERE path = ?1 OR (path >= ?2 AND path < ?3)")?
            .query_map(params![root, below, behind], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for id in ids {
            if !(only_unvisited && self.visited.contains(&id)) {
                self.connection.prepare_cached("DELETE FROM seen WHERE dir = ?1")?.execute([id])?;
                self.connection.prepare_cached("DELETE FROM dirs WHERE id = ?1")?.execute([id])?;
                // The number may be given to another directory.
                self.visited.remove(&id);
            }
        }
        self.last_dir = None;
        self.changed()
    }

    /// Forgets everything.
    pub fn clear(&mut self) -> Result<(), SeenError> {
        self.last_dir = None;
        self.visited.clear();
        let outcome = self.begin().and_then(|()| self.connection.execute_batch("DELETE FROM seen; DELETE FROM dirs;"));
        let outcome = outcome.and_then(|()| self.changed());
        self.or_anew(outcome)
    }

    /// Makes what was noted so far last. What is not committed is lost when the cache is dropped.
    pub fn commit(&mut self) -> Result<(), SeenError> {
        let outcome = self.end();
        self.or_anew(outcome)
    }

    /// The number of a directory that has one.
    fn dir_id(&self, dir: &[u8]) -> rusqlite::Result<Option<i64>> {
        if let Some((_, id)) = self.last_dir.as_ref().filter(|(path, _)| path == dir) {
            return Ok(Some(*id));
        }
        let mut statement = self.connection.prepare_cached("SELECT id FROM dirs WHERE path = ?1")?;
        statement.query_row([dir], |row| row.get(0)).optional()
    }

    /// The number of a directory, which is given one if it has none.
    fn make_dir(&mut self, dir: &[u8]) -> rusqlite::Result<i64> {
        let id = if let Some(id) = self.dir_id(dir)? {
            id
        } else {
            self.connection.prepare_cached("INSERT INTO dirs (path) VALUES (?1)")?.execute([dir])?;
            self.connection.last_insert_rowid()
        };
        if self.last_dir.as_ref().is_none_or(|(_, last)| *last != id) {
            self.last_dir = Some((dir.to_owned(), id));
        }
        self.visited.insert(id);
        Ok(id)
    }

    /// Begins a transaction unless one is under way.
    fn begin(&mut self) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() { self.connection.execute_batch("BEGIN") } else { Ok(()) }
    }

    /// Counts a change, and ends the transaction when it is large.
    fn changed(&mut self) -> rusqlite::Result<()> {
        self.changes += 1;
        if self.changes >= CHANGES_PER_TRANSACTION { self.end() } else { Ok(()) }
    }

    fn end(&mut self) -> rusqlite::Result<()> {
        self.changes = 0;
        if self.connection.is_autocommit() { Ok(()) } else { self.connection.execute_batch("COMMIT") }
    }

    /// The outcome of a call; if the file turned out to be corrupt, a new one is begun and nothing was found.
    fn or_anew<T: Default>(&mut self, outcome: rusqlite::Result<T>) -> Result<T, SeenError> {
        let path = database::path(&self.folder);
        match outcome {
            Err(error) if database::is_corrupt(&error) => {
                let closed = Connection::open_in_memory();
                let closed = closed.map_err(|source| SeenError::Database { path: path.clone(), source })?;
                // Closed before it is removed, so that nothing of it is written back.
                drop(std::mem::replace(&mut self.connection, closed));
                database::remove(&self.folder).map_err(|source| SeenError::Io { path: path.clone(), source })?;
                (self.changes, self.last_dir) = (0, None);
                self.visited.clear();
                let anew = database::open(&self.folder, &self.owner)?;
                self.connection = anew.ok_or(SeenError::Database { path, source: error })?;
                Ok(T::default())
            }
            Err(source) => Err(SeenError::Database { path, source }),
            Ok(value) => Ok(value),
        }
    }

    /// The MAC of a row: over everything it says, lengths included.
    fn mac(&self, dir: &[u8], file: &SeenFile) -> [u8; MAC_LEN] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        for bytes in [dir, &file.name, &file.content] {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
        let Stamp { size, mtime, ctime, inode } = file.stamp;
        for seconds in [mtime.seconds, ctime.seconds, file.read_at] {
            hasher.update(&seconds.to_le_bytes());
        }
        for nanoseconds in [mtime.nanoseconds, ctime.nanoseconds] {
            hasher.update(&nanoseconds.to_le_bytes());
        }
        for number in [size, inode] {
            hasher.update(&number.to_le_bytes());
        }
        let mut mac = [0; MAC_LEN];
        mac.copy_from_slice(&hasher.finalize().as_bytes()[..MAC_LEN]);
        zeroize::Zeroize::zeroize(&mut hasher);
        mac
    }
}

/// The file of a row and its MAC; `None` if the row isn't of the form it was written in.
fn decode(row: &Row<'_>) -> Option<(SeenFile, [u8; MAC_LEN])> {
    let time = |at| Some(Time { seconds: row.get(at).ok()?, nanoseconds: row.get(at + 1).ok()? });
    let stamp = Stamp {
        size: row.get::<_, i64>(1).ok()?.cast_unsigned(),
        mtime: time(2)?,
        ctime: time(4)?,
        inode: row.get::<_, i64>(6).ok()?.cast_unsigned(),
    };
    let file = SeenFile { name: row.get(0).ok()?, stamp, read_at: row.get(7).ok()?, content: row.get(8).ok()? };
    Some((file, row.get(9).ok()?))
}

#[cfg(test)]
mod tests;
