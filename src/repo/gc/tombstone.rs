//! Tombstones as pruners and checks write and read them (`docs/format.md`, section 9).
//!
//! A tombstone is written once and stays for ever. That of a run which was declared *dead* says that there was no manifest, so it accounts for none: else whoever removes a manifest would
//! only have to wait until a pruner buries its run. Where a dead run had a manifest after all (it came too late, and was rightly removed; or it's lost for good, and a person says so), a second
//! tombstone under the run's *stand-in* accounts for it.

use crate::repo::cbor::Time;
use crate::repo::error::RepoError;
use crate::repo::fetch;
use crate::repo::format::key;
use crate::repo::gc::reserve;
use crate::repo::id::RunId;
use crate::repo::needs::Needs;
use crate::repo::record::{self, ByAdmin, Tombstone};
use crate::repo::repository::{Access, Full, Repo};
use crate::repo::store::StoreErrorKind;
use bytes::Bytes;

/// A run's tombstone, if the admin key signed it.
pub fn tombstone<A: Access>(repo: &Repo<A>, run: RunId) -> Result<Option<Tombstone>, RepoError> {
    fetch::by_admin(repo, &key::forgotten(run))
}

/// Whether tombstones account for the manifest of this run, if it's gone.
pub fn accounts_for<A: Access>(repo: &Repo<A>, run: RunId) -> Result<bool, RepoError> {
    Ok(match tombstone(repo, run)? {
        Some(Tombstone { dead: true, .. }) => tombstone(repo, stand_in(run))?.is_some_and(|tombstone| !tombstone.dead),
        found => found.is_some(),
    })
}

/// Puts the tombstone of a run that has no manifest.
pub fn bury_run(repo: &Repo<Full>, run: RunId, now: Time) -> Result<(), RepoError> {
    put_by_admin(repo, &key::forgotten(run), &Tombstone { needs: Needs::NONE, time: now, dead: true })
}

/// Forgets a snapshot; or says of one that is gone that it may be.
pub fn bury_snapshot(repo: &Repo<Full>, run: RunId, now: Time) -> Result<(), RepoError> {
    put_by_admin(repo, &key::forgotten(run), &Tombstone { needs: Needs::NONE, time: now, dead: false })?;
    match tombstone(repo, run)? {
        Some(Tombstone { dead: true, .. }) => account_for(repo, run, now),
        _ => Ok(()),
    }
}

/// Says of the manifest of a dead run that it may be gone.
pub fn account_for(repo: &Repo<Full>, dead: RunId, now: Time) -> Result<(), RepoError> {
    put_by_admin(repo, &key::forgotten(stand_in(dead)), &Tombstone { needs: Needs::NONE, time: now, dead: false })
}

/// The id under which the manifest of a dead run is accounted for.
pub fn stand_in(run: RunId) -> RunId {
    let mut bytes = [0; RunId::LEN];
    let hash = blake3::derive_key("nightsafe 1 stand-in", run.as_bytes());
    let (credential, random) = bytes.split_at_mut(4);
    credential.copy_from_slice(&run.credential_part());
    random.copy_from_slice(&hash[..random.len()]);
    RunId::from_bytes(bytes)
}

/// Writes a record of the admin key's, and makes sure that it's there; one that is there already says the same.
pub fn put_by_admin<T: ByAdmin>(repo: &Repo<Full>, store_key: &str, body: &T) -> Result<(), RepoError> {
    let sealed = Bytes::from(record::seal_admin_record(repo.read_keys(), store_key, body));
    match reserve::put(&**repo.store(), store_key, &sealed) {
        Err(error) if error.kind == StoreErrorKind::Exists => match fetch::by_admin::<_, T>(repo, store_key)? {
            Some(_) => Ok(()),
            None => Err(RepoError::damaged(store_key, "something else is in its place")),
        },
        Err(error) => Err(error.into()),
        Ok(()) => fetch::read_back(repo, store_key, &sealed),
    }
}
