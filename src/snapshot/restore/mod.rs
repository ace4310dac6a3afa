//! Bringing a snapshot back: into an empty or new directory, or a file's bytes to an output.
//!
//! Directories are made while the tree is walked; contents are fetched in windows ([`window`]), written to files without a name, compared with
//! their content hash and only then linked into place; hard links follow, and directories get their attributes last, the innermost first.

mod file;
mod link;
pub mod window;

use crate::repo::error::{ReadError, RepoError};
use crate::repo::reader::Reader;
use crate::repo::repository::{Full, Repo};
use crate::snapshot::browse::{self, BrowseError};
use crate::snapshot::monitor::{EntryAction, Monitor, Progress};
use crate::snapshot::restore::file::{FileError, Output};
use crate::snapshot::restore::link::LinkKey;
use crate::snapshot::restore::window::{Gatherer, Window};
use crate::snapshot::snapshots::Snapshot;
use crate::snapshot::stream::{self, ContentHasher};
use crate::snapshot::target::attributes::{AttributeFault, AttributeOptions, AttributeWriter, Subject};
use crate::snapshot::target::directory::Directory;
use crate::snapshot::tree::entry::{Content, Entry, EntryType};
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::problem::{Problem, ProblemKind};
use crate::snapshot::tree::reference::Reference;
use std::collections::HashMap;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Where to restore to.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// An empty directory, or one that doesn't exist yet.
    pub target: PathBuf,
}

/// What a restore will do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RestorePlan {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Links and others.
    pub others: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Where to.
    pub target: PathBuf,
    /// Bytes that are free there, if that can be told.
    pub free: Option<u64>,
}

/// What a restore did.
#[derive(Debug, Clone)]
pub struct RestoreSummary {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Links and others.
    pub others: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// What didn't come back as it was.
    pub problems: Vec<Problem>,
    /// How long it took.
    pub seconds: f64,
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
    /// The target can't be used.
    #[error("{}: {source}", path.display())]
    Target {
        /// The target.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What should be dumped isn't a file.
    #[error("/{0} is not a regular file")]
    NotAFile(SafePath),
    /// The output of a dump can't be written.
    #[error("the output can't be written: {0}")]
    Output(#[source] io::Error),
    /// The user wanted it.
    #[error("interrupted")]
    Interrupted,
}

/// Counts what a restore will bring back.
pub fn plan(
    repo: &Repo<Full>,
    snapshot: &Snapshot,
    path: Option<&SafePath>,
    options: &RestoreOptions,
) -> Result<RestorePlan, RestoreError> {
    let reader = browse::reader(repo)?;
    let path = path.cloned().unwrap_or_else(SafePath::top);
    let top = browse::entry_at(&reader, snapshot, &path)?;
    let mut plan =
        RestorePlan { target: options.target.clone(), free: free(&options.target), ..RestorePlan::default() };
    let mut count = |entry: &Entry| match entry.kind {
        EntryType::File => {
            plan.files += 1;
            plan.bytes += entry.size.unwrap_or(0);
        }
        EntryType::Directory => plan.directories += 1,
        _ => plan.others += 1,
    };
    if top.kind == EntryType::Directory {
        let mut each = |_: &SafePath, entry: &Entry| {
            count(entry);
            ControlFlow::Continue(true)
        };
        // What is below a directory that can't be read isn't counted; the restore names it.
        browse::walk_on(&reader, &path, &top, &mut each, &mut |_, _| Ok(()))?;
    } else {
        count(&top);
    }
    Ok(plan)
}

/// Free bytes of the file system that a path is, or will be, on.
fn free(path: &std::path::Path) -> Option<u64> {
    let absolute = std::path::absolute(path).ok()?;
    let existing = absolute.ancestors().find(|ancestor| ancestor.exists())?;
    let system = rustix::fs::statvfs(existing).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}

/// Opens the target, which must be empty, and creates it if it's missing.
fn open_target(path: &std::path::Path) -> Result<Directory, RestoreError> {
    let failed = |source| RestoreError::Target { path: path.to_owned(), source };
    match std::fs::read_dir(path) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(RestoreError::TargetNotEmpty { path: path.to_owned() });
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::create_dir_all(path).map_err(failed)?,
        Err(error) => return Err(failed(error)),
    }
    Directory::open(path).map_err(failed)
}

/// What the walking and the writing side share.
struct Restore<'r> {
    monitor: &'r dyn Monitor,
    problems: Mutex<Vec<Problem>>,
    attributes: Mutex<AttributeWriter>,
    files: AtomicU64,
    bytes: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Restore<'_> {
    fn problem(&self, path: &SafePath, kind: ProblemKind, message: String) {
        let problem = Problem { path: path.clone(), kind, message };
        self.monitor.problem(&problem);
        lock(&self.problems).push(problem);
    }

    fn failed(&self, path: &SafePath, what: &str, error: &io::Error) {
        self.problem(path, ProblemKind::of(error), format!("{what}: {error}"));
    }

    /// Applies attributes; what can't be is a problem each.
    fn apply(&self, subject: Subject<'_>, path: &SafePath, entry: &Entry) {
        let faults: Vec<AttributeFault> = lock(&self.attributes).apply(subject, entry);
        for fault in faults {
            self.problem(path, ProblemKind::of(&fault.source), format!("{}: {}", fault.attribute, fault.source));
        }
    }

    fn file_done(&self, path: &SafePath, entry: &Entry) {
        let size = entry.size.unwrap_or(0);
        self.files.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(size, Ordering::Relaxed);
        Progress::add(&self.monitor.progress().files_done, 1);
        self.monitor.entry(path.as_bytes(), EntryAction::Restored, size);
    }
}

/// Another name of a file that has several.
struct LaterName {
    path: SafePath,
    first: SafePath,
    entry: Entry,
}

/// The walking side.
struct Walker<'r, 'g, 'w> {
    restore: &'r Restore<'r>,
    reader: &'r Reader<'r>,
    /// Where the snapshot's path is cut off: paths below the target begin there.
    base: SafePath,
    gatherer: &'g mut Gatherer<'w, Output<'r>>,
    /// Open directories on the path, with their depth below the target.
    open: Vec<Arc<Directory>>,
    directories: Vec<(SafePath, Entry)>,
    first_names: HashMap<LinkKey, SafePath>,
    later_names: Vec<LaterName>,
    others: u64,
}

impl Walker<'_, '_, '_> {
    /// One entry, in order. Breaks when there's no use in going on.
    fn entry(&mut self, path: &SafePath, entry: &Entry) -> ControlFlow<(), bool> {
        if self.restore.monitor.interrupted() {
            return ControlFlow::Break(());
        }
        let Some(below) = path.below(&self.base) else { return ControlFlow::Continue(false) };
        self.open.truncate(below.depth());
        let Some(parent) = self.open.last().cloned() else { return ControlFlow::Continue(false) };
        let later = LinkKey::of(entry).and_then(|key| match self.first_names.entry(key) {
            std::collections::hash_map::Entry::Occupied(first) => Some(first.get().clone()),
            std::collections::hash_map::Entry::Vacant(empty) => {
                empty.insert(below.clone());
                None
            }
        });
        if let Some(first) = later {
            self.later_names.push(LaterName { path: below, first, entry: entry.clone() });
            return ControlFlow::Continue(false);
        }
        match entry.kind {
            EntryType::Directory => match parent.create_child(&entry.name) {
                Ok(child) => {
                    self.open.push(Arc::new(child));
                    self.directories.push((below, entry.clone()));
                    return ControlFlow::Continue(true);
                }
                Err(error) => self.restore.failed(path, "create", &error),
            },
            EntryType::File => return self.file(path, entry, parent),
            EntryType::Symlink => {
                let target = entry.target.as_deref().unwrap_or_default();
                match parent.create_link(&entry.name, target) {
                    Ok(()) => {
                        self.others += 1;
                        self.restore.apply(Subject::At(parent.as_fd(), &entry.name), path, entry);
                    }
                    Err(error) => self.restore.failed(path, "create", &error),
                }
            }
            EntryType::Fifo | EntryType::Socket | EntryType::CharacterDevice | EntryType::BlockDevice => {
                let message = "pipes, sockets and devices are recorded and not restored".to_owned();
                self.restore.problem(path, ProblemKind::Unsupported, message);
            }
        }
        ControlFlow::Continue(false)
    }

    fn file(&mut self, path: &SafePath, entry: &Entry, parent: Arc<Directory>) -> ControlFlow<(), bool> {
        let references: Vec<Reference> = match stream::references(self.reader, entry) {
            Ok(references) => references,
            Err(error) => {
                self.restore.problem(path, ProblemKind::Unreadable, error.to_string());
                return ControlFlow::Continue(false);
            }
        };
        let output = Output::new(self.restore, parent, path.clone(), entry.clone());
        match self.gatherer.add(output, references) {
            Ok(()) => ControlFlow::Continue(false),
            Err(window::Closed) => ControlFlow::Break(()),
        }
    }
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
    let root = open_target(&options.target)?;
    monitor.progress().enter("restoring");
    let restore = Restore {
        monitor,
        problems: Mutex::default(),
        attributes: Mutex::new(AttributeWriter::new(AttributeOptions::default())),
        files: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
    };
    let write = |window: Window<Output<'_>>| -> Result<(), RestoreError> {
        if monitor.interrupted() {
            return Err(RestoreError::Interrupted);
        }
        file::write_window(window);
        Ok(())
    };
    let (walked, written) =
        window::run(&reader, |gatherer| walk(&restore, &reader, &root, &path, &top, gatherer), write);
    written?;
    if monitor.interrupted() {
        return Err(RestoreError::Interrupted);
    }
    let Walked { directories, later_names, others } = walked?;
    let mut links = 0;
    for name in &later_names {
        match link(&root, name) {
            Ok(()) if name.entry.kind == EntryType::File => restore.file_done(&name.path, &name.entry),
            Ok(()) => links += 1,
            Err(error) => restore.failed(&name.path, "link", &error),
        }
    }
    for (path, entry) in directories.iter().rev() {
        match root.descend(path) {
            Ok(directory) => restore.apply(Subject::Open(directory.as_fd()), path, entry),
            Err(error) => restore.failed(path, "open", &error),
        }
    }
    if top.kind == EntryType::Directory && !path.is_top() {
        restore.apply(Subject::Open(root.as_fd()), &path, &top);
    }
    if let Err(source) = root.sync_file_system() {
        return Err(RestoreError::Target { path: options.target.clone(), source });
    }
    Ok(RestoreSummary {
        files: restore.files.into_inner(),
        directories: directories.len() as u64,
        others: others + links,
        bytes: restore.bytes.into_inner(),
        problems: restore.problems.into_inner().unwrap_or_else(PoisonError::into_inner),
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// What is left to do after the walk.
struct Walked {
    directories: Vec<(SafePath, Entry)>,
    later_names: Vec<LaterName>,
    others: u64,
}

fn walk<'r>(
    restore: &'r Restore<'r>,
    reader: &'r Reader<'r>,
    root: &'r Directory,
    path: &SafePath,
    top: &Entry,
    gatherer: &mut Gatherer<'_, Output<'r>>,
) -> Result<Walked, RestoreError> {
    let base = if top.kind == EntryType::Directory { path.clone() } else { path.parent().unwrap_or_default() };
    let top_directory = root.descend(&SafePath::top());
    let failed = |source| RestoreError::Target { path: PathBuf::from("."), source };
    let open = vec![Arc::new(top_directory.map_err(failed)?)];
    let (directories, first_names, later_names) = (Vec::new(), HashMap::new(), Vec::new());
    let mut walker = Walker { restore, reader, base, gatherer, open, directories, first_names, later_names, others: 0 };
    if top.kind == EntryType::Directory {
        let mut unreadable = |path: &SafePath, error: ReadError| {
            restore.problem(path, ProblemKind::Unreadable, error.to_string());
            Ok(())
        };
        browse::walk_on(reader, path, top, &mut |path, entry| walker.entry(path, entry), &mut unreadable)?;
    } else {
        let _ = walker.entry(path, top);
    }
    let Walker { directories, later_names, others, .. } = walker;
    Ok(Walked { directories, later_names, others })
}

/// Gives a file another name.
fn link(root: &Directory, name: &LaterName) -> io::Result<()> {
    let directory = |path: &SafePath| root.descend(&path.parent().unwrap_or_default());
    let (here, there) = (directory(&name.path)?, directory(&name.first)?);
    let first = name.first.name().unwrap_or_default();
    here.create_hard_link(&name.entry.name, &there, first)
}

/// Writes a file's bytes, holes as zeros. Gives their number.
///
/// The content hash is compared at the end; an error then means that what was written isn't what was stored.
pub fn dump(
    repo: &Repo<Full>,
    snapshot: &Snapshot,
    path: &SafePath,
    out: &mut dyn Write,
    monitor: &dyn Monitor,
) -> Result<u64, RestoreError> {
    let reader = browse::reader(repo)?;
    let entry = browse::entry_at(&reader, snapshot, path)?;
    if entry.kind != EntryType::File {
        return Err(RestoreError::NotAFile(path.clone()));
    }
    let size = entry.size.unwrap_or(0);
    Progress::add(&monitor.progress().bytes_total, size);
    if let Some(Content::Inline(bytes)) = entry.content() {
        out.write_all(bytes).map_err(RestoreError::Output)?;
        return Ok(size);
    }
    let references = stream::references(&reader, &entry)?;
    let class = stream::class_of(&entry);
    let mut hasher = ContentHasher::new();
    let mut sparse = file::Holes::new(&entry);
    let write = |window: Window<()>| -> Result<(), RestoreError> {
        for reference in window.pieces.iter().flat_map(|piece| &piece.references) {
            if monitor.interrupted() {
                return Err(RestoreError::Interrupted);
            }
            let frame = file::frame_of(&window.fetched, reference)?;
            let bytes = stream::referred(frame, reference, class)?;
            hasher.update(frame, bytes);
            sparse.write(bytes, out).map_err(RestoreError::Output)?;
            Progress::add(&monitor.progress().bytes_done, bytes.len() as u64);
        }
        Ok(())
    };
    let (gathered, written) = window::run(&reader, |gatherer| gatherer.add((), references), write);
    written?;
    // Closed means that the writing side failed, whose error was given back above.
    debug_assert!(gathered.is_ok());
    hasher.finish(entry.hash)?;
    sparse.finish(size, out).map_err(RestoreError::Output)?;
    out.flush().map_err(RestoreError::Output)?;
    Ok(size)
}

impl From<FileError> for RestoreError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Read(error) => Self::Read(error),
            FileError::Write(error) => Self::Output(error),
        }
    }
}
