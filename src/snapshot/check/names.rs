//! Checks packs by their names alone, which are the hashes of their bytes: whoever holds the store can do that, without any key.

use crate::repo::error::RepoError;
use crate::repo::failure::Failure;
use crate::repo::format::{MAX_OBJECT, key};
use crate::repo::id::{PackHash, PackId, RepositoryId};
use crate::repo::pack::parse;
use crate::repo::parallel;
use crate::repo::repository::marked_id;
use crate::repo::seal;
use crate::repo::store::{Store, StoreError, StoreErrorKind};
use crate::snapshot::check::{CheckError, CheckReport, Damage, Damaged, Subset};
use crate::snapshot::monitor::{Monitor, Progress};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Reads the packs that `subset` chooses and compares each with its name, and its head with its run and with the repository that the
/// store says it holds.
///
/// Nothing of that is secret, and nothing is proven by it but that the bytes are those that were stored: who stored them, and whether
/// what snapshots need is there, only [`check`](super::check) tells.
pub fn check_names(store: &dyn Store, subset: Subset, monitor: &dyn Monitor) -> Result<CheckReport, CheckError> {
    monitor.progress().enter("reading packs");
    let repository = marked_id(store)?;
    let mut report = CheckReport::default();
    let mut packs = Vec::new();
    let listed = store.list(key::PACKS, &mut |object| match key::parse_pack(&object.key) {
        Some(pack) => packs.push((pack, object.length)),
        None => report.warnings.push(format!("{}: no name of a pack", object.key)),
    });
    listed.map_err(RepoError::from)?;
    report.packs = packs.len() as u64;
    packs.sort_unstable_by_key(|(pack, _)| pack.hash);
    let packs = subset.choose(packs, u64::from_le_bytes(seal::random()));
    report.errors = read(store, &packs, repository, monitor)?;
    report.packs_read = packs.len() as u64;
    report.bytes_read = packs.iter().map(|(_, length)| length).sum();
    Ok(report)
}

/// Reads the packs by several threads, each of which holds one at a time.
fn read(
    store: &dyn Store,
    packs: &[(PackId, u64)],
    repository: RepositoryId,
    monitor: &dyn Monitor,
) -> Result<Vec<Damage>, CheckError> {
    Progress::add(&monitor.progress().bytes_total, packs.iter().map(|(_, length)| length).sum());
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<Damage>> = Mutex::default();
    let failure = Failure::default();
    let work = || -> Result<(), CheckError> {
        while let Some((pack, length)) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if monitor.interrupted() {
                return Err(CheckError::Interrupted);
            }
            if failure.is_set() {
                break;
            }
            if let Some(what) = fault(store, *pack, *length, repository)? {
                let damage =
                    Damage { object: key::pack(*pack), kind: Damaged::Pack(*pack), what, snapshots: Vec::new() };
                found.lock().unwrap_or_else(PoisonError::into_inner).push(damage);
            }
            Progress::add(&monitor.progress().bytes_done, *length);
        }
        Ok(())
    };
    let threads = parallel::threads().min(packs.len().max(1));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work().unwrap_or_else(|error| failure.set(error)));
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by(|one, other| one.object.cmp(&other.object));
    failure.take().map_or(Ok(found), Err)
}

/// What is wrong with a pack, if anything is.
fn fault(store: &dyn Store, pack: PackId, length: u64, repository: RepositoryId) -> Result<Option<String>, CheckError> {
    let bytes = match store.get(&key::pack(pack), length.min(MAX_OBJECT)) {
        Ok(bytes) => bytes,
        Err(error) if is_object_fault(&error) => return Ok(Some(error.kind.to_string())),
        Err(error) => return Err(RepoError::from(error).into()),
    };
    let found = PackHash::from_bytes(*blake3::hash(&bytes).as_bytes());
    if found != pack.hash {
        // One that was renamed or swapped is another pack, whole.
        let other = parse::claimed(&bytes).map(|opening| PackId { run: opening.run, hash: found });
        let whole = other.filter(|other| store.length(&key::pack(*other)).is_ok_and(|length| length.is_some()));
        let copy = whole.map(|other| format!("; they are those of {}", key::pack(other))).unwrap_or_default();
        return Ok(Some(format!("its bytes don't hash to its name{copy}")));
    }
    Ok(match parse::claimed(&bytes) {
        None => Some("its bytes aren't those of a pack".to_owned()),
        Some(opening) if opening.repository != repository => {
            Some(format!("it belongs to another repository, {}", opening.repository))
        }
        Some(opening) if opening.run != pack.run => {
            Some(format!("it was written by run {}, not by that of its name", opening.run))
        }
        Some(_) => None,
    })
}

/// Whether only this object can't be had, as opposed to the store.
const fn is_object_fault(error: &StoreError) -> bool {
    matches!(
        error.kind,
        StoreErrorKind::NotFound | StoreErrorKind::Short | StoreErrorKind::TooLong | StoreErrorKind::Other
    )
}
