//! What must hold when a history is over: what was promised can be restored, byte for byte, by the real reader with a fresh cache.

use super::content::Content;
use super::store::{State, Truth, World};
use crate::repo::format::key;
use crate::repo::id::RunId;
use crate::repo::keys::Opened;
use crate::repo::reader::Reader;
use crate::repo::repository::{AnyRepo, Full, Repo};
use crate::repo::view::View;
use crate::snapshot::browse;
use crate::snapshot::prune::GRACE;
use crate::snapshot::snapshots;
use crate::snapshot::stream::StreamReader;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// What was promised.
#[derive(Debug, Default, Clone)]
pub(super) struct Promises {
    /// Backups that reported success.
    pub(super) reported: BTreeSet<RunId>,
    /// Snapshots that somebody wanted to forget, whatever became of it.
    pub(super) forgotten: BTreeSet<RunId>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Snapshots that were restored and compared.
    pub(super) verified: u64,
    /// Snapshots that rely on garbage which a credential of the same domain had put before they were made. Whoever deduplicates with others believes what they say that they stored: that is beyond
    /// what the protocol promises.
    pub(super) poisoned: u64,
    /// What was lost, in words.
    pub(super) losses: Vec<String>,
}

/// Whether a forgotten snapshot's grace isn't over, by the store's clock.
fn is_in_grace(state: &State, run: RunId) -> bool {
    let grace = i64::try_from(GRACE.as_secs()).unwrap_or(0);
    state.objects.get(&key::forgotten(run)).is_some_and(|tombstone| state.clock.now() < tombstone.modified + grace)
}

/// Whether what a snapshot lacks is a frame that was forged before the snapshot was made.
fn is_poisoned(state: &State, run: RunId, why: &str) -> bool {
    let made = state.committed.get(&key::snapshot(run)).copied().unwrap_or(0);
    state.forged.iter().any(|(frame, forged)| *forged < made && why.contains(frame.as_str()))
}

/// Looks at everything.
pub(super) fn verify(world: &Arc<World>, keys: Opened, cache: &Path, promises: &Promises) -> Verdict {
    let mut verdict = Verdict::default();
    let AnyRepo::Full(repo) = AnyRepo::over(keys, Arc::new(Truth(Arc::clone(world))), cache.to_owned()) else {
        verdict.losses.push("the oracle has no full credential".to_owned());
        return verdict;
    };
    let found = match snapshots::snapshots(&repo) {
        Ok(found) => found,
        Err(error) => {
            verdict.losses.push(format!("snapshots can't be listed: {error}"));
            return verdict;
        }
    };
    let listed: BTreeSet<RunId> = found.list.iter().map(|snapshot| snapshot.id).collect();
    // A manifest that the storage cut short, so that its run failed, was promised to nobody: people are told of it, and may forget it.
    for (run, why) in found.unreadable.iter().filter(|(run, _)| promises.reported.contains(run)) {
        verdict.losses.push(format!("snapshot {run} was reported and can't be read: {why}"));
    }
    let unreadable: BTreeSet<RunId> = found.unreadable.iter().map(|(run, _)| *run).collect();
    let absent = promises.reported.difference(&listed).filter(|run| !unreadable.contains(run));
    for run in absent.filter(|run| !promises.forgotten.contains(run)) {
        verdict.losses.push(format!("snapshot {run} was reported and isn't listed"));
    }
    let mut wanted = listed;
    {
        let state = world.lock();
        let in_grace = promises.forgotten.iter().filter(|&&run| is_in_grace(&state, run));
        wanted.extend(in_grace.filter(|run| promises.reported.contains(run)));
    }
    match View::for_reading(&repo) {
        Ok((view, _)) => {
            let reader = Reader::new(&repo, Arc::new(view));
            for run in wanted {
                let expected = world.lock().manifests.get(&key::snapshot(run)).cloned();
                match restore(&repo, &reader, run) {
                    Ok(content) if Some(&content) == expected.as_ref() => verdict.verified += 1,
                    Ok(_) => verdict.losses.push(format!("snapshot {run} holds other bytes than were captured")),
                    Err(why) if is_poisoned(&world.lock(), run, &why) => verdict.poisoned += 1,
                    Err(why) => verdict.losses.push(format!("snapshot {run}: {why}")),
                }
            }
        }
        Err(error) => verdict.losses.push(format!("the index can't be read: {error}")),
    }
    verdict
}

/// The bytes of all files of a snapshot.
fn restore(repo: &Repo<Full>, reader: &Reader<'_>, run: RunId) -> Result<Content, String> {
    let snapshot = snapshots::load(repo, run).map_err(|error| error.to_string())?;
    let mut content = Content::new();
    let entries = browse::entries(reader, &snapshot.manifest.root).map_err(|error| error.to_string())?;
    for entry in entries {
        let entry = entry.map_err(|error| error.to_string())?;
        let mut bytes = Vec::new();
        let mut stream = StreamReader::of(reader, &entry).map_err(|error| error.to_string())?;
        stream.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        content.insert(String::from_utf8_lossy(&entry.name).into_owned(), bytes);
    }
    Ok(content)
}
