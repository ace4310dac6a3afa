//! Which snapshots have lost something, what exactly, and whether it can come back.

use crate::repo::error::RepoError;
use crate::repo::id::{FrameId, RunId};
use crate::repo::repository::{Full, Repo};
use crate::repo::tables::known_tables;
use crate::repo::view::View;
use crate::snapshot::check::{CheckOptions, CheckReport, Damaged, check};
use crate::snapshot::monitor::Monitor;
use crate::snapshot::repair::RepairError;
use crate::snapshot::snapshots::{Snapshot, snapshots};
use crate::snapshot::tree::path::SafePath;
use std::collections::{BTreeMap, BTreeSet};

/// What snapshots have lost.
#[derive(Debug, Default)]
pub struct Losses {
    /// Snapshots that were looked at.
    pub snapshots: u64,
    /// Those that have lost something, oldest first.
    pub damaged: Vec<Loss>,
    /// The check that it was found by.
    pub report: CheckReport,
}

/// What one snapshot has lost.
#[derive(Debug, Clone)]
pub struct Loss {
    /// The snapshot.
    pub id: RunId,
    /// Its record; nothing if that is lost, and all with it.
    pub snapshot: Option<Box<Snapshot>>,
    /// The paths that can't be restored, and whether the next backup of this host brings each back if the source still has it.
    pub paths: BTreeMap<SafePath, bool>,
}

/// Looks for losses; with data if the options say so.
pub fn losses(repo: &Repo<Full>, options: &CheckOptions, monitor: &dyn Monitor) -> Result<Losses, RepairError> {
    let report = check(repo, options, monitor)?;
    let frame = |kind| match kind {
        Damaged::Frame(frame) => Some(frame),
        Damaged::Pack(_) | Damaged::Note(_) | Damaged::Other => None,
    };
    let lost: BTreeSet<FrameId> = report.errors.iter().filter_map(|damage| frame(damage.kind)).collect();
    let known = restorable(repo, &lost)?;
    let mut found: BTreeMap<RunId, BTreeMap<SafePath, bool>> = BTreeMap::new();
    for damage in &report.errors {
        let heals = frame(damage.kind).is_some_and(|frame| known.contains(&frame));
        for (id, paths) in &damage.snapshots {
            let of_snapshot = found.entry(*id).or_default();
            for path in paths {
                *of_snapshot.entry(path.clone()).or_insert(true) &= heals;
            }
        }
    }
    let mut all: BTreeMap<RunId, Snapshot> =
        snapshots(repo)?.list.into_iter().map(|snapshot| (snapshot.id, snapshot)).collect();
    let loss = |(id, paths)| Loss { id, snapshot: all.remove(&id).map(Box::new), paths };
    let mut damaged: Vec<Loss> = found.into_iter().map(loss).collect();
    damaged.sort_by_key(|loss| (loss.snapshot.as_ref().map(|snapshot| snapshot.time()), loss.id));
    let unreadable = damaged.iter().filter(|loss| loss.snapshot.is_none()).count() as u64;
    Ok(Losses { snapshots: report.snapshots + unreadable, damaged, report })
}

/// Of `lost` frames those whose tables the next backup with this credential and cache will know: it stores them again as far as it meets
/// their chunks.
fn restorable(repo: &Repo<Full>, lost: &BTreeSet<FrameId>) -> Result<BTreeSet<FrameId>, RepoError> {
    if lost.is_empty() {
        return Ok(BTreeSet::new());
    }
    let view = View::for_writing(repo)?;
    let tables = known_tables(&view, repo.keys().domain().ids(), &|frame| lost.contains(&frame))?;
    Ok(tables.into_keys().collect())
}
