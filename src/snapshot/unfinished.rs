//! Runs that didn't come to their end, and whose packs a prune leaves alone because a checkpoint tells of them: the next run goes on from there (`docs/protocol.md`, *Checkpoints*).

use crate::repo::error::RepoError;
use crate::repo::format::key;
use crate::repo::gc::tombstone::tombstone;
use crate::repo::id::RunId;
use crate::repo::repository::{Full, Repo};
use crate::snapshot::snapshots;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// For how long, by the store's time, a checkpoint keeps what its run stored besides what it holds: enough for what takes a month of nights; a bound for what is stored anew each night, such as streams
/// that somebody encrypts.
pub const KEPT_FOR: Duration = Duration::from_hours(30 * 24);

/// The runs that didn't come to their end, and of which one of these `checkpoints` (with the run that each was taken of) tells that isn't too old, by the store's time.
pub(super) fn unfinished(
    repo: &Repo<Full>,
    checkpoints: &BTreeMap<RunId, RunId>,
    now: i64,
) -> Result<BTreeSet<RunId>, RepoError> {
    let mut unfinished = BTreeSet::new();
    if checkpoints.is_empty() {
        return Ok(unfinished);
    }
    let stored = snapshots::there(repo)?;
    for (checkpoint, &run) in checkpoints {
        let at = stored.get(checkpoint).copied().flatten();
        let is_young = at.is_none_or(|at| now.saturating_sub(at) < KEPT_FOR.as_secs().cast_signed());
        if is_young && !unfinished.contains(&run) && !has_ended(repo, run)? {
            unfinished.insert(run);
        }
    }
    Ok(unfinished)
}

/// Whether a run committed, be it that its snapshot was forgotten since. A manifest that came after the run had been declared dead doesn't count.
fn has_ended(repo: &Repo<Full>, run: RunId) -> Result<bool, RepoError> {
    match tombstone(repo, run)? {
        Some(tombstone) => Ok(!tombstone.dead),
        None => Ok(repo.store().length(&key::snapshot(run))?.is_some()),
    }
}
