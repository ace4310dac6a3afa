//! Bringing a snapshot back into a folder, or a file's bytes to an output.
//!
//! Directories are made while the tree is walked (`walk`); contents are fetched in windows ([`window`]), written to files without a name, compared with
//! their content hash, given their attributes, and only then linked into place; hard links follow, then what is to be deleted ([`delete`]), and directories get their
//! attributes last, the innermost first.
//!
//! Memory: three windows, some 500 bytes for each directory, whose attributes wait (`later`), and as much for each file that has several names and each further
//! name; of their extended attributes and extents 16 MiB in all. Of problems the first 1,000 are kept.
//!
//! Everything goes by handles of directories ([`crate::snapshot::target`]): whatever links are in the target or the snapshot, and whoever swaps what meanwhile, nothing
//! outside is created, changed or removed. Files that exist are never changed, only replaced: they may have other names elsewhere. (What an interrupted
//! restore made gets attributes that it lacks, if it has none.)

pub mod delete;
mod dump;
mod file;
mod later;
mod link;
mod marker;
mod overwrite;
mod place;
pub mod plan;
mod session;
mod spared;
mod walk;
pub mod window;

pub use dump::dump;
pub use overwrite::Overwrite;
pub use plan::{RestorePlan, plan};
pub use session::Denied;

use crate::repo::error::{ReadError, RepoError};
use crate::repo::id::RunId;
use crate::repo::repository::{Full, Repo};
use crate::snapshot::browse::{self, BrowseError};
use crate::snapshot::monitor::{EntryAction, Monitor};
use crate::snapshot::rebuilt::FlowError;
use crate::snapshot::restore::delete::{DeleteRefusal, Trouble};
use crate::snapshot::restore::file::Output;
use crate::snapshot::restore::link::Linker;
use crate::snapshot::restore::marker::Marker;
use crate::snapshot::restore::overwrite::Rule;
use crate::snapshot::restore::place::Wanted;
use crate::snapshot::restore::session::{Session, lock};
use crate::snapshot::restore::spared::Rules;
use crate::snapshot::restore::walk::{LaterDirectory, Walked};
use crate::snapshot::restore::window::{Gatherer, Window};
use crate::snapshot::snapshots::Snapshot;
use crate::snapshot::target::attributes::{AttributeOptions, AttributeWriter, LeftOut, Subject};
use crate::snapshot::target::branch::Branch;
use crate::snapshot::target::directory::Directory;
use crate::snapshot::target::removal::{self, Act, Candidate};
use crate::snapshot::tree::entry::{Entry, EntryType};
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::problem::{Problem, ProblemKind};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

/// Where to restore to, and what may happen there.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// A directory, or what will be one.
    pub target: PathBuf,
    /// What happens to what exists there; without this it must be empty, or hold what an interrupted restore of the same left.
    pub existing: Option<Overwrite>,
    /// Whether what the snapshot doesn't hold is removed.
    pub delete: bool,
    /// Whether that also goes by a snapshot that may lack something.
    pub allow_incomplete: bool,
    /// What is restored besides content.
    pub attributes: AttributeOptions,
    /// Whether pipes, sockets and devices are restored.
    pub special: bool,
}

impl RestoreOptions {
    /// Into an empty or new directory, with nothing that anybody could misuse.
    pub fn into(target: PathBuf) -> Self {
        let attributes = AttributeOptions::default();
        Self { target, existing: None, delete: false, allow_incomplete: false, attributes, special: false }
    }
}

/// What a restore did.
#[derive(Debug, Clone, Default)]
pub struct RestoreSummary {
    /// Regular files that were restored.
    pub files: u64,
    /// Directories that were made, or got their attributes.
    pub directories: u64,
    /// Links and others.
    pub others: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// How much of that took the place of something.
    pub overwritten: u64,
    /// What existed and stayed.
    pub kept: u64,
    /// What was removed.
    pub deleted: u64,
    /// What the snapshot doesn't hold and that stayed all the same, because it was left out on purpose. (What is in a folder that was isn't counted.)
    pub spared: u64,
    /// Pipes, sockets and devices that weren't restored because nobody asked for them.
    pub special_left_out: u64,
    /// Attributes likewise.
    pub left_out: LeftOut,
    /// What the system didn't permit.
    pub denied: Denied,
    /// How much didn't come back as it was.
    pub problem_count: u64,
    /// The first 1,000 of that.
    pub problems: Vec<Problem>,
    /// How long it took.
    pub seconds: f64,
}

impl RestoreSummary {
    /// Whether all that was asked for is done.
    pub fn is_complete(&self) -> bool {
        self.problem_count == 0 && self.denied.is_nothing()
    }
}

/// What ends a restore.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The repository failed.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// The path can't be looked at.
    #[error(transparent)]
    Browse(#[from] BrowseError),
    /// Content can't be read, and nothing else can either.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The target holds something.
    #[error("{} isn't empty", path.display())]
    TargetNotEmpty {
        /// The target.
        path: PathBuf,
    },
    /// The target holds what another restore left that was interrupted.
    #[error("{} holds an unfinished restore of snapshot {snapshot}", path.display())]
    Unfinished {
        /// The target.
        path: PathBuf,
        /// The snapshot that was being restored.
        snapshot: RunId,
        /// The path in it; nothing if it's neither the one that was asked for now nor the top.
        part: Option<SafePath>,
    },
    /// Another restore is filling this folder.
    #[error("{}: another restore is going on there", path.display())]
    Busy {
        /// The target.
        path: PathBuf,
    },
    /// There is no room left. What is in place is whole.
    #[error("{at}: {source}", at = target_path(target, path))]
    Full {
        /// The target.
        target: PathBuf,
        /// What couldn't be written, as a path in the snapshot.
        path: SafePath,
        /// Bytes of the files that are in place.
        in_place: u64,
        /// What the system said.
        source: io::Error,
    },
    /// What was restored may not be on the disk, though it looks as if it were.
    #[error("{}: what was restored couldn't be brought to the disk", path.display())]
    Unsynced {
        /// The target.
        path: PathBuf,
        /// Whether the same restore goes on, and writes all files again.
        goes_on: bool,
        /// Why.
        source: io::Error,
    },
    /// The target can't be used.
    #[error("{}: {source}", path.display())]
    Target {
        /// The target.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing may be deleted.
    #[error(transparent)]
    Delete(#[from] DeleteRefusal),
    /// An earlier restore couldn't bring what it wrote to the disk.
    #[error("what an earlier restore wrote to {} may not be on the disk", path.display())]
    Distrusted {
        /// The target.
        path: PathBuf,
    },
    /// What should be dumped isn't a file.
    #[error("{0} is not a regular file")]
    NotAFile(SafePath),
    /// The output of a dump can't be written.
    #[error("the output can't be written: {0}")]
    Output(#[source] io::Error),
    /// The user wanted it.
    #[error("interrupted")]
    Interrupted,
}

/// Restores a snapshot, or what is at a path in it: of a directory its contents, of a file the file.
pub fn restore(
    repo: &Repo<Full>,
    snapshot: &Snapshot,
    path: Option<&SafePath>,
    options: &RestoreOptions,
    monitor: &dyn Monitor,
) -> Result<RestoreSummary, RestoreError> {
    let begun = Instant::now();
    let reader = browse::reader(repo)?;
    let path = path.cloned().unwrap_or_else(SafePath::top);
    let top = browse::entry_at(&reader, snapshot, &path)?;
    let wanted = Wanted { repo, reader: &reader, snapshot, path: &path, top: &top };
    delete::permit(wanted, options)?;
    let failed = |source| RestoreError::of_target(&options.target, source);
    let (root, rule, marker) = place::open(wanted, options)?;
    let _unlock = Unlock(Arc::clone(&root));
    let is_own_root = !matches!(rule, Rule::Existing(Overwrite::Never | Overwrite::IfNewer))
        || root.is_unfinished().map_err(failed)?;
    monitor.progress().enter("restoring");
    let session = Session::new(monitor, options, rule);
    let walked = write(&session, wanted, &root)?;
    let mut linker = Linker::new(&session, &root);
    for name in &walked.later_names {
        session.go_on()?;
        linker.link(wanted, name);
    }
    session.go_on()?;
    let deletion =
        if options.delete { delete_extras(&session, wanted, &root, &marker.name)? } else { Deletion::default() };
    session.go_on()?;
    let mut branch = Branch::new(Arc::clone(&root));
    for directory in walked.directories.iter().rev() {
        finish(&session, &mut branch, wanted, directory);
    }
    session.go_on()?;
    synchronise(walked.systems.values().chain([&*root]), &root, &marker, options)?;
    let attributed = (top.kind == EntryType::Directory && !path.is_top() && is_own_root).then_some(&top);
    if let Some(top) = attributed {
        let lent = if marker.is_in(&root).is_some() { lent_mode(top) } else { 0 };
        session.apply(Subject::Open(root.as_fd()), &path, &Entry { mode: top.mode | lent, ..top.clone() });
    }
    // A rule that keeps files unseen doesn't make up for what an interrupted restore left.
    let looks_closely = !matches!(session.rule, Rule::Existing(Overwrite::Never | Overwrite::IfNewer));
    if looks_closely && lock(&session.problems).count == 0 {
        // The last thing of all. With problems it stays: the same command tries again what is missing.
        remove_marker(&marker, &root, attributed).map_err(|error| {
            if marker.is_in(&root).is_none() {
                // Also if only the folder's own time is lacking, the same command shall go on.
                let _ = marker.leave(&root);
            }
            failed(error)
        })?;
    }
    let mut summary = summary(session, walked.directories.len() as u64, deletion);
    summary.seconds = begun.elapsed().as_secs_f64();
    Ok(summary)
}

/// Lets another restore fill the folder, however this one ends.
struct Unlock(Arc<Directory>);

impl Drop for Unlock {
    fn drop(&mut self) {
        self.0.unlock();
    }
}

/// What a folder's own mode lacks so that its owner finds the marker in it, to go on or to remove it: lent until it's removed. (Not where an access list says the same once more.)
fn lent_mode(top: &Entry) -> u32 {
    let is_listed = top.xattrs.iter().any(|xattr| xattr.name.as_slice() == b"system.posix_acl_access");
    if is_listed { 0 } else { 0o500 & !top.mode }
}

/// Removes the marker from a folder that has its attributes already, and keeps these. (A kill between the removal and the time leaves the folder, itself, with the wrong time: no call
/// does both. One that came back closed to its owner, for a user who isn't root, also stays open to them then.)
fn remove_marker(marker: &Marker, root: &Directory, attributed: Option<&Entry>) -> io::Result<()> {
    let Some(entry) = attributed else { return marker.remove(root).map(drop) };
    let before = root.metadata()?;
    let mut removed = marker.remove(root);
    // It may have come back as one that its owner may not write to. Root may all the same.
    let is_closed = !matches!(removed, Ok(true)) && before.mode & 0o300 != 0o300;
    let is_opened = is_closed && root.set_mode(before.mode | 0o300).is_ok();
    if is_opened {
        removed = marker.remove(root);
    }
    // A time that couldn't be set was told already. It comes before the mode, so that where it fails the marker can be left again.
    if removed.is_ok() && before.mtime == entry.mtime {
        AttributeWriter::touch(Subject::Open(root.as_fd()), entry)?;
    }
    let mode = if removed.is_ok() { before.mode & !lent_mode(entry) } else { before.mode };
    if is_opened || mode != before.mode {
        root.set_mode(mode)?;
    }
    removed.map(drop)
}

/// Walks, fetches and writes.
fn write<'r>(session: &'r Session<'r>, wanted: Wanted<'r>, root: &Arc<Directory>) -> Result<Walked, RestoreError> {
    let write = |window: Window<Output<'r>>| -> Result<(), RestoreError> {
        session.go_on()?;
        file::write_window(window);
        Ok(())
    };
    let walk = |gatherer: &mut Gatherer<'_, Output<'r>>| walk::walk(session, wanted, Arc::clone(root), gatherer);
    let (walked, written) = window::run(wanted.reader, walk, write);
    written?;
    session.go_on()?;
    walked
}

/// Waits until everything is on the disk. The system tells only once that it couldn't bring something there, and may show it all the same until it is read from the disk:
/// so this restore must not be taken for done, nor what it wrote for right, when it's typed again.
fn synchronise<'d>(
    mut systems: impl Iterator<Item = &'d Directory>,
    root: &Directory,
    marker: &Marker,
    options: &RestoreOptions,
) -> Result<(), RestoreError> {
    let Err(source) = systems.try_for_each(Directory::sync_file_system) else { return Ok(()) };
    let goes_on = marker.is_in(root).is_some() && marker.distrust(root).is_ok();
    Err(RestoreError::Unsynced { path: options.target.clone(), goes_on, source })
}

/// Gives a directory its attributes, if it is the one that was restored into.
fn finish(session: &Session<'_>, branch: &mut Branch, wanted: Wanted<'_>, directory: &LaterDirectory) {
    let path = wanted.base().descend(&directory.below);
    let entry = match directory.entry.entry(wanted, &path) {
        Ok(entry) => entry,
        Err(error) => return session.unreadable(&path, &error),
    };
    let found = branch.go_to(&directory.below).and_then(|found| {
        let is_same = found.identity()? == directory.identity;
        is_same.then_some(found).ok_or_else(|| io::Error::other("another program replaced it"))
    });
    match found {
        Ok(found) => session.apply(Subject::Open(found.as_fd()), &path, &entry),
        Err(error) => session.failed(&path, "open", &error),
    }
}

/// What came of deleting.
#[derive(Debug, Clone, Copy, Default)]
struct Deletion {
    deleted: u64,
    spared: u64,
}

/// Removes what the snapshot doesn't hold.
fn delete_extras(
    session: &Session<'_>,
    wanted: Wanted<'_>,
    root: &Arc<Directory>,
    marker: &str,
) -> Result<Deletion, RestoreError> {
    let mut deletion = Deletion::default();
    if session.lost.load(Ordering::Relaxed) {
        let message = "nothing was deleted, because parts of the snapshot can't be read".to_owned();
        session.problem(wanted.path, ProblemKind::Failed, message);
        return Ok(deletion);
    }
    session.monitor.progress().enter("deleting");
    let rules = Rules::of(&wanted.snapshot.manifest.exclusions)?;
    let spared = rules.spared()?;
    let mut each = |extra: &delete::Extra<'_>| {
        if session.monitor.interrupted() {
            return ControlFlow::Break(());
        }
        if extra.is_marker(wanted, marker) {
            return ControlFlow::Continue(());
        }
        if extra.is_left_out {
            deletion.spared += 1;
            return ControlFlow::Continue(());
        }
        match extra.parent.try_clone() {
            Ok(parent) => {
                let spare = |candidate: &Candidate<'_>| spared.has(candidate);
                let removal = removal::remove(parent, extra.name, extra.path.clone(), Act::Remove, &spare);
                deletion.deleted += removal.entries;
                deletion.spared += removal.spared;
                if let Some(message) = removal.message() {
                    session.problem(&extra.path, ProblemKind::Failed, message);
                } else if removal.entries > 0 {
                    session.monitor.entry(extra.path.as_bytes(), EntryAction::Deleted, 0);
                }
            }
            Err(error) => session.failed(&extra.path, "remove", &error),
        }
        ControlFlow::Continue(())
    };
    delete::extras(wanted, Arc::clone(root), &spared, &mut each, &mut |path, trouble| {
        let why = match trouble {
            Trouble::Unreadable(error) => error.to_string(),
            Trouble::Target(error) => error.to_string(),
            Trouble::Folds => "the file system doesn't tell names apart".to_owned(),
            Trouble::Mounted => {
                session.monitor.warning(&format!("{path}: nothing was deleted in it: something is mounted there"));
                return Ok(());
            }
        };
        session.problem(path, ProblemKind::Failed, format!("nothing was deleted in it: {why}"));
        Ok(())
    })?;
    Ok(deletion)
}

fn summary(session: Session<'_>, directories: u64, deletion: Deletion) -> RestoreSummary {
    let attributes = session.attributes.into_inner().unwrap_or_else(PoisonError::into_inner);
    let counts = session.counts;
    let problems = session.problems.into_inner().unwrap_or_else(PoisonError::into_inner);
    RestoreSummary {
        files: counts.files.into_inner(),
        directories,
        others: counts.others.into_inner(),
        bytes: counts.bytes.into_inner(),
        overwritten: counts.overwritten.into_inner(),
        kept: counts.kept.into_inner(),
        deleted: deletion.deleted,
        spared: deletion.spared,
        special_left_out: counts.special.into_inner(),
        left_out: attributes.left_out(),
        denied: session.denied.into_inner().unwrap_or_else(PoisonError::into_inner),
        problem_count: problems.count,
        problems: problems.first,
        seconds: 0.0,
    }
}

/// What a path in the snapshot stands for in a target, for people.
fn target_path(target: &Path, path: &SafePath) -> String {
    format!("{} in {}", path, target.display())
}

impl RestoreError {
    /// An error of the system about the target.
    fn of_target(target: &Path, source: io::Error) -> Self {
        let target = target.to_owned();
        match session::is_full(&source) {
            Some(_) => Self::Full { target, path: SafePath::top(), in_place: 0, source },
            None => Self::Target { path: target, source },
        }
    }
}

impl From<FlowError> for RestoreError {
    fn from(error: FlowError) -> Self {
        match error {
            FlowError::Read(error) => Self::Read(error),
            FlowError::Write(error) => Self::Output(error),
        }
    }
}
