//! Snapshots that this host has seen and that are gone, though nobody forgot them: somebody removed their manifests, a storage withholds them, or an older copy of the repository was put in
//! its place. A tombstone is what accounts for a manifest that is gone: a pruner removes none without one, and the tombstone stays.

use crate::repo::error::RepoError;
use crate::repo::format::key;
use crate::repo::id::RunId;
use crate::repo::repository::{Access, Repo};
use crate::repo::view::in_parallel;
use crate::repo::witness::WitnessError;
use crate::snapshot::monitor::Monitor;
use crate::snapshot::tombstone::is_accounted_for;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// So many are named in a warning.
const NAMED: usize = 3;

/// What is gone.
#[derive(Debug, Default)]
pub struct Vanished {
    /// Snapshots that nobody forgot.
    pub snapshots: Vec<RunId>,
    /// Why it can't be remembered which snapshots were seen now.
    pub unkept: Option<WitnessError>,
}

impl Vanished {
    /// In words.
    pub fn warnings(&self) -> Vec<String> {
        let missing = (!self.snapshots.is_empty()).then(|| {
            let named: Vec<String> = self.snapshots.iter().take(NAMED).map(ToString::to_string).collect();
            let more = match self.snapshots.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!(
                "snapshots that this host has seen are gone, and nobody forgot them: {}{more}. The repository was put back to an older state, or somebody removed them; `nightsafe check` lists them",
                named.join(", ")
            )
        });
        missing.into_iter().chain(self.unkept.as_ref().map(unkept)).collect()
    }
}

/// Remembers a snapshot that was committed. That it can't be is a warning.
pub fn remember<A: Access>(repo: &Repo<A>, snapshot: RunId, monitor: &dyn Monitor) {
    let Some(witness) = repo.witness() else { return };
    if let Err(why) = witness.saw(repo.id(), [snapshot], &BTreeSet::new()) {
        monitor.warning(&unkept(&why));
    }
}

/// That it can't be told whether some are gone.
pub fn untold(why: &RepoError) -> String {
    format!("whether snapshots that this host has seen are gone can't be told: {why}")
}

/// That it can't be remembered which snapshots were seen.
pub fn unkept(why: &WitnessError) -> String {
    format!("which snapshots are in the repository can't be remembered, so that their loss wouldn't be noticed: {why}")
}

/// Compares what this host remembers with the manifests that are `listed`, and remembers `seen`, whose manifests are sound.
pub fn vanished<A: Access>(
    repo: &Repo<A>,
    listed: &BTreeSet<RunId>,
    seen: impl IntoIterator<Item = RunId>,
) -> Result<Vanished, RepoError> {
    let Some(witness) = repo.witness() else { return Ok(Vanished::default()) };
    let unlisted: Vec<RunId> =
        witness.snapshots(repo.id()).iter().copied().filter(|run| !listed.contains(run)).collect();
    let found: Mutex<(Vec<RunId>, BTreeSet<RunId>)> = Mutex::default();
    in_parallel(repo.store().connections(), &unlisted, &|&run: &RunId| {
        // A listing may lack a key; an answer to a question doesn't.
        if repo.store().length(&key::snapshot(run))?.is_some() {
            return Ok(());
        }
        let forgotten = is_accounted_for(repo, run)?;
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        if forgotten {
            found.1.insert(run);
        } else {
            found.0.push(run);
        }
        Ok::<(), RepoError>(())
    })?;
    let (mut snapshots, gone) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    snapshots.sort_unstable();
    let unkept = witness.saw(repo.id(), seen, &gone).err();
    Ok(Vanished { snapshots, unkept })
}
