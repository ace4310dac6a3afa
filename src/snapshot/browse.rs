//! Looking into a snapshot: the entry at a path, the entries of a directory.

use crate::repo::error::{ReadError, RepoError};
use crate::repo::format::MAX_DEPTH;
use crate::repo::reader::Reader;
use crate::repo::repository::{Full, Repo};
use crate::repo::view::View;
use crate::snapshot::snapshots::Snapshot;
use crate::snapshot::stream::{self, StreamReader};
use crate::snapshot::tree::entry::{Entry, EntryType};
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::reader::EntryReader;
use std::io::BufReader;
use std::ops::ControlFlow;
use std::sync::Arc;

/// A path that can't be looked at.
#[derive(Debug, thiserror::Error)]
pub enum BrowseError {
    /// There is no such path.
    #[error("{0}: there is no such file or directory in this snapshot")]
    NoSuchPath(SafePath),
    /// The repository failed.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// A directory can't be read.
    #[error("{path}: {source}")]
    Read {
        /// The directory.
        path: SafePath,
        /// Why.
        source: ReadError,
    },
    /// Directories refer to others, or to the same again and again, further than the manifest tells.
    #[error("{path}: with this the snapshot lists more than the {most} entries that its manifest counts")]
    TooMany {
        /// What was one too many.
        path: SafePath,
        /// How many may be.
        most: u64,
    },
}

/// Counts what a walk of a snapshot meets, so that it ends.
///
/// Forty directories of which each has the next twice have 2⁴⁰ paths. Their writer signed how many there are (`docs/format.md`, section 8), and is held to that.
#[derive(Debug)]
pub struct Count {
    left: u64,
    most: u64,
}

impl Count {
    /// Of a snapshot, of which nothing was met so far.
    pub fn of(snapshot: &Snapshot) -> Self {
        let most = snapshot.manifest.statistics.entries();
        Self { left: most, most }
    }

    /// One more is met.
    pub fn one(&mut self, path: &SafePath) -> Result<(), BrowseError> {
        let too_many = || BrowseError::TooMany { path: path.clone(), most: self.most };
        self.left = self.left.checked_sub(1).ok_or_else(too_many)?;
        Ok(())
    }
}

/// A reader for one command.
pub fn reader(repo: &Repo<Full>) -> Result<Reader<'_>, RepoError> {
    let (view, _) = View::for_reading(repo)?;
    Ok(Reader::new(repo, Arc::new(view)))
}

/// The entries of a directory, one by one.
pub fn entries<'r>(
    reader: &'r Reader<'r>,
    directory: &Entry,
) -> Result<impl Iterator<Item = Result<Entry, ReadError>> + use<'r>, ReadError> {
    let stream = BufReader::new(StreamReader::of(reader, directory)?);
    Ok(EntryReader::new(stream).map(|entry| entry.map_err(stream::of_tree_error)))
}

/// The entry at a path.
pub fn entry_at(reader: &Reader<'_>, snapshot: &Snapshot, path: &SafePath) -> Result<Entry, BrowseError> {
    let mut entry = snapshot.manifest.root.clone();
    let mut at = SafePath::top();
    for name in path.components() {
        if entry.kind != EntryType::Directory {
            return Err(BrowseError::NoSuchPath(path.clone()));
        }
        let failed = |source| BrowseError::Read { path: at.clone(), source };
        let mut found = None;
        for candidate in entries(reader, &entry).map_err(failed)? {
            let candidate = candidate.map_err(failed)?;
            if candidate.name == name {
                found = Some(candidate);
                break;
            }
        }
        entry = found.ok_or_else(|| BrowseError::NoSuchPath(path.clone()))?;
        at = at.join(name).map_err(|_| BrowseError::NoSuchPath(path.clone()))?;
    }
    Ok(entry)
}

/// Calls `each` for the entries of a directory, sorted, with their paths; with all below if `recursive`. For anything else than a
/// directory, for that alone.
pub fn list_entries(
    repo: &Repo<Full>,
    snapshot: &Snapshot,
    path: Option<&SafePath>,
    recursive: bool,
    each: &mut dyn FnMut(&SafePath, &Entry) -> ControlFlow<()>,
) -> Result<(), BrowseError> {
    let reader = reader(repo)?;
    let path = path.cloned().unwrap_or_else(SafePath::top);
    let start = entry_at(&reader, snapshot, &path)?;
    if start.kind != EntryType::Directory {
        let _ = each(&path, &start);
        return Ok(());
    }
    walk(&reader, snapshot, &path, &start, &mut |path, entry| each(path, entry).map_continue(|()| recursive))
}

/// Walks a tree in order; `each` says whether to go into a directory, or ends the walk. A directory that can't be read ends it too.
pub fn walk(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    path: &SafePath,
    top: &Entry,
    each: &mut dyn FnMut(&SafePath, &Entry) -> ControlFlow<(), bool>,
) -> Result<(), BrowseError> {
    let failed = |path: &SafePath, source| BrowseError::Read { path: path.clone(), source };
    walk_on(reader, snapshot, path, top, each, &mut |path, source| Err(failed(path, source)))
}

/// Walks a tree in order, as [`walk`] does, but goes on behind a directory that can't be read (further), unless `unreadable` returns an
/// error. A store that fails altogether ends the walk, and so does more than the snapshot's manifest counts.
pub fn walk_on(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    path: &SafePath,
    top: &Entry,
    each: &mut dyn FnMut(&SafePath, &Entry) -> ControlFlow<(), bool>,
    unreadable: &mut dyn FnMut(&SafePath, ReadError) -> Result<(), BrowseError>,
) -> Result<(), BrowseError> {
    let mut lost = |path: &SafePath, source: ReadError| {
        if source.is_store_failure() {
            return Err(BrowseError::Read { path: path.clone(), source });
        }
        unreadable(path, source)
    };
    let mut count = Count::of(snapshot);
    // One open stream for each directory on the path, each holding one frame at most.
    let mut open = Vec::new();
    match entries(reader, top) {
        Ok(stream) => open.push((path.clone(), stream)),
        Err(error) => lost(path, error)?,
    }
    while let Some((directory, stream)) = open.last_mut() {
        let entry = match stream.next() {
            Some(Ok(entry)) => entry,
            Some(Err(error)) => {
                lost(directory, error)?;
                open.pop();
                continue;
            }
            None => {
                open.pop();
                continue;
            }
        };
        let Ok(below) = directory.join(&entry.name) else {
            lost(directory, ReadError::Directory { why: "the path of an entry is too long".to_owned() })?;
            continue;
        };
        count.one(&below)?;
        match each(&below, &entry) {
            ControlFlow::Break(()) => return Ok(()),
            ControlFlow::Continue(true) if entry.kind == EntryType::Directory && open.len() > MAX_DEPTH => {
                lost(&below, ReadError::Directory { why: format!("deeper than {MAX_DEPTH} directories") })?;
            }
            ControlFlow::Continue(true) if entry.kind == EntryType::Directory => match entries(reader, &entry) {
                Ok(stream) => open.push((below, stream)),
                Err(error) => lost(&below, error)?,
            },
            ControlFlow::Continue(_) => {}
        }
    }
    Ok(())
}
