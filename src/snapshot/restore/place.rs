//! The folder that is restored into: found or made, and what may be in it.

use crate::repo::reader::Reader;
use crate::repo::repository::{Full, Repo};
use crate::snapshot::browse;
use crate::snapshot::restore::marker::{Marker, Word};
use crate::snapshot::restore::overwrite::{Overwrite, Rule};
use crate::snapshot::restore::{RestoreError, RestoreOptions};
use crate::snapshot::snapshots::{Snapshot, snapshots};
use crate::snapshot::target::directory::Directory;
use crate::snapshot::target::writer::is_temporary_name;
use crate::snapshot::tree::entry::{Entry, EntryType};
use crate::snapshot::tree::path::SafePath;
use std::io;
use std::sync::Arc;

/// Where a restore goes.
pub(super) struct Place {
    /// The folder; nothing if it doesn't exist yet.
    pub(super) root: Option<Arc<Directory>>,
    /// What may be in it.
    pub(super) rule: Rule,
    /// What tells that the restore isn't finished.
    pub(super) marker: Option<Marker>,
}

/// What is to be restored.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) repo: &'a Repo<Full>,
    pub(super) reader: &'a Reader<'a>,
    pub(super) snapshot: &'a Snapshot,
    pub(super) path: &'a SafePath,
    pub(super) top: &'a Entry,
}

impl Wanted<'_> {
    /// The path whose entries come into the target.
    pub(super) fn base(&self) -> SafePath {
        if self.top.kind == EntryType::Directory { self.path.clone() } else { self.path.parent().unwrap_or_default() }
    }

    /// Whether an entry of this name comes directly into the target.
    fn has(&self, name: &[u8]) -> bool {
        if self.top.kind != EntryType::Directory {
            return self.top.name == name;
        }
        let mut entries = browse::entries(self.reader, self.top).into_iter().flatten();
        entries.any(|entry| entry.is_ok_and(|entry| entry.name == name))
    }

    fn marker(&self, target: &Directory, options: &RestoreOptions) -> Result<Marker, RestoreError> {
        let marker = Marker::new(self.repo, self.snapshot.id, self.path, target, &|name| self.has(name))?;
        marker.map_err(|source| RestoreError::Target { path: options.target.clone(), source })
    }

    /// Why nothing may be restored into a target that holds something: what is in it may be an unfinished restore of another snapshot, or of another part.
    fn refuse(&self, target: &Directory, options: &RestoreOptions) -> Result<RestoreError, RestoreError> {
        let path = options.target.clone();
        let failed = |source| RestoreError::Target { path: options.target.clone(), source };
        let all = snapshots(self.repo)?;
        let Some(snapshot) = Marker::snapshot_in(target, all.list.iter().map(|s| s.id)).map_err(failed)? else {
            return Ok(RestoreError::TargetNotEmpty { path });
        };
        for part in [self.path.clone(), SafePath::top()] {
            // Its name may be another if the snapshot has such names itself; then the part isn't told.
            let marker = Marker::new(self.repo, snapshot, &part, target, &|_| false)?.map_err(failed)?;
            if marker.is_in(target).is_some() {
                return Ok(RestoreError::Unfinished { path, snapshot, part: Some(part) });
            }
        }
        Ok(RestoreError::Unfinished { path, snapshot, part: None })
    }
}

/// Looks at the target, which is left as it is.
pub(super) fn find(wanted: Wanted<'_>, options: &RestoreOptions) -> Result<Place, RestoreError> {
    let failed = |source| RestoreError::Target { path: options.target.clone(), source };
    let existing = options.existing.map(Rule::Existing);
    let root = match Directory::open(&options.target) {
        Ok(root) => Arc::new(root),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Place { root: None, rule: existing.unwrap_or(Rule::Fresh), marker: None });
        }
        Err(error) => return Err(failed(error)),
    };
    let is_empty = is_as_empty(&root).map_err(failed)?;
    let marker = wanted.marker(&root, options)?;
    let rule = match (existing, marker.is_in(&root)) {
        // What was written may be right in the system's memory alone, where comparing it proves nothing.
        (Some(rule), Some(Word::Distrusted)) if rule != Rule::Existing(Overwrite::Always) => {
            return Err(RestoreError::Distrusted { path: options.target.clone() });
        }
        (Some(rule), _) => rule,
        (None, _) if is_empty => Rule::Fresh,
        (None, Some(word)) => Rule::GoOn { anew: word == Word::Distrusted },
        (None, None) => return Err(wanted.refuse(&root, options)?),
    };
    Ok(Place { root: Some(root), rule, marker: Some(marker) })
}

/// Whether nothing is in it, but for what a restore that was killed before it had left its marker may have left of that under a temporary name.
fn is_as_empty(root: &Directory) -> io::Result<bool> {
    Ok(root.names()?.iter().all(is_temporary_name))
}

/// Looks at the target, creates it if it's missing, and marks it if it has to be empty.
pub(super) fn open(
    wanted: Wanted<'_>,
    options: &RestoreOptions,
) -> Result<(Arc<Directory>, Rule, Marker), RestoreError> {
    let failed = |source| RestoreError::of_target(&options.target, source);
    let found = find(wanted, options)?;
    let is_new = found.root.is_none();
    let (root, marker) = if let (Some(root), Some(marker)) = (found.root, found.marker) {
        (root, marker)
    } else {
        std::fs::create_dir_all(&options.target).map_err(failed)?;
        let root = Arc::new(Directory::open(&options.target).map_err(failed)?);
        // Somebody may have put something there meanwhile.
        if options.existing.is_none() && !root.names().map_err(failed)?.is_empty() {
            return Err(RestoreError::TargetNotEmpty { path: options.target.clone() });
        }
        let marker = wanted.marker(&root, options)?;
        (root, marker)
    };
    let fills_alone = matches!(found.rule, Rule::Fresh | Rule::GoOn { .. });
    if fills_alone && !root.lock() {
        return Err(RestoreError::Busy { path: options.target.clone() });
    }
    // Another may have come to its end between the look and the lock.
    if found.rule == Rule::Fresh && !is_as_empty(&root).map_err(failed)? {
        return Err(RestoreError::TargetNotEmpty { path: options.target.clone() });
    }
    // It gets its attributes last. Until then nobody else looks into what may be private: also if it was there, since it is empty.
    let gets_attributes = wanted.top.kind == EntryType::Directory && !wanted.path.is_top();
    if (is_new || found.rule == Rule::Fresh) && gets_attributes {
        root.close().map_err(failed)?;
    } else if matches!(found.rule, Rule::GoOn { .. }) && gets_attributes {
        root.reopen().map_err(failed)?;
    }
    if fills_alone {
        root.remove_leftovers().map_err(failed)?;
    }
    if found.rule == Rule::Fresh {
        marker.leave(&root).map_err(failed)?;
    }
    Ok((root, found.rule, marker))
}
