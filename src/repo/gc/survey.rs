//! What is decided: which runs may still come to rely on packs, which snapshots count, and what is forgotten.
//!
//! Listings say which runs there are; whether a run has a manifest and what it pins is asked with GETs, which a store answers truthfully where a listing may miss a key.
//!
//! The order matters: runs and pins *before* snapshots. A writer that commits and removes its pins in between is then seen as a snapshot.

use crate::repo::cbor::Time;
use crate::repo::error::RepoError;
use crate::repo::format::{MAX_OBJECT, key};
use crate::repo::gc::canary::Canaries;
use crate::repo::gc::error::GcError;
use crate::repo::gc::records::{self, GcRecord};
use crate::repo::gc::tombstone::{accounts_for, bury_run, put_by_admin, tombstone};
use crate::repo::id::{PackId, RunId};
use crate::repo::needs::Needs;
use crate::repo::record::{self, Pins, RunRecord, Stop};
use crate::repo::repository::{Full, Repo};
use crate::repo::store::{Listed, StoreErrorKind};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What a survey goes by.
#[derive(Debug, Clone, Copy)]
pub struct SurveyOptions {
    /// The time of this host.
    pub now: Time,
    /// For how many seconds a forgotten snapshot still counts.
    pub grace: i64,
    /// After how many seconds without a sign of life a run is declared dead; `None`: never.
    pub stale: Option<i64>,
    /// Go on although snapshots are gone that nobody forgot.
    pub accept_census: bool,
}

/// A pack as a listing shows it.
#[derive(Debug, Clone, Copy)]
pub struct ListedPack {
    /// The pack.
    pub id: PackId,
    /// Its length in bytes.
    pub length: u64,
    /// When the store says that it was written.
    pub modified: Option<i64>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Survey {
    /// Runs that may still commit.
    pub undecided: BTreeSet<RunId>,
    /// The packs that they pin.
    pub pinned: HashSet<PackId>,
    /// Snapshots that weren't forgotten.
    pub live: BTreeSet<RunId>,
    /// Forgotten snapshots that still count, and when their grace ends (in seconds since the epoch).
    pub in_grace: BTreeMap<RunId, i64>,
    /// Forgotten snapshots that don't count any more, but whose manifests are still there.
    pub dead: BTreeSet<RunId>,
    /// Those of them that were never forgotten: their runs were declared dead, and committed all the same.
    pub late: BTreeSet<RunId>,
    /// Runs that were declared dead by this survey.
    pub stopped: Vec<RunId>,
    /// The records of other pruners.
    pub records: Vec<GcRecord>,
    /// What is odd.
    pub odd: Vec<String>,
    /// Runs that didn't come to their end, and whose packs stay nevertheless as far as nobody condemned them: the next run goes on from there. Only its caller knows of them.
    pub unfinished: BTreeSet<RunId>,
    /// Whether a run record, by its run, is there.
    pub run_records: BTreeSet<RunId>,
}

impl Survey {
    /// The snapshots whose data must stay.
    pub fn snapshots(&self) -> BTreeSet<RunId> {
        self.live.iter().chain(self.in_grace.keys()).copied().collect()
    }

    /// Takes snapshots for forgotten at this moment, to see what that would bring.
    pub fn suppose_forgotten(&mut self, runs: &[RunId], options: &SurveyOptions) {
        for run in runs.iter().filter(|run| self.live.remove(run)) {
            if options.grace > 0 {
                self.in_grace.insert(*run, options.now.seconds.saturating_add(options.grace));
            } else {
                self.dead.insert(*run);
            }
        }
    }

    /// Whether a run's own packs, or those it pins, must not be touched.
    pub fn protects(&self, pack: PackId) -> bool {
        self.undecided.contains(&pack.run) || self.pinned.contains(&pack)
    }
}

/// A run that isn't known to be decided.
struct Sign {
    /// When it was last heard of.
    youngest: Option<i64>,
    pins: Result<Vec<PackId>, GcError>,
}

/// Runs, by any of their objects, with the youngest time of these.
struct Seen {
    runs: BTreeMap<RunId, Option<i64>>,
    records: BTreeSet<RunId>,
}

/// Looks around. `packs` must have been listed before.
pub fn survey(
    repo: &Repo<Full>,
    canaries: &mut Canaries<'_>,
    gid: RunId,
    packs: &[ListedPack],
    options: &SurveyOptions,
) -> Result<Survey, GcError> {
    let seen = runs(canaries, packs)?;
    let mut survey = Survey { run_records: seen.records, ..Survey::default() };
    let first = Decided::list(repo, canaries)?;
    let mut open = BTreeMap::new();
    for (run, youngest) in seen.runs.into_iter().filter(|(run, _)| *run != gid) {
        if !first.is_decided(repo, run)? {
            open.insert(run, Sign { youngest, pins: pins_of(repo, run) });
        }
    }
    // Again, now that pins were read: who committed and unpinned meanwhile shows as a snapshot.
    let mut decided = Decided::list(repo, canaries)?;
    decided.snapshots.extend(first.snapshots);
    let now = canaries.now().unwrap_or(options.now.seconds);
    let mut silent = Vec::new();
    for (run, sign) in open {
        if decided.is_decided(repo, run)? {
            continue;
        }
        if repo.store().length(&key::snapshot(run))?.is_some() {
            decided.snapshots.insert(run);
        } else if options.stale.is_some_and(|after| is_stale(repo, run, &sign, now, options.now.seconds, after)) {
            // Its pins are void, whatever they are.
            silent.push(run);
        } else {
            survey.undecided.insert(run);
            survey.pinned.extend(sign.pins?);
        }
    }
    // Before anything is written: a run whose manifest is missing must not be buried for that.
    if !options.accept_census {
        compare_with_census(repo, &decided)?;
    }
    for run in silent {
        match declare_dead(repo, run, options.now)? {
            Verdict::Dead => survey.stopped.push(run),
            Verdict::Committed => drop(decided.snapshots.insert(run)),
            Verdict::Obstructed(why) => {
                survey.odd.push(format!("run {run} can't be declared dead: {why}"));
                survey.undecided.insert(run);
                survey.pinned.extend(pins_of(repo, run).unwrap_or_default());
            }
        }
    }
    bury(repo, &mut survey, &mut decided, now, options)?;
    survey.records = decided.records;
    Ok(survey)
}

/// Every snapshot that the last prune saw is still there, or was forgotten. That a run was declared dead doesn't explain why its manifest is gone.
fn compare_with_census(repo: &Repo<Full>, decided: &Decided) -> Result<(), GcError> {
    let mut missing = Vec::new();
    for &run in records::census(&decided.records).iter().filter(|run| !decided.snapshots.contains(run)) {
        if !accounts_for(repo, run)? && repo.store().length(&key::snapshot(run))?.is_none() {
            missing.push(run);
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(GcError::Census { missing }) }
}

/// The runs that anything tells of.
fn runs(canaries: &mut Canaries<'_>, packs: &[ListedPack]) -> Result<Seen, GcError> {
    let mut seen = Seen { runs: BTreeMap::new(), records: BTreeSet::new() };
    let mut note = |run: RunId, modified: Option<i64>| {
        let youngest = seen.runs.entry(run).or_insert(modified);
        *youngest = (*youngest).max(modified);
    };
    for pack in packs {
        note(pack.id.run, pack.modified);
    }
    for listed in canaries.list(key::RUNS)? {
        if let Some(run) = key::parse_run(key::RUNS, &listed.key) {
            note(run, listed.modified);
            seen.records.insert(run);
        }
    }
    for listed in canaries.list(key::PINS)? {
        if let Some((run, _)) = key::parse_numbered(key::PINS, &listed.key) {
            note(run, listed.modified);
        }
    }
    Ok(seen)
}

/// The packs that a run pins. One that can't be used is no reason to take it for none: the store may have cut it short.
fn pins_of(repo: &Repo<Full>, run: RunId) -> Result<Vec<PackId>, GcError> {
    let mut packs = Vec::new();
    for n in 0.. {
        let store_key = key::pins(run, n);
        let bytes = match repo.store().get(&store_key, MAX_OBJECT) {
            Ok(bytes) => bytes,
            Err(error) if error.kind == StoreErrorKind::NotFound => break,
            Err(error) => return Err(error.into()),
        };
        match record::open_record::<Pins>(repo.read_keys(), &store_key, &bytes) {
            Ok((pins, _)) => packs.extend(pins.packs),
            Err(why) => return Err(GcError::Pins { key: store_key, why: why.fault.to_string() }),
        }
    }
    Ok(packs)
}

/// What decides runs.
struct Decided {
    snapshots: BTreeSet<RunId>,
    /// With the store's time; not yet looked into.
    tombstones: BTreeMap<RunId, Option<i64>>,
    records: Vec<GcRecord>,
}

impl Decided {
    fn list(repo: &Repo<Full>, canaries: &mut Canaries<'_>) -> Result<Self, GcError> {
        let of = |prefix, listed: &Listed| key::parse_run(prefix, &listed.key);
        let snapshots = canaries.list(key::SNAPSHOTS)?;
        let records = records::load(repo, &canaries.list(key::GC)?)?;
        // A tombstone that a listing misses lets a snapshot live longer, no more.
        let mut tombstones = BTreeMap::new();
        repo.store().list(key::FORGOTTEN, &mut |listed| {
            tombstones.extend(of(key::FORGOTTEN, &listed).map(|run| (run, listed.modified)));
        })?;
        let snapshots = snapshots.iter().filter_map(|listed| of(key::SNAPSHOTS, listed)).collect();
        Ok(Self { snapshots, tombstones, records })
    }

    /// Whether a run can't commit any more, or has done so. A pruner's is decided by its record.
    fn is_decided(&self, repo: &Repo<Full>, run: RunId) -> Result<bool, GcError> {
        if self.snapshots.contains(&run) || self.records.iter().any(|record| record.gid == run) {
            return Ok(true);
        }
        // Looked into: anybody may have put it there.
        Ok(self.tombstones.contains_key(&run) && tombstone(repo, run)?.is_some())
    }
}

/// Whether nothing was heard of a run for `after` seconds: by the store's clock, else by what the run said when it began. Wrong clocks do no harm: the commit rule covers a run that is
/// declared dead and isn't.
fn is_stale(repo: &Repo<Full>, run: RunId, sign: &Sign, now: i64, here: i64, after: i64) -> bool {
    if let Some(youngest) = sign.youngest {
        return now.saturating_sub(youngest) > after;
    }
    let store_key = key::run(run);
    let record = repo.store().get(&store_key, MAX_OBJECT).ok();
    let record = record.and_then(|bytes| record::open_record::<RunRecord>(repo.read_keys(), &store_key, &bytes).ok());
    record.is_some_and(|(record, _)| here.saturating_sub(record.started.seconds) > after)
}

/// What came of declaring a run dead.
enum Verdict {
    Dead,
    /// It had committed.
    Committed,
    /// What stands in the place of its stop or tombstone is neither: it can't be declared dead.
    Obstructed(String),
}

/// Declares a run dead: puts up a stop, *then* looks whether it committed all the same.
fn declare_dead(repo: &Repo<Full>, run: RunId, now: Time) -> Result<Verdict, GcError> {
    if let Err(obstacle) = put_by_admin(repo, &key::stop(run), &Stop { needs: Needs::NONE, time: now }) {
        return obstructed(obstacle);
    }
    if repo.store().length(&key::snapshot(run))?.is_some() {
        return Ok(Verdict::Committed);
    }
    bury_run(repo, run, now).map_or_else(obstructed, |()| Ok(Verdict::Dead))
}

fn obstructed(error: RepoError) -> Result<Verdict, GcError> {
    match error {
        RepoError::Damaged { key, why } => Ok(Verdict::Obstructed(format!("{key}: {why}"))),
        other => Err(other.into()),
    }
}

/// Sorts snapshots by whether they count.
fn bury(
    repo: &Repo<Full>,
    survey: &mut Survey,
    decided: &mut Decided,
    now: i64,
    options: &SurveyOptions,
) -> Result<(), GcError> {
    for &run in &decided.snapshots {
        let listed = decided.tombstones.get(&run);
        let Some(tombstone) = listed.map(|_| tombstone(repo, run)).transpose()?.flatten() else {
            survey.live.insert(run);
            continue;
        };
        // Of a run that was declared dead a manifest came too late: there is nothing to bring back.
        let forgotten = listed.copied().flatten().unwrap_or(tombstone.time.seconds);
        let ends = forgotten.saturating_add(options.grace);
        if !tombstone.dead && now < ends {
            survey.in_grace.insert(run, ends);
        } else {
            survey.dead.insert(run);
            survey.late.extend(Some(run).filter(|_| tombstone.dead));
        }
    }
    Ok(())
}

/// What a pruner looks at again after it condemned.
#[derive(Debug, Default)]
pub struct Protections {
    /// The runs that may still commit.
    pub undecided: BTreeSet<RunId>,
    /// The packs that they pin.
    pub pinned: HashSet<PackId>,
    /// Snapshots that a listing showed on the way.
    pub snapshots: BTreeSet<RunId>,
}

/// Runs and pins as they are now. Whether an undecided run commits meanwhile must be asked *after* this.
pub fn protections(
    repo: &Repo<Full>,
    canaries: &mut Canaries<'_>,
    gid: RunId,
    packs: &[ListedPack],
) -> Result<Protections, GcError> {
    let seen = runs(canaries, packs)?;
    let decided = Decided::list(repo, canaries)?;
    let mut protections = Protections::default();
    for run in seen.runs.into_keys().filter(|run| *run != gid) {
        if !decided.is_decided(repo, run)? {
            protections.undecided.insert(run);
            protections.pinned.extend(pins_of(repo, run)?);
        }
    }
    protections.snapshots = decided.snapshots;
    Ok(protections)
}
