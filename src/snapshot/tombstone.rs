//! Tombstones: the snapshots that were forgotten (`docs/format.md`, section 9).
//!
//! A tombstone only hides. What it hides stays until a pruner finds it old enough, by the store's time of the tombstone.

use crate::repo::error::RepoError;
use crate::repo::format::{MAX_OBJECT, key};
use crate::repo::id::RunId;
use crate::repo::keys::sign::Signer;
use crate::repo::record::{self, Tombstone};
use crate::repo::repository::{Full, Repo};
use crate::repo::store::StoreErrorKind;
use std::collections::HashMap;

/// What is known of a tombstone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgotten {
    /// When it was written, in seconds since the epoch: by the store's clock, or as it claims where the store doesn't say.
    pub since: i64,
    /// Whether it is that of a run that was declared dead, so that there was no snapshot.
    pub dead: bool,
}

/// All tombstones that the admin key signed. Others hide nothing.
pub fn tombstones(repo: &Repo<Full>) -> Result<HashMap<RunId, Forgotten>, RepoError> {
    let mut listed = Vec::new();
    repo.store().list(key::FORGOTTEN, &mut |object| {
        listed.extend(key::parse_run(key::FORGOTTEN, &object.key).map(|id| (id, object)));
    })?;
    let mut found = HashMap::new();
    for (id, object) in listed {
        let bytes = match repo.store().get(&object.key, MAX_OBJECT) {
            Ok(bytes) => bytes,
            Err(error) if error.kind == StoreErrorKind::NotFound => continue, // removed meanwhile
            Err(error) => return Err(error.into()),
        };
        if let Ok((tombstone, Signer::Admin)) = record::open_record::<Tombstone>(repo.read_keys(), &object.key, &bytes)
        {
            let since = object.modified.unwrap_or(tombstone.time.seconds);
            found.insert(id, Forgotten { since, dead: tombstone.dead });
        }
    }
    Ok(found)
}
