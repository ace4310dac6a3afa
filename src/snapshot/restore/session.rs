//! What all that take part in a restore share: its rule, its counts, and what went wrong.

use crate::chunker::expand::Crew;
use crate::snapshot::monitor::{EntryAction, Monitor, Progress};
use crate::snapshot::restore::overwrite::Rule;
use crate::snapshot::restore::{RestoreError, RestoreOptions};
use crate::snapshot::source::metadata::Identity;
use crate::snapshot::target::attributes::{Attribute, AttributeFault, AttributeWriter, Subject, lends_rights};
use crate::snapshot::target::node::Pinned;
use crate::snapshot::tree::entry::{Entry, EntryType};
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::problem::{Problem, ProblemKind};
use rustix::io::Errno;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// What the system didn't permit: counted, because that is one reason and not thousands of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Denied {
    /// Entries that didn't get their owner and group.
    pub owners: u64,
    /// Files that didn't get their setuid or setgid bits, because they lack their owner.
    pub set_ids: u64,
    /// Devices.
    pub devices: u64,
    /// Extended attributes that the system trusts.
    pub xattrs: u64,
}

impl Denied {
    /// Whether everything was permitted.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Most problems that are kept; more are counted. Each was told when it came.
const MAX_PROBLEMS: usize = 1_000;

/// What went wrong: all is counted, the first are kept.
#[derive(Debug, Default)]
pub(super) struct Problems {
    pub(super) count: u64,
    pub(super) first: Vec<Problem>,
}

/// Counts of a restore.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) files: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) others: AtomicU64,
    pub(super) overwritten: AtomicU64,
    pub(super) kept: AtomicU64,
    pub(super) special: AtomicU64,
    /// Bytes of the files that are in their place, restored now or kept.
    pub(super) in_place: AtomicU64,
}

impl Counts {
    pub(super) fn one(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// A restore that is going on.
pub(super) struct Session<'r> {
    pub(super) monitor: &'r dyn Monitor,
    pub(super) options: &'r RestoreOptions,
    pub(super) rule: Rule,
    pub(super) problems: Mutex<Problems>,
    pub(super) denied: Mutex<Denied>,
    pub(super) attributes: Mutex<AttributeWriter>,
    pub(super) counts: Counts,
    /// What couldn't be written because the disk is full, and why; the first of that kind. It ends the restore, instead of being a problem of each file to come.
    full: OnceLock<(SafePath, Errno)>,
    /// Whether something of the snapshot couldn't be read.
    pub(super) lost: AtomicBool,
    /// What became of files with several names, by the first of them.
    pub(super) firsts: Mutex<HashMap<SafePath, First>>,
    /// Threads that rebuild what was expanded.
    pub(super) crew: Crew,
}

/// What became of the first name of a file that has several.
#[derive(Debug, Clone, Copy)]
pub(super) enum First {
    /// It's in its place.
    There(Identity),
    /// It's a device, and this user may make none.
    Denied,
}

/// The guarded value; one that a panicking thread left is as good as any here.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What says that there is no room left, if that is the error. An attribute that doesn't fit into its place in the file system fails in the same way: that isn't asked here.
pub(super) fn is_full(error: &io::Error) -> Option<Errno> {
    Errno::from_io_error(error).filter(|errno| matches!(*errno, Errno::NOSPC | Errno::DQUOT))
}

impl<'r> Session<'r> {
    pub(super) fn new(monitor: &'r dyn Monitor, options: &'r RestoreOptions, rule: Rule) -> Self {
        Self {
            monitor,
            options,
            rule,
            problems: Mutex::default(),
            denied: Mutex::default(),
            full: OnceLock::new(),
            attributes: Mutex::new(AttributeWriter::new(options.attributes)),
            counts: Counts::default(),
            lost: AtomicBool::new(false),
            firsts: Mutex::default(),
            crew: Crew::of_all_cores(),
        }
    }

    pub(super) fn problem(&self, path: &SafePath, kind: ProblemKind, message: String) {
        let problem = Problem { path: path.clone(), kind, message };
        self.monitor.problem(&problem);
        let mut problems = lock(&self.problems);
        problems.count += 1;
        if problems.first.len() < MAX_PROBLEMS {
            problems.first.push(problem);
        }
    }

    pub(super) fn failed(&self, path: &SafePath, what: &str, error: &io::Error) {
        if let Some(errno) = is_full(error) {
            // Only the first counts.
            let _ = self.full.set((path.clone(), errno));
            return;
        }
        self.problem(path, ProblemKind::of(error), format!("{what}: {error}"));
    }

    /// Whether the disk is full.
    pub(super) fn is_full(&self) -> bool {
        self.full.get().is_some()
    }

    /// An error if there's no use in going on: the user doesn't want to, or the disk is full.
    pub(super) fn go_on(&self) -> Result<(), RestoreError> {
        if self.monitor.interrupted() {
            return Err(RestoreError::Interrupted);
        }
        match self.full.get() {
            None => Ok(()),
            Some((path, source)) => Err(RestoreError::Full {
                target: self.options.target.clone(),
                path: path.clone(),
                in_place: self.counts.in_place.load(Ordering::Relaxed),
                source: (*source).into(),
            }),
        }
    }

    /// Something of the snapshot can't be read.
    pub(super) fn unreadable(&self, path: &SafePath, why: &dyn std::fmt::Display) {
        self.lost.store(true, Ordering::Relaxed);
        self.problem(path, ProblemKind::Unreadable, why.to_string());
    }

    /// Applies attributes. What can't be is a problem each, but for what isn't permitted to this user at all.
    pub(super) fn apply(&self, subject: Subject<'_>, path: &SafePath, entry: &Entry) {
        let faults = lock(&self.attributes).apply(subject, entry);
        self.note(path, faults);
    }

    /// Applies attributes to what exists already.
    pub(super) fn mend(&self, pinned: &Pinned, path: &SafePath, entry: &Entry) {
        let faults = lock(&self.attributes).mend(pinned, entry);
        self.note(path, faults);
    }

    fn note(&self, path: &SafePath, faults: Vec<AttributeFault>) {
        for fault in faults {
            let mut denied = lock(&self.denied);
            let counter = match &fault.attribute {
                // A user namespace that doesn't know the number says it's invalid.
                Attribute::Owner if fault.source.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                    Some(&mut denied.owners)
                }
                _ if fault.source.kind() != io::ErrorKind::PermissionDenied => None,
                Attribute::Owner => Some(&mut denied.owners),
                Attribute::SetId => Some(&mut denied.set_ids),
                Attribute::Xattr(name) if lends_rights(name) => Some(&mut denied.xattrs),
                _ => None,
            };
            if let Some(counter) = counter {
                *counter += 1;
                continue;
            }
            drop(denied);
            self.problem(path, ProblemKind::of(&fault.source), format!("{}: {}", fault.attribute, fault.source));
        }
    }

    /// An entry is in its place; `below` is its path below the target.
    pub(super) fn restored(&self, path: &SafePath, entry: &Entry, overwritten: bool) {
        let size = entry.size.unwrap_or(0);
        if overwritten {
            Counts::one(&self.counts.overwritten);
        }
        if entry.kind == EntryType::File {
            Counts::one(&self.counts.files);
            self.counts.bytes.fetch_add(size, Ordering::Relaxed);
            self.counts.in_place.fetch_add(size, Ordering::Relaxed);
            Progress::add(&self.monitor.progress().files_done, 1);
        } else {
            Counts::one(&self.counts.others);
        }
        if matches!(entry.kind, EntryType::File) {
            self.monitor.entry(path.as_bytes(), EntryAction::Restored, size);
        }
    }

    /// What exists stays as it is.
    pub(super) fn kept(&self, path: &SafePath, entry: &Entry) {
        Counts::one(&self.counts.kept);
        if entry.kind == EntryType::File {
            let size = entry.size.unwrap_or(0);
            self.counts.in_place.fetch_add(size, Ordering::Relaxed);
            Progress::add(&self.monitor.progress().files_done, 1);
            Progress::add(&self.monitor.progress().bytes_done, size);
            self.monitor.entry(path.as_bytes(), EntryAction::Unmodified, size);
        }
    }

    /// Remembers the file whose first name is `below`, so that other names can be given to it and to no other.
    pub(super) fn remember(&self, below: &SafePath, entry: &Entry, identity: io::Result<Identity>) {
        if let (Some(_), Ok(identity)) = (entry.link_group, identity) {
            lock(&self.firsts).insert(below.clone(), First::There(identity));
        }
    }

    /// Counts a device that this user may not make, by any of its names.
    pub(super) fn device_denied(&self, below: &SafePath, entry: &Entry) {
        lock(&self.denied).devices += 1;
        if entry.link_group.is_some() {
            lock(&self.firsts).insert(below.clone(), First::Denied);
        }
    }
}
