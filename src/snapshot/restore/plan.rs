//! What a restore would do. Nothing is written for that.

use crate::repo::repository::{Full, Repo};
use crate::snapshot::browse;
use crate::snapshot::monitor::Silent;
use crate::snapshot::restore::delete::{self, DeleteRefusal, Trouble};
use crate::snapshot::restore::overwrite::{Judged, Look, Placement, Rule, judge};
use crate::snapshot::restore::place::{self, Wanted};
use crate::snapshot::restore::session::Session;
use crate::snapshot::restore::spared::Rules;
use crate::snapshot::restore::walk::is_special;
use crate::snapshot::restore::{RestoreError, RestoreOptions};
use crate::snapshot::snapshots::Snapshot;
use crate::snapshot::target::branch::Branch;
use crate::snapshot::target::directory::Directory;
use crate::snapshot::target::removal::{Act, Candidate, remove};
use crate::snapshot::tree::entry::{Entry, EntryType};
use crate::snapshot::tree::path::SafePath;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many paths of each kind are named.
pub const LISTED: usize = 20;

/// Paths: all are counted, the first are named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed {
    /// How many there are.
    pub count: u64,
    /// The first [`LISTED`] of them.
    pub first: Vec<SafePath>,
}

impl Listed {
    fn add(&mut self, path: &SafePath, count: u64) {
        self.count += count;
        if self.first.len() < LISTED {
            self.first.push(path.clone());
        }
    }
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
    /// Whether it goes on with one that was interrupted.
    pub goes_on: bool,
    /// What doesn't exist yet. Paths are those of the snapshot.
    pub created: Listed,
    /// What exists and would be replaced. Of what looks the same, a restore with [`crate::snapshot::restore::Overwrite::IfChanged`] also compares the content.
    pub overwritten: Listed,
    /// What exists and would stay.
    pub kept: Listed,
    /// What can't be restored because of what exists.
    pub refused: Listed,
    /// What would be removed; of directories all that is in them is counted.
    pub deleted: Listed,
    /// What the snapshot doesn't hold and that would stay because it was left out on purpose; named are the entries directly in folders that the snapshot holds.
    pub spared: Listed,
    /// Folders in which nothing would be deleted: they can't be looked at, or the file system doesn't tell names apart.
    pub untouched: Listed,
    /// Directories of the snapshot that can't be read, or not to their ends: what is in them isn't counted.
    pub unreadable: Listed,
}

/// Looks at what a restore will bring back, and at what is in the target.
pub fn plan(
    repo: &Repo<Full>,
    snapshot: &Snapshot,
    path: Option<&SafePath>,
    options: &RestoreOptions,
) -> Result<RestorePlan, RestoreError> {
    let reader = browse::reader(repo)?;
    let path = path.cloned().unwrap_or_else(SafePath::top);
    let top = browse::entry_at(&reader, snapshot, &path)?;
    let wanted = Wanted { repo, reader: &reader, snapshot, path: &path, top: &top };
    delete::permit(wanted, options)?;
    let found = place::find(wanted, options)?;
    let silent = Silent::default();
    let session = Session::new(&silent, options, found.rule);
    let mut planner = Planner {
        session: &session,
        base: wanted.base(),
        branch: found.root.clone().map(Branch::new),
        absent: found.root.is_none().then_some(0),
        plan: RestorePlan {
            target: options.target.clone(),
            free: free(&options.target),
            goes_on: matches!(found.rule, Rule::GoOn { .. }),
            ..RestorePlan::default()
        },
    };
    if top.kind == EntryType::Directory {
        let mut each = |path: &SafePath, entry: &Entry| ControlFlow::Continue(planner.entry(path, entry));
        let mut unreadable = Listed::default();
        browse::walk_on(&reader, snapshot, &path, &top, &mut each, &mut |path, _| {
            unreadable.add(path, 1);
            Ok(())
        })?;
        planner.plan.unreadable = unreadable;
    } else {
        planner.entry(&path, &top);
    }
    let mut plan = planner.plan;
    if options.delete {
        let marker = found.marker.map(|marker| marker.name).unwrap_or_default();
        deletions(wanted, found.root, &marker, &mut plan)?;
    }
    Ok(plan)
}

/// Looks for what would be deleted, and refuses that where part of the snapshot can't be read.
fn deletions(
    wanted: Wanted<'_>,
    root: Option<Arc<Directory>>,
    marker: &str,
    plan: &mut RestorePlan,
) -> Result<(), RestoreError> {
    let unreadable =
        |path: &SafePath, why: String| Err(RestoreError::Delete(DeleteRefusal::Unreadable { path: path.clone(), why }));
    // All directories, also those that the target doesn't have yet.
    let mut unread = None;
    let mut each = |_: &SafePath, _: &Entry| ControlFlow::Continue(true);
    browse::walk_on(wanted.reader, wanted.snapshot, wanted.path, wanted.top, &mut each, &mut |path, error| {
        unread.get_or_insert_with(|| (path.clone(), error.to_string()));
        Ok(())
    })?;
    if let Some((path, why)) = unread {
        return unreadable(&path, why);
    }
    let Some(root) = root else { return Ok(()) };
    let rules = Rules::of(&wanted.snapshot.manifest.exclusions)?;
    let spared = rules.spared()?;
    let spare = |candidate: &Candidate<'_>| spared.has(candidate);
    let mut untouched = Listed::default();
    let mut each = |extra: &delete::Extra<'_>| {
        if extra.is_left_out && !extra.is_marker(wanted, marker) {
            plan.spared.add(&extra.path, 1);
        } else if !extra.is_marker(wanted, marker)
            && let Ok(parent) = extra.parent.try_clone()
        {
            let removal = remove(parent, extra.name, extra.path.clone(), Act::Count, &spare);
            if removal.spared > 0 {
                plan.spared.add(&extra.path, removal.spared);
            }
            if removal.entries > 0 {
                plan.deleted.add(&extra.path, removal.entries);
            }
            // Such as a mount point: it stays.
            if removal.fault.is_some() {
                plan.refused.add(&extra.path, 1);
            }
        }
        ControlFlow::Continue(())
    };
    delete::extras(wanted, root, &spared, &mut each, &mut |path, trouble| match trouble {
        Trouble::Unreadable(error) => unreadable(path, error.to_string()),
        Trouble::Target(_) | Trouble::Folds => {
            untouched.add(path, 1);
            Ok(())
        }
        // As it should be; the restore says so.
        Trouble::Mounted => Ok(()),
    })?;
    plan.untouched = untouched;
    Ok(())
}

/// Counts.
struct Planner<'a> {
    session: &'a Session<'a>,
    base: SafePath,
    branch: Option<Branch>,
    /// From this depth on nothing exists.
    absent: Option<usize>,
    plan: RestorePlan,
}

impl Planner<'_> {
    /// Counts an entry, and tells whether to look into it.
    fn entry(&mut self, path: &SafePath, entry: &Entry) -> bool {
        match entry.kind {
            EntryType::File => {
                self.plan.files += 1;
                self.plan.bytes += entry.size.unwrap_or(0);
            }
            EntryType::Directory => self.plan.directories += 1,
            kind if is_special(kind) && !self.session.options.special => return false,
            _ => self.plan.others += 1,
        }
        let depth = path.below(&self.base).map_or(0, |below| below.depth().saturating_sub(1));
        if self.absent.is_some_and(|from| depth < from) {
            self.absent = None;
        }
        let judged = if self.absent.is_some() { Ok(Judged::Create) } else { self.judge(entry, depth) };
        match judged {
            Ok(Judged::Enter) => return true,
            Ok(Judged::Create) => self.plan.created.add(path, 1),
            Ok(Judged::Keep(_) | Judged::Mend(_)) => self.plan.kept.add(path, 1),
            Ok(Judged::Replace(placement)) => {
                self.plan.overwritten.add(path, 1);
                if placement == Placement::InsteadOfDirectory {
                    // An empty one.
                    self.plan.deleted.add(path, 1);
                }
            }
            Ok(Judged::Refuse(_)) | Err(_) => {
                self.plan.refused.add(path, 1);
                return false;
            }
        }
        // Nothing can be in what doesn't exist yet.
        self.absent.get_or_insert(depth + 1);
        true
    }

    fn judge(&mut self, entry: &Entry, depth: usize) -> io::Result<Judged> {
        let Some(branch) = &mut self.branch else { return Ok(Judged::Create) };
        branch.ascend(depth);
        let parent = branch.current()?;
        let judged = judge(self.session, &parent, entry, Look::Glance)?;
        if judged == Judged::Enter {
            let child = parent.child(&entry.name)?;
            branch.enter(&entry.name, child)?;
        }
        Ok(judged)
    }
}

/// Free bytes of the file system that a path is, or will be, on.
pub fn free(path: &Path) -> Option<u64> {
    let absolute = std::path::absolute(path).ok()?;
    let existing = absolute.ancestors().find(|ancestor| ancestor.exists())?;
    let system = rustix::fs::statvfs(existing).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}
