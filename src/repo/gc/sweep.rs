//! Step 9: what is condemned and needed by nobody is deleted; then what has lost its meaning: manifests of the forgotten, records of runs that are decided, segments of packs that are gone,
//! records of prunes of which nothing is left.

use crate::repo::cbor::Time;
use crate::repo::format::{MAX_OBJECT, key};
use crate::repo::gc::canary::Canaries;
use crate::repo::gc::error::GcError;
use crate::repo::gc::fence::Sentenced;
use crate::repo::gc::records::GcRecord;
use crate::repo::gc::reserve;
use crate::repo::gc::survey::Survey;
use crate::repo::gc::tombstone::{account_for, bury_run};
use crate::repo::id::{PackId, RunId};
use crate::repo::needs::Needs;
use crate::repo::record::{self, Condemned, Segment};
use crate::repo::repository::{Full, Repo};
use crate::repo::store::{Listed, Store, StoreErrorKind};
use crate::repo::view::in_parallel;
use bytes::Bytes;
use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

/// Packs that are deleted before the pruner looks whether its condemnation still stands.
const BATCH: usize = 64;
/// What a pruner that was killed condemned is remembered for so many seconds, and as long as one of the packs is there. (One that lives to its end removes its record itself.) After that an
/// upload that has been under way all the time could bring a pack back, which this pruner, if it was only suspended, would still delete.
const RECORD_AGE: i64 = 30 * 24 * 60 * 60;

/// Segments of runs of which no pack is left are removed at this age, in seconds, whatever is known of the run.
const SEGMENT_AGE: i64 = 24 * 60 * 60;

/// What was deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Packs.
    pub packs: HashSet<PackId>,
    /// Their bytes.
    pub bytes: u64,
    /// Packs that the store still shows although it said that they are deleted: they may go at any later time.
    pub lingering: u64,
}

/// Deletes the packs.
pub fn sweep(
    repo: &Repo<Full>,
    sentenced: Sentenced,
    interrupted: &(dyn Fn() -> bool + Sync),
) -> Result<Swept, GcError> {
    let store = &**repo.store();
    let packs: Vec<_> = sentenced.condemned.packs.into_values().collect();
    let mut swept = Swept::default();
    for batch in packs.chunks(BATCH) {
        if interrupted() {
            return Err(GcError::Interrupted);
        }
        // Writers rely on these packs again when the record is gone.
        if store.length(&key::gc(sentenced.condemned.gid))?.is_none() {
            return Err(GcError::Withdrawn);
        }
        in_parallel(store.connections(), batch, &|pack| store.delete(&key::pack(pack.id)))?;
        swept.packs.extend(batch.iter().map(|pack| pack.id));
        swept.bytes += batch.iter().map(|pack| pack.length).sum::<u64>();
    }
    let lingering = AtomicU64::new(0);
    in_parallel(store.connections(), &packs, &|pack| {
        if store.length(&key::pack(pack.id))?.is_some() {
            lingering.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<(), GcError>(())
    })?;
    swept.lingering = lingering.into_inner();
    Ok(swept)
}

/// The pruner is done, all that it deleted is gone, and it takes its condemnation back: nothing will be deleted by it any more, so what it gave back may be relied on again. What remains is the census, in a record that
/// condemns nothing.
pub fn settle(repo: &Repo<Full>, gid: RunId, wrote: bool, census: &BTreeSet<RunId>, now: Time) -> Result<(), GcError> {
    if wrote {
        // The record decided this run until now.
        bury_run(repo, gid, now)?;
    }
    put_census(repo, census, now)?;
    Ok(repo.store().delete(&key::gc(gid))?)
}

/// Notes which snapshots there are: the next prune misses those that vanish without being forgotten.
pub fn put_census(repo: &Repo<Full>, census: &BTreeSet<RunId>, now: Time) -> Result<(), GcError> {
    let body = Condemned {
        needs: Needs::NONE,
        time: now,
        condemned: Vec::new(),
        kept: Vec::new(),
        census: census.iter().copied().collect(),
    };
    let store_key = key::gc(repo.keys().new_run());
    let sealed = record::seal_admin_record(repo.read_keys(), &store_key, &body);
    Ok(reserve::put(&**repo.store(), &store_key, &Bytes::from(sealed))?)
}

/// What a prune knows when it tidies up.
pub struct Tidy<'t> {
    /// What it found.
    pub survey: &'t Survey,
    /// Its id.
    pub gid: RunId,
    /// Snapshots whose manifests can go.
    pub forgotten: &'t [RunId],
    /// Runs of which packs were there and weren't deleted.
    pub remaining: HashSet<RunId>,
    /// Whether there is a newer census than those of the survey.
    pub census_written: bool,
    /// The time of this host.
    pub now: Time,
}

/// Removes what has lost its meaning. All of it is a courtesy: what fails is done by the next prune.
pub fn tidy(repo: &Repo<Full>, canaries: &Canaries<'_>, tidy: &Tidy<'_>) -> Result<(), GcError> {
    let Tidy { survey, gid, forgotten, now, .. } = *tidy;
    let store = &**repo.store();
    let mut packs: HashSet<PackId> = HashSet::new();
    store.list(key::PACKS, &mut |listed| packs.extend(key::parse_pack(&listed.key)))?;
    let runs: HashSet<RunId> = packs.iter().map(|pack| pack.run).chain(tidy.remaining.iter().copied()).collect();
    let late: Vec<RunId> = forgotten.iter().filter(|run| survey.late.contains(run)).copied().collect();
    in_parallel(store.connections(), &late, &|&run| account_for(repo, run, now))?;
    let mut garbage: Vec<String> = forgotten.iter().map(|&run| key::snapshot(run)).collect();
    let decided = |run: &RunId| !survey.undecided.contains(run) && *run != gid;
    garbage.extend(survey.run_records.iter().filter(|run| decided(run)).map(|&run| key::run(run)));
    let known: BTreeSet<RunId> = survey.snapshots().into_iter().chain(survey.dead.iter().copied()).collect();
    let over = |run: &RunId| decided(run) && (known.contains(run) || survey.run_records.contains(run));
    let now_there = canaries.now().unwrap_or(now.seconds);
    list_runs(store, key::PINS, &mut |run, listed| {
        if over(&run) {
            garbage.push(listed.key);
        }
    })?;
    let mut segments = Vec::new();
    list_runs(store, key::INDEX, &mut |run, listed| {
        // Of a run that began meanwhile the packs may not have been listed yet.
        let old = listed.modified.is_some_and(|then| now_there.saturating_sub(then) > SEGMENT_AGE);
        if !runs.contains(&run) && decided(&run) && (old || over(&run)) {
            segments.push(listed.key);
        }
    })?;
    for segment in segments {
        if !names_any(repo, &segment, &packs)? {
            garbage.push(segment);
        }
    }
    let censuses = if tidy.census_written { survey.records.as_slice() } else { &[] };
    for record in finished(censuses, &packs, now_there) {
        if runs.contains(&record.gid) {
            // Its record decided that run until now.
            bury_run(repo, record.gid, now)?;
        }
        garbage.push(key::gc(record.gid));
    }
    in_parallel(store.connections(), &garbage, &|key: &String| store.delete(key))?;
    Ok(())
}

/// Whether a segment speaks of packs that are there: a repair's names those of other runs.
fn names_any(repo: &Repo<Full>, segment: &str, packs: &HashSet<PackId>) -> Result<bool, GcError> {
    let bytes = match repo.store().get(segment, MAX_OBJECT) {
        Ok(bytes) => bytes,
        Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    // What can't be read tells nobody anything.
    let opened = record::open_record::<Segment>(repo.read_keys(), segment, &bytes);
    Ok(opened.is_ok_and(|(segment, _)| segment.packs.iter().any(|pack| packs.contains(&pack.pack))))
}

/// Other pruners' records that have lost their meaning: those that condemn nothing, and those of which no pack is left for long.
fn finished<'r>(records: &'r [GcRecord], packs: &HashSet<PackId>, now: i64) -> Vec<&'r GcRecord> {
    let over = |record: &&GcRecord| {
        let written = record.modified.unwrap_or(record.body.time.seconds);
        let gone = !record.body.condemned.iter().any(|pack| packs.contains(pack));
        record.body.condemned.is_empty() || (gone && now.saturating_sub(written) > RECORD_AGE)
    };
    records.iter().filter(over).collect()
}

fn list_runs(store: &dyn Store, prefix: &str, each: &mut dyn FnMut(RunId, Listed)) -> Result<(), GcError> {
    store.list(prefix, &mut |listed| {
        if let Some((run, _)) = key::parse_numbered(prefix, &listed.key) {
            each(run, listed);
        }
    })?;
    Ok(())
}
