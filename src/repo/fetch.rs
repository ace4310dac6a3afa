//! Reading the records by which others decide: a stop, a condemnation, a tombstone.
//!
//! What nobody signed who may counts as absent. But an answer with a flipped bit looks just like that, and taking a stop for absent is worse than any forgery. So what doesn't open is read again,
//! and is believed to be nothing only if it is the same bytes twice.

use crate::repo::error::RepoError;
use crate::repo::format::MAX_OBJECT;
use crate::repo::keys::Signer;
use crate::repo::record::{self, ByAdmin};
use crate::repo::repository::{Access, Repo};
use crate::repo::store::{StoreError, StoreErrorKind};
use bytes::Bytes;

/// How often an object that reads differently each time is read.
const MOST_READS: u32 = 4;

/// The record of the admin key's under `key`; `None` if there is none, or one that the admin key didn't sign.
///
/// # Errors
/// If a newer nightsafe wrote it, or it reads differently each time.
pub fn by_admin<A: Access, T: ByAdmin>(repo: &Repo<A>, key: &str) -> Result<Option<T>, RepoError> {
    let mut before: Option<Bytes> = None;
    for _ in 0..MOST_READS {
        let Some(bytes) = get(repo, key)? else { return Ok(None) };
        match record::open_record::<T>(&**repo.keys(), key, &bytes) {
            Ok((record, Signer::Admin)) => return Ok(Some(record)),
            Err(why) if why.fault.is_unknown_version() && before.as_ref() == Some(&bytes) => {
                return Err(RepoError::damaged(key, &why.fault));
            }
            _ if before.as_ref() == Some(&bytes) => return Ok(None),
            _ => before = Some(bytes),
        }
    }
    Err(RepoError::damaged(key, "it reads differently each time"))
}

/// An object's bytes; `None` if it's absent.
fn get<A: Access>(repo: &Repo<A>, key: &str) -> Result<Option<Bytes>, StoreError> {
    match repo.store().get(key, MAX_OBJECT) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
        // Asked twice here, too. No record is that long, so nobody signed it.
        Err(error) if error.kind == StoreErrorKind::TooLong => match repo.store().length(key)? {
            Some(length) if length > MAX_OBJECT => Ok(None),
            _ => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// Writes an object that others act on, and makes sure that it's there as it was written.
pub fn put_and_read_back<A: Access>(repo: &Repo<A>, key: &str, bytes: &Bytes) -> Result<(), RepoError> {
    repo.store().put(key, bytes)?;
    read_back(repo, key, bytes)
}

/// Makes sure that an object that others act on is there as it was written.
pub fn read_back<A: Access>(repo: &Repo<A>, key: &str, written: &Bytes) -> Result<(), RepoError> {
    for _ in 0..2 {
        if repo.store().get(key, MAX_OBJECT)? == *written {
            return Ok(());
        }
    }
    Err(RepoError::damaged(key, "it was just written and is another object when it's read"))
}
