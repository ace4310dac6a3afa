//! Step 7: the condemnation is put up for all to see. Only after that may a pruner look whether somebody still needs what it condemned.

use crate::repo::cbor::Time;
use crate::repo::fetch::read_back;
use crate::repo::format::key;
use crate::repo::gc::error::GcError;
use crate::repo::gc::plan::DoomedPack;
use crate::repo::gc::prove::{Dependencies, Proven};
use crate::repo::gc::reserve;
use crate::repo::id::{PackId, RunId};
use crate::repo::needs::Needs;
use crate::repo::record;
use crate::repo::repository::{Full, Repo};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Packs that were condemned for all to see, and not yet looked after again.
pub struct Condemned {
    /// The pruner.
    pub gid: RunId,
    /// The packs; those that somebody turns out to need are taken out.
    pub packs: BTreeMap<PackId, DoomedPack>,
    /// What must stay if a pack goes.
    pub depends: Dependencies,
    /// The lengths of the packs that this pruner wrote.
    pub written: HashMap<PackId, u64>,
}

/// Puts up the condemnation. `census` are the snapshots that were marked.
///
/// The copies that are to stay are made durable before: a killed run may have left one that a power loss would take away, after others went for its sake.
pub fn condemn(
    repo: &Repo<Full>,
    gid: RunId,
    proven: Proven,
    census: &BTreeSet<RunId>,
    now: Time,
) -> Result<Condemned, GcError> {
    let condemned: Vec<PackId> = proven.packs.iter().map(|pack| pack.id).collect();
    let mut depends = proven.depends;
    depends.retain(|pack, _| condemned.binary_search(pack).is_ok());
    let kept: BTreeSet<PackId> = depends.values().flatten().copied().collect();
    let body = record::Condemned {
        needs: Needs::NONE,
        time: now,
        condemned,
        kept: kept.into_iter().collect(),
        census: census.iter().copied().collect(),
    };
    repo.store().settle()?;
    let store_key = key::gc(gid);
    let sealed = Bytes::from(record::seal_admin_record(repo.read_keys(), &store_key, &body));
    reserve::put(&**repo.store(), &store_key, &sealed)?;
    // Others act on what they read of it, so it must be there as a whole.
    read_back(repo, &store_key, &sealed)?;
    let packs = proven.packs.into_iter().map(|pack| (pack.id, pack)).collect();
    Ok(Condemned { gid, packs, depends, written: proven.moved.packs.into_iter().collect() })
}
