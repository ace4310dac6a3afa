//! What is in the target and not in the snapshot: found for a plan, removed by a restore.
//!
//! Only below the restored folder, only in directories whose stored list was read to its verified end, never beyond mount points, and never through links. What the snapshot
//! left out on purpose is spared (`spared.rs`), at any depth.

use crate::repo::error::ReadError;
use crate::repo::reader::Reader;
use crate::snapshot::browse;
use crate::snapshot::manifest::State;
use crate::snapshot::restore::place::Wanted;
use crate::snapshot::restore::spared::{Marks, Rules, Spared};
use crate::snapshot::restore::{RestoreError, RestoreOptions};
use crate::snapshot::target::branch::Branch;
use crate::snapshot::target::directory::Directory;
use crate::snapshot::tree::entry::{Entry, EntryType, Flags};
use crate::snapshot::tree::path::SafePath;
use rustix::io::Errno;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::sync::Arc;

/// Why nothing may be deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteRefusal {
    /// A single file is restored: what lies beside it is no concern of the snapshot's.
    #[error("--delete is for folders, and {0} isn't one")]
    NotADirectory(SafePath),
    /// The snapshot is incomplete.
    #[error("this snapshot is incomplete: --delete would remove what it lacks")]
    Incomplete,
    /// The folder wasn't captured as a whole.
    #[error("{path} of this snapshot holds only {only}, not all that there was: --delete would remove the rest")]
    Partial {
        /// The folder.
        path: SafePath,
        /// What was captured of it.
        only: SafePath,
    },
    /// A directory of the snapshot can't be read.
    #[error("{path} of this snapshot can't be read ({why}): --delete would remove what it holds")]
    Unreadable {
        /// The directory.
        path: SafePath,
        /// Why.
        why: String,
    },
    /// What was left out on purpose can't be told from what wasn't there.
    #[error(
        "what this snapshot left out can't be understood ({why}): --delete would remove it; a newer nightsafe may know it"
    )]
    Rules {
        /// Why.
        why: String,
    },
}

/// Looks whether a restore may delete at all.
pub(super) fn permit(wanted: Wanted<'_>, options: &RestoreOptions) -> Result<(), RestoreError> {
    let refuse = |refusal: DeleteRefusal| Err(RestoreError::Delete(refusal));
    if !options.delete {
        return Ok(());
    }
    if wanted.top.kind != EntryType::Directory {
        return refuse(DeleteRefusal::NotADirectory(wanted.path.clone()));
    }
    Rules::of(&wanted.snapshot.manifest.exclusions)?;
    if options.allow_incomplete {
        return Ok(());
    }
    if wanted.snapshot.manifest.state == State::Incomplete {
        return refuse(DeleteRefusal::Incomplete);
    }
    match part_of(wanted)? {
        Some(only) => refuse(DeleteRefusal::Partial { path: wanted.path.clone(), only }),
        None => Ok(()),
    }
}

/// What was captured of the wanted folder, if that wasn't all of it.
///
/// The tops of a snapshot, and the parents of what was backed up by absolute paths, hold only what leads to it. A source that was given a name may consist of single
/// files of a folder: then entries directly in it have the names of what was asked for.
fn part_of(wanted: Wanted<'_>) -> Result<Option<SafePath>, RestoreError> {
    let Wanted { reader, path, top, snapshot, .. } = wanted;
    let asked = || snapshot.manifest.paths.iter().filter_map(|path| SafePath::parse(path).ok());
    if asked().any(|asked| path.below(&asked).is_some()) {
        return Ok(None);
    }
    if path.is_top() {
        let mut only = SafePath::top();
        for entry in browse::entries(reader, top)? {
            let name = entry?.name;
            if let Some(asked) = asked().find(|asked| asked.components().next() == Some(&name)) {
                return Ok(Some(asked));
            }
            only = path.join(&name).unwrap_or(only);
        }
        return Ok(Some(only));
    }
    if let Some(below) = asked().find(|asked| asked.below(path).is_some()) {
        return Ok(Some(below));
    }
    if path.depth() > 1 {
        return Ok(None);
    }
    for entry in browse::entries(reader, top)? {
        let entry = entry?;
        if asked().any(|asked| asked.name() == Some(&entry.name)) {
            return Ok(path.join(&entry.name).ok());
        }
    }
    Ok(None)
}

/// What stands in the way of looking for extras in a directory.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The snapshot's can't be read.
    Unreadable(ReadError),
    /// The target's can't.
    Target(io::Error),
    /// Something is mounted there.
    Mounted,
    /// The file system takes different names for the same.
    Folds,
}

/// Something that the snapshot doesn't hold.
pub(super) struct Extra<'a> {
    /// The directory that it is in.
    pub(super) parent: &'a Directory,
    pub(super) name: &'a [u8],
    pub(super) path: SafePath,
    /// Whether it stays with all that is in it, because the directory is marked as one whose content is left out.
    pub(super) is_left_out: bool,
}

impl Extra<'_> {
    /// Whether it is the marker of a restore that goes on, which lies directly in the target.
    pub(super) fn is_marker(&self, wanted: Wanted<'_>, marker: &str) -> bool {
        self.name == marker.as_bytes() && self.path.parent().as_ref() == Some(wanted.path)
    }
}

/// Gives all extras to `each`, until that breaks. Nothing is one in a directory whose content was left out as a whole.
pub(super) fn extras(
    wanted: Wanted<'_>,
    root: Arc<Directory>,
    spared: &Spared<'_>,
    each: &mut dyn FnMut(&Extra<'_>) -> ControlFlow<()>,
    trouble: &mut dyn FnMut(&SafePath, Trouble) -> Result<(), RestoreError>,
) -> Result<(), RestoreError> {
    let Wanted { reader, path: base, top, .. } = wanted;
    let (mut branch, mut marks) = (Branch::new(root), Marks::new(spared));
    let mut failed = None;
    let mut note = |path: &SafePath, what: Trouble| match trouble(path, what) {
        Ok(()) => ControlFlow::Continue(false),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    };
    let mut visit = |path: &SafePath, entry: &Entry, branch: &mut Branch| -> ControlFlow<(), bool> {
        match open(path, base, entry, branch) {
            Ok(None) => ControlFlow::Continue(false),
            Ok(Some(_)) if entry.flags.contains(Flags::EMPTIED) => ControlFlow::Continue(true),
            Ok(Some(directory)) => match compare(reader, (path, entry), &directory, &mut marks, each) {
                Ok(flow) => flow.map_continue(|()| true),
                Err(what) => note(path, what),
            },
            Err(error) if Errno::from_io_error(&error) == Some(Errno::XDEV) => note(path, Trouble::Mounted),
            Err(error) => note(path, Trouble::Target(error)),
        }
    };
    if visit(base, top, &mut branch) == ControlFlow::Continue(true) {
        // What can't be read was noted when it was visited.
        browse::walk_on(
            reader,
            wanted.snapshot,
            base,
            top,
            &mut |path, entry| visit(path, entry, &mut branch),
            &mut |_, _| Ok(()),
        )?;
    }
    failed.map_or(Ok(()), Err)
}

/// The directory of the target that an entry is; nothing if it isn't one there, or isn't one at all.
fn open(path: &SafePath, base: &SafePath, entry: &Entry, branch: &mut Branch) -> io::Result<Option<Arc<Directory>>> {
    let Some(depth) = path.below(base).map(|below| below.depth()) else { return Ok(None) };
    if depth == 0 {
        return branch.current().map(Some);
    }
    if entry.kind != EntryType::Directory {
        return Ok(None);
    }
    branch.ascend(depth - 1);
    let parent = branch.current()?;
    match parent.look(&entry.name)? {
        Some(now) if now.kind == EntryType::Directory => {
            let child = parent.child_of_same_mount(&entry.name)?;
            branch.enter(&entry.name, child).map(Some)
        }
        _ => Ok(None),
    }
}

/// Gives the extras of one directory.
fn compare(
    reader: &Reader<'_>,
    (path, entry): (&SafePath, &Entry),
    directory: &Directory,
    marks: &mut Marks<'_>,
    each: &mut dyn FnMut(&Extra<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Trouble> {
    // To the end: only there is the list verified, and only a whole one tells what isn't in it.
    let entries = browse::entries(reader, entry).map_err(Trouble::Unreadable)?;
    let names = entries.map(|entry| entry.map(|entry| entry.name)).collect::<Result<Vec<_>, _>>();
    let names = names.map_err(Trouble::Unreadable)?;
    let there = directory.names().map_err(Trouble::Target)?;
    for name in names.iter().filter(|name| !there.contains(name)) {
        // A file system that folds cases lists another name than was asked for: then nothing tells extras apart.
        if directory.look(name).is_ok_and(|found| found.is_some()) {
            return Err(Trouble::Folds);
        }
    }
    let is_left_out = marks.leave_out(path, directory.as_fd(), &there);
    for name in there.iter().filter(|name| names.binary_search_by(|other| other.as_slice().cmp(name)).is_err()) {
        let Ok(path) = path.join(name) else { continue };
        if each(&Extra { parent: directory, name, path, is_left_out }).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
