//! Step 8: what was condemned is given back to whoever still needs it. In this order, and each look after the condemnation was put up.
//!
//! Two parties that never speak to each other must not both go ahead. Each puts up its flag and looks for the other's afterwards: whatever the interleaving, one of them sees the other.

use crate::repo::fetch;
use crate::repo::format::key;
use crate::repo::gc::canary::Canaries;
use crate::repo::gc::condemn::Condemned;
use crate::repo::gc::error::GcError;
use crate::repo::gc::marks::Marks;
use crate::repo::gc::records;
use crate::repo::gc::survey::{self, ListedPack, Protections};
use crate::repo::id::{PackId, RunId};
use crate::repo::record::Stop;
use crate::repo::repository::{Full, Repo};
use crate::repo::sabotage::{Fence, is_off};
use crate::repo::view::{View, in_parallel};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

/// What a pruner asks of those who know what a snapshot is.
pub trait Roots {
    /// Marks every chunk that these snapshots reach. The view knows all of their packs afterwards.
    fn mark(&self, snapshots: &BTreeSet<RunId>, marks: &mut Marks) -> Result<(), GcError>;
}

/// Packs that nobody needs: every look was taken.
pub struct Sentenced {
    /// The condemnation, with what is left of it.
    pub condemned: Condemned,
    /// How many packs were given back.
    pub rescued: u64,
}

/// The looks, one after the other.
pub fn fence(
    repo: &Repo<Full>,
    view: &View,
    roots: &dyn Roots,
    canaries: &mut Canaries<'_>,
    packs: &[ListedPack],
    known: &BTreeSet<RunId>,
    mut condemned: Condemned,
) -> Result<Sentenced, GcError> {
    let before = condemned.packs.len();
    canaries.renew()?;
    let protections = give_back_to_runs(repo, canaries, packs, &mut condemned)?;
    give_back_to_new_snapshots(repo, view, roots, canaries, known, protections, &mut condemned)?;
    yield_to_other_pruners(repo, canaries, &mut condemned)?;
    give_back_without_kept_copies(repo, view, &mut condemned)?;
    heed_a_stop(repo, &mut condemned)?;
    let rescued = before.saturating_sub(condemned.packs.len()) as u64;
    Ok(Sentenced { condemned, rescued })
}

/// 8a: runs and pins are looked at again. Gives what was seen.
fn give_back_to_runs(
    repo: &Repo<Full>,
    canaries: &mut Canaries<'_>,
    packs: &[ListedPack],
    condemned: &mut Condemned,
) -> Result<Protections, GcError> {
    if is_off(Fence::Rescue8a) {
        return Ok(Protections::default());
    }
    let seen = survey::protections(repo, canaries, condemned.gid, packs)?;
    condemned.packs.retain(|pack, _| !seen.pinned.contains(pack) && !seen.undecided.contains(&pack.run));
    Ok(seen)
}

/// 8b: snapshots are looked at again. One that wasn't marked keeps every pack that holds a chunk of it.
fn give_back_to_new_snapshots(
    repo: &Repo<Full>,
    view: &View,
    roots: &dyn Roots,
    canaries: &mut Canaries<'_>,
    known: &BTreeSet<RunId>,
    seen: Protections,
    condemned: &mut Condemned,
) -> Result<(), GcError> {
    if is_off(Fence::Rescue8b) {
        return Ok(());
    }
    let listed = canaries.list(key::SNAPSHOTS)?;
    let mut new = seen.snapshots;
    new.extend(listed.iter().filter_map(|listed| key::parse_run(key::SNAPSHOTS, &listed.key)));
    for run in seen.undecided {
        // A run that commits after its pins were looked for may have removed them, and the listing may be older than that.
        if !new.contains(&run) && repo.store().length(&key::snapshot(run))?.is_some() {
            new.insert(run);
        }
    }
    new.retain(|run| !known.contains(run));
    if new.is_empty() || condemned.packs.is_empty() {
        return Ok(());
    }
    let mut marks = Marks::default();
    roots.mark(&new, &mut marks)?;
    let numbers: HashMap<u32, PackId> = condemned.packs.values().map(|pack| (pack.number, pack.id)).collect();
    let (mut needed, mut covered): (BTreeSet<PackId>, usize) = (BTreeSet::new(), 0);
    view.frames().scan(&mut |frame, places| {
        let Some(marked) = marks.get(frame) else { return };
        let listed: Vec<_> = places.iter().filter(|place| view.is_listed(place.pack)).collect();
        covered += usize::from(marked.is_covered_by(&listed.iter().map(|place| (place.first, place.count))));
        for place in listed {
            let holds = marked.count_in(place.first.into(), place.count.into()) > 0;
            needed.extend(numbers.get(&place.pack).filter(|_| holds));
        }
    })?;
    // A chunk that is in no pack that is understood may be in one that isn't.
    let understood = |number: u32| view.packs().get(number).is_some_and(|row| row.indexed.frames);
    let all_found = covered == marks.len();
    condemned.packs.retain(|id, pack| !needed.contains(id) && (all_found || understood(pack.number)));
    Ok(())
}

/// 8c: other pruners. What they keep stays; what they condemn isn't there to be kept.
fn yield_to_other_pruners(
    repo: &Repo<Full>,
    canaries: &mut Canaries<'_>,
    condemned: &mut Condemned,
) -> Result<(), GcError> {
    if is_off(Fence::Others8c) {
        return Ok(());
    }
    // Twice: a listing that lacks the one record that matters is the one thing that nothing else would notice.
    let mut listed = canaries.list(key::GC)?;
    listed.extend(canaries.list(key::GC)?);
    listed.sort();
    listed.dedup_by(|a, b| a.key == b.key);
    let records = records::load(repo, &listed)?;
    for other in records.iter().filter(|record| record.gid != condemned.gid) {
        let (kept, gone): (BTreeSet<_>, BTreeSet<_>) =
            (other.body.kept.iter().collect(), other.body.condemned.iter().collect());
        let Condemned { packs, depends, .. } = condemned;
        packs.retain(|pack, _| {
            let relies_on = depends.get(pack).into_iter().flatten();
            !kept.contains(pack) && !relies_on.into_iter().any(|stays| gone.contains(stays))
        });
    }
    Ok(())
}

/// 8d: the copies that are to stay must be there, in full length.
fn give_back_without_kept_copies(repo: &Repo<Full>, view: &View, condemned: &mut Condemned) -> Result<(), GcError> {
    if is_off(Fence::KeptCopies8d) {
        return Ok(());
    }
    let Condemned { packs, depends, written, .. } = condemned;
    let kept: Vec<PackId> = packs
        .keys()
        .filter_map(|pack| depends.get(pack))
        .flatten()
        .copied()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let gone: Mutex<BTreeSet<PackId>> = Mutex::default();
    let store = &**repo.store();
    // Asked one by one: a listing may still show what another pruner has just deleted.
    in_parallel(store.connections(), &kept, &|pack: &PackId| {
        let known = view.packs().number(pack).and_then(|number| view.packs().get(number)).map(|row| row.length);
        let expected = written.get(pack).copied().or(known);
        if expected.is_none() || store.length(&key::pack(*pack))? != expected {
            gone.lock().unwrap_or_else(PoisonError::into_inner).insert(*pack);
        }
        Ok::<(), GcError>(())
    })?;
    let gone = gone.into_inner().unwrap_or_else(PoisonError::into_inner);
    packs.retain(|pack, _| !depends.get(pack).into_iter().flatten().any(|stays| gone.contains(stays)));
    Ok(())
}

/// Whoever took this pruner for dead may have deleted what it wrote: then nothing goes.
fn heed_a_stop(repo: &Repo<Full>, condemned: &mut Condemned) -> Result<(), GcError> {
    if fetch::by_admin::<_, Stop>(repo, &key::stop(condemned.gid))?.is_some() {
        condemned.packs.clear();
    }
    Ok(())
}
