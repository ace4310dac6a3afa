//! Manifests that are missing: by the numbers that each credential gives its manifests, by what the last prune saw, and by what this host has seen.
//!
//! A number that is missing is accounted for by a tombstone of the same credential whose manifest is gone, since a pruner removes no other manifests. Tombstones don't say which
//! number theirs had, so they are counted.

use crate::repo::error::RepoError;
use crate::repo::format::key;
use crate::repo::gc::records;
use crate::repo::gc::tombstone::{stand_in, tombstone};
use crate::repo::id::RunId;
use crate::repo::repository::{Full, Repo};
use crate::repo::store::StoreErrorKind;
use crate::repo::view::in_parallel;
use crate::snapshot::check::objects::damage;
use crate::snapshot::check::{Damage, Damaged};
use crate::snapshot::manifest::Manifest;
use crate::snapshot::snapshots::{self, Snapshot, Snapshots};
use crate::snapshot::tombstone::{is_accounted_for, readable};
use crate::snapshot::vanished::vanished;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

/// The part of a credential's id that stands in its runs'.
type Part = [u8; 4];

/// So many numbers of a credential are named.
const NAMED: usize = 5;
/// So many tombstones are read before it's looked whether they suffice.
const BATCH: usize = 256;
/// A run ends after the duration in its manifest: it takes a last look, and commits. In seconds.
const SLACK: i64 = 600;

/// What was found.
#[derive(Default)]
pub(super) struct Missing {
    pub damages: Vec<Damage>,
    pub warnings: Vec<String>,
}

/// Looks for manifests that are missing. `all` must have been read just before.
pub(super) fn missing(repo: &Repo<Full>, all: &Snapshots) -> Result<Missing, RepoError> {
    let mut found = Missing::default();
    let seen = vanished(repo, &all.listed, all.list.iter().map(|snapshot| snapshot.id))?;
    found.warnings.extend(seen.unkept.as_ref().map(crate::snapshot::vanished::unkept));
    let mut named: BTreeMap<RunId, &str> = BTreeMap::new();
    named.extend(by_census(repo, all)?.into_iter().map(|run| (run, "the last prune saw")));
    named.extend(seen.snapshots.into_iter().map(|run| (run, "this host has seen")));
    for (&run, who) in &named {
        let what = format!(
            "{who} this snapshot, and it is gone without having been forgotten: somebody removed it, or the repository was put back to an older state; if it's lost for good: nightsafe forget --unreadable {run}"
        );
        let snapshots = vec![(run, Vec::new())];
        found.damages.push(Damage { object: key::snapshot(run), kind: Damaged::Other, what, snapshots });
    }
    let mut chains = chains(repo, all)?;
    for run in named.into_keys().chain(all.unreadable.iter().map(|(run, _)| *run)) {
        // Which number it had isn't known, but that it's missing is said already.
        chains.entry(run.credential_part()).or_default().accounted += 1;
    }
    let tombstones = tombstones(repo, &all.listed)?;
    for (part, chain) in chains {
        let gaps = chain.gaps();
        if gaps.count > chain.accounted {
            let of_credential = tombstones.get(&part).map_or(&[][..], Vec::as_slice);
            let unaccounted = gaps.count - chain.accounted;
            let (accounted, odd) = account(repo, of_credential, unaccounted, &chain.replaced)?;
            found.damages.extend(odd);
            if unaccounted > accounted {
                let missing = unaccounted - accounted;
                found.damages.extend(gaps.named.iter().map(|gap| gap.lost(part, missing)));
            }
        }
        found.warnings.extend(chain.forked(part));
    }
    Ok(found)
}

/// Snapshots that the last prune saw and that are gone.
fn by_census(repo: &Repo<Full>, all: &Snapshots) -> Result<Vec<RunId>, RepoError> {
    let mut listed = Vec::new();
    repo.store().list(key::GC, &mut |object| listed.push(object))?;
    let records = records::load(repo, &listed)?;
    let mut missing = Vec::new();
    for &run in records::census(&records).iter().filter(|run| !all.listed.contains(run)) {
        if repo.store().length(&key::snapshot(run))?.is_none() && !is_accounted_for(repo, run)? {
            missing.push(run);
        }
    }
    Ok(missing)
}

fn hex(part: Part) -> String {
    format!("{:08x}", u32::from_be_bytes(part))
}

/// A manifest in its credential's sequence.
struct Link {
    run: RunId,
    sequence: u64,
    hash: [u8; 32],
    previous: Option<[u8; 32]>,
    /// When its run began and ended, in seconds since the epoch; not known of one that brings another back, whose times it has.
    span: Option<(i64, i64)>,
}

impl From<&Snapshot> for Link {
    fn from(snapshot: &Snapshot) -> Self {
        let Manifest { sequence, previous, time, ref statistics, brings_back, .. } = snapshot.manifest;
        let lasted = i64::try_from(statistics.milliseconds / 1000).unwrap_or(i64::MAX);
        let span = (time.seconds, time.seconds.saturating_add(lasted).saturating_add(SLACK));
        let span = brings_back.is_none().then_some(span);
        Self { run: snapshot.id, sequence, hash: snapshot.hash, previous, span }
    }
}

/// The manifests of one credential.
#[derive(Default)]
struct Chain {
    links: Vec<Link>,
    /// Manifests of which it's known otherwise that they are missing or can't be read.
    accounted: u64,
    /// Runs that were declared dead and begun again: if one of them had committed all the same, its manifest is rightly gone.
    replaced: HashSet<RunId>,
}

/// Manifests that a chain lacks.
struct Gaps {
    count: u64,
    /// The first of them.
    named: Vec<Gap>,
}

/// A manifest that a chain lacks.
struct Gap {
    number: u64,
    /// Its hash, where another one goes on from it and its number isn't missing: a fork of which this arm is gone.
    hash: Option<[u8; 32]>,
}

impl Gap {
    /// The id in it stands for the snapshot that is missing, whose own isn't known: a tombstone under it accounts for one.
    fn lost(&self, part: Part, unaccounted: u64) -> Damage {
        let mut bytes = [0; RunId::LEN];
        bytes[..4].copy_from_slice(&part);
        bytes[4..12].copy_from_slice(&self.hash.unwrap_or_default()[..8]);
        bytes[12..].copy_from_slice(&self.number.to_be_bytes());
        let stand_in = RunId::from_bytes(bytes);
        let (number, credential) = (self.number, hex(part));
        let what = format!(
            "number {number} of the manifests that credential {credential}… wrote is missing ({unaccounted} of them aren't accounted for by a forgotten snapshot): it was removed, or is being withheld; if it's lost for good: nightsafe forget --unreadable {stand_in}"
        );
        Damage { object: format!("snapshots/{credential}-…"), kind: Damaged::Other, what, snapshots: Vec::new() }
    }
}

impl Chain {
    fn gaps(&self) -> Gaps {
        let numbers: BTreeSet<u64> = self.links.iter().map(|link| link.sequence).collect();
        let mut gaps = Gaps { count: 0, named: Vec::new() };
        let mut next = 0;
        for &number in &numbers {
            gaps.count += number - next;
            let missing = (next..number).map(|number| Gap { number, hash: None });
            gaps.named.extend(missing.take(NAMED.saturating_sub(gaps.named.len())));
            next = number.saturating_add(1);
        }
        let hashes: HashSet<[u8; 32]> = self.links.iter().map(|link| link.hash).collect();
        let arm = |link: &Link| {
            let number = link.sequence.checked_sub(1).filter(|number| numbers.contains(number))?;
            link.previous.filter(|previous| !hashes.contains(previous)).map(|previous| (number, previous))
        };
        let arms: BTreeSet<(u64, [u8; 32])> = self.links.iter().filter_map(arm).collect();
        gaps.count = gaps.count.saturating_add(arms.len() as u64);
        let arms = arms.into_iter().map(|(number, hash)| Gap { number, hash: Some(hash) });
        gaps.named.extend(arms.take(NAMED.saturating_sub(gaps.named.len())));
        gaps
    }

    /// Says which numbers were given twice by runs that can't have overlapped.
    fn forked(&self, part: Part) -> Option<String> {
        let mut by_number: BTreeMap<u64, Vec<&Link>> = BTreeMap::new();
        self.links.iter().for_each(|link| by_number.entry(link.sequence).or_default().push(link));
        by_number.retain(|_, links| is_fork(links));
        let (number, links) = by_number.first_key_value()?;
        let runs: Vec<String> = links.iter().map(|link| link.run.to_string()).collect();
        let others = match by_number.len() {
            1 => String::new(),
            n => format!(" (and {} more numbers likewise)", n - 1),
        };
        Some(format!(
            "snapshots {} of credential {}… have the same number, {number}, and weren't made at the same time{others}: an older state of the repository was in its place once, or two hosts with this credential see different states of it",
            runs.join(" and "),
            hex(part)
        ))
    }
}

/// Whether one of these runs, which have the same number, began after another had ended.
fn is_fork(links: &[&Link]) -> bool {
    let spans = || links.iter().filter_map(|link| link.span);
    let (last_begin, first_end) = (spans().map(|span| span.0).max(), spans().map(|span| span.1).min());
    last_begin.zip(first_end).is_some_and(|(begin, end)| begin > end)
}

/// All manifests that can be read, by credential: those of forgotten snapshots too, as long as they are there.
fn chains(repo: &Repo<Full>, all: &Snapshots) -> Result<BTreeMap<Part, Chain>, RepoError> {
    let mut chains: BTreeMap<Part, Chain> = BTreeMap::new();
    let mut add = |snapshot: &Snapshot| {
        let chain = chains.entry(snapshot.id.credential_part()).or_default();
        chain.links.push(Link::from(snapshot));
        chain.replaced.extend(snapshot.manifest.replaces.iter().copied());
    };
    all.list.iter().for_each(&mut add);
    let known: HashSet<RunId> =
        all.list.iter().map(|snapshot| snapshot.id).chain(all.unreadable.iter().map(|(run, _)| *run)).collect();
    let forgotten: Vec<RunId> = all.listed.iter().filter(|run| !known.contains(run)).copied().collect();
    let found: Mutex<(Vec<Snapshot>, Vec<RunId>)> = Mutex::default();
    in_parallel(repo.store().connections(), &forgotten, &|&run: &RunId| {
        let loaded = snapshots::load(repo, run);
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        match loaded {
            Ok(snapshot) => found.0.push(snapshot),
            // Of no use to anybody, or removed meanwhile: it isn't missing without a reason.
            Err(RepoError::Damaged { .. }) => found.1.push(run),
            Err(RepoError::Store(error))
                if matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::TooLong) =>
            {
                found.1.push(run);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    })?;
    let (loaded, unusable) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    loaded.iter().for_each(&mut add);
    for run in unusable {
        chains.entry(run.credential_part()).or_default().accounted += 1;
    }
    Ok(chains)
}

/// By credential, the runs with a tombstone, whoever signed that, whose manifest isn't there.
fn tombstones(repo: &Repo<Full>, listed: &BTreeSet<RunId>) -> Result<BTreeMap<Part, Vec<RunId>>, RepoError> {
    let mut found: BTreeMap<Part, Vec<RunId>> = BTreeMap::new();
    repo.store().list(key::FORGOTTEN, &mut |object| {
        if let Some(run) = key::parse_run(key::FORGOTTEN, &object.key).filter(|run| !listed.contains(run)) {
            found.entry(run.credential_part()).or_default().push(run);
        }
    })?;
    Ok(found)
}

/// How many of these tombstones account for a manifest that is gone; stops when `wanted` do. And those that can't be read.
fn account(
    repo: &Repo<Full>,
    runs: &[RunId],
    wanted: u64,
    replaced: &HashSet<RunId>,
) -> Result<(u64, Vec<Damage>), RepoError> {
    // What accounts for a replaced run by itself isn't counted once more.
    let stand_ins: HashSet<RunId> = replaced.iter().map(|&run| stand_in(run)).collect();
    let found: Mutex<(u64, Vec<Damage>)> = Mutex::default();
    let lock = || found.lock().unwrap_or_else(PoisonError::into_inner);
    for batch in runs.chunks(BATCH) {
        in_parallel(repo.store().connections(), batch, &|run: &RunId| {
            match readable(tombstone(repo, *run))? {
                Ok(Some(tombstone)) => {
                    lock().0 += u64::from((!tombstone.dead && !stand_ins.contains(run)) || replaced.contains(run));
                }
                Ok(None) => {}
                Err(why) => lock().1.push(damage(&key::forgotten(*run), why)),
            }
            Ok::<(), RepoError>(())
        })?;
        if lock().0 >= wanted {
            break;
        }
    }
    let (count, mut odd) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    odd.sort_by(|one, other| one.object.cmp(&other.object));
    Ok((count, odd))
}
